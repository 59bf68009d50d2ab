"""Running the compiler in a process of its own, with a time limit, progress and an end."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from schemas.engine import TensorRtConfig, TensorRtOptions, TensorRtRtxConfig
from schemas.errors import InputError
from tasks.progress import track
from tasks.runtimes.trt.addresses import fixed_addresses
from tasks.runtimes.trt.compiler import Compiled, NoKernelError
from tasks.runtimes.trt.worker import Answer, Request

_SOURCES = Path(__file__).resolve().parents[3]


def compile_in_process(module: str, graph: Path, plan: Path, options: TensorRtOptions) -> Compiled:
    """Compile ``graph`` into ``plan``, or leave no plan behind.

    Raises InputError where the graph is refused, the time runs out or the process dies, and
    NoKernelError where a layer has no kernel. Interrupting it ends the process.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        request = Request(
            module=module,
            graph=graph.absolute(),
            plan=folder / "plan",
            answer=folder / "answer.json",
            parent=os.getpid(),
            tensorrt=options if isinstance(options, TensorRtConfig) else None,
            tensorrt_rtx=options if isinstance(options, TensorRtRtxConfig) else None,
        )
        (folder / "request.json").write_text(request.model_dump_json())
        _run(folder, graph, request.tensorrt or request.tensorrt_rtx)
        answer = Answer.model_validate_json(request.answer.read_bytes())
        if answer.no_kernel_for:
            raise NoKernelError(answer.error, answer.no_kernel_for)
        if answer.compiled is None:
            raise InputError(answer.error)
        plan.write_bytes(request.plan.read_bytes())
        return answer.compiled


def _run(folder: Path, graph: Path, options: TensorRtConfig | TensorRtRtxConfig | None) -> None:
    assert options is not None
    paths = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    stderr = folder / "stderr"
    with stderr.open("w") as errors, fixed_addresses():
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.runtimes.trt.worker", str(folder / "request.json")],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
        )
    late = threading.Event()

    def end() -> None:
        late.set()
        process.kill()

    limit = threading.Timer(options.timeout_s, end)
    # An interrupt may come at any line: Python would wait for this thread before it ends.
    limit.daemon = True
    try:
        limit.start()
        assert process.stdout is not None
        for _ in track(_percents(process.stdout), f"building {graph.name}", 100):
            pass
        code = process.wait()
    finally:
        # Also when interrupted: nothing may go on building for nobody.
        limit.cancel()
        process.kill()
        process.wait()
    if late.is_set():
        raise InputError(
            f"building {graph.name} took longer than {options.timeout_s:g} s and was ended: "
            "raise the engine's timeout_s"
        )
    if code:
        raise InputError(_death(code, graph, stderr))


def _percents(lines: IO[str]) -> Iterator[int]:
    """1 to 100, each as soon as the worker has come so far; 100 only where it has a plan."""
    reached = 0
    for line in lines:
        try:
            percent = int(float(line) * 100)
        except ValueError:
            continue  # something that a library printed
        while reached < min(percent, 100):
            reached += 1
            yield reached


def _death(code: int, graph: Path, stderr: Path) -> str:
    if code == -signal.SIGKILL:
        return (
            f"building {graph.name}: the builder was killed, most often because memory ran out: "
            "give it more, or limit the engine's workspace_bytes"
        )
    lines = stderr.read_text(errors="replace").strip().splitlines()
    said = lines[-1] if lines else "nothing on standard error"
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
    return (
        f"building {graph.name}: the builder ended with {ended} ({said}): run it again, and report "
        "it with the graph if it stays"
    )
