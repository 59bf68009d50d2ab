"""A server of several processes: requests in some, events and schedules in one, Redis between them.

What docs/scaling.md tells of where one process is too little. It takes the place of the server that
scripts/operations-up has started, with the same settings and port.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from fanout_plant import BIN, Plant, free_port, stop, variables, wait_for, words_of

REDIS = {
    "PREFECT_MESSAGING_BROKER": "prefect_redis.messaging",
    "PREFECT_MESSAGING_CACHE": "prefect_redis.messaging",
    "PREFECT_SERVER_EVENTS_CAUSAL_ORDERING": "prefect_redis.ordering",
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect_redis.lease_storage",
}
START_S = 120


def missing() -> str | None:
    """What has to be installed first."""
    if shutil.which("redis-server") is None:
        return "redis-server is missing: apt-get install redis-server"
    if importlib.util.find_spec("prefect_redis") is None:
        return "prefect-redis is missing: pip install prefect-redis"
    return None


@contextmanager
def split_server(plant: Plant, processes: int) -> Iterator[None]:
    """Put so many processes in the place of the plant's server, for requests alone."""
    (server,) = plant.parts["server"]
    command, environment, port = words_of(server), variables(server) | REDIS, free_port()
    environment["PREFECT_REDIS_MESSAGING_PORT"] = port
    environment["PREFECT_SERVER_DOCKET_URL"] = f"redis://127.0.0.1:{port}/0"
    os.kill(server, signal.SIGTERM)
    while Path(f"/proc/{server}").exists():
        time.sleep(0.1)
    plant.parts["server"] = []
    with ExitStack() as running:

        def begin(name: str, words: list[str]) -> None:
            log = running.enter_context((plant.state / "logs" / f"{name}.log").open("ab"))
            process = subprocess.Popen(
                words,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            running.callback(stop, process)
            plant.parts["server"].append(process.pid)

        begin("redis", ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", ""])
        begin("servers", [*command, "--workers", str(processes)])
        address = f"http://127.0.0.1:{command[command.index('--port') + 1]}"
        wait_for([f"{address}/api/health"], within_s=START_S)
        begin("events", [str(BIN / "prefect"), "server", "services", "start"])
        yield
