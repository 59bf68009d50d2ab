"""The build flow as the server's form, schedules and ``enginesmith submit`` start it."""

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed, Failed

from flows.build import Stage, check_stages
from flows.build import build as build_job
from flows.heartbeat import heartbeat
from flows.jobs_folder import given_job, named_job
from flows.preflight import check
from flows.progress import progress_of
from flows.run_log import log_to_server
from schemas.errors import InputError
from schemas.job import Job
from schemas.report import ReportResult, RunReport
from tasks.artifacts.store import current_store

GATES_FAILED = "Gates failed"
"""The name of the state that a run ends in where it did its work and a gate did not hold."""

BAD_INPUT = "Bad input"
"""The name of the state that a run ends in where something given cannot be used."""


def run_name() -> str:
    """What the run is called in the UI."""
    parameters: dict[str, Any] = flow_run.parameters
    job = parameters.get("job")
    name = parameters.get("name") or (job.name if isinstance(job, Job) else (job or {}).get("name"))
    return f"build-{name}"


@flow(name="build", flow_run_name=run_name, persist_result=False)
def build(
    name: str = "",
    job: Job | None = None,
    overrides: list[str] = [],  # noqa: B006
    refresh: list[Stage] = [],  # noqa: B006
) -> State[Any]:
    """Quantize a network, build its engines, and prove them accurate and fast.

    Args:
        name: A job of the worker's jobs folder, such as quickstart. Empty where the job is given.
        job: The job itself, in place of a name. Relative paths are of the worker's jobs folder.
        overrides: With a name: fields to change, such as calibration.images=1024.
        refresh: Stages to run again though nothing changed.
    """
    log_to_server()
    try:
        chosen = _chosen(name, job, overrides)
        check(chosen)
        with heartbeat(), progress_of(chosen):
            result = build_job.fn(chosen, check_stages(refresh))
    except InputError as error:
        # One line for who filled in the form; a traceback would be about code of ours.
        return Failed(name=BAD_INPUT, message=str(error))
    return _verdict(chosen, result)


def _chosen(name: str, job: Job | None, overrides: list[str]) -> Job:
    if name and job is not None:
        raise InputError("both the name of a job and a job are given: empty one of them")
    if job is None:
        if not name:
            raise InputError(
                "no job is given: give the name of one in the worker's folder, or a job"
            )
        return named_job(name, overrides)
    if overrides:
        raise InputError("overrides change a job given by name: change the job's own fields")
    return given_job(job)


def _verdict(job: Job, result: ReportResult) -> State[Any]:
    """How the run ended, in the words that the UI and notifications show."""
    gates = current_store().load(result.json_report, RunReport).gates
    failed = [gate for gate in gates if not gate.passed]
    if not failed:
        return Completed(message=f"{job.name}: passed, {len(gates)} gates")
    details = "; ".join(f"{gate.name}: {gate.detail}" for gate in failed)
    return Failed(
        name=GATES_FAILED,
        message=f"{job.name}: {len(failed)} of {len(gates)} gates failed: {details}",
    )
