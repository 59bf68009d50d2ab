"""A Prefect server for one run, started while this process is still importing.

Prefect starts one by itself where no API URL is set, but only after importing the whole server
into the client, and one after the other: about a third of a run that finds everything cached.
"""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.api import check_server
from schemas.errors import InputError

TIMEOUT_S = 180
"""A fresh database takes its migrations first."""

OWN_SERVER = "ENGINESMITH_OWN_SERVER"
"""Set while the server is this run's alone."""

# What Prefect itself sets for the servers that it starts: no UI, no background services.
ONE_RUN = {
    "PREFECT_UI_ENABLED": "0",
    "PREFECT__SERVER_EPHEMERAL": "1",
    "PREFECT__SERVER_FINAL": "1",
}


@contextmanager
def one_run_server() -> Iterator[Callable[[], None]]:
    """Start a server, unless the user has one; gives a function that waits until it answers.

    Enter this before Prefect is imported, and call that after. The server ends with the context.
    The function raises InputError where no server answers.
    """
    if has_server():
        yield _check
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--log-level", "error", "--lifespan", "on"),
        ],
        env=os.environ | ONE_RUN,
        # Ctrl-C is for the run, which still has to tell the server how it ended.
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}/api"
    os.environ["PREFECT_API_URL"] = url
    os.environ[OWN_SERVER] = "1"
    try:
        yield lambda: _wait(server, f"{url}/health")
    finally:
        del os.environ["PREFECT_API_URL"], os.environ[OWN_SERVER]
        server.terminate()
        server.wait()


def has_server() -> bool:
    """Whether the environment or a Prefect profile names an API; in doubt Prefect decides."""
    if "PREFECT_API_URL" in os.environ:
        return True
    home = Path(os.environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    profiles = Path(os.environ.get("PREFECT_PROFILES_PATH", home / "profiles.toml"))
    return profiles.is_file() and "PREFECT_API_URL" in profiles.read_text(encoding="utf-8")


def has_lasting_server() -> bool:
    """Whether runs of others are on the server too."""
    return has_server() and OWN_SERVER not in os.environ


def _check() -> None:
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    # Without a URL it was a profile that is not in use. A key is of Prefect Cloud, which need not
    # answer where a server does.
    if api.url and api.key is None:
        check_server()


def _wait(server: "subprocess.Popen[bytes]", health: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    raise InputError(
        "the Prefect server for this run did not start: run `prefect server start` to see why, or "
        "set PREFECT_API_URL to one that runs"
    )
