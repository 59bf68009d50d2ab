"""Everything in which TensorRT 10, TensorRT 11 and TensorRT for RTX differ, in one place."""

from typing import Any

from schemas.errors import InputError
from tasks.runtimes.trt.module import TensorRtModule, name_and_version

# The inspector's list of a plan's inputs and outputs: up to 10, and from 11 on.
IO_KEYS = ("Bindings", "I/O Tensors")
# A tensor's precision: in one phrase with its format up to 10, then a key of its own.
DTYPE_AND_FORMAT_KEYS = ("Format/Datatype",)
DTYPE_KEYS = ("Datatype", "DataType")
FORMAT_KEYS = ("Format",)


def is_rtx(trt: TensorRtModule) -> bool:
    """Only TensorRT for RTX compiles for GPUs that are not there."""
    return hasattr(trt, "ComputeCapability")


def network_flags(trt: TensorRtModule) -> int:
    """The bit mask for a strongly typed network; the flag's value differs between the three.

    TensorRT 11 has no other networks left, and may drop the flag as it dropped weak typing's.
    """
    flag = getattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    return 0 if flag is None else 1 << int(flag)


def set_compute_capabilities(
    trt: TensorRtModule, config: Any, capabilities: tuple[str, ...]
) -> None:
    """Compile for these GPU generations. Raises InputError for one that is not known."""
    enum: Any = getattr(trt, "ComputeCapability")  # noqa: B009 - not in TensorRT, nor in its stubs
    known = {
        f"{name[2:-1]}.{name[-1]}": getattr(enum, name)
        for name in dir(enum)
        if name.startswith("SM")
    }
    config.num_compute_capabilities = len(capabilities)
    for index, capability in enumerate(capabilities):
        if capability not in known:
            raise InputError(
                f"compute_capability {capability} is not one that {name_and_version(trt)} "
                f"compiles for: choose from {', '.join(sorted(known, key=float))}"
            )
        config.set_compute_capability(known[capability], index)


def validity(trt: TensorRtModule, runtime: Any, plan: bytes) -> tuple[bool, list[str]]:
    """Whether a plan's header fits this library and GPU, and the names of what does not.

    TensorRT itself cannot tell before it loads the plan: then there is nothing to name.
    """
    if not hasattr(runtime, "get_engine_validity"):
        return True, []
    verdict, bits = runtime.get_engine_validity(plan)
    names: Any = getattr(trt, "EngineInvalidityDiagnostics").__members__  # noqa: B009 - as above
    found = [name for name, member in names.items() if int(bits) & int(member)]
    return verdict.name != "INVALID", found
