"""A server of several processes: requests in some, events and schedules in one, Redis between them.

What docs/scaling.md tells of where one process is too little. It takes the place of the server that
scripts/operations-up has started, with the same settings and port.
"""

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

REDIS = {
    "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
}


def missing() -> str | None:
    """What has to be installed first."""
    if shutil.which("redis-server") is None:
        return "redis-server is missing: apt-get install redis-server"
    if importlib.util.find_spec("prefect_redis") is None:
        return "prefect-redis is missing: pip install prefect-redis"
    return None


@contextmanager
def split_server(reported: Path, processes: int) -> Iterator[list[int]]:
    """Put so many processes in the server's place; gives the first of each of its families.

    ``reported`` is where scripts/operations-up writes which processes it has started.
    """
    started = json.loads(reported.read_text())
    before = Path(f"/proc/{started['server'][0]}")
    command = (before / "cmdline").read_text().strip("\0").split("\0")
    variables = (before / "environ").read_text().strip("\0").split("\0")
    environment = dict(variable.split("=", 1) for variable in variables)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment |= REDIS
    environment["PREFECT_REDIS_MESSAGING_PORT"] = port
    environment["PREFECT_SERVER_DOCKET_URL"] = f"redis://127.0.0.1:{port}/0"
    redis = ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", ""]
    prefect = str(Path(sys.executable).parent / "prefect")
    end(started["server"][0])
    with ExitStack() as running:

        def begin(name: str, words: list[str]) -> int:
            log = running.enter_context((reported.parent / f"logs/{name}.log").open("ab"))
            process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            running.callback(process.wait)
            running.callback(process.terminate)
            return process.pid

        first = [begin("redis", redis)]
        first.append(begin("servers", [*command, "--workers", str(processes)]))
        wait_until_well(command[command.index("--port") + 1])
        first.append(begin("events", [prefect, "server", "services", "start"]))
        yield first


def end(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.1)


def wait_until_well(port: str) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5):
                return
        except OSError:
            time.sleep(0.3)
    sys.exit("fanout: the servers did not start: see their logs")
