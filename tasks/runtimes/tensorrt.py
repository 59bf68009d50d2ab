"""TensorRT: plans for the GPU that they are built on. Comes with NVIDIA's container."""

from pathlib import Path

from schemas.base import Strict, Target
from schemas.engine import TensorRtConfig
from schemas.errors import InputError
from tasks.runtimes.processor import installed_version
from tasks.runtimes.protocol import Build, Session
from tasks.runtimes.trt.build_log import layer_table
from tasks.runtimes.trt.process import compile_in_process


class TensorRtRuntime:
    target: Target = "tensorrt"

    def fingerprint(self) -> dict[str, str]:
        found = installed_version(
            "tensorrt", "TensorRT", "run inside NVIDIA's container: docker compose run --rm build"
        )
        return {"tensorrt": found}

    def build(self, graph: Path, plan: Path, options: Strict) -> Build:
        self.fingerprint()
        assert isinstance(options, TensorRtConfig)
        compiled = compile_in_process("tensorrt", graph, plan, options)
        return Build(
            inputs=compiled.inputs,
            outputs=compiled.outputs,
            layers=layer_table(compiled.layer_log),
            build_s=compiled.build_s,
            peak_memory_bytes=compiled.peak_memory_bytes,
        )

    def open(self, plan: Path, *, threads: int = 0) -> Session:  # noqa: ARG002
        raise InputError(f"plan {plan.name} of TensorRT needs an NVIDIA GPU and none was found")
