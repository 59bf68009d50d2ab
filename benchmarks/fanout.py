"""What fan-out costs: many small jobs over 1, 2 and 4 workers of one server, and a warm night.

    python benchmarks/fanout.py --jobs 20 --workers 1,2        a quick try
    python benchmarks/fanout.py                                500 jobs, then 1,000 found cached

Everything is real: Postgres, server and deployments of the compose files (scripts/operations-up),
`enginesmith worker` processes that take one run at a time, and the nightly flow. A small job is a
whole build whose networks are in the cache and whose engine is evaluated on a number of images of
its own; each pass starts from a copy of the same store. ``overhead`` is the wall time a job, times
the workers that share it (no more of them than cores), less the job's own stages, as the server
timed them. On a busy machine look at ``CPU a job`` instead, which company changes little: of the
warm night, where no stage computes anything, all of it is overhead. Passes that --minutes leaves no
time for are named and not run.
"""

import argparse
import itertools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
IMAGES = 1200
NETWORK = """
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 2)

    def forward(self, x):
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        return self.fc(x.mean((2, 3)))
"""


@dataclass
class Pass:
    """One night: what it was, and what was measured."""

    name: str
    workers: int
    jobs: int
    wall_s: float
    passed: int
    records: int
    own_s: float
    seconds_a_job: float
    overhead_s: float
    jobs_a_minute: float
    cpu_s: dict[str, float]
    """Processor seconds a job: of the workers with their runs, the server, and Postgres."""
    quarters_s: list[float]
    memory: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """MiB at the start, at the end, and at most."""


class Plant:
    """The service with workers of our own, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state, self.jobs = folder, folder / "state", folder / "jobs"
        self.up = [sys.executable, str(ROOT / "scripts/operations-up"), "--state", str(self.state)]
        self.up += ["--jobs", str(self.jobs)]
        ours = ("PREFECT_", "ENGINESMITH_")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        self.environment |= {"OMP_NUM_THREADS": "1", "ENGINESMITH_JOBS": str(self.jobs)}

    @contextmanager
    def running(self) -> Iterator[None]:
        given = {name: secrets.token_hex(12) for name in PASSWORDS}
        try:
            subprocess.run(self.up, env=self.environment | given, check=True)
            lines = (self.state / "client.env").read_text().splitlines()
            self.environment |= dict(line.split("=", 1) for line in lines)
            self.pids = json.loads((self.state / "processes.json").read_text())
            # Its worker takes any number of runs at a time; ours take one each.
            os.kill(self.pids["worker"][0], signal.SIGTERM)
            yield
        finally:
            subprocess.run([*self.up, "--down", "--volumes"], check=True)

    @contextmanager
    def workers(self, count: int, store: Path) -> Iterator[None]:
        self.hired: list[int] = []
        ports = []
        with ExitStack() as running:
            for number in range(count):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", 0))
                    port = str(probe.getsockname()[1])
                log = running.enter_context((self.folder / f"worker-{number}.log").open("ab"))
                process = subprocess.Popen(
                    [BIN / "enginesmith", "worker", "--at-once", "1", "--artifacts", str(store)],
                    env=self.environment
                    | {"PREFECT_WORKER_WEBSERVER_PORT": port, "PREFECT_WORKER_QUERY_SECONDS": "2"},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=ROOT,
                    start_new_session=True,
                )
                running.callback(stop, process)
                self.hired.append(process.pid)
                ports.append(port)
            wait_for(ports)
            yield

    def cpu(self) -> dict[str, float]:
        """Processor seconds that have gone into each part."""
        everyone = children()
        parts = {
            "runs": self.hired,
            "server": self.pids["server"][:1],
            "Postgres": self.pids["database"][:1],
        }
        return {
            name: sum(cpu_of(pid) for first in firsts for pid in family(first, everyone))
            for name, firsts in parts.items()
        }

    def memory(self) -> dict[str, float]:
        """MiB in use (proportional set size) of the server, Postgres and the runs of workers."""
        everyone = children()
        parts = {"server": self.pids["server"][0], "Postgres": self.pids["database"][0]}
        used = {name: sum(map(pss, family(pid, everyone))) for name, pid in parts.items()}
        runs = [pid for pid in everyone.get("runs", []) if str(self.jobs) in variables(pid)]
        used["largest run"] = max(map(pss, runs), default=0.0)
        used["database, on disk"] = on_disk(parts["Postgres"])
        return used


PASSWORDS = ("ENGINESMITH_PASSWORD", "ENGINESMITH_DATABASE_PASSWORD")


def on_disk(postgres: int) -> float:
    """MiB of a Postgres's tables and indexes, without its log of changes."""
    words = Path(f"/proc/{postgres}/cmdline").read_bytes().decode().split("\0")
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


