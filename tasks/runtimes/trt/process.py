"""Running the compiler in a process of its own, with a time limit and an end."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from schemas.engine import TensorRtConfig, TensorRtRtxConfig
from schemas.errors import InputError
from tasks.runtimes.trt.compiler import Compiled
from tasks.runtimes.trt.worker import Answer, Request

_SOURCES = Path(__file__).resolve().parents[3]


def compile_in_process(
    module: str, graph: Path, plan: Path, options: TensorRtConfig | TensorRtRtxConfig
) -> Compiled:
    """Compile ``graph`` into ``plan``, or leave no plan behind.

    Raises InputError where the graph is refused, the time runs out or the process dies.
    """
    field = "tensorrt_rtx" if isinstance(options, TensorRtRtxConfig) else "tensorrt"
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "plan"
        request = Request.model_validate(
            {
                "module": module,
                "graph": graph.absolute(),
                "plan": made,
                "answer": Path(folder) / "answer.json",
                field: options,
            }
        )
        (Path(folder) / "request.json").write_text(request.model_dump_json())
        _run(Path(folder) / "request.json", graph, options.timeout_s, Path(folder) / "stderr")
        answer = Answer.model_validate_json(request.answer.read_bytes())
        if answer.compiled is None:
            raise InputError(answer.error)
        plan.write_bytes(made.read_bytes())
        return answer.compiled


def _run(request: Path, graph: Path, timeout_s: float, stderr: Path) -> None:
    paths = [str(_SOURCES), *filter(None, [os.environ.get("PYTHONPATH")])]
    with stderr.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tasks.runtimes.trt.worker", str(request)],
            stdout=subprocess.DEVNULL,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"building {graph.name} took longer than {timeout_s:g} s and was ended: "
                "raise the engine's timeout_s"
            ) from error
        finally:
            # Also when interrupted: nothing may go on building for nobody.
            process.kill()
            process.wait()
    if code:
        raise InputError(_death(code, graph, stderr))


def _death(code: int, graph: Path, stderr: Path) -> str:
    if code == -signal.SIGKILL:
        return (
            f"building {graph.name}: the builder was killed, most often because memory ran out: "
            "give it more, or limit the engine's workspace_bytes"
        )
    lines = stderr.read_text(errors="replace").strip().splitlines()
    said = lines[-1] if lines else "nothing on standard error"
    ended = f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"
    return f"building {graph.name}: the builder ended with {ended}: {said}"
