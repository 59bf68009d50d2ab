"""TensorRT: plans for the GPU that they are built on. Comes with NVIDIA's container."""

from pathlib import Path

from schemas.base import Strict, Target
from schemas.engine import Manifest, TensorRtConfig
from schemas.errors import InputError
from tasks.runtimes.gpu import find_gpu, gpu_fingerprint, why_no_sessions
from tasks.runtimes.protocol import Build, Session
from tasks.runtimes.trt.build import build_plan
from tasks.versions import installed_version

_PACKAGES = "tensorrt,tensorrt-cu13,tensorrt-cu12"


class TensorRtRuntime:
    target: Target = "tensorrt"

    def fingerprint(self) -> dict[str, str]:
        """Version, GPU, compute capability and driver: a plan depends on each of them."""
        found = installed_version(
            _PACKAGES, "TensorRT", "run in NVIDIA's container: docker compose run --rm build JOB"
        )
        return {"tensorrt": found, **gpu_fingerprint()}

    def cannot_run(self) -> str | None:
        return why_no_sessions()

    def check(self, manifest: Manifest) -> None:
        """Raises InputError where a plan was built by another version, or for another GPU."""
        built, here = manifest.fingerprint, self.fingerprint()
        options = TensorRtConfig.model_validate(manifest.options)
        was, now = built.get("tensorrt", ""), here["tensorrt"]
        # A version-compatible plan serves its major version.
        same = was.split(".")[0] == now.split(".")[0] if options.version_compatible else was == now
        if not same:
            raise InputError(
                f"the plan was built by TensorRT {was}, and {now} is installed: build it again"
            )
        key = {
            "none": "gpu",
            "same_compute_capability": "compute_capability",
            "ampere_plus": None,
        }[options.hardware_compatibility]
        if key is not None and key in here and built.get(key) != here[key]:
            raise InputError(
                f"the plan was built for {built.get(key, 'an unknown GPU')}, and this machine has "
                f"{here[key]}: build it here, or with hardware_compatibility"
            )

    def build(self, graph: Path, plan: Path, options: Strict) -> Build:
        self.fingerprint()
        if find_gpu() is None:
            raise InputError(
                f"TensorRT cannot build {graph.name} without an NVIDIA GPU: build on the machine "
                "that will run the plan, or use tensorrt_rtx, which needs none"
            )
        assert isinstance(options, TensorRtConfig)
        return build_plan("tensorrt", graph, plan, options)

    def open(
        self,
        plan: Path,
        *,
        threads: int = 0,  # noqa: ARG002
        manifest: Manifest | None = None,
    ) -> Session:
        reason = self.cannot_run()
        if reason is not None:
            raise InputError(
                f"plan {plan.name} cannot run here ({reason}): take it to a machine with its GPU, "
                "or choose openvino"
            )
        from tasks.runtimes.trt.session import open_plan

        options = TensorRtConfig.model_validate({} if manifest is None else manifest.options)
        return open_plan("tensorrt", plan, host_code=options.version_compatible)
