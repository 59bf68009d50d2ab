"""``enginesmith publish`` and ``published``: what a server gets, and what there is."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from flows.commands.options import Artifacts, Json

if TYPE_CHECKING:
    from schemas.publish import Publication, VersionState
    from tasks.artifacts.store import Store


def publish(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|JOB",
            help="a job's name or file: its newest run; or the folder of a run",
        ),
    ],
    again: Annotated[
        bool, typer.Option("--again", help="publish it though it was rolled back before")
    ] = False,
    artifacts: Artifacts = "artifacts",
    as_json: Json = False,
) -> None:
    """Publish a run that passed, and make it the latest version of its job.

    Formats and engines are those of the job's publish section, or all of both. Exit status: 0
    published, 1 refused because a gate failed or the version was rolled back, 2 something given
    cannot be used.

    Examples:

        enginesmith publish quickstart
        enginesmith publish jobs/quickstart.yaml
    """
    from pathlib import Path

    from flows.jobfile import load_job
    from schemas.errors import InputError, StaleArtifactError
    from tasks.artifacts.store import Store
    from tasks.publish.latest import GatesFailedError
    from tasks.publish.publish import package_run
    from tasks.publish.publish import publish as lay_out_and_promote
    from tasks.publish.runs import check_same_job, find_run, read_report

    store, config = Store(artifacts), None
    if run.endswith((".yaml", ".yml")):
        job = load_job(Path(run))
        report, digest = read_report(find_run(store, job.name))
        check_same_job(job, report)
        config = job.publish
    else:
        report, digest = read_report(find_run(store, run))
    try:
        if not report.passed:
            raise GatesFailedError(report.job.name, report.gates)
        packed = package_run(store, report, config)
        publication = lay_out_and_promote(store, packed, report, digest, again=again)
    except StaleArtifactError as error:
        raise InputError(str(error)) from error
    except GatesFailedError as error:
        typer.echo(f"enginesmith: {error}", err=True)
        raise typer.Exit(1) from error
    if not publication.promoted:
        typer.echo(f"enginesmith: {publication.reason}", err=True)
        raise typer.Exit(1)
    if as_json:
        typer.echo(publication.model_dump_json(indent=2))
    else:
        _say(store, report.job.name, publication)


def published(
    job: Annotated[str | None, typer.Argument(help="left out: every job")] = None,
    path: Annotated[
        bool, typer.Option("--path", help="print the folder of the latest version, nothing else")
    ] = False,
    artifacts: Artifacts = "artifacts",
    as_json: Json = False,
) -> None:
    """List the published versions of a job, the latest last, or the jobs that have any.

    Examples:

        enginesmith published

        tritonserver --model-repository $(enginesmith published quickstart --path)/triton
    """
    from schemas.errors import InputError
    from tasks.artifacts.store import Store
    from tasks.publish.latest import latest_folder, published_jobs, removed_latest, versions

    store = Store(artifacts)
    if path:
        if job is None:
            raise InputError("--path is of one job's latest version: name the job")
        typer.echo(latest_folder(store, job))
        return
    states = {name: versions(store, name) for name in ((job,) if job else published_jobs(store))}
    if as_json:
        document = {
            name: [x.model_dump(mode="json") for x in found] for name, found in states.items()
        }
        typer.echo(json.dumps(document[job] if job else document, indent=2))
        return
    for name, found in states.items():
        typer.echo(name)
        for state in found:
            typer.echo(f"  {state.version}  {_when(state)}")
        if (gone := removed_latest(store, name)) is not None:
            typer.echo(f"  {gone}  latest, but gone: enginesmith rollback {name}, or publish again")
    if not states:
        typer.echo("nothing is published yet: enginesmith publish JOB")


def _when(state: "VersionState") -> str:
    if state.withdrawn:
        return "rolled back"
    if state.promoted is None:
        return "never promoted"
    moment = state.promoted.promoted_at.strftime("%Y-%m-%d %H:%M UTC")
    return f"{moment}{', latest' if state.latest else ''}"


def _say(store: "Store", job: str, publication: "Publication") -> None:
    from schemas.publish import Version

    folder = store.root / publication.key
    version: Version = Version.model_validate_json((folder / "version.json").read_bytes())
    typer.echo(f"{job}: version {publication.version} is the latest")
    typer.echo(f"folder: {folder}/")
    for engine in version.served.engines:
        top1 = f", top-1 {engine.top1:.4f}" if engine.top1 is not None else ""
        model = f", Triton model {engine.triton_model}" if engine.triton_model else ""
        why = f", not for Triton: {engine.left_out}" if engine.left_out else ""
        typer.echo(f"  {engine.engine} {engine.precision}{top1}{model}{why}")
    typer.echo(f"next: enginesmith infer {job} IMAGES")