def wait_for(ports: Sequence[str]) -> None:
    """Until every worker says that it is well."""
    deadline = time.monotonic() + 300
    for port in ports:
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                    break
            except OSError:
                time.sleep(0.2)


def pss(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return int(text.partition("\nPss:")[2].split()[0]) / 1024


def variables(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


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


def write_jobs(folder: Path, count: int, warm: int) -> tuple[list[str], list[str]]:
    """The jobs of a cold pass and of the warm night, as files; each twice if the night has more."""
    folder.mkdir(parents=True)
    (folder / "fanout_network.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    for split, images in (("train", 32), ("test", IMAGES)):
        for place in range(2):
            target = folder / "images" / split / f"class{place}"
            target.mkdir(parents=True)
            for number in range(images // 2):
                pixels = rng.integers(0, 128, (8, 8, 3)) + 100 * place
                Image.fromarray(pixels.astype(np.uint8)).save(target / f"{number:04}.png")
    tar = ["tar", "-C", str(folder / "images"), "-cf", str(folder / "images.tar"), "train", "test"]
    subprocess.run(tar, check=True)
    shutil.rmtree(folder / "images")
    names = [f"job-{number:05}" for number in range(count)]
    for number, name in enumerate(names):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(job(name, 100 + number % 1000)))
    night = list(names[:warm])
    while len(night) < warm:
        again = f"again-{len(night):05}"
        shutil.copy(folder / f"{names[len(night) % count]}.yaml", folder / f"{again}.yaml")
        night.append(again)
    return names, night


def job(name: str, images: int) -> dict[str, Any]:
    return {
        "name": name,
        "model": {"factory": "fanout_network:Small", "pretrained": True},
        "data": {"image_folder": {"path": "images.tar"}},
        "calibration": {"images": 16},
        "export": {"parity_images": 4},
        "engines": {"openvino": {}},
        "accuracy": {"images": images, "max_drop_points": 100.0},
        "profile": {"rounds": 2, "calls": 2, "warmup_calls": 1, "threads": [1], "reuse": True},
    }


def night(
    plant: Plant, name: str, workers: int, names: Sequence[str], store: Path, at_a_time: int | None
) -> Pass:
    """One run of the nightly flow over a pool of so many workers."""
    from prefect.client.orchestration import get_client

    from tasks.artifacts.store import Store

    history = len(list(Store(store).backend.entries("history")))
    with get_client(sync_client=True) as client:
        for deployment in ("several/several", "build/build"):
            found = client.read_deployment_by_name(deployment)
            change = {"concurrency_limit": workers}
            client.request("PATCH", "/deployments/{id}", path_params={"id": found.id}, json=change)
    os.environ["ENGINESMITH_ARTIFACTS"] = str(store)
    from flows.nightly import nightly

    with plant.workers(workers, store), Sampler(plant) as sampler:
        before = plant.cpu()
        started, began = time.monotonic(), datetime.now(UTC)
        state: Any = nightly(list(names), on="pool", at_a_time=at_a_time, return_state=True)
        wall = time.monotonic() - started
        cpu = {part: (now - before[part]) / len(names) for part, now in plant.cpu().items()}
    summary = state.result(raise_on_failure=False)
    passed = sum(each.outcome == "passed" for each in summary.outcomes)
    own, ends = measured(began)
    share = min(workers, os.cpu_count() or 1)
    return Pass(
        name=name,
        workers=workers,
        jobs=len(names),
        wall_s=wall,
        passed=passed,
        records=len(list(Store(store).backend.entries("history"))) - history,
        own_s=own / len(names),
        seconds_a_job=wall / len(names),
        overhead_s=wall * share / len(names) - own / len(names),
        jobs_a_minute=60 * len(names) / wall,
        cpu_s=cpu,
        quarters_s=quarters(ends, began),
        memory=sampler.summary(),
    )


def measured(since: datetime) -> tuple[float, list[datetime]]:
    """Seconds in stages that were computed, and when each build ended, as the server knows."""
    from prefect.client.orchestration import get_client

    after = {"start_time": {"after_": since.isoformat()}}
    own, ends = 0.0, []
    with get_client(sync_client=True) as client:
        computed = after | {"state": {"name": {"any_": ["Completed"]}}}
        for run in listed(client, "task_runs", {"task_runs": computed}):
            # What stands for a run inside a run took as long as all that is in it.
            inner = run["state"]["state_details"].get("child_flow_run_id")
            own += 0.0 if inner else run["total_run_time"]
        builds = {"flow_runs": after, "flows": {"name": {"any_": ["build"]}}}
        for run in listed(client, "flow_runs", builds):
            if run["end_time"]:
                ends.append(datetime.fromisoformat(run["end_time"].replace("Z", "+00:00")))
    return own, sorted(ends)


def listed(client: Any, kind: str, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for offset in range(0, 10_000_000, 200):
        body = wanted | {"limit": 200, "offset": offset, "sort": "ID_DESC"}
        page = client.request("POST", f"/{kind}/filter", json=body).json()
        yield from page
        if len(page) < 200:
            return


def quarters(ends: Sequence[datetime], began: datetime) -> list[float]:
    """Seconds a job in each quarter of the night: level where growth is linear."""
    marks = [began, *(ends[len(ends) * part // 4 - 1] for part in (1, 2, 3, 4))] if ends else []
    step = max(1, len(ends) // 4)
    return [(b - a).total_seconds() / step for a, b in itertools.pairwise(marks)]


def show(passes: Sequence[Pass]) -> None:
    base = passes[0].jobs_a_minute
    head = ("night", "workers", "jobs", "lost", "wall", "own a job", "overhead a job", "jobs/min")
    print("| " + " | ".join((*head, "of the first", "s a job by quarter")) + " |")
    print("|---" + "|---:" * (len(head) + 1) + "|")
    for x in passes:
        cells = [x.name, x.workers, x.jobs, x.jobs - min(x.passed, x.records), f"{x.wall_s:.0f} s"]
        cells += [f"{x.own_s:.2f} s", f"{x.overhead_s:.2f} s", f"{x.jobs_a_minute:.0f}"]
        cells += [f"{x.jobs_a_minute / base:.2f}x", " ".join(f"{s:.2f}" for s in x.quarters_s)]
        print("| " + " | ".join(map(str, cells)) + " |")
    print("\n| night | CPU a job | of it runs | server | Postgres |\n|---|---:|---:|---:|---:|")
    for x in passes:
        each = " | ".join(f"{seconds:.2f} s" for seconds in x.cpu_s.values())
        print(f"| {x.name}, {x.workers} workers | {sum(x.cpu_s.values()):.2f} s | {each} |")
    print("\n| night | memory | start | end | most |\n|---|---|---:|---:|---:|")
    for x in passes:
        for name, (start, end, most) in x.memory.items():
            label = f"{x.name}, {x.workers} workers"
            print(f"| {label} | {name} | {start:.0f} MiB | {end:.0f} MiB | {most:.0f} MiB |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--workers", default="1,2,4", help="passes, such as 1,2,4")
    parser.add_argument("--warm", type=int, default=1000, help="jobs of the warm night; 0: none")
    parser.add_argument(
        "--at-a-time", type=int, help="jobs that share a process; default: nightly's"
    )
    parser.add_argument("--warm-at-a-time", type=int, help="the same for the warm night")
    parser.add_argument("--minutes", type=float, default=240, help="start no pass after so long")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too, after each pass")
    given = parser.parse_args()
    counts = [int(count) for count in given.workers.split(",")]
    passes: list[Pass] = []
    deadline = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory(prefix="enginesmith-fanout-") as place:
        plant = Plant(Path(place))
        names, warm = write_jobs(plant.jobs, given.jobs, given.warm)
        with plant.running():
            os.environ |= plant.environment
            os.environ |= {"PREFECT_LOGGING_LEVEL": "ERROR", "DO_NOT_TRACK": "1"}
            first = [BIN / "enginesmith", "run", plant.jobs / f"{names[0]}.yaml", "--artifacts"]
            alone = {k: v for k, v in plant.environment.items() if not k.startswith("PREFECT_")}
            subprocess.run([*first, plant.folder / "first"], check=True, env=alone)
            stores = {count: plant.folder / f"store-{count}" for count in counts}
            wanted = [("cold", count, names, stores[count]) for count in counts]
            if warm:
                wanted.insert(1, ("warm", min(2, counts[-1]), warm, stores[counts[0]]))
            for name, count, jobs, store in wanted:
                if time.monotonic() > deadline:
                    print(f"not run, for want of time: {name} over {count} workers")
                    continue
                if not store.exists():
                    shutil.copytree(plant.folder / "first", store)
                shared = given.warm_at_a_time if name == "warm" else given.at_a_time
                passes.append(night(plant, name, count, jobs, store, shared))
                show(passes)
                if given.out:
                    given.out.write_text(json.dumps([asdict(x) for x in passes], indent=2))
    lost = sum(x.jobs - min(x.passed, x.records) for x in passes)
    sys.exit(f"{lost} jobs were lost" if lost else 0)


if __name__ == "__main__":
    main()
