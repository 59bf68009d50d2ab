"""A model repository for Triton Inference Server.

Layout, per model: ``<name>/config.pbtxt``, ``<name>/labels.txt``, ``<name>/1/<model file>``, as the
server's "Model Repository" and "Model Configuration" documents describe; the fields are those of
``model_config.proto``.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from schemas.base import Target
from schemas.engine import Manifest, TensorInfo
from schemas.errors import InputError
from schemas.publish import TritonConfig
from tasks.publish.standalone import read_ir

DTYPES = {
    "float32": "TYPE_FP32",
    "float16": "TYPE_FP16",
    "int8": "TYPE_INT8",
    "uint8": "TYPE_UINT8",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
}
LABELS = "labels.txt"
VERSION = "1"
"""Each published version is a repository of its own, so that its models need no second number."""


def model_name(job: str, target: Target) -> str:
    """A model's name in the repository, which is its folder's and what clients ask for."""
    return f"{job}-{target}"


def why_not(target: Target) -> str | None:
    """Why Triton cannot serve an engine; None where it can."""
    if target == "tensorrt_rtx":
        return "no backend of Triton loads plans of TensorRT for RTX"
    return None


def model_files(target: Target, model: Path) -> dict[str, bytes | Path]:
    """What lies in the model's version folder, as the backend's default file names want it."""
    if target == "openvino":
        xml, weights = read_ir(model)
        return {"model.xml": xml, "model.bin": weights}
    return {"model.plan" if target == "tensorrt" else "model.onnx": model}


def config_of(job: str, manifest: Manifest, config: TritonConfig) -> str:
    """``config.pbtxt`` of one engine.

    Raises InputError where a tensor has a type that Triton's configuration does not know.
    """
    target = manifest.engine
    # A fixed batch is part of the shape for Triton, and cannot be put together from requests; only
    # the OpenVINO backend sets the batch itself.
    free = (-1, 1) if target == "openvino" else (-1,)
    batched = all(x.shape[0] in free for x in (*manifest.inputs, *manifest.outputs))
    most = _max_batch(manifest, config) if batched else 0
    lines = [f"name: {_quoted(model_name(job, target))}", *_backend(target)]
    lines.append(f"max_batch_size: {most}")
    for tensor in manifest.inputs:
        # The optional format field would hold clients to what the dims say already.
        lines += _block("input", _tensor(tensor, batched))
    for tensor in manifest.outputs:
        lines += _block("output", [*_tensor(tensor, batched), f"label_filename: {_quoted(LABELS)}"])
    lines.append("version_policy { latest { num_versions: 1 } }")
    if most > 1:
        lines += _block("dynamic_batching", _batching(most, config))
    lines += _block("instance_group", _instances(manifest, config))
    lines += _parameters(target, config)
    lines += _block("metric_tags", ['key: "plan"', f"value: {_quoted(manifest.plan_sha256[:16])}"])
    return "\n".join(lines) + "\n"


def labels_of(classes: Sequence[str]) -> str:
    """One class a line, in label order, as Triton's classification extension reads them."""
    return "".join(f"{' '.join(name.split())}\n" for name in classes)


def _backend(target: Target) -> list[str]:
    # TensorRT is asked for by platform, which every release of Triton understands.
    if target == "tensorrt":
        return ['platform: "tensorrt_plan"']
    return [f"backend: {_quoted(target)}"]


def _max_batch(manifest: Manifest, config: TritonConfig) -> int:
    if manifest.engine == "openvino":
        # The OpenVINO backend reshapes the model to this size and computes no other; one image at
        # a time is then the fastest plan, and instances make use of the other cores.
        return 1
    if manifest.engine == "tensorrt":
        return min(config.max_batch_size, _largest_of_plan(manifest))
    return config.max_batch_size


def _largest_of_plan(manifest: Manifest) -> int:
    """The largest batch in any of the plan's optimization profiles."""
    profiles, name = manifest.options.get("profiles"), manifest.inputs[0].name
    if isinstance(profiles, list) and profiles:
        ranges = [x[name] for x in profiles if isinstance(x, dict) and name in x]
        sizes = [x["max"] for x in ranges if isinstance(x, dict)]
        return max(int(str(x[0])) for x in sizes if isinstance(x, list))
    batches = manifest.options["batch_sizes"]
    assert isinstance(batches, list)
    return int(str(batches[2]))


def _tensor(tensor: TensorInfo, batched: bool) -> list[str]:
    if tensor.dtype not in DTYPES:
        raise InputError(
            f"tensor {tensor.name} is {tensor.dtype}, which Triton's configuration has no word "
            f"for here ({', '.join(DTYPES)}): leave triton out of publish.formats"
        )
    dims = tensor.shape[1:] if batched else tensor.shape
    return [
        f"name: {_quoted(tensor.name)}",
        f"data_type: {DTYPES[tensor.dtype]}",
        f"dims: {list(dims)}",
    ]


def _batching(most: int, config: TritonConfig) -> list[str]:
    sizes = [size for size in config.preferred_batch_sizes if size <= most]
    preferred = [f"preferred_batch_size: {sizes}"] if sizes else []
    return [*preferred, f"max_queue_delay_microseconds: {config.max_queue_delay_us}"]


def _instances(manifest: Manifest, config: TritonConfig) -> list[str]:
    kind = "KIND_GPU" if manifest.engine == "tensorrt" else "KIND_CPU"
    lines = [f"count: {config.instances}", f"kind: {kind}"]
    profiles = manifest.options.get("profiles")
    if isinstance(profiles, list) and len(profiles) > 1:
        lines += [f"profile: {_quoted(str(index))}" for index in range(len(profiles))]
    return lines


def _parameters(target: Target, config: TritonConfig) -> list[str]:
    if target != "openvino":
        return []
    # One stream for each instance: a request then waits for no other's kernels.
    hint = "LATENCY" if config.instances == 1 else "THROUGHPUT"
    return _string_parameters({"NUM_STREAMS": str(config.instances), "PERFORMANCE_HINT": hint})


def _string_parameters(values: Mapping[str, str]) -> list[str]:
    lines: list[str] = []
    for key, value in values.items():
        inner = [f"key: {_quoted(key)}", f"value {{ string_value: {_quoted(value)} }}"]
        lines += _block("parameters", inner)
    return lines


def _block(name: str, lines: Iterable[str]) -> list[str]:
    return [f"{name} {{", *(f"  {line}" for line in lines), "}"]


def _quoted(text: str) -> str:
    """A string of protobuf's text format; what is not plain ASCII as octal bytes."""
    plain = {ord('"'): '\\"', ord("\\"): "\\\\"}
    return (
        '"'
        + "".join(
            plain.get(byte, chr(byte) if 32 <= byte < 127 else f"\\{byte:03o}")
            for byte in text.encode()
        )
        + '"'
    )
