"""Tables of this room: job, attempt, worker, pause, breaker."""

from __future__ import annotations

import sqlalchemy as sa

from healtharchive import db

job = sa.Table(
    "job",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    sa.Column("source_id", db.BigId, sa.ForeignKey("source.id"), nullable=False),
    sa.Column("source", sa.Text, nullable=False),  # the source's name, which never changes
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("config", db.Json, nullable=False),
    sa.Column("output_dir", sa.Text, nullable=False, unique=True),  # relative to the jobs root
    # The host whose local disk holds the frontier: only there can the crawl be resumed. Null before the first attempt.
    sa.Column("host", sa.Text),
    sa.Column("fence", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("lease_token", sa.Text),
    sa.Column("lease_until", db.UtcDateTime),
    sa.Column("worker_id", sa.Text),
    sa.Column("retry_count", sa.Integer, nullable=False, server_default="0"),
    sa.Column("infra_failures", sa.Integer, nullable=False, server_default="0"),  # in a row
    sa.Column("next_attempt_at", db.UtcDateTime, nullable=False),
    sa.Column("queued_at", db.UtcDateTime),
    sa.Column("created_at", db.UtcDateTime, nullable=False),
    sa.Column("updated_at", db.UtcDateTime, nullable=False),
    sa.Column("started_at", db.UtcDateTime),
    sa.Column("finished_at", db.UtcDateTime),
    sa.Column("cancel_requested_at", db.UtcDateTime),
    sa.Column("pause_requested_at", db.UtcDateTime),
    sa.Column("crawler_status", sa.Text),  # success, failed, infra_error, infra_error_config
    sa.Column("crawler_stage", sa.Text),
    sa.Column("crawler_exit_code", sa.Integer),
    sa.Column("reason", sa.Text),  # of the latest outcome, one line
    sa.Column("indexed_page_count", sa.Integer, nullable=False, server_default="0"),
    sa.Index("ix_job_due", "status", "next_attempt_at"),
    sa.Index("ix_job_lease", "lease_until"),
)

attempt = sa.Table(
    "attempt",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    sa.Column("job_id", db.BigId, sa.ForeignKey("job.id"), nullable=False),
    sa.Column("n", sa.Integer, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # crawl, index
    sa.Column("engine", sa.Text, nullable=False),
    sa.Column("fence", sa.BigInteger, nullable=False),
    sa.Column("worker_id", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("process", sa.Text),  # str(ProcessId) of the child
    sa.Column("directory", sa.Text, nullable=False),  # relative to the jobs root
    sa.Column("log_path", sa.Text, nullable=False),  # relative to the jobs root
    sa.Column("started_at", db.UtcDateTime, nullable=False),
    sa.Column("heartbeat_at", db.UtcDateTime, nullable=False),  # liveness
    sa.Column("progress_at", db.UtcDateTime, nullable=False),  # pages moved
    sa.Column("ended_at", db.UtcDateTime),
    sa.Column("failure_class", sa.Text),  # infra, crawl, config, cancelled; null: succeeded or open
    sa.Column("exit_code", sa.Integer),
    sa.Column("errno", sa.Integer),
    sa.Column("reason", sa.Text),
    sa.Column("counts", db.Json),  # the ledger at the last progress line
    sa.UniqueConstraint("job_id", "n"),
)

# At most one open attempt of a job, whatever a program does.
sa.Index(
    "uq_attempt_open",
    attempt.c.job_id,
    unique=True,
    sqlite_where=attempt.c.ended_at.is_(None),
    postgresql_where=attempt.c.ended_at.is_(None),
)

worker = sa.Table(
    "worker",
    db.metadata,
    sa.Column("id", sa.Text, primary_key=True),  # one per incarnation
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("process", sa.Text, nullable=False),  # str(ProcessId)
    sa.Column("started_at", db.UtcDateTime, nullable=False),
    sa.Column("heartbeat_at", db.UtcDateTime, nullable=False),
    sa.Column("draining_at", db.UtcDateTime),
    sa.Column("ended_at", db.UtcDateTime),
)

pause = sa.Table(
    "pause",
    db.metadata,
    sa.Column("id", db.BigId, primary_key=True, autoincrement=True),
    sa.Column("scope", sa.Text, nullable=False),  # all, source
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", db.UtcDateTime, nullable=False),
    sa.Column("expires_at", db.UtcDateTime),
    sa.UniqueConstraint("scope", "key"),
)

breaker = sa.Table(
    "breaker",
    db.metadata,
    sa.Column("domain", sa.Text, primary_key=True),  # storage domain, runtime
    sa.Column("failures", sa.Integer, nullable=False),  # in a row
    sa.Column("opened_at", db.UtcDateTime),
    sa.Column("next_probe_at", db.UtcDateTime),
    sa.Column("reason", sa.Text, nullable=False),
)
