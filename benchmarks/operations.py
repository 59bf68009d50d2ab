"""How long the service takes: to its first triggerable flow, and for a run that is all cached.

    python benchmarks/operations.py [--repeats 5] [--json FILE]

Starts Postgres, server, deploy and worker as scripts/operations-up does, in a folder of its own,
runs the quickstart once and then again and again. The bounds are those of the project: 90 s to a
deployed flow, 15 s for an all-cached run through the worker. Only time counts here: a run whose
gates fail has done its work too.
"""

import argparse
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UP = [sys.executable, str(ROOT / "scripts" / "operations-up")]
READY_S, CACHED_S = 90.0, 15.0


GATES_FAILED = 1
"""Exit status of ``enginesmith submit``."""


def seconds(command: list[str], environment: dict[str, str], *ends: int) -> float:
    """How long a command takes; ``ends`` are further exit statuses of one that did its work."""
    started = time.perf_counter()
    run = subprocess.run(command, env=environment, cwd=ROOT, stdout=sys.stderr, check=False)
    took = time.perf_counter() - started
    if run.returncode not in (0, *ends):
        sys.exit(f"{' '.join(command)}: exit {run.returncode}")
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--job", default="quickstart")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = ("ENGINESMITH_PASSWORD", "ENGINESMITH_DATABASE_PASSWORD")
    environment = dict(os.environ) | {name: secrets.token_hex(12) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        up = [*UP, "--state", f"{folder}/state"]
        try:
            ready = seconds(up, environment)
            lines = Path(folder, "state", "client.env").read_text().splitlines()
            client = environment | dict(line.split("=", 1) for line in lines)
            submit = [str(Path(sys.executable).parent / "enginesmith"), "submit", options.job]
            first = seconds(submit, client, GATES_FAILED)
            cached = [seconds(submit, client, GATES_FAILED) for _ in range(options.repeats)]
            subprocess.run([*up, "--down"], check=True)
            again = seconds(up, environment)
        finally:
            subprocess.run([*up, "--down", "--volumes"], check=True)
    figures: dict[str, Any] = {
        "ready_s": ready,
        "ready_again_s": again,
        "first_run_s": first,
        "cached_run_s": statistics.median(cached),
        "cached_runs_s": cached,
    }
    cached_s = figures["cached_run_s"]
    print(f"from nothing to a deployed flow   {ready:6.1f} s   (at most {READY_S:.0f})")
    print(f"the same, database kept           {again:6.1f} s")
    print(f"first run of {options.job:<20} {first:6.1f} s")
    print(f"all cached, through the worker    {cached_s:6.1f} s   (at most {CACHED_S:.0f})")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))
    sys.exit(int(ready > READY_S or cached_s > CACHED_S))


if __name__ == "__main__":
    # Terminated, it stops what it started, as when it is interrupted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
