"""Which work must be alone on its machine, so that no two runs measure each other."""

import os
from functools import cache
from typing import Any

from flows.server import has_lasting_server
from tasks.runtimes.gpu import find_gpu

GPU, TIMING = "gpu", "timing"
"""The limits that ``enginesmith deploy`` makes, one slot each: a GPU, and a CPU being timed."""

LIMIT_VARIABLES = {GPU: "ENGINESMITH_GPU_LIMIT", TIMING: "ENGINESMITH_TIMING_LIMIT"}
"""A second machine's worker names limits of its own here."""

GPU_TARGETS = {"tensorrt", "tensorrt_rtx"}
ON_A_GPU_WHERE_THERE_IS_ONE = {"train", "calibrate"}


def limit_of(stage: str, task: str, arguments: tuple[Any, ...]) -> str | None:
    """The concurrency limit that a stage's work holds while it runs, or None.

    Only where the server outlives the run: on a server of its own nobody else is there to wait for.
    """
    if not has_lasting_server():
        return None
    kind = _kind_of(stage, task, {a for a in arguments if isinstance(a, str)})
    return kind and os.environ.get(LIMIT_VARIABLES[kind], kind)


def _kind_of(stage: str, task: str, words: set[str]) -> str | None:
    # TensorRT times its tactics on the GPU while it builds; TensorRT for RTX builds without one.
    on_gpu = (
        stage in ON_A_GPU_WHERE_THERE_IS_ONE
        or (stage == "engine" and "tensorrt" in words)
        or ((stage == "profiling" or task == "predict_engine") and words & GPU_TARGETS)
    )
    if on_gpu and _has_gpu():
        return GPU
    return TIMING if stage == "profiling" else None


@cache
def _has_gpu() -> bool:
    return find_gpu() is not None
