"""A builder's configuration from a job file's options."""

from typing import TYPE_CHECKING

from schemas.engine import ShapeRange, TensorRtConfig, TensorRtOptions, TensorRtRtxConfig
from schemas.errors import InputError, nearest
from tasks.runtimes.trt.module import TensorRtModule, name_and_version, sizes
from tasks.runtimes.trt.versions import set_compute_capabilities

if TYPE_CHECKING:
    import tensorrt


def configure(
    trt: TensorRtModule, config: "tensorrt.IBuilderConfig", options: TensorRtOptions
) -> None:
    """Set everything but profiles and timings. Raises InputError for what this version lacks."""
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace_bytes)
    if options.refit:
        config.set_flag(trt.BuilderFlag.REFIT)
    if options.sparse_weights:
        config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
    if isinstance(options, TensorRtRtxConfig):
        capabilities = (options.compute_capability, *options.also_compute_capabilities)
        set_compute_capabilities(trt, config, capabilities)
    if not isinstance(options, TensorRtConfig):
        return
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatibility != "none":
        level = options.hardware_compatibility.upper()
        if level not in trt.HardwareCompatibilityLevel.__members__:
            raise InputError(
                f"hardware_compatibility {options.hardware_compatibility} is not known to "
                f"{name_and_version(trt)}: leave it out or use a later version"
            )
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.__members__[level]


def add_profiles(
    trt: TensorRtModule,
    builder: "tensorrt.Builder",
    network: "tensorrt.INetworkDefinition",
    config: "tensorrt.IBuilderConfig",
    options: TensorRtOptions,
) -> None:
    """Optimization profiles for the inputs with dynamic dimensions, if there are any.

    Raises InputError where a profile names an input that is not there or does not fit its shape.
    """
    shapes = {
        tensor.name: sizes(tensor.shape)
        for tensor in (network.get_input(index) for index in range(network.num_inputs))
    }
    dynamic = {name: shape for name, shape in shapes.items() if -1 in shape}
    if not dynamic:
        return
    for ranges in options.profiles or (_batches(dynamic, options.batch_sizes),):
        _check(ranges, shapes, dynamic)
        profile = builder.create_optimization_profile()
        for name, given in ranges.items():
            profile.set_shape(name, *map(trt.Dims, (given.min, given.opt, given.max)))
        if config.add_optimization_profile(profile) < 0:
            raise InputError(f"TensorRT refuses the optimization profile {ranges}: widen it")


def _batches(
    dynamic: dict[str, tuple[int, ...]], batch_sizes: tuple[int, int, int]
) -> dict[str, ShapeRange]:
    for name, shape in dynamic.items():
        if -1 in shape[1:]:
            raise InputError(
                f"input {name} of shape {_spoken(shape)} has dynamic dimensions besides its "
                "first: give their sizes in the engine's profiles"
            )
    smallest, usual, largest = batch_sizes
    return {
        name: ShapeRange(
            min=(smallest, *shape[1:]), opt=(usual, *shape[1:]), max=(largest, *shape[1:])
        )
        for name, shape in dynamic.items()
    }


def _check(
    ranges: dict[str, ShapeRange],
    shapes: dict[str, tuple[int, ...]],
    dynamic: dict[str, tuple[int, ...]],
) -> None:
    for name, given in ranges.items():
        if name not in shapes:
            raise InputError(f"profiles: the graph has no input {name}: {nearest(name, shapes)}")
        shape = shapes[name]
        for size in (given.min, given.opt, given.max):
            fits = len(size) == len(shape) and all(
                want in (-1, got) for want, got in zip(shape, size, strict=True)
            )
            if not fits:
                raise InputError(
                    f"profiles: {_spoken(size)} does not fit input {name} of shape "
                    f"{_spoken(shape)}: give every dimension, the fixed ones as they are"
                )
    for name in dynamic:
        if name not in ranges:
            raise InputError(f"profiles: input {name} is dynamic and has no range: give it one")


def _spoken(shape: tuple[int, ...]) -> str:
    return "x".join("any" if size < 0 else str(size) for size in shape)
