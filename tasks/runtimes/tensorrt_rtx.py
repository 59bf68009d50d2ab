"""TensorRT for RTX: plans for RTX cards, built ahead of time and without a GPU."""

from pathlib import Path

from schemas.base import Strict, Target
from schemas.engine import Manifest, TensorRtRtxConfig
from schemas.errors import InputError
from tasks.runtimes.gpu import find_gpu, why_no_sessions
from tasks.runtimes.protocol import Build, Session
from tasks.runtimes.trt.build import build_plan
from tasks.versions import installed_version

_PACKAGES = "tensorrt-rtx-cu13,tensorrt-rtx-cu12,tensorrt-rtx"


class TensorRtRtxRuntime:
    target: Target = "tensorrt_rtx"

    def fingerprint(self) -> dict[str, str]:
        """The version alone: what a plan is compiled for is its compute capability, an option."""
        found = installed_version(
            _PACKAGES, "TensorRT for RTX", "pip install tensorrt-rtx-cu13 (Linux x86-64, Windows)"
        )
        return {"tensorrt_rtx": found}

    def cannot_run(self) -> str | None:
        gpu = find_gpu()
        if gpu is not None and gpu.compute_capability == "9.0":
            return f"TensorRT for RTX does not run on {gpu.name}"
        return why_no_sessions()

    def check(self, manifest: Manifest) -> None:
        """Raises InputError where a plan was built by another version, or for another GPU."""
        built, here = manifest.fingerprint.get("tensorrt_rtx"), self.fingerprint()["tensorrt_rtx"]
        options = TensorRtRtxConfig.model_validate(manifest.options)
        if built != here:
            raise InputError(
                f"the plan was built by TensorRT for RTX {built}, and {here} is installed: "
                "build it again"
            )
        gpu = find_gpu()
        wanted = (options.compute_capability, *options.also_compute_capabilities)
        if gpu is not None and gpu.compute_capability not in wanted:
            raise InputError(
                f"the plan was built for compute capability {', '.join(wanted)}, and "
                f"{gpu.name} has {gpu.compute_capability}: build it for that"
            )

    def build(self, graph: Path, plan: Path, options: Strict) -> Build:
        self.fingerprint()
        assert isinstance(options, TensorRtRtxConfig)
        return build_plan("tensorrt_rtx", graph, plan, options)

    def open(
        self,
        plan: Path,
        *,
        threads: int = 0,  # noqa: ARG002
        manifest: Manifest | None = None,  # noqa: ARG002
    ) -> Session:
        reason = self.cannot_run()
        if reason is not None:
            raise InputError(
                f"plan {plan.name} cannot run here ({reason}): take it to a machine with its GPU, "
                "or choose openvino"
            )
        from tasks.runtimes.trt.session import open_plan

        return open_plan("tensorrt_rtx", plan)
