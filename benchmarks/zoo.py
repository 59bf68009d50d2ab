"""Every classification architecture of torchvision, through every stage, by each way to quantize.

    python benchmarks/zoo.py [--modes eager pt2e] [--jobs 2] [--models resnet18 ...] [--again]
    python benchmarks/zoo.py --table --into docs/zoo.md

Each network and mode is one process, smallest network first: prepare, calibrate on 8 images of
noise, convert, export, surgery with its proof on 4 of the images, lint, a TensorRT-RTX plan for
compute capability 8.6, OpenVINO. Weights are random, with batch statistics of the same noise: this
is about what goes through and what it becomes, never about accuracy. One line of JSON a network and
mode is appended to --results; those already there are not run again, and those that failed only
with --again. Prints the table of all results, as Markdown, or writes it into the page that docs/
has of it. Exit status 1 where a network got through by none of the modes.
"""

import argparse
import json
import multiprocessing
import os
import queue
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import zoo_worker
from zoo_networks import Entry, entries
from zoo_table import Row, done, read, tables, write_into

# One server imports everything once; each network is a fork of it. It looks at the environment for
# modules, and not at this process's sys.path.
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(Path(__file__).parent), str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
)
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["zoo_worker"])
MODES = ("eager", "pt2e")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=(*MODES, "fx"))
    parser.add_argument("--models", nargs="+", help="left out: all")
    parser.add_argument("--most-parameters", type=float, default=100e6)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=900, help="seconds a network and mode")
    parser.add_argument("--results", type=Path, default=Path(".benchmarks/zoo.jsonl"))
    parser.add_argument("--again", action="store_true", help="run what failed once more")
    parser.add_argument("--table", action="store_true", help="run nothing, print the table")
    parser.add_argument("--into", type=Path, help="write the tables there, between their marks")
    parser.add_argument("--largest-first", action="store_true", help="best with many cores")
    parser.add_argument("--minutes", type=float, help="start no network after that time")
    arguments = parser.parse_args()
    known = entries(int(arguments.most_parameters))
    chosen = [e for e in known if arguments.models is None or e.name in arguments.models]
    if not arguments.table:
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        run_all(chosen[::-1] if arguments.largest_first else chosen, arguments)
    rows = read(arguments.results)
    text = tables(chosen, rows, arguments.modes)
    if arguments.into is None:
        print(text)
    else:
        write_into(arguments.into, text)
    lost = [e.name for e in chosen if not any(done(rows, e, m) for m in arguments.modes)]
    if lost:
        print(f"through by none: {', '.join(lost)}", file=sys.stderr)
    sys.exit(1 if lost else 0)


def run_all(chosen: list[Entry], arguments: argparse.Namespace) -> None:
    """Run what is missing, ``--jobs`` at a time."""
    rows = read(arguments.results)
    waiting: queue.SimpleQueue[tuple[Entry, str]] = queue.SimpleQueue()
    for entry in chosen:
        for mode in arguments.modes:
            row = rows.get((entry.name, mode))
            if row is None or (arguments.again and row["stage"] != "done"):
                waiting.put((entry, mode))
    lock = threading.Lock()

    deadline = time.monotonic() + 60 * (arguments.minutes or 1e6)

    def work() -> None:
        while time.monotonic() < deadline:
            try:
                entry, mode = waiting.get_nowait()
            except queue.Empty:
                return
            row = run_one(entry, mode, arguments.timeout)
            with lock, arguments.results.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(
                f"{entry.name} {mode}: {row['stage']} {row.get('why', '')} {row['wall_s']:.0f} s",
                file=sys.stderr,
                flush=True,
            )

    threads = [threading.Thread(target=work) for _ in range(arguments.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def run_one(entry: Entry, mode: str, timeout_s: float) -> Row:
    """One network in one mode; ``stage`` is the one it failed at, or "done"."""
    start = time.perf_counter()
    row: Row = {
        "network": entry.name,
        "mode": mode,
        "size": entry.size,
        "parameters": entry.parameters,
        "stage": "start",
        "seconds": {},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        arguments = (entry.name, entry.size, mode, folder)
        process = PROCESSES.Process(target=zoo_worker.run, args=arguments)
        process.start()
        process.join(timeout_s)
        timed_out = process.is_alive()
        if timed_out:
            process.kill()
            process.join()
        for line in _lines(folder / "found"):
            found = json.loads(line)
            row["seconds"].update(found.pop("seconds", {}))
            row.update(found)
        if row["stage"] != "done":
            said = _lines(folder / "errors")
            row["why"] = _reason(process.exitcode, timed_out, timeout_s, said)
    row["wall_s"] = round(time.perf_counter() - start, 1)
    return row


def _lines(file: Path) -> list[str]:
    return [x for x in file.read_text().splitlines() if x.strip()] if file.is_file() else []


def _reason(status: int | None, timed_out: bool, timeout_s: float, said: list[str]) -> str:
    if timed_out:
        return f"not finished after {timeout_s:.0f} s"
    if status is not None and status < 0:
        return f"killed by signal {-status}"
    raised = [line for line in said if line.split(":")[0].rpartition(".")[2].endswith("Error")]
    return (raised or said or ["no reason given"])[-1][:300]


if __name__ == "__main__":
    main()
