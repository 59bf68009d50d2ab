"""The service that a fan-out runs on: Postgres, server and workers, and what they use.

Everything lies in one folder. Stopped and started again it goes on with the same database, so that
a long benchmark can be made in several goes.
"""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
PASSWORDS = ("ENGINESMITH_PASSWORD", "ENGINESMITH_DATABASE_PASSWORD")


class Plant:
    """The service with workers of our own, in one folder."""

    def __init__(self, folder: Path, *, pinned: bool = False) -> None:
        self.pinned = pinned
        self.folder, self.state, self.jobs = folder, folder / "state", folder / "jobs"
        self.up = [sys.executable, str(ROOT / "scripts/operations-up"), "--state", str(self.state)]
        self.up += ["--jobs", str(self.jobs)]
        ours = ("PREFECT_", "ENGINESMITH_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.environment |= {"OMP_NUM_THREADS": "1", "ENGINESMITH_JOBS": str(self.jobs)}

    @contextmanager
    def running(self, *, keep: bool) -> Iterator[None]:
        """The service, up; ``keep`` leaves its database for the next time."""
        given = self.passwords()
        try:
            subprocess.run(self.up, env=self.environment | given, check=True)
            lines = (self.state / "client.env").read_text().splitlines()
            self.environment |= dict(line.split("=", 1) for line in lines)
            pids = json.loads((self.state / "processes.json").read_text())
            self.parts = {"server": pids["server"][:1], "Postgres": pids["database"][:1]}
            # Its worker takes any number of runs at a time; ours take one each.
            os.kill(pids["worker"][0], signal.SIGTERM)
            yield
        finally:
            subprocess.run([*self.up, "--down", *([] if keep else ["--volumes"])], check=True)

    def passwords(self) -> dict[str, str]:
        """Made once: a database keeps its own."""
        file = self.folder / "passwords.json"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(json.dumps({name: secrets.token_hex(12) for name in PASSWORDS}))
        given: dict[str, str] = json.loads(file.read_text())
        return given

    @contextmanager
    def workers(self, count: int, store: Path) -> Iterator[None]:
        """So many workers, each on a core of its own if they are pinned."""
        self.hired: list[int] = []
        ports = []
        with ExitStack() as running:
            for number in range(count):
                port = free_port()
                log = running.enter_context((self.folder / f"worker-{number}.log").open("ab"))
                command = [str(BIN / "enginesmith"), "worker", "--at-once", "1"]
                if self.pinned:
                    command = ["taskset", "--cpu-list", str(cores()[number]), *command]
                process = subprocess.Popen(
                    [*command, "--artifacts", str(store)],
                    env=self.environment
                    | {"PREFECT_WORKER_WEBSERVER_PORT": port, "PREFECT_WORKER_QUERY_SECONDS": "1"},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=ROOT,
                    start_new_session=True,
                )
                running.callback(stop, process)
                self.hired.append(process.pid)
                ports.append(port)
            wait_for([f"http://127.0.0.1:{port}/health" for port in ports])
            yield

    def cpu(self) -> dict[str, float]:
        """Processor seconds that have gone into each part."""
        return totals({"runs": self.hired, **self.parts}, cpu_of, children())

    def memory(self) -> dict[str, float]:
        """MiB in use (proportional set size) of the server, Postgres and the runs of workers."""
        everyone = children()
        used = totals(self.parts, pss, everyone)
        ours = str(self.jobs)
        runs = [pid for pid in everyone.get("runs", []) if ours in variables(pid).values()]
        used["largest run"] = max(map(pss, runs), default=0.0)
        used["database, on disk"] = on_disk(self.parts["Postgres"][0])
        return used


def totals(
    parts: Mapping[str, Sequence[int]],
    measure: Callable[[int], float],
    everyone: dict[Any, list[int]],
) -> dict[str, float]:
    """What is measured of processes with all that they have started, summed for each part."""
    return {
        name: sum(measure(pid) for first in firsts for pid in family(first, everyone))
        for name, firsts in parts.items()
    }


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def cores() -> list[int]:
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def on_disk(postgres: int) -> float:
    """MiB of a Postgres's tables and indexes, without its log of changes."""
    words = words_of(postgres)
    size = 0
    for folder, _, files in os.walk(Path(words[words.index("-D") + 1]) / "base"):
        for name in files:
            try:
                size += Path(folder, name).stat().st_size
            except FileNotFoundError:
                continue
    return size / 2**20


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def children() -> dict[Any, list[int]]:
    """Process ids by parent, and under "runs" those that run a flow."""
    found: dict[Any, list[int]] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            words = (place / "cmdline").read_bytes()
        except OSError:
            continue
        found.setdefault(parent, []).append(int(place.name))
        if b"prefect" in words and (b"flow-run" in words or b"prefect.engine" in words):
            found.setdefault("runs", []).append(int(place.name))
    return found


def family(pid: int, everyone: dict[Any, list[int]]) -> list[int]:
    return [pid, *(x for child in everyone.get(pid, []) for x in family(child, everyone))]


def cpu_of(pid: int) -> float:
    """Processor seconds of a process and of its children that have ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def wait_for(addresses: Sequence[str], within_s: float = 300) -> None:
    """Until who has these addresses says that it is well."""
    deadline = time.monotonic() + within_s
    for address in addresses:
        while not answers(address):
            if time.monotonic() > deadline:
                sys.exit(f"fanout: {address} does not answer after {within_s:.0f} s: see its log")
            time.sleep(0.2)


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def pss(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def words_of(pid: int) -> list[str]:
    """The command that a process was started with."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")


def variables(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty where it has ended."""
    try:
        text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(each.split("=", 1) for each in text.split("\0") if "=" in each)


class Sampler:
    """Memory every few seconds until left."""

    def __init__(self, plant: Plant) -> None:
        self.plant, self.ended = plant, threading.Event()
        self.samples: list[dict[str, float]] = []

    def __enter__(self) -> "Sampler":
        self.thread = threading.Thread(target=self._sample, daemon=True)
        self.thread.start()
        return self

    def _sample(self) -> None:
        while True:
            self.samples.append(self.plant.memory())
            if self.ended.wait(4):
                return

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.samples.append(self.plant.memory())

    def summary(self) -> dict[str, tuple[float, float, float]]:
        names = self.samples[0]
        columns = {name: [sample[name] for sample in self.samples] for name in names}
        return {name: (each[0], each[-1], max(each)) for name, each in columns.items()}
