"""What fan-out costs: many small jobs over 1, 2 and 4 workers of one server, and a warm night.

    python benchmarks/fanout.py --jobs 20 --workers 1,2        a quick try
    python benchmarks/fanout.py                                500 jobs, then 1,000 found cached

Everything is real: Postgres, server and deployments of the compose files (scripts/operations-up),
`enginesmith worker` processes that take one run at a time, and the nightly flow. A small job is a
whole build whose networks are in the cache and whose engine is evaluated on a number of images of
its own; each pass starts from a copy of the same store. ``overhead`` is the wall time a job, times
the workers, less the job's own stages, as the server timed them; with more workers than cores those
times hold the wait for a core, and it is not shown. Engines start a thread for each core that they
may use, and several workers get in each other's way on many cores: --pin keeps them apart. On a
busy machine see ``CPU a job`` instead, which company changes little: of the warm night, where no
stage computes anything, all is overhead.

With --folder everything is kept there, and the same command goes on with the passes that were not
made yet; --passes says how many of them to make this time.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from fanout_plant import BIN, Plant, Sampler, cores
from fanout_servers import missing, split_server
from PIL import Image

IMAGES = 1200
PRIME = 379
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
    overhead_s: float | None
    jobs_a_minute: float
    cpu_s: dict[str, float]
    """Processor seconds a job: of the workers with their runs, the server, and Postgres."""
    quarters_s: list[float]
    memory: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """MiB at the start, at the end, and at most."""


def write_jobs(folder: Path, count: int, warm: int) -> tuple[list[str], list[str]]:
    """The jobs of a cold pass and of the warm night, as files; each twice if the night has more."""
    if not (folder / "images.tar").exists():
        write_network(folder)
    names = [f"job-{number:05}" for number in range(count)]
    for number, name in enumerate(names):
        # Shuffled, so that no part of a night has more to do than another, nor a shorter night.
        images = 100 + number * PRIME % min(max(count, 500), IMAGES - 100)
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(job(name, images)))
    night = list(names[:warm])
    while len(night) < warm:
        again = f"again-{len(night):05}"
        shutil.copy(folder / f"{names[len(night) % count]}.yaml", folder / f"{again}.yaml")
        night.append(again)
    return names, night


def write_network(folder: Path) -> None:
    """The network of all jobs, and the archive of their images."""
    folder.mkdir(parents=True, exist_ok=True)
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
    on_cores = workers <= len(cores())
    return Pass(
        name=name,
        workers=workers,
        jobs=len(names),
        wall_s=wall,
        passed=passed,
        records=len(list(Store(store).backend.entries("history"))) - history,
        own_s=own / len(names),
        seconds_a_job=wall / len(names),
        overhead_s=(wall * workers - own) / len(names) if on_cores else None,
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
        overhead = "-" if x.overhead_s is None else f"{x.overhead_s:.2f} s"
        cells += [f"{x.own_s:.2f} s", overhead, f"{x.jobs_a_minute:.0f}"]
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


def first_store(plant: Plant, job_file: str) -> Path:
    """A store that holds the networks of all jobs, of which each pass has a copy of its own."""
    store = plant.folder / "first"
    if not (store / "runs").exists():
        run = [BIN / "enginesmith", "run", plant.jobs / f"{job_file}.yaml", "--artifacts", store]
        alone = {k: v for k, v in plant.environment.items() if not k.startswith("PREFECT_")}
        subprocess.run(run, check=True, env=alone)
    return store


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
    parser.add_argument("--pin", action="store_true", help="each worker on a core of its own")
    parser.add_argument(
        "--servers", type=int, default=1, help="processes that answer requests; more want Redis"
    )
    parser.add_argument("--folder", type=Path, help="keep everything here, to go on from there")
    parser.add_argument("--passes", type=int, default=100, help="make at most so many this time")
    parser.add_argument("--out", type=Path, help="write the figures as JSON too, after each pass")
    given = parser.parse_args()
    counts = [int(count) for count in given.workers.split(",")]
    if given.pin and max(counts) > len(cores()):
        parser.error(f"--pin: {max(counts)} workers, and {len(cores())} cores: give fewer workers")
    if given.servers > 1 and (wanting := missing()):
        parser.error(f"--servers: {wanting}")
    with ExitStack() as stack:
        place = given.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="fanout-"))
        plant = Plant(Path(place).resolve(), pinned=given.pin)
        names, warm = write_jobs(plant.jobs, given.jobs, given.warm)
        wanted = [("cold", count, names, count) for count in counts]
        if warm:
            wanted.insert(1, ("warm", min(2, counts[-1]), warm, counts[0]))
        made = plant.folder / "passes.json"
        passes = [Pass(**each) for each in json.loads(made.read_text())] if made.exists() else []
        left = wanted[len(passes) :][: given.passes]
        stack.enter_context(plant.running(keep=given.folder is not None))
        if given.servers > 1:
            stack.enter_context(split_server(plant, given.servers))
        os.environ |= plant.environment
        os.environ |= {"PREFECT_LOGGING_LEVEL": "ERROR", "DO_NOT_TRACK": "1"}
        first = first_store(plant, names[0])
        for name, count, jobs, of in left:
            store = plant.folder / f"store-{of}"
            if name == "cold":
                shutil.rmtree(store, ignore_errors=True)
                shutil.copytree(first, store)
            shared = given.warm_at_a_time if name == "warm" else given.at_a_time
            passes.append(night(plant, name, count, jobs, store, shared))
            figures = json.dumps([asdict(x) for x in passes], indent=2)
            for file in (made, given.out):
                if file:
                    file.write_text(figures)
            show(passes)
    lost = sum(x.jobs - min(x.passed, x.records) for x in passes)
    sys.exit(f"{lost} jobs were lost" if lost else 0)


if __name__ == "__main__":
    main()
