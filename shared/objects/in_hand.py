"""A job in one worker's hands: its entry's session, read and written as the job alone."""

from __future__ import annotations

from shared.objects.job import Job, Portion
from shared.session import Session


def job_of(session: Session) -> Job:
    """The job that the entry is about.

    Raises:
        TypeError: It is about something else.
    """
    job = session.entry.job
    if job is None:
        raise TypeError(f"{session.entry.key} is not about objects")
    return job


def put(session: Session, job: Job) -> None:
    """Replace the job, which the next save writes."""
    session.put(session.entry.but(job=job))


def labels(session: Session) -> dict[str, dict[str, str]]:
    """What a line of the log says of it."""
    return {"labels": {"entry": session.entry.key, "bucket": job_of(session).bucket}}


def unhindered(job: Job) -> Job:
    """Nothing stands in its way any more."""
    return job.but(attempts=0, tries=0, hindrance="", reason="")


def with_portion(job: Job, index: int, portion: Portion) -> Job:
    """The job with one portion replaced."""
    return job.but(portions=(*job.portions[:index], portion, *job.portions[index + 1 :]))
