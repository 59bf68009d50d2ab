"""The process that compiles: ``python -m tasks.runtimes.trt.worker REQUEST.json``.

A builder runs for minutes inside a C call and may take all memory, so it gets a process that can be
ended. The answer goes to a file; standard output carries the fraction done, a number a line.
"""

import ctypes
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import cast

from pydantic import Field

from schemas.base import Strict
from schemas.engine import TensorRtConfig, TensorRtRtxConfig
from schemas.errors import InputError
from tasks.runtimes.trt.compiler import Compiled, NoKernelError, compile_plan
from tasks.runtimes.trt.module import TensorRtModule

_PR_SET_PDEATHSIG = 1


class Request(Strict):
    module: str = Field(description="tensorrt or tensorrt_rtx")
    graph: Path
    plan: Path
    answer: Path
    parent: int = Field(description="process that waits for the answer")
    tensorrt: TensorRtConfig | None = None
    tensorrt_rtx: TensorRtRtxConfig | None = None


class Answer(Strict):
    compiled: Compiled | None = None
    error: str = ""
    no_kernel_for: str = Field(default="", description="the builder's name of the layer")


def main(request_file: Path) -> None:
    _die_with_parent()
    request = Request.model_validate_json(request_file.read_bytes())
    if os.getppid() != request.parent:
        return  # It was gone before it could be asked for: nobody waits.
    options = request.tensorrt or request.tensorrt_rtx
    assert options is not None
    try:
        # The one place where either module becomes the type that all other code is checked for.
        trt = cast(TensorRtModule, importlib.import_module(request.module))
        compiled = compile_plan(trt, request.graph, request.plan, options, _report)
        _report(1.0)
        answer = Answer(
            compiled=compiled.model_copy(update={"peak_memory_bytes": _peak_memory_bytes()})
        )
    except NoKernelError as error:
        answer = Answer(error=str(error), no_kernel_for=error.layer)
    except InputError as error:
        answer = Answer(error=str(error))
    except MemoryError:
        answer = Answer(error=f"building {request.graph.name} ran out of memory: give it more")
    request.answer.write_text(answer.model_dump_json())


def _report(fraction: float) -> None:
    print(f"{fraction:.4f}", flush=True)


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
