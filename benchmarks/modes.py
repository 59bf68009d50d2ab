"""One job through eager mode and through PyTorch 2 Export: accuracy, kernels, latency.

    python benchmarks/modes.py jobs/quickstart.yaml [--set model.weights=FILE ...] [--time-only]

Runs the job once for each mode, each with an artifact folder of its own under --work, and reads the
reports. Then times the OpenVINO INT8 plans of all modes against each other, and against the FP32
plan of each (the two come from different exporters), in one process, on one thread, in alternating
blocks. Prints one table. Run the timing (--time-only: no job is run) on a machine that does nothing
else.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np

from schemas.profiling import ProfileConfig
from tasks.profiling.alternate import alternate
from tasks.runtimes.registry import runtime

MODES = ("eager", "pt2e")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("job", type=Path)
    parser.add_argument("--modes", nargs="+", default=list(MODES))
    parser.add_argument("--set", action="append", default=[], help="as of enginesmith run")
    parser.add_argument("--work", type=Path, default=Path(".benchmarks/modes"))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--time-only", action="store_true", help="use what an earlier run left")
    arguments = parser.parse_args()
    reports: dict[str, dict[str, Any]] = {}
    plans: dict[str, Path] = {}
    for mode in arguments.modes:
        artifacts = arguments.work / f"{arguments.job.stem}-{mode}"
        if not arguments.time_only:
            run(arguments.job, mode, artifacts, arguments.set)
        (file,) = (artifacts / "runs").glob("*/report.json")
        reports[mode] = json.loads(file.read_text())
        (engine,) = (x for x in reports[mode]["engines"] if x["target"] == "openvino")
        for precision, key in (("int8", "plan"), ("float32", "baseline_plan")):
            plans[f"{mode} {precision}"] = artifacts / engine[key]["path"]
    print_table(reports, latencies(plans, shape_of(reports), arguments.rounds))


def run(job: Path, mode: str, artifacts: Path, settings: list[str]) -> None:
    command = [sys.executable, "-m", "flows.cli", "run", str(job), "--artifacts", str(artifacts)]
    for one in (f"quantization.mode={mode}", *settings):
        command += ["--set", one]
    status = subprocess.run(command, check=False, stdout=sys.stderr).returncode
    if status > 1:  # 1: a gate failed, and the report says which.
        sys.exit(status)


def shape_of(reports: dict[str, dict[str, Any]]) -> tuple[int, ...]:
    report = next(iter(reports.values()))
    (engine,) = (x for x in report["engines"] if x["target"] == "openvino")
    shape = engine["manifest"]["inputs"][0]["shape"]
    return (1, *(int(size) for size in shape[1:]))


def latencies(plans: dict[str, Path], shape: tuple[int, ...], rounds: int) -> dict[str, float]:
    """Median milliseconds of a call with one image, by plan."""
    engine = runtime("openvino")
    sessions = {label: engine.open(plan, threads=1) for label, plan in plans.items()}
    batch = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    times = alternate(sessions, batch, ProfileConfig(rounds=rounds), "modes")
    return {label: float(np.median(np.median(calls, 1))) for label, calls in times.items()}


def print_table(reports: dict[str, dict[str, Any]], times_ms: dict[str, float]) -> None:
    modes = list(reports)
    rows: list[tuple[str, dict[str, str]]] = []
    names = [x["name"] for x in reports[modes[0]]["accuracies"]]
    for name in names:
        found = {}
        for mode in modes:
            for one in reports[mode]["accuracies"]:
                if one["name"] == name:
                    found[mode] = f"{one['top1']:.4f}, {one['flips']} flips"
        rows.append((f"top-1, {name}", found))
    for index, engine in enumerate(x["target"] for x in reports[modes[0]]["engines"]):
        layers = {mode: reports[mode]["engines"][index]["layers"]["layers"] for mode in modes}
        kernels = {mode: str(_kernels(found)) for mode, found in layers.items()}
        rows.append((f"kernels, {engine}", kernels))
        convs = {m: [x for x in found if x["is_convolution"]] for m, found in layers.items()}
        rows.append(
            (
                f"convolutions INT8, {engine}",
                {
                    m: f"{sum(bool(x['is_integer']) for x in c)} of {len(c)}"
                    for m, c in convs.items()
                },
            )
        )
    for precision in ("int8", "float32"):
        found = {mode: f"{times_ms[f'{mode} {precision}']:.3f}" for mode in modes}
        rows.append((f"OpenVINO {precision}, one image, one thread, ms", found))
    gates = {
        mode: f"{sum(x['passed'] for x in report['gates'])} of {len(report['gates'])}"
        for mode, report in reports.items()
    }
    rows.append(("gates passed", gates))
    print("| | " + " | ".join(modes) + " |\n|---" + "|---" * len(modes) + "|")
    for label, found in rows:
        print(f"| {label} | " + " | ".join(found.get(mode, "") for mode in modes) + " |")


def _kernels(layers: list[dict[str, Any]]) -> int:
    """As ``LayerTable.kernels`` counts them."""
    return sum(x["type"] not in ("shape_call", "signal", "wait") for x in layers)


if __name__ == "__main__":
    main()
