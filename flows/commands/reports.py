"""``enginesmith reports``: the reports in a browser."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Artifacts, Json


def reports(
    artifacts: Artifacts = "artifacts",
    host: Annotated[
        str, typer.Option(help="address to listen on; 127.0.0.1 is this machine only")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0 takes a free one")] = 4201,
    as_json: Json = False,
) -> None:
    """Serve every job's newest report page, read-only, until interrupted.

    Set ENGINESMITH_REPORTS_URL to its address where runs happen (worker, container), and the
    reports in the Prefect UI link to it. It asks for no password: publish it on loopback, or behind
    a proxy that does.

    Example:

        enginesmith reports --port 4201
    """
    import json
    from http.server import ThreadingHTTPServer

    from schemas.errors import InputError
    from tasks.report.serve import ReportPages

    folder = _runs(artifacts)
    # Mounted read-only and before the first run there is none: its pages are not found until then.
    with suppress(OSError):
        folder.mkdir(exist_ok=True)
    handler = partial(ReportPages, directory=str(folder))
    try:
        server = ThreadingHTTPServer((host, port), handler)
    except OSError as error:
        raise InputError(
            f"reports: cannot listen on {host}:{port} ({error.strerror}): choose another --port"
        ) from error
    with server:
        url = f"http://{host}:{server.server_port}/"
        if as_json:
            typer.echo(json.dumps({"folder": str(folder), "url": url}))
        else:
            typer.echo(f"{folder} on {url}", err=True)
        server.serve_forever()


def _runs(artifacts: str) -> Path:
    """Where the pages lie. A folder is not opened as a store, which would be written to."""
    from tasks.artifacts.store import Store

    folder = Path(artifacts)
    return (folder.absolute() if folder.is_dir() else Store(artifacts).root) / "runs"
