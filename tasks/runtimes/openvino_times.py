"""How long each layer of an OpenVINO plan takes."""

from pathlib import Path
from typing import Any

import numpy as np

from schemas.engine import LayerTable
from tasks.runtimes.openvino import compiled_for_timing
from tasks.runtimes.openvino_layers import layer_table

_WARMUP_CALLS = 10


def measured_layers(plan: Path, *, calls: int = 50, threads: int = 1) -> LayerTable:
    """The layers of a plan for one image, with the median time of each over ``calls`` calls.

    Timing the layers slows the network down as a whole: compare shares, not sums.
    ``calls`` 0 gives the layers alone.
    """
    compiled: Any = compiled_for_timing(plan, threads)
    table = layer_table(compiled.get_runtime_model())
    if calls == 0:
        return table
    request = compiled.create_infer_request()
    times: dict[str, list[float]] = {}
    for call in range(_WARMUP_CALLS + calls):
        request.infer()
        if call >= _WARMUP_CALLS:
            for info in request.profiling_info:
                times.setdefault(info.node_name, []).append(info.real_time.total_seconds() * 1e3)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    layers = (x.model_copy(update={"time_ms": medians.get(x.name)}) for x in table.layers)
    return table.model_copy(update={"layers": tuple(layers)})
