"""Many jobs in one go: each is built whatever becomes of the others."""

import logging
from collections.abc import Sequence
from typing import Any, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.runtime import deployment
from prefect.states import Completed, Failed
from pydantic import PositiveInt

from flows.deployed import BAD_INPUT, GATES_FAILED
from flows.jobs_folder import job_names, jobs_folder
from flows.pool import BUILD, Ended, on_the_pool, one_after_another
from flows.run_log import log_to_server
from flows.store_upkeep import collect_garbage
from schemas.errors import InputError
from schemas.history import BuildRecord, JobOutcome, NightlySummary, RetentionPolicy
from tasks.artifacts.store import current_store
from tasks.history.records import records_of

log = logging.getLogger("enginesmith")


class JobsFailedError(Exception):
    """Not every job of a night passed. Prefect wants an exception where a run failed."""

    def __init__(self, message: str, summary: NightlySummary) -> None:
        super().__init__(message)
        self.summary = summary


@flow(name="nightly", flow_run_name="nightly", persist_result=False)
def nightly(
    jobs: list[str] = [],  # noqa: B006
    on: Literal["auto", "here", "pool"] = "auto",
    retention: RetentionPolicy | None = None,
    at_a_time: PositiveInt | None = None,
) -> State[Any]:
    """Build jobs one after another here, or spread over the pool; none stops the others.

    Args:
        jobs: Names of files in the jobs folder; left out, all of them.
        on: pool: as runs of the deployments build/build and several/several. auto: so where this
            run came from a deployment itself, else here.
        retention: What the store keeps afterwards; left out, everything.
        at_a_time: On the pool, how many jobs share a process; left out, one each for up to 32
            jobs, and of more as many as give each place of the pool four runs, at most 100.
    """
    log_to_server()
    try:
        names = _names(jobs)
        pool = _wants_pool(on)
        states = on_the_pool(names, at_a_time) if pool else one_after_another(names)
    except InputError as error:
        return Failed(name=BAD_INPUT, message=str(error), data=error)
    summary = NightlySummary(outcomes=tuple(_outcomes(states)))
    create_markdown_artifact(key="nightly", markdown=as_markdown(summary), description="nightly")
    if retention is not None:
        _collect(retention)
    failed = [outcome for outcome in summary.outcomes if outcome.outcome != "passed"]
    if not failed:
        return Completed(message=f"{len(names)} jobs passed", data=summary)
    said = "; ".join(f"{outcome.job}: {outcome.detail}" for outcome in failed)
    message = f"{len(failed)} of {len(names)} jobs failed: {said}"
    return Failed(message=message, data=JobsFailedError(message, summary))


def _names(jobs: Sequence[str]) -> list[str]:
    names = list(dict.fromkeys(jobs)) or job_names()
    if not names:
        raise InputError(f"there is no job file in {jobs_folder()}: put one there, NAME.yaml")
    return names


def as_markdown(summary: NightlySummary) -> str:
    """The summary as a table, failures first."""
    rows = sorted(summary.outcomes, key=lambda outcome: outcome.outcome == "passed")
    good = sum(outcome.outcome == "passed" for outcome in rows)
    lines = [f"# Nightly: {good} of {len(rows)} jobs passed", ""]
    lines += ["| job | outcome | build | what |", "|---|---|---:|---|"]
    for row in rows:
        outcome = row.outcome if row.outcome == "passed" else f"**{row.outcome}**"
        detail = row.detail.replace("|", "\\|")
        lines.append(f"| {row.job} | {outcome} | {row.sequence or ''} | {detail} |")
    return "\n".join(lines) + "\n"


def _wants_pool(on: str) -> bool:
    if on != "auto":
        return on == "pool"
    if deployment.id is None:
        return False
    with get_client(sync_client=True) as client:
        try:
            return client.read_deployment_by_name(BUILD).work_pool_name is not None
        except ObjectNotFound:
            return False


def _outcomes(states: Ended) -> list[JobOutcome]:
    records = records_of(current_store(), {str(run) for run, _ in states.values()})
    return [_outcome(name, state, records.get(str(run))) for name, (run, state) in states.items()]


def _outcome(name: str, state: State[Any], record: BuildRecord | None) -> JobOutcome:
    sequence = None if record is None else record.sequence
    message = " ".join((state.message or state.name or "").split())
    if state.is_completed():
        detail = message if record is None else _figures(record)
        return JobOutcome(job=name, outcome="passed", detail=detail, sequence=sequence)
    if state.name == GATES_FAILED:
        return JobOutcome(job=name, outcome="gates failed", detail=message, sequence=sequence)
    return JobOutcome(job=name, outcome="failed", detail=message, sequence=sequence)


def _figures(record: BuildRecord) -> str:
    told = []
    for engine in record.engines:
        parts = [] if engine.top1 is None else [f"top-1 {engine.top1:.4f}"]
        parts += [f"{speedup.ratio:.2f}x of FP32" for speedup in engine.speedups[:1]]
        told.append(f"{engine.name} {', '.join(parts)}, {engine.plan_bytes / 1e6:.2f} MB")
    return "; ".join(told)


def _collect(retention: RetentionPolicy) -> None:
    report = collect_garbage(current_store(), retention)
    if report.waiting_for:
        log.info("nightly: nothing removed from the store: %s", ", ".join(report.waiting_for))
    else:
        freed = report.freed_bytes / 1e6
        log.info("nightly: %d objects removed, %.2f MB", len(report.objects), freed)
