"""The stage as Prefect runs it."""

from prefect import task
from prefect.artifacts import create_markdown_artifact

from schemas.artifact import ArtifactRef
from schemas.base import Gate
from schemas.data import DataRef
from schemas.engine import EngineResult
from schemas.evaluate import EvaluateResult, EvaluationReport
from schemas.job import Job
from schemas.publish import Package
from schemas.report import BuiltEngine, ReportResult, ReportSources
from tasks.artifacts.store import current_store
from tasks.caching import stage


@stage("report", rooms=("artifacts", "datasets", "runtimes"), versions=("bokeh",))
def report(
    job: Job,
    data: DataRef,
    evaluation: EvaluateResult,
    built: list[BuiltEngine],
    sources: ReportSources,
    package: Package | None = None,
    regressions: tuple[Gate, ...] = (),
) -> ReportResult:
    """Put everything that the run found out on one page."""
    from tasks.report.assemble import assemble
    from tasks.report.markdown import render
    from tasks.report.page.collect import make_page

    store = current_store()
    accuracy = store.load(evaluation.report, EvaluationReport)
    whole = assemble(
        store,
        job,
        accuracy,
        built,
        data,
        package,
        regressions,
        sources.findings,
        sources.modules,
    )
    return ReportResult(
        passed=whole.passed,
        json_report=store.put_model("report", whole),
        markdown=store.put_bytes("report-text", render(whole).encode(), ".md"),
        page=store.put_bytes("report-page", make_page(store, whole, data, sources), ".html"),
    )


def delivered_plans(
    job: Job, evaluation: EvaluateResult, built: list[BuiltEngine]
) -> list[tuple[EngineResult, ArtifactRef]]:
    """Each engine's plan that the job delivers, with the graph that it was compiled from."""
    from tasks.report.assemble import choose_deliveries

    store = current_store()
    accuracy = store.load(evaluation.report, EvaluationReport)
    chosen = choose_deliveries(store, job, accuracy, built)
    return [
        (x.float32, x.float32_graph)
        if chosen[x.target].precision == "float32" and x.float32_graph is not None
        else (x.int8, x.surgery.graph)
        for x in built
    ]


@task(name="deliver", task_run_name="deliver")
def deliver(job: Job, result: ReportResult) -> None:
    """Lay out what the run made under readable names, and show the report in Prefect.

    Never cached: every run has its own Prefect artifact. It is one, because each is a request and
    two events for the server.
    """
    from tasks.report.layout import lay_out, page_url

    store = current_store()
    page = page_url(lay_out(store, job.name, result))
    title, _, text = store.open(result.markdown).read_text(encoding="utf-8").partition("\n")
    create_markdown_artifact(
        key=f"report-{job.name}",
        markdown=f"{title}\n\n[The report as a page]({page})\n{text}",
        description=f"{job.name}: {'passed' if result.passed else 'FAILED'}",
    )
