"""``enginesmith worker``: runs what the server hands out."""

import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Artifacts, Debug


def worker(
    pool: Annotated[str, typer.Option(help="work pool to take runs from")] = "enginesmith",
    artifacts: Artifacts = "artifacts",
    at_once: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="most runs at a time, of which a nightly is one beside its builds; without it, "
            "no bound",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Take runs from the Prefect server's work pool, and run them on this machine.

    Jobs by name are looked for in the folder that ENGINESMITH_JOBS names (default jobs). Whether
    it is well is asked at http://127.0.0.1:8080/health.

    Example:

        enginesmith worker --pool enginesmith
    """
    from flows.api import api
    from flows.environment import configure_worker
    from schemas.errors import InputError
    from tasks.artifacts.store import Store

    configure_worker(Store(artifacts), debug=debug)
    from prefect.exceptions import ObjectNotFound

    with api() as client:
        try:
            kind = client.read_work_pool(pool).type
        except ObjectNotFound as error:
            raise InputError(
                f"the server has no work pool {pool}: run `enginesmith deploy`, or name another "
                "with --pool"
            ) from error
    limit = [] if at_once is None else ["--limit", str(at_once)]
    command = ["prefect", "worker", "start", "--pool", pool, "--type", kind, "--with-healthcheck"]
    # Told to stop, Prefect's worker sends itself an interrupt. What a script starts in its
    # background inherits that interrupts are ignored, and would never stop.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The one beside this Python: it need not be on PATH.
    os.execv(Path(sys.executable).with_name("prefect"), [*command, *limit])
