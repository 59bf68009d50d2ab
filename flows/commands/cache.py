"""``enginesmith cache``: what is in the artifact store, what is damaged, what can go."""

from typing import Annotated

import typer

from flows.commands.options import Artifacts, Json


def ls(artifacts: Artifacts = "artifacts", as_json: Json = False) -> None:
    """How much of what is in the store.

    Example:

        enginesmith cache ls
    """
    from flows.store_upkeep import list_contents
    from tasks.artifacts.store import Store

    listing = list_contents(Store(artifacts))
    if as_json:
        typer.echo(listing.model_dump_json(indent=2))
        return
    for kind in listing.kinds:
        typer.echo(f"{kind.kind:20} {kind.files:6} files {kind.size_bytes / 1e6:10.2f} MB")
    typer.echo(f"{listing.results} cached results, {listing.size_bytes / 1e6:.2f} MB altogether")
    for job, builds in listing.builds.items():
        typer.echo(f"{job}: {builds} finished builds (enginesmith history {job})")


def verify(
    artifacts: Artifacts = "artifacts",
    delete: Annotated[
        bool, typer.Option("--delete", help="remove what is not right, so that a run rebuilds it")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read everything through and name what is damaged, missing, a link or left over.

    Exit status: 0 nothing found, 1 something found.

    Examples:

        enginesmith cache verify
        enginesmith cache verify --delete
    """
    from flows.store_upkeep import verify_store
    from tasks.artifacts.store import Store

    report = verify_store(Store(artifacts), remove=delete)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        for found in report.findings:
            typer.echo(f"{found.damage}: {found.key}: {found.detail}; {found.rebuilt_by}")
        what = f"{report.checked} files read, {len(report.findings)} not right"
        if report.findings:
            what += (
                ": removed" if delete else ": remove them with enginesmith cache verify --delete"
            )
        typer.echo(what)
    raise typer.Exit(1 if report.findings else 0)


def gc(
    artifacts: Artifacts = "artifacts",
    keep_good: Annotated[int, typer.Option(min=1, help="newest good builds of each job")] = 5,
    keep_days: Annotated[float, typer.Option(min=0, help="every build of so many days")] = 30.0,
    grace_hours: Annotated[
        float, typer.Option(min=0, help="remove nothing younger, whoever wrote it")
    ] = 24.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="remove nothing, only say")] = False,
    as_json: Json = False,
) -> None:
    """Remove what neither the history, nor anything published, nor a younger result needs.

    While a build runs nothing is removed, and a build that starts meanwhile waits. Exit status: 0
    done, 1 a build is under way.

    Examples:

        enginesmith cache gc --dry-run
        enginesmith cache gc --keep-good 3 --keep-days 14
    """
    from flows.store_upkeep import collect_garbage
    from schemas.history import RetentionPolicy
    from tasks.artifacts.store import Store

    policy = RetentionPolicy(keep_good=keep_good, keep_days=keep_days, grace_hours=grace_hours)
    report = collect_garbage(Store(artifacts), policy, dry_run=dry_run)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    elif report.waiting_for:
        typer.echo(f"a build is under way ({', '.join(report.waiting_for)}): nothing removed")
    else:
        for key in (*report.objects, *report.results, *report.left_overs):
            typer.echo(f"{'would remove' if dry_run else 'removed'} {key}")
        typer.echo(
            f"{len(report.objects)} objects, {len(report.results)} cached results, "
            f"{len(report.left_overs)} left-over files, {report.freed_bytes / 1e6:.2f} MB; "
            f"{report.kept_objects} objects kept"
        )
    raise typer.Exit(1 if report.waiting_for else 0)
