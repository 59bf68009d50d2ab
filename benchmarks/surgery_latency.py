"""How long OpenVINO takes for several graphs of one network: alternating blocks, one process."""

import time
from pathlib import Path
from typing import Any

import numpy as np

UNMEASURED, MEASURED = 15, 60
LEAST_ROUNDS = 6


def latencies(
    files: dict[str, Path],
    pairs: tuple[tuple[str, str], ...],
    image: "np.ndarray[Any, Any]",
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    """``models``: each one's median in ms and what its two loadings differ by. ``ratios``, by "ours
    over theirs": the median over rounds, its 95 % interval, and whether the kernels are the same.

    ``image: float32[1, 3, H, W]``. After ``seconds`` no further round begins, but for the least.
    """
    loaded = [(label, compiled(file)) for label, file in [*files.items(), *reversed(files.items())]]
    requests = [(label, network.create_infer_request()) for label, network in loaded]
    blocks: dict[str, list[list[float]]] = {label: [] for label in files}
    begin = time.perf_counter()
    for done in range(rounds):
        if done >= LEAST_ROUNDS and time.perf_counter() - begin > seconds:
            break
        for found in blocks.values():
            found.append([])
        for label, request in requests:
            blocks[label][-1].append(_block_ms(request, image))
    times = {label: np.array(found) for label, found in blocks.items()}
    executed = {label: kernels(network) for label, network in loaded}
    return {
        "rounds": len(next(iter(times.values()))),
        "models": {
            label: {
                "median_ms": float(np.median(found)),
                "two_loadings_apart": float(np.median(np.abs(found[:, 0] / found[:, 1] - 1))),
            }
            for label, found in times.items()
        },
        "ratios": {
            f"{ours} over {theirs}": {
                **_ratio(times[ours].mean(1) / times[theirs].mean(1)),
                "same_kernels": executed[ours] == executed[theirs],
            }
            for ours, theirs in pairs
        },
    }


def _block_ms(request: Any, image: "np.ndarray[Any, Any]") -> float:
    """The median of a block of calls, the first of them unmeasured."""
    times = []
    for call in range(UNMEASURED + MEASURED):
        start = time.perf_counter()
        request.infer({0: image})
        if call >= UNMEASURED:
            times.append(time.perf_counter() - start)
    return 1e3 * float(np.median(times))


def _ratio(rounds: "np.ndarray[Any, Any]") -> dict[str, Any]:
    """The median, and its binomial interval by the ranks of what was measured."""
    ordered, count = np.sort(rounds), len(rounds)
    rank = max(int(count / 2 - 0.98 * count**0.5), 0)
    return {
        "median": float(np.median(ordered)),
        "interval": [float(ordered[rank]), float(ordered[-1 - rank])],
    }


def compiled(graph: Path) -> Any:
    """OpenVINO's network of a graph: one thread, float32 for the unquantized rest."""
    import openvino

    options = {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
    }
    return openvino.Core().compile_model(str(graph), "CPU", options)


def kernels(network: Any) -> list[tuple[str, ...]]:
    """What a compiled model runs, in order: type, precision, layout and implementation of each."""
    keys = ("layerType", "outputPrecisions", "outputLayouts", "primitiveType")
    return [
        tuple(operation.get_rt_info()[key].astype(str) for key in keys)
        for operation in network.get_runtime_model().get_ordered_ops()
    ]
