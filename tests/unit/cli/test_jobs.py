"""Commands about sources and jobs: answers, JSON shapes, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.rigs.command_line import Ended, command

from healtharchive.cli import render
from healtharchive.instance import open_instance
from healtharchive.jobs import queries, queue
from healtharchive.jobs.model import Status
from healtharchive.journal import Actor, entries

ACTOR = Actor("person", "ana", "here")


class Archive:
    """An instance with one source, spoken to through commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        assert command("init", root).code == 0
        assert self.run("source", "add", "hc", "https://example.org/").code == 0

    def run(self, *words: str) -> Ended:
        return command(*words, "--instance", self.root)

    def job(self, status: Status = Status.QUEUED, *, retry_count: int = 0) -> int:
        """A job that has come to `status`, by the rooms' own functions where people could do it."""
        job_id: int = self.run("job", "create", "hc", "--json").json["job"]["id"]
        instance = open_instance(self.root)
        try:
            with instance.db.write() as conn:
                if status is Status.PAUSED:
                    queue.pause_job(conn, job_id, actor=ACTOR, reason="a test")
                elif status is not Status.QUEUED:
                    conn.exec_driver_sql(
                        "UPDATE job SET status = ?, retry_count = ?, reason = 'a test', lease_until = ? WHERE id = ?",
                        (status.value, retry_count, "2999-01-01 00:00:00" if status is Status.RUNNING else None, job_id),
                    )
                return queries.get(conn, job_id).id
        finally:
            instance.close()

    def status(self, job_id: int) -> str:
        return str(self.run("show-job", "--id", str(job_id), "--json").json["job"]["status"])

    def journal(self, target: str) -> list[tuple[str, str]]:
        instance = open_instance(self.root)
        try:
            with instance.db.read() as conn:
                return [(entry.action, entry.outcome) for entry in entries(conn, target=target)]
        finally:
            instance.close()


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return Archive(tmp_path / "instance")


def test_a_source_is_listed_and_shown_with_what_its_crawl_would_be(archive: Archive) -> None:
    archive.run("source", "add", "phac", "https://example.net/", "--set", "scope=path", "--title", "Public Health")
    assert [source["name"] for source in archive.run("source", "list", "--json").json["sources"]] == ["hc", "phac"]
    shown = archive.run("source", "show", "phac", "--json").json
    assert shown["source"]["profile"] == {"scope": "path"}
    assert shown["resolved"]["scope"] == "path"
    assert shown["resolved"]["seeds"] == ["https://example.net/"]
    assert "Public Health" in archive.run("source", "show", "phac").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("source", "add", "hc", "https://example.org/"), 14, "already"),
        (("source", "add", "x"), 2, "at least one seed"),
        (("source", "add", "x", "ftp://example.org/"), 2, "'ftp://example.org/' is not a URL"),
        (("source", "add", "x", "https://example.org/", "--set", "scop=path"), 2, "Did you mean scope?"),
        (("source", "show", "hcc"), 1, "Did you mean hc?"),
        (("job", "create", "hcc"), 1, "Did you mean hc?"),
        (("job", "create", "hc", "--set", "max_pages=many"), 2, "max_pages"),
        (("job", "show", "99"), 1, "no job 99"),
        (("show-job", "--id", "99"), 1, "no job 99"),
        (("job", "pause", "99"), 1, "no job 99"),
        (("retry-job", "--id", "99"), 1, "no job 99"),
        (("run-db-job", "--id", "99"), 1, "no job 99"),
        (("job", "logs", "99"), 1, "no job 99"),
        (("job", "ledger", "99"), 1, "no job 99"),
        (("index", "--job", "99"), 1, "no job 99"),
        (("verify", "--job", "99"), 1, "no job 99"),
        (("recover-stale-jobs", "--older-than-minutes", "0"), 2, "more than 0"),
        (("reset-retry-count",), 2, "--id"),
        (("reset-retry-count", "--source", "hc", "--status", "failed", "--limit", "5"), 2, "--reason"),
        (("archive", "gopher://example.org/"), 2, "is not a URL"),
        (("archive", "https://example.org/", "--scope", "world"), 2, "scope"),
    ],
)
def test_what_cannot_be_is_one_line_with_its_exit_code(archive: Archive, words: tuple[str, ...], code: int, said: str) -> None:
    ended = archive.run(*words)
    assert (ended.code, ended.out) == (code, "")
    assert ended.err.count("\n") == 1
    assert said in ended.err
    as_json = archive.run(*words, "--json")
    assert as_json.code == code
    assert as_json.error["exit_code"] == code


