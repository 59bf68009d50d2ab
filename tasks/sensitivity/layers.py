"""Layer by layer: how far INT8 in PyTorch, the repaired graph and the engine are from FP32."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from schemas.base import Target
from schemas.errors import InputError
from schemas.sensitivity import LayerError, LayerErrors
from tasks.sensitivity.match import Spot, matched, spots
from tasks.sensitivity.values import Reader, Values, read_by_onnxruntime, read_by_openvino

BATCH = 4
SAME_DB = 30.0
"""From here on two INT8 forms count as the same: they differ in what rounds which way."""
LOUDEST_DB = 120.0
"""What equal tensors are given; float32 itself ends at about 140."""


def layer_error(
    float32: Path,
    exported: Path,
    repaired: Path,
    images: NDArray[np.float32],
    target: Target,
) -> LayerErrors:
    """Every layer's signal to noise, from the three graphs of a run and some images.

    ``float32`` and ``exported`` are PyTorch's exports of the FP32 and the INT8 network,
    ``repaired`` the graph that ``target`` compiles; ``images: float32[N, C, H, W]``. OpenVINO's
    engine is run itself. Raises InputError where the graphs share no layer.
    """
    models = {"float32": onnx.load(float32), "int8": onnx.load(exported)}
    models["graph"] = onnx.load(repaired)
    known = spots(models["float32"])
    tensors = {form: matched(known, spots(models[form])) for form in ("int8", "graph")}
    shared = [spot for spot in known if any(spot.tensor in t for t in tensors.values())]
    if not shared:
        raise InputError(
            "layer by layer: the FP32 and the INT8 graph share no layer: export both from the same "
            "network"
        )
    readers: dict[str, Reader] = {
        "float32": read_by_onnxruntime(models["float32"], [s.tensor for s in shared])
    }
    for form, names in tensors.items():
        readers[form] = read_by_onnxruntime(models[form], list(dict.fromkeys(names.values())))
    if target == "openvino":
        tensors["engine"] = tensors["graph"]
        readers["engine"] = read_by_openvino(
            repaired, list(dict.fromkeys(tensors["graph"].values()))
        )
    sums = {spot.tensor: _Sums() for spot in shared}
    batch = _fixed_batch(models["float32"]) or BATCH
    used = 0
    for start in range(0, len(images) - batch + 1, batch):
        part = images[start : start + batch]
        values = {form: reader(part) for form, reader in readers.items()}
        used += len(part)
        for spot in shared:
            sums[spot.tensor].add(_of_spot(spot, values, tensors))
    if not used:
        raise InputError(
            f"layer by layer: the graphs take {batch} images, {len(images)} are given: set "
            "export.dynamic_batch, or give more images"
        )
    layers = tuple(sums[spot.tensor].error(spot) for spot in shared)
    return _judged(target, used, layers)


def _of_spot(
    spot: Spot, values: dict[str, Values], tensors: dict[str, dict[str, str]]
) -> dict[str, NDArray[np.float32]]:
    """One layer's output in every form that has it."""
    found = {"float32": values["float32"][spot.tensor]}
    for form, names in tensors.items():
        if spot.tensor in names:
            found[form] = values[form][names[spot.tensor]]
    return found


@dataclass
class _Sums:
    """Powers of one layer's signal and noises so far."""

    signal: float = 0.0
    int8_signal: float = 0.0
    noise: dict[str, float] = field(default_factory=dict)

    def add(self, outputs: dict[str, NDArray[np.float32]]) -> None:
        wanted = outputs["float32"].astype(np.float64)
        self.signal += float(np.square(wanted).sum())
        for form in ("int8", "graph", "engine"):
            if form in outputs and outputs[form].size == wanted.size:
                self._count(form, outputs[form].reshape(wanted.shape) - wanted)
        last = outputs.get("engine", outputs.get("graph"))
        int8 = outputs.get("int8")
        if last is not None and int8 is not None and last.size == int8.size:
            self.int8_signal += float(np.square(int8.astype(np.float64)).sum())
            self._count("between", last.reshape(int8.shape).astype(np.float64) - int8)

    def _count(self, form: str, difference: NDArray[np.float64]) -> None:
        power = float(np.square(difference).sum())
        self.noise[form] = self.noise.get(form, 0.0) + power

    def error(self, spot: Spot) -> LayerError:
        return LayerError(
            name=spot.name,
            op=spot.op,
            int8_db=self._db("int8", self.signal),
            graph_db=self._db("graph", self.signal),
            engine_db=self._db("engine", self.signal),
            engine_to_int8_db=self._db("between", self.int8_signal),
        )

    def _db(self, form: str, signal: float) -> float | None:
        if form not in self.noise:
            return None
        noise = self.noise[form]
        if noise <= signal * 10 ** (-LOUDEST_DB / 10):
            return LOUDEST_DB
        return 10 * math.log10(signal / noise) if signal > 0 else -LOUDEST_DB


def _judged(target: Target, images: int, layers: Sequence[LayerError]) -> LayerErrors:
    """Where the error enters, and where the engine leaves PyTorch's INT8 network."""
    findings = []
    enters_at = None
    falls = [
        (before.int8_db - after.int8_db, after)
        for before, after in itertools.pairwise(layers)
        if before.int8_db is not None and after.int8_db is not None
    ]
    if falls:
        fall, where = max(falls, key=lambda entry: entry[0])
        if fall > 0:
            enters_at = where.name
            findings.append(
                f"most error enters at {where.name}: {where.int8_db:.1f} dB after "
                f"{where.int8_db + fall:.1f} dB"  # type: ignore[operator]
            )
    diverging = [
        x for x in layers if x.engine_to_int8_db is not None and x.engine_to_int8_db < SAME_DB
    ]
    form = "engine" if any(x.engine_db is not None for x in layers) else "graph"
    if diverging:
        findings.append(
            f"the {target} {form} first differs from PyTorch's INT8 network at "
            f"{diverging[0].name}: {diverging[0].engine_to_int8_db:.1f} dB apart"
        )
    else:
        findings.append(
            f"the {target} {form} is PyTorch's INT8 network in every layer, within {SAME_DB:g} dB"
        )
    return LayerErrors(
        target=target,
        images=images,
        layers=tuple(layers),
        enters_at=enters_at,
        diverges_at=diverging[0].name if diverging else None,
        findings=tuple(findings),
    )


def _fixed_batch(model: onnx.ModelProto) -> int | None:
    size = model.graph.input[0].type.tensor_type.shape.dim[0]
    return int(size.dim_value) if size.HasField("dim_value") else None
