"""The process that compiles: ``python -m tasks.runtimes.trt.worker REQUEST.json``.

A builder runs for minutes inside a C call, may take all memory, and its cache is the process's:
so it gets a process that can be ended. The answer goes to a file, progress to standard output.
"""

import ctypes
import importlib
import json
import signal
import sys
from pathlib import Path

from pydantic import Field

from schemas.base import Strict
from schemas.engine import TensorRtConfig, TensorRtRtxConfig
from schemas.errors import InputError
from tasks.runtimes.trt.compiler import Compiled, compile_plan

_PR_SET_PDEATHSIG = 1


class Request(Strict):
    module: str = Field(description="tensorrt or tensorrt_rtx")
    graph: Path
    plan: Path
    answer: Path
    tensorrt: TensorRtConfig | None = None
    tensorrt_rtx: TensorRtRtxConfig | None = None


class Answer(Strict):
    compiled: Compiled | None = None
    error: str = ""


def main(request_file: Path) -> None:
    _die_with_parent()
    request = Request.model_validate_json(request_file.read_bytes())
    options = request.tensorrt or request.tensorrt_rtx
    assert options is not None
    try:
        compiled = compile_plan(
            importlib.import_module(request.module), request.graph, request.plan, options, _report
        )
        answer = Answer(
            compiled=compiled.model_copy(update={"peak_memory_bytes": _peak_memory_bytes()})
        )
    except InputError as error:
        answer = Answer(error=str(error))
    request.answer.write_text(answer.model_dump_json())


def _report(phase: str, done: int, total: int) -> None:
    print(json.dumps([phase, done, total]), flush=True)


def _die_with_parent() -> None:
    """Ask Linux to end this process when the one that started it is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _peak_memory_bytes() -> int | None:
    """This process's own peak; ``getrusage`` would count its parent's from before exec."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


if __name__ == "__main__":
    main(Path(sys.argv[1]))