def test_a_job_is_created_queued_listed_and_shown(archive: Archive) -> None:
    created = archive.run("job", "create", "hc", "--name", "annual-2026", "--set", "max_pages=5", "--json").json["job"]
    assert (created["status"], created["name"], created["config"]) == ("queued", "annual-2026", {"profile": {"max_pages": 5}})
    assert "lease_token" not in created
    assert [job["id"] for job in archive.run("list-jobs", "--json").json["jobs"]] == [created["id"]]
    assert archive.run("job", "list", "--status", "failed", "--json").json == {"jobs": []}
    shown = archive.run("job", "show", str(created["id"]), "--json").json
    assert set(shown) == {"job", "attempts", "ledger", "combined_log_path"}
    assert archive.run("show-job", "--id", str(created["id"])).out.startswith("job ")


def test_pause_resume_cancel_do_what_they_say(archive: Archive) -> None:
    job_id = archive.job()
    ended = archive.run("job", "pause", str(job_id), "--reason", "the site asked", "--json")
    assert ended.json["actions"][0]["outcome"] == "done"
    assert archive.status(job_id) == "paused"
    assert archive.run("job", "resume", str(job_id)).code == 0
    assert archive.status(job_id) == "queued"
    assert archive.run("job", "cancel", str(job_id)).code == 0
    assert archive.status(job_id) == "cancelled"


def test_a_refusal_has_exit_14_says_what_to_do_and_is_journaled(archive: Archive) -> None:
    job_id = archive.job(Status.PAUSED)
    ended = archive.run("retry-job", "--id", str(job_id))
    assert (ended.code, ended.out) == (14, "")
    assert ended.err == f"Refused to retry job {job_id}: it is paused. Resume it: healtharchive job resume {job_id}\n"
    assert ("job.retry", "refused") in archive.journal(f"job:{job_id}")
    assert archive.run("retry-job", "--id", str(job_id), "--json").error["error"] == "Refused"


def test_retry_job_makes_a_failed_job_pickable_and_touches_no_other(archive: Archive) -> None:
    failed, other = archive.job(Status.FAILED), archive.job(Status.FAILED)
    assert archive.run("retry-job", "--id", str(failed)).code == 0
    assert (archive.status(failed), archive.status(other)) == ("retryable", "failed")


def test_retry_job_indexes_again_what_could_not_be_indexed(archive: Archive) -> None:
    job_id = archive.job(Status.INDEX_FAILED)
    assert archive.run("job", "retry", str(job_id)).code == 0
    assert archive.status(job_id) == "completed"


def test_reset_retry_count_shows_its_plan_and_acts_only_when_told_to(archive: Archive) -> None:
    job_id = archive.job(Status.RETRYABLE, retry_count=2)
    dry = archive.run("reset-retry-count", "--id", str(job_id), "--json")
    assert dry.json["dry_run"] is True
    assert dry.json["actions"][0]["outcome"] == "planned"
    assert archive.run("show-job", "--id", str(job_id), "--json").json["job"]["retry_count"] == 2
    applied = archive.run("reset-retry-count", "--id", str(job_id), "--apply", "--json").json
    assert {**applied, "dry_run": True, "actions": dry.json["actions"]} == dry.json
    assert archive.run("show-job", "--id", str(job_id), "--json").json["job"]["retry_count"] == 0
    assert ("job.reset_retry_count", "done") in archive.journal(f"job:{job_id}")


def test_reset_retry_count_in_bulk_is_bounded(archive: Archive) -> None:
    jobs = [archive.job(Status.FAILED, retry_count=3) for _ in range(3)]
    words = ("reset-retry-count", "--source", "hc", "--status", "failed", "--limit", "2", "--reason", "box was away", "--apply")
    assert archive.run(*words).code == 0
    spent = [archive.run("show-job", "--id", str(job_id), "--json").json["job"]["retry_count"] for job_id in jobs]
    assert sorted(spent) == [0, 0, 3]


def test_reset_retry_count_refuses_a_running_job(archive: Archive) -> None:
    job_id = archive.job(Status.RUNNING, retry_count=1)
    ended = archive.run("reset-retry-count", "--id", str(job_id), "--apply")
    assert ended.code == 14
    assert f"healtharchive job pause {job_id}" in ended.err


