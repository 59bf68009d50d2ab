"""The service, its worker and its store, as crash tests use them and find them afterwards."""

import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import State

from flows.store_upkeep import verify_store
from flows.submit import find_deployment, start
from schemas.store import Finding
from tasks.artifacts.store import Store
from tasks.history.records import read_history
from tasks.upkeep.inventory import cached_results
from tests.crash.parts import Part, Parts, Volume, until
from tests.operations.conftest import BIN, Service

JOB = "small"
LAST_TASK = "record in the history"
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
A_RUN_S = 300.0
"""More than any run here takes, also on a busy machine."""
AT_ONCE_S = 60.0
"""What is reported at once, on a machine that is busy with other things."""
SLOT_S = 90.0
"""docs/recovery.md: so long at most is the slot of a killed holder taken."""


@dataclass
class Plant:
    """The service, its worker, and the store that the worker works in."""

    service: Service
    parts: Parts
    volume: Volume
    hold: Path
    worker: Part
    client: SyncPrefectClient
    overrides: tuple[str, ...] = ()
    """How the job of the last run that was waited for differs from the file."""

    @property
    def store(self) -> Store:
        return Store(self.volume.folder)

    # The worker and its runs

    def start_worker(self) -> None:
        port = self.worker.environment["PREFECT_WORKER_WEBSERVER_PORT"]
        self.worker.start()
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), A_RUN_S, "the worker is up")

    def submit(self, *overrides: str) -> UUID:
        """Start a run of the small job; its id."""
        build = find_deployment(self.client, "build/build")
        given = {"name": JOB, "overrides": list(overrides)}
        return start(self.client, build, given).id

    def state(self, run: UUID) -> State[Any]:
        state = self.client.read_flow_run(run).state
        assert state is not None
        return state

    def ends(self, run: UUID, within_s: float = A_RUN_S) -> State[Any]:
        """The state that a run ends in."""
        until(lambda: self.state(run).is_final(), within_s, f"run {run} ends")
        return self.state(run)

    def run(self, *overrides: str) -> UUID:
        """A run that passes."""
        run = self.submit(*overrides)
        state = self.ends(run)
        assert state.type.value == "COMPLETED", state.message
        self.overrides = overrides
        return run

    def tasks(self, run: UUID) -> dict[str, Counter[str]]:
        """How often each task of an ended run ended in each state, by state."""
        body = {"flow_runs": {"id": {"any_": [str(run)]}}, "limit": 200}

        def read() -> list[dict[str, Any]]:
            found = self.client.request("POST", "/task_runs/filter", json=body).json()
            assert isinstance(found, list)
            return found

        # The server learns of tasks through events, a little later than of the flow.
        until(
            lambda: all(x["state"]["type"] in ENDED for x in read()) and LAST_TASK in names(read()),
            AT_ONCE_S,
            "every task is told of",
        )
        states: dict[str, Counter[str]] = {}
        for task in read():
            states.setdefault(task["state"]["name"], Counter())[task["name"].split("-")[0]] += 1
        return states

    # Stopping a stage in the middle

    @contextmanager
    def held_at(self, task: str, count: int = 1) -> Iterator["Held"]:
        """Runs that reach a task wait there until the context is left."""
        (self.hold / "at").write_text(task)
        try:
            yield Held(self.hold, count)
        finally:
            self.release()

    def release(self) -> None:
        for file in self.hold.iterdir():
            file.unlink()

    # What a crash must leave behind

    def forget_from(self, task: str, *overrides: str) -> None:
        """Leave in the store what a run had finished before it reached a task, and nothing more."""
        if not read_history(self.store, JOB).builds or overrides != self.overrides:
            self.run(*overrides)
        stages = read_history(self.store, JOB).builds[-1].stages
        order = [stage.name.split()[0] for stage in stages]
        kept = {stage.key for stage in stages[: order.index(task)]}
        backend, needed = self.store.backend, set()
        for result in cached_results(self.store):
            if result.key in kept:
                needed |= {ref.path for ref in result.refs}
            else:
                backend.remove(result.entry.key)
        for folder in ("objects", "history", "runs", "published", "tmp", "leases"):
            for entry in list(backend.entries(folder)):
                if entry.key not in needed:
                    backend.remove(entry.key)

    def finished(self) -> Counter[str]:
        """The tasks whose results are in the store."""
        # Of a failed run there are records too, named by its id alone.
        results = [result for result in cached_results(self.store) if "-" in result.key]
        return Counter(result.task for result in results)

    def findings(self) -> tuple[Finding, ...]:
        """What ``enginesmith cache verify`` names."""
        return verify_store(self.store).findings

    def taken_slots(self) -> dict[str, int]:
        """Every limit of the server with a slot that is taken."""
        body = {"limit": 50, "offset": 0}
        limits = self.client.request("POST", "/v2/concurrency_limits/filter", json=body).json()
        return {x["name"]: x["active_slots"] for x in limits if x["active_slots"]}

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``enginesmith`` on the worker's store."""
        return self.service.enginesmith(*arguments, ENGINESMITH_ARTIFACTS=str(self.volume.folder))

    def background(self, *arguments: str) -> "subprocess.Popen[bytes]":
        """``enginesmith`` on the worker's store and server, where stages can be held."""
        environment = dict(self.worker.environment)
        # What the deployment sets for a worker, a person's shell does not have.
        del environment["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"]
        command = [str(BIN / "enginesmith"), *arguments]
        return subprocess.Popen(command, env=environment, cwd=self.worker.folder)

    def unended(self) -> list[dict[str, Any]]:
        """The runs that the server takes for living."""
        kinds = ["PENDING", "RUNNING", "CANCELLING", "PAUSED"]
        body = {"flow_runs": {"state": {"type": {"any_": kinds}}}}
        found = self.client.request("POST", "/flow_runs/filter", json=body).json()
        assert isinstance(found, list)
        return found


@dataclass(frozen=True)
class Held:
    """Runs on their way to a task at which they are stopped."""

    folder: Path
    count: int

    def reached(self, within_s: float = A_RUN_S) -> list[int]:
        """The processes that are there."""

        def there() -> list[int]:
            return [int(x.name.partition("-")[2]) for x in self.folder.glob("reached-*")]

        until(lambda: len(there()) >= self.count, within_s, "the stage is reached")
        return there()


def names(tasks: list[dict[str, Any]]) -> set[str]:
    return {task["name"].split("-")[0] for task in tasks}


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False
