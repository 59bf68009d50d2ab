"""Finding the run that somebody wants to publish."""

import json
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import InputError, nearest
from schemas.job import Job
from schemas.report import RunReport
from tasks.artifacts.store import Store, sha256_of_file

# What may change between a run and its publication: neither is part of what was built.
FREE = frozenset({"publish", "profile"})


def find_run(store: Store, given: str) -> Path:
    """The report of the run that is named: a run's folder, a report, or a job's name.

    Raises InputError where there is none of that name, with the nearest.
    """
    place = Path(given)
    if place.is_file():
        return place
    if (place / "report.json").is_file():
        return place / "report.json"
    runs = store.root / "runs"
    found = runs / given / "report.json"
    if "/" not in given and found.is_file():
        return found
    if place.is_dir():
        raise InputError(f"{given} holds no report.json: name the folder of a run")
    names = sorted(x.parent.name for x in runs.glob("*/report.json"))
    run_it = "run its job first, enginesmith run JOB.yaml"
    raise InputError(
        f"there is no run {given} in {store.location}: {nearest(given, names, none=run_it)}"
    )


def read_report(file: Path) -> tuple[RunReport, str]:
    """A run's report and its digest. Raises InputError where the file is not one."""
    try:
        return RunReport.model_validate_json(file.read_bytes()), sha256_of_file(file)
    except ValidationError as error:
        raise InputError(
            f"{file} is no report of this version ({error.errors()[0]['msg']}): run the job again"
        ) from error


def check_same_job(job: Job, report: RunReport) -> None:
    """Raises InputError where a job was changed in what it builds since it was run."""
    now, then = job.model_dump(mode="json"), report.job.model_dump(mode="json")
    if job.mixed_precision is not None:
        # The report has the job as it was built: what the search left in float is named after what
        # the job does.
        own = list(dict.fromkeys(job.quantization.exclude))
        if then["quantization"]["exclude"][: len(own)] == own:
            then["quantization"]["exclude"] = now["quantization"]["exclude"]
    changed = sorted(
        name
        for name in now.keys() | then.keys()
        if name not in FREE and json.dumps(now.get(name)) != json.dumps(then.get(name))
    )
    if changed:
        raise InputError(
            f"job {job.name} was changed since it was run ({', '.join(changed)}): run it again, "
            f"or publish the run as it is (enginesmith publish {job.name})"
        )