def test_run_db_job_on_a_running_job_is_locked(archive: Archive) -> None:
    ended = archive.run("run-db-job", "--id", str(archive.job(Status.RUNNING)))
    assert ended.code == 11
    assert "already running" in ended.err


def test_recover_stale_jobs_is_a_dry_run_by_default(archive: Archive) -> None:
    ended = archive.run("recover-stale-jobs", "--older-than-minutes", "10", "--require-no-progress-seconds", "3600", "--json")
    assert (ended.code, ended.json["dry_run"], ended.json["actions"]) == (0, True, [])


def test_status_says_whether_somebody_must_get_up(archive: Archive) -> None:
    assert archive.run("status").out.startswith("GOOD")
    archive.job()
    waiting = archive.run("status")
    assert waiting.code == 0
    assert "healtharchive worker" in waiting.out
    failed = archive.job(Status.FAILED)
    needs = archive.run("status")
    assert needs.code == 4
    assert f"healtharchive retry-job --id {failed}" in needs.out.splitlines()[0]
    assert archive.run("status", "--json").json["verdict"] == "needs_human"


def test_the_journal_tells_who_did_what(archive: Archive) -> None:
    job_id = archive.job()
    archive.run("job", "cancel", str(job_id), "--reason", "no longer wanted")
    found = archive.run("journal", f"job:{job_id}", "--json").json["entries"]
    assert [entry["action"] for entry in found][:1] == ["job.cancel"]
    assert found[0]["actor"].startswith("person:")
    assert found[0]["reason"] == "no longer wanted"


def test_config_show_says_where_a_value_comes_from(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEALTHARCHIVE_WEB_PORT", "9000")
    found = {row["key"]: row for row in archive.run("config", "show", "--origin", "--json").json["settings"]}
    assert (found["web.port"]["value"], found["web.port"]["origin"]) == (9000, "env HEALTHARCHIVE_WEB_PORT")
    assert found["web.host"]["origin"] == "default"
    assert found["database.url"]["origin"].startswith("healtharchive.toml:")
    assert "web.port" in archive.run("config", "show", "--origin").out


def test_config_show_hides_the_password_of_the_database(tmp_path: Path) -> None:
    (tmp_path / "healtharchive.toml").write_text('[database]\nurl = "postgresql://ana:s3cret@db.example/archive"\n')
    ended = command("config", "show", "--instance", tmp_path)
    assert ended.code == 0
    assert "s3cret" not in ended.out
    assert "s3cret" not in command("config", "show", "--json", "--instance", tmp_path).out


def test_config_check_and_migrate_tell_the_revision(archive: Archive) -> None:
    checked = archive.run("config", "check", "--json").json
    assert checked["ok"] is True
    assert archive.run("config", "migrate", "--json").json == {"before": checked["revision"], "after": checked["revision"]}


def test_init_refuses_an_existing_instance(archive: Archive) -> None:
    ended = command("init", archive.root)
    assert (ended.code, ended.out) == (13, "")
    assert "Nothing was changed" in ended.err


def test_init_here_and_init_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEALTHARCHIVE_INSTANCE", raising=False)
    assert command("init", "--json").json["instance"] == str(tmp_path)
    assert command("init", "there", "--database", "sqlite:///other.db").code == 0
    assert (tmp_path / "there" / "other.db").exists()
    assert command("init", "third", "--database", "mysql://x/y").code == 13
    assert not (tmp_path / "third").exists()


class TestRender:
    def test_what_comes_out_of_an_archive_cannot_steer_a_terminal(self) -> None:
        assert render.printable("a\x1b[2Jb\u202ec\nd") == "a [2Jb c d"

    def test_columns_line_up_whatever_the_script(self) -> None:
        lines = render.table(["A", "N"], [("é", 1), ("日本", 12_345)], right=frozenset({1}))
        assert [render.width(line) for line in lines] == [12, 12, 12]

    @pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (23_400_000, "23 MB")])
    def test_sizes_are_as_disks_are_sold(self, count: int, text: str) -> None:
        assert render.size(count) == text


def test_work_that_nobody_does_needs_a_person(archive: Archive) -> None:
    job_id = archive.job()
    assert archive.run("status").code == 0, "just queued: a worker may be on its way"
    instance = open_instance(archive.root)
    with instance.db.write() as conn:
        conn.exec_driver_sql("UPDATE job SET next_attempt_at = '2026-01-01 00:00:00.000000' WHERE id = ?", (job_id,))
    instance.close()
    ended = archive.run("status")
    assert ended.code == 4
    assert "no worker runs" in ended.out
