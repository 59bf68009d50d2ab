"""TensorRT for RTX: plans for RTX cards, built ahead of time and without a GPU."""

from pathlib import Path

from schemas.base import Strict, Target
from schemas.engine import TensorRtRtxConfig
from schemas.errors import InputError
from tasks.runtimes.processor import installed_version
from tasks.runtimes.protocol import Build, Session
from tasks.runtimes.trt.build_log import layer_table
from tasks.runtimes.trt.process import compile_in_process

_PACKAGES = "tensorrt-rtx-cu13,tensorrt-rtx-cu12,tensorrt-rtx"


class TensorRtRtxRuntime:
    target: Target = "tensorrt_rtx"

    def fingerprint(self) -> dict[str, str]:
        """The version alone: what a plan is compiled for is its compute capability, an option."""
        found = installed_version(
            _PACKAGES, "TensorRT for RTX", "pip install tensorrt-rtx-cu13 (Linux x86-64, Windows)"
        )
        return {"tensorrt_rtx": found}

    def build(self, graph: Path, plan: Path, options: Strict) -> Build:
        self.fingerprint()
        assert isinstance(options, TensorRtRtxConfig)
        compiled = compile_in_process("tensorrt_rtx", graph, plan, options)
        return Build(
            inputs=compiled.inputs,
            outputs=compiled.outputs,
            layers=layer_table(compiled.layer_log),
            build_s=compiled.build_s,
            peak_memory_bytes=compiled.peak_memory_bytes,
        )

    def open(self, plan: Path, *, threads: int = 0) -> Session:  # noqa: ARG002
        raise InputError(
            f"plan {plan.name} of TensorRT for RTX needs an RTX GPU and none was found: "
            "run it on the machine that it was built for"
        )
