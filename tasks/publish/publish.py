"""From a finished run to the latest version of its job."""

import json
from pathlib import Path

from pydantic import ValidationError

from schemas.errors import InputError
from schemas.job import Job
from schemas.publish import Package, Publication, PublishConfig
from schemas.report import RunReport
from tasks.artifacts.store import Store, sha256_of_file
from tasks.publish.latest import GatesFailedError, WithdrawnError, promote
from tasks.publish.layout import lay_out
from tasks.publish.package import built_engine, package


def publish(
    store: Store, package: Package, report: RunReport, report_sha256: str, *, again: bool = False
) -> Publication:
    """Lay out a version and make it the latest of its job.

    A version that was rolled back is laid out and not promoted, unless ``again``. Raises
    GatesFailedError, before anything is written, where a gate of the run failed.
    """
    if not report.passed:
        raise GatesFailedError(report.job.name, report.gates)
    job = report.job.name
    key = lay_out(store, job, package)
    reason = None
    try:
        promote(store, job, package.version, report.gates, report_sha256=report_sha256, again=again)
    except WithdrawnError as error:
        reason = str(error)
    return Publication(version=package.version, promoted=reason is None, key=key, reason=reason)


def package_run(store: Store, report: RunReport, config: PublishConfig | None = None) -> Package:
    """What a finished run would publish, whether or not its job says so.

    ``config`` None stands for the job's own. Raises InputError where the report does not say
    enough, and StaleArtifactError where what the run made is gone.
    """
    if report.data is None:
        raise InputError(
            f"the report of {report.job.name} is of an older version and does not name the "
            "classes: run the job again"
        )
    engines = [built_engine(x.plan, x.graph, x.manifest, x.layers) for x in report.engines]
    chosen = config or report.job.publish or PublishConfig()
    return package(store, report.job.name, chosen, report.data, engines, report.accuracies)


def find_report(place: Path) -> tuple[RunReport, str]:
    """A run's report and its digest; ``place`` is its folder, or the report itself.

    Raises InputError where there is none, or it cannot be read.
    """
    file = place / "report.json" if place.is_dir() else place
    try:
        return RunReport.model_validate_json(file.read_bytes()), sha256_of_file(file)
    except FileNotFoundError as error:
        raise InputError(f"{place} holds no report.json: name the folder of a run") from error
    except ValidationError as error:
        raise InputError(
            f"{file} is no report of this version ({error.errors()[0]['msg']}): run the job again"
        ) from error


def check_same_job(job: Job, report: RunReport) -> None:
    """Raises InputError where a job was changed in more than what it publishes since it was run."""
    free = {"publish", "profile"}
    now, then = job.model_dump(mode="json"), report.job.model_dump(mode="json")
    changed = sorted(
        name
        for name in now.keys() | then.keys()
        if name not in free and json.dumps(now.get(name)) != json.dumps(then.get(name))
    )
    if changed:
        raise InputError(
            f"job {job.name} was changed since it was run ({', '.join(changed)}): run it again, "
            "or publish the run itself by its folder"
        )
