"""What every command that runs a flow does first."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flows.commands.output import log_to_stderr
from flows.environment import configure
from flows.jobfile import load_job
from flows.jobs_folder import trust
from flows.preflight import check
from schemas.job import Job
from tasks.artifacts.store import Store


@dataclass(frozen=True)
class Session:
    """A validated job and the store that it runs in."""

    job: Job
    store: Store


def start(
    job_file: Path,
    overrides: Sequence[str],
    artifacts: Path | str,
    *,
    quiet: bool,
    debug: bool,
    check: Callable[[Job], None] = check,
) -> Session:
    """Check everything that can be checked before anything is started.

    Raises InputError where the job or the artifact folder cannot be used.
    """
    job = load_job(job_file, overrides)
    trust(job_file)
    check(job)
    store = Store(artifacts)
    configure(store, debug=debug)
    log_to_stderr(quiet=quiet)
    logging.getLogger("enginesmith").info("%s: starting Prefect", job.name)
    return Session(job, store)
