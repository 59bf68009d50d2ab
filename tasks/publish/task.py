"""The stage as Prefect runs it: put a version together, then, if the run passed, promote it."""

import logging

from prefect import task
from prefect.artifacts import create_markdown_artifact

from schemas.artifact import ArtifactRef
from schemas.data import DataRef
from schemas.engine import EngineResult
from schemas.evaluate import EvaluateResult
from schemas.publish import Package, Publication, PublishConfig
from schemas.report import ReportResult
from tasks.artifacts.store import current_store
from tasks.caching import stage

log = logging.getLogger("enginesmith")


@stage("publish", rooms=("artifacts", "runtimes"), versions=("onnxruntime",))
def package(
    job: str,
    config: PublishConfig,
    data: DataRef,
    engines: list[tuple[EngineResult, ArtifactRef]],
    evaluation: EvaluateResult,
) -> Package:
    """Put together what is published; each engine comes with the graph it was compiled from."""
    from schemas.engine import LayerTable, Manifest
    from schemas.evaluate import EvaluationReport
    from tasks.publish.package import built_engine
    from tasks.publish.package import package as put_together

    store = current_store()
    built = [
        built_engine(
            made.plan,
            graph,
            store.load(made.manifest, Manifest),
            store.load(made.layers, LayerTable),
        )
        for made, graph in engines
    ]
    accuracies = store.load(evaluation.report, EvaluationReport).accuracies
    return put_together(store, job, config, data, built, accuracies)


@task(name="publish", task_run_name="publish")
def publish(packed: Package, result: ReportResult) -> Publication:
    """Make a version the latest of its job if every gate passed, and show it in Prefect.

    Never cached: somebody may have rolled back since.
    """
    from schemas.report import RunReport
    from tasks.publish.latest import GatesFailedError, version_key
    from tasks.publish.publish import publish as lay_out_and_promote

    store = current_store()
    report = store.load(result.json_report, RunReport)
    job = report.job.name
    try:
        publication = lay_out_and_promote(store, packed, report, result.json_report.sha256)
    except GatesFailedError as error:
        publication = Publication(
            version=packed.version,
            promoted=False,
            key=version_key(job, packed.version),
            reason=str(error),
        )
    if publication.promoted:
        text = (
            f"`{publication.key}` is the latest version of {job}.\n\n"
            + "\n".join(f"- `{path}`" for path in packed.files)
            + f"\n\nTo take it back: `enginesmith rollback {job}`"
        )
    else:
        text = publication.reason or ""
        log.warning("not published: %s", text)
    create_markdown_artifact(
        key=f"published-{job}",
        markdown=text,
        description=f"{job}: {publication.version if publication.promoted else 'not published'}",
    )
    return publication
