"""The jobs that a deployed flow finds by name: the files of one folder of the worker."""

import os
from collections.abc import Sequence
from pathlib import Path

from flows.jobfile import anchored, load_job
from schemas.errors import InputError, nearest
from schemas.job import Job
from tasks.models.factory import import_from

JOBS_VARIABLE = "ENGINESMITH_JOBS"


def jobs_folder() -> Path:
    """The folder that ENGINESMITH_JOBS names, ``jobs`` where it is unset.

    Raises InputError where there is no such folder.
    """
    folder = Path(os.environ.get(JOBS_VARIABLE, "jobs")).absolute()
    if not folder.is_dir():
        raise InputError(
            f"there is no jobs folder {folder}: set {JOBS_VARIABLE} where the worker runs"
        )
    return folder


def trust(job_file: Path) -> None:
    """Let the factories beside a job file be imported, where it lies in the jobs folder or below.

    A job file from anywhere else names only what is installed: code that came along with it runs
    once ENGINESMITH_JOBS says that its folder is trusted.
    """
    jobs = Path(os.environ.get(JOBS_VARIABLE, "jobs")).resolve()
    folder = job_file.parent.resolve()
    if folder.is_relative_to(jobs):
        import_from(folder)
        import_from(jobs)


def job_names() -> list[str]:
    """The names that ``named_job`` knows, sorted."""
    return sorted(file.stem for file in jobs_folder().glob("*.yaml"))


def named_job(name: str, overrides: Sequence[str] = ()) -> Job:
    """The job in ``<jobs folder>/<name>.yaml``; factories beside it can be imported from then on.

    Only what lies in the folder itself has a name, so that nobody who may start a run reads other
    files. Raises InputError where there is none of that name.
    """
    check_name(name)
    folder = jobs_folder()
    import_from(folder)
    return load_job(folder / f"{name}.yaml", overrides)


def check_name(name: str) -> None:
    """Raises InputError, with the nearest name, where there is no job of that name."""
    folder = jobs_folder()
    # Listing the folder for each of its jobs would take a large night a while.
    file_name = f"{name}.yaml"
    if len(file_name) < 256 and Path(file_name).name == file_name and (folder / file_name).exists():
        return
    raise InputError(
        f"there is no job {name!r} in the worker's folder {folder}: "
        f"{nearest(name, job_names(), none='put NAME.yaml there')}"
    )


def given_job(job: Job) -> Job:
    """A job that was filled in by hand: its relative paths and factories are of the jobs folder."""
    folder = jobs_folder()
    import_from(folder)
    return anchored(job, folder)
