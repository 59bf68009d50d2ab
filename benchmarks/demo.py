"""The quickstart from nothing, and again with everything cached: wall time and memory.

    python benchmarks/demo.py [--warm-runs 3]

Runs ``enginesmith run jobs/quickstart.yaml`` in a fresh artifact folder and a fresh Prefect home,
then again, and prints one JSON document with what the project promises of it and whether it held.
Memory is the largest sum of resident sets over the process and all its children, so pages that
they share count more than once. Exit status 1 where a promise does not hold.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
POLL_S = 0.05


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--warm-runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cold, memory, report = timed_run(Path(folder))
        warm = [timed_run(Path(folder))[0] for _ in range(options.warm_runs)]
    figures = {"cold_s": cold, "warm_median_s": statistics.median(warm), "peak_bytes": memory}
    promises = {
        "cold run at most 150 s": cold <= 150,
        "all cached at most 12 s": figures["warm_median_s"] <= 12,
        "peak memory at most 2.5 GB": memory <= 2.5e9,
        **promises_of(report),
    }
    print(json.dumps({"figures": figures, "promises": promises}, indent=2))
    return 0 if all(promises.values()) else 1


def promises_of(report: dict[str, Any]) -> dict[str, bool]:
    """What must hold of the run's own figures."""
    accuracies = {a["name"]: a for a in report["accuracies"]}
    engines = {e["target"]: e for e in report["engines"]}
    convolutions = [x for x in engines["tensorrt_rtx"]["layers"]["layers"] if x["is_convolution"]]
    ratios = [x["ratio"] for part in report["latencies"] for x in part["speedups"]]
    engine = accuracies["openvino int8"]
    return {
        "engine within 0.5 points of FP32": engine["drop_points"] <= 0.5,
        "on 10,000 images": engine["images"] == 10_000,
        "OpenVINO INT8 faster than FP32": min(ratios) > 1,
        "no float conv in the TensorRT for RTX plan": bool(convolutions)
        and all(x["is_integer"] for x in convolutions),
    }


def timed_run(folder: Path) -> tuple[float, int, dict[str, Any]]:
    """Wall seconds, peak resident bytes of the process tree, and the run's report."""
    command = [
        sys.executable, "-c", "from flows.cli import main; main()",
        "run", "jobs/quickstart.yaml", "--json", "--artifacts", str(folder / "artifacts"),
    ]  # fmt: skip
    environment = os.environ | {"PREFECT_HOME": str(folder / "prefect")}
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE)
    peak = 0

    def watch() -> None:
        nonlocal peak
        while process.poll() is None:
            peak = max(peak, resident_bytes(process.pid))
            time.sleep(POLL_S)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"the run ended with status {process.returncode}")
    return seconds, peak, json.loads(output)


def resident_bytes(root: int) -> int:
    """Resident bytes of a process and all its descendants."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    page = os.sysconf("SC_PAGE_SIZE")
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            resident[int(entry.name)] = int((entry / "statm").read_text().split()[1]) * page
        except (OSError, IndexError):
            continue
        parents[int(entry.name)] = int(fields[1])
    family = {root}
    grown = True
    while grown:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        family |= more
        grown = bool(more)
    return sum(resident.get(pid, 0) for pid in family)


if __name__ == "__main__":
    sys.exit(main())
