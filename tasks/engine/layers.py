"""What a plan is made of, whatever compiler made it."""

import tempfile
import zipfile
from pathlib import Path

from pydantic import ValidationError

from schemas.base import Target
from schemas.engine import (
    LayerTable,
    OpenVinoConfig,
    TensorRtConfig,
    TensorRtOptions,
    TensorRtRtxConfig,
)
from schemas.errors import InputError
from tasks.engine.build import build_engine
from tasks.runtimes.onnx_file import precision_of
from tasks.runtimes.plans import check_plan, layers_path, manifest_path, read_manifest
from tasks.runtimes.trt import inspector
from tasks.runtimes.trt.engine import layers_on_gpu


def default_options(target: Target) -> TensorRtOptions | OpenVinoConfig:
    """The options of a target as a job file without any has them."""
    if target == "tensorrt_rtx":
        return TensorRtRtxConfig()
    if target == "tensorrt":
        return TensorRtConfig()
    return OpenVinoConfig()


def layers_of(
    path: Path, *, target: Target = "openvino", profile: Path | None = None, calls: int = 0
) -> LayerTable:
    """The layers of a plan, an ONNX file or a compiler's own table.

    - ``.onnx``: compiled for ``target`` first.
    - ``.json``: what TensorRT's inspector or ``trtexec --exportLayerInfo`` wrote; ``profile`` adds
      the times of ``--exportProfile``.
    - anything else: a plan. OpenVINO's is opened, and timed over ``calls`` calls if there are any;
      TensorRT's table is the one that the build wrote beside it.

    Raises InputError where it is none of these.
    """
    if not path.is_file():
        raise InputError(f"no file {path}: check the path")
    if profile is not None and path.suffix != ".json":
        raise InputError(
            f"--profile: {path} is not the inspector's JSON: give that, or leave it out"
        )
    if path.suffix == ".json":
        return _from_json(path, profile)
    if path.suffix == ".onnx":
        with tempfile.TemporaryDirectory() as folder:
            plan = Path(folder) / "engine.plan"
            _, layers = build_engine(
                path, target, precision_of(path), default_options(target), plan
            )
            return _timed(layers, plan, calls) if target == "openvino" else layers
    host_code = False
    if manifest_path(path).is_file():
        manifest = read_manifest(path)
        check_plan(path, manifest)
        host_code = bool(manifest.options.get("version_compatible"))
    known = _beside(path)
    if zipfile.is_zipfile(path):
        return _timed(known, path, calls)
    return known or layers_on_gpu(path, host_code=host_code)


def _from_json(path: Path, profile: Path | None) -> LayerTable:
    text = path.read_text(errors="replace")
    try:
        return LayerTable.model_validate_json(text)
    except ValidationError:
        return inspector.read(path, profile)


def _beside(plan: Path) -> LayerTable | None:
    path = layers_path(plan)
    if not path.is_file():
        return None
    try:
        return LayerTable.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} is no table of layers: build the plan again") from error


def _timed(known: LayerTable | None, plan: Path, calls: int) -> LayerTable:
    """OpenVINO's layers as it runs them here, with the ONNX nodes that the build traced."""
    if calls == 0 and known is not None:
        return known
    from tasks.runtimes.openvino_times import measured_layers

    measured = measured_layers(plan, calls=calls)
    traced = {layer.name: layer for layer in known.layers} if known else {}
    layers = (
        layer.model_copy(
            update={
                "onnx_nodes": traced[layer.name].onnx_nodes,
                "onnx_ops": traced[layer.name].onnx_ops,
                "is_qdq": traced[layer.name].is_qdq,
            }
        )
        if layer.name in traced
        else layer
        for layer in measured.layers
    )
    return measured.model_copy(update={"layers": tuple(layers)})
