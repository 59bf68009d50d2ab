"""From a finished run to the latest version of its job."""

from schemas.errors import InputError
from schemas.publish import Package, Publication, PublishConfig
from schemas.report import EngineReport, RunReport
from tasks.artifacts.store import Store
from tasks.publish.latest import GatesFailedError, WithdrawnError, promote
from tasks.publish.layout import lay_out
from tasks.publish.package import Engine, built_engine, package


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
    engines = [_delivered(x) for x in report.engines]
    chosen = config or report.job.publish or PublishConfig()
    for engine in engines:
        # Before anything is put into the store: what is gone is found with nothing half done.
        store.open(engine.plan)
        store.open(engine.graph)
    return package(store, report.job.name, chosen, report.data, engines, report.accuracies)


def _delivered(engine: EngineReport) -> Engine:
    _, plan, graph, manifest, layers = engine.plans[0]
    if plan is None or graph is None:
        raise InputError(
            f"the report is of an older version and does not name {engine.target}'s FP32 plan and "
            "graph, which the run delivers: run the job again"
        )
    return built_engine(plan, graph, manifest, layers)
