"""Rules W1 and W2 about rows, looked at from outside through SQL alone, so that a bug in our own queries cannot hide."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.engine import Connection

_STATUSES = "'queued','running','retryable','paused','completed','indexing','indexed','index_failed','failed','cancelled'"

# Each query finds the rows that break the sentence.
RULES = {
    "a status is one of the table": f"SELECT id FROM job WHERE status NOT IN ({_STATUSES})",
    "running and indexing imply exactly one open attempt of their kind": """
        SELECT job.id FROM job WHERE job.status IN ('running', 'indexing') AND 1 <> (
          SELECT count(*) FROM attempt WHERE attempt.job_id = job.id AND attempt.ended_at IS NULL
          AND attempt.kind = CASE job.status WHEN 'running' THEN 'crawl' ELSE 'index' END)""",
    "every other status implies no open attempt": """
        SELECT job.id FROM job JOIN attempt ON attempt.job_id = job.id
        WHERE attempt.ended_at IS NULL AND job.status NOT IN ('running', 'indexing')""",
    "an open attempt carries the job's fence and worker": """
        SELECT job.id FROM job JOIN attempt ON attempt.job_id = job.id
        WHERE attempt.ended_at IS NULL AND (attempt.fence <> job.fence OR attempt.worker_id <> job.worker_id)""",
    "a lease is held exactly while an attempt is open": """
        SELECT id FROM job WHERE (status IN ('running', 'indexing')) <> (lease_token IS NOT NULL)
        OR (lease_token IS NULL) <> (lease_until IS NULL) OR (lease_token IS NULL) <> (worker_id IS NULL)""",
    "finished_at is set exactly where a stage has come to its end": """
        SELECT id FROM job WHERE (finished_at IS NOT NULL)
        <> (status IN ('completed', 'indexed', 'index_failed', 'failed', 'cancelled'))""",
    "fences of a job's attempts grow": """
        SELECT a.job_id FROM attempt a JOIN attempt b ON a.job_id = b.job_id AND a.n < b.n WHERE a.fence >= b.fence""",
    "a job is crawled to its end at most once, and indexed after that": """
        SELECT job_id FROM attempt WHERE ended_at IS NOT NULL AND failure_class IS NULL
        GROUP BY job_id, kind HAVING count(*) > 1""",
    "an ended attempt that failed says why": """
        SELECT job_id FROM attempt WHERE failure_class IS NOT NULL AND (reason IS NULL OR ended_at IS NULL)""",
}


def broken(conn: Connection) -> list[str]:
    """The sentences that do not hold, each with the jobs that break it."""
    found = []
    for sentence, query in RULES.items():
        ids = sorted({row[0] for row in conn.execute(text(query))})
        if ids:
            found.append(f"{sentence}: jobs {ids}")
    return found
