"""The history as Prefect runs it: in every run anew, since it depends on the runs before."""

import logging
from datetime import UTC, datetime

from prefect import task
from prefect.runtime import flow_run

from schemas.artifact import ArtifactRef
from schemas.base import Gate
from schemas.engine import EngineResult
from schemas.evaluate import EvaluateResult, EvaluationReport
from schemas.history import BuildRecord, StageRecord
from schemas.job import Job
from schemas.report import BuiltEngine, ReportResult, RunReport
from tasks.artifacts.store import current_store

log = logging.getLogger("enginesmith")


@task(name="compare", task_run_name="compare with the last good build")
def compare(
    job: Job,
    evaluation: EvaluateResult,
    built: list[BuiltEngine],
    delivered: list[tuple[EngineResult, ArtifactRef]],
    stages: list[StageRecord],
) -> tuple[Gate, ...]:
    """A failed gate for each figure of what is delivered that fell behind the last good build."""
    from tasks.history.figures import dependencies, figures_of
    from tasks.history.records import read_history
    from tasks.history.regression import regressions

    store = current_store()
    history = read_history(store, job.name)
    for damaged in history.damaged:
        log.warning("history of %s: %s %s: passed over", job.name, damaged.key, damaged.reason)
    if job.regression is None or history.last_good is None:
        return ()
    accuracies = store.load(evaluation.report, EvaluationReport)
    figures = figures_of(store, accuracies, built, delivered)
    return regressions(history.last_good, figures, stages, dependencies(), job.regression)


@task(name="record", task_run_name="record in the history")
def record(
    job: Job,
    evaluation: EvaluateResult,
    built: list[BuiltEngine],
    delivered: list[tuple[EngineResult, ArtifactRef]],
    stages: list[StageRecord],
    result: ReportResult,
) -> BuildRecord:
    """Append the finished build to the job's history."""
    from tasks.history.figures import dependencies, figures_of, machine_of
    from tasks.history.records import append, read_history

    store = current_store()
    history = read_history(store, job.name)
    now = datetime.now(UTC)
    newest = max((build.finished for build in history.builds), default=now)
    behind = max(0.0, (newest - now).total_seconds())
    if behind > 0:
        log.warning(
            "history of %s: this machine's clock is %.0f s behind an earlier build's; builds are "
            "ordered by sequence: set the clock",
            job.name,
            behind,
        )
    gates = store.load(result.json_report, RunReport).gates
    last_good = None if job.regression is None else history.last_good
    return append(
        store,
        BuildRecord(
            job=job.name,
            sequence=history.next_sequence,
            finished=now,
            clock_behind_s=behind,
            run=str(flow_run.id),
            passed=result.passed,
            failed=tuple(gate.name for gate in gates if not gate.passed),
            baseline=None if last_good is None else last_good.sequence,
            stages=tuple(stages),
            versions=dependencies(),
            machine=machine_of(store, built),
            engines=figures_of(
                store, store.load(evaluation.report, EvaluationReport), built, delivered
            ),
            report=result.json_report,
        ),
    )
