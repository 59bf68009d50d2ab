#!/usr/bin/env python3
"""Answer images with a published network: python infer.py IMAGE_OR_FOLDER...

Needs NumPy, Pillow and the engine's own library, nothing else. What an image becomes before the
network sees it, and what the answers mean, is in manifest.json beside this file. Exit status: 0
all answered, 2 something given cannot be used; the images that can be are answered all the same.
"""

import argparse
import atexit
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Engine = Callable[[Floats], Floats]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
BATCH = 32


class UnusableError(Exception):
    """Something given cannot be used: one line saying what, and how to fix it."""


def find_images(given: Sequence[Path]) -> list[Path]:
    """The named files, and every image below the named folders, in order of their names."""
    found: list[Path] = []
    for path in given:
        if not path.exists():
            raise UnusableError(f"{path}: there is no such image or folder: check the path")
        if path.is_dir():
            inside = sorted(x for x in path.rglob("*") if x.suffix.lower() in SUFFIXES)
            if not inside:
                raise UnusableError(
                    f"{path}: no images in it: put some there ({', '.join(SUFFIXES)})"
                )
            found += inside
        else:
            found.append(path)
    return found


def prepare(path: Path, how: dict[str, Any], *, fit: bool = False) -> Floats:
    """An image file as the network takes it: ``float32[C, H, W]``.

    ``how`` is the manifest's ``preprocessing``. With ``fit`` an image of another size or mode is
    stretched and converted. Raises UnusableError.
    """
    channels, height, width = how["input_shape"]
    if how["mode"] is None:
        raise UnusableError(
            f"{path}: the network takes {channels} channels, which no image has: give it to a "
            "network of 1 or 3"
        )
    try:
        with Image.open(path) as encoded:
            image = _decode(encoded, how["mode"], convert=how["convert"] or fit)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnusableError(f"{path}: cannot be decoded ({error}): replace it") from error
    if image.mode != how["mode"]:
        raise UnusableError(
            f"{path}: has {len(image.getbands())} channels ({image.mode}) and the network takes "
            f"{channels} ({how['mode']}): convert it, or pass --fit"
        )
    if how["image_size"] is not None:
        image = _resize(image, how["image_size"], how["center_crop"])
    elif fit:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    if image.size != (width, height):
        raise UnusableError(
            f"{path}: is {image.height}x{image.width} pixels and the network takes "
            f"{height}x{width}: resize it, or pass --fit"
        )
    pixels = np.asarray(image)
    pixels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    mean = np.asarray(how["mean"], np.float32).reshape(-1, 1, 1)
    std = np.asarray(how["std"], np.float32).reshape(-1, 1, 1)
    # In this order, so that it equals what the network was evaluated on bit by bit.
    result = pixels.astype(np.float32)
    result *= np.float32(1 / 255) / std
    result -= mean / std
    return result


def _decode(encoded: Image.Image, mode: str, *, convert: bool) -> Image.Image:
    """The pixels, in ``mode`` if ``convert``; else only a palette is looked up."""
    if convert:
        # Of 16-bit grey the upper 8 bits, as tasks/datasets/depth.py.
        if encoded.mode.startswith("I;16"):
            encoded = Image.fromarray((np.asarray(encoded) >> 8).astype(np.uint8))
        if encoded.mode in ("I", "F"):
            raise ValueError(f"its pixels are of Pillow's mode {encoded.mode}, of 32 bits")
        return encoded.convert(mode)
    if encoded.mode == "1":
        return encoded.convert("L")
    return encoded.convert() if encoded.mode == "P" else encoded.copy()


def _resize(image: Image.Image, size: Sequence[int], center_crop: float | None) -> Image.Image:
    if center_crop is not None:
        scale = center_crop * min(image.height / size[0], image.width / size[1])
        height, width = max(1, round(scale * size[0])), max(1, round(scale * size[1]))
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return image.resize((size[1], size[0]), Image.Resampling.BILINEAR)


def answer(
    paths: Sequence[Path],
    how: dict[str, Any],
    classes: Sequence[str],
    engine: Engine,
    *,
    top: int = 5,
    fit: bool = False,
) -> Iterator[dict[str, Any]]:
    """One answer an image, in order: ``{"image", "top": [{"class", "label", "probability"}]}``.

    An image that cannot be used gets ``{"image", "error"}`` instead.
    """
    for start in range(0, len(paths), BATCH):
        part, images, errors = paths[start : start + BATCH], [], {}
        for path in part:
            try:
                images.append(prepare(path, how, fit=fit))
            except UnusableError as error:
                errors[path] = str(error)
        rows = iter(engine(np.stack(images)) if images else ())
        for path in part:
            if path in errors:
                yield {"image": str(path), "error": errors[path]}
            else:
                yield {"image": str(path), "top": _top(next(rows), classes, top)}


def _top(logits: Floats, classes: Sequence[str], top: int) -> list[dict[str, Any]]:
    exponents = np.exp(logits.astype(np.float64) - logits.max())
    probabilities = exponents / exponents.sum()
    # Stable, so that of equals the first wins, as in the evaluation.
    best = np.argsort(-logits, kind="stable")[:top]
    return [
        {"class": classes[i], "label": int(i), "probability": round(float(probabilities[i]), 6)}
        for i in best
    ]


def in_batches(call: Engine, size: int, smallest: int | None = None) -> Engine:
    """A network of batches of ``size`` for any number of images; the last batch is filled up.

    Up to ``smallest``, where it takes smaller ones down to that.
    """
    least = size if smallest is None else smallest

    def whole(batch: Floats) -> Floats:
        rows = []
        for start in range(0, len(batch), size):
            part = batch[start : start + size]
            missing = max(0, least - len(part))
            full = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
            rows.append(call(full)[: len(part)])
        return np.concatenate(rows)

    return whole


def read_ir(plan: Path) -> tuple[bytes, bytes]:
    """OpenVINO's ``model.xml`` and ``model.bin`` out of a plan, which is a ZIP file of both."""
    with zipfile.ZipFile(io.BytesIO(plan.read_bytes())) as archive:
        return archive.read("model.xml"), archive.read("model.bin")


def open_openvino(plan: Path) -> Engine:
    import openvino

    core: Any = openvino.Core()
    model = core.read_model(*read_ir(plan))
    shape = model.inputs[0].get_partial_shape()
    # Whatever is not quantized in float32, also where the processor knows bfloat16.
    properties = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = core.compile_model(model, "CPU", properties)

    def call(batch: Floats) -> Floats:
        return np.array(compiled(batch)[0], np.float32)

    return call if shape[0].is_dynamic else in_batches(call, shape[0].get_length())


def open_onnxruntime(plan: Path) -> Engine:
    import onnxruntime

    session: Any = onnxruntime.InferenceSession(str(plan), providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]

    def call(batch: Floats) -> Floats:
        result: Floats = session.run(None, {given.name: batch})[0]
        return result

    return in_batches(call, given.shape[0]) if isinstance(given.shape[0], int) else call


def open_tensorrt(plan: Path, module: str = "tensorrt") -> Engine:
    """A plan of TensorRT, or of TensorRT for RTX; memory and stream through pycuda."""
    import importlib

    trt: Any = importlib.import_module(module)
    cuda: Any = importlib.import_module("pycuda.driver")
    cuda.init()
    cuda.Device(0).retain_primary_context().push()
    # pycuda aborts the process that ends with a context on its stack.
    atexit.register(cuda.Context.pop)
    runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
    # A version-compatible plan has TensorRT's lean runtime in it, which is code for the CPU.
    if _built_with(plan).get("version_compatible"):
        runtime.engine_host_code_allowed = True
    network = runtime.deserialize_cuda_engine(plan.read_bytes())
    if network is None:
        raise UnusableError(
            f"{plan}: {module} cannot load it here: take it to the GPU and version it was built "
            "for, or build it again"
        )
    execution, stream = network.create_execution_context(), cuda.Stream()
    names = [network.get_tensor_name(i) for i in range(network.num_io_tensors)]
    given = next(x for x in names if network.get_tensor_mode(x) == trt.TensorIOMode.INPUT)
    wanted = next(x for x in names if x != given)

    def once(batch: Floats) -> Floats:
        if not execution.set_input_shape(given, batch.shape):
            raise UnusableError(
                f"{plan}: {module} takes no {'x'.join(map(str, batch.shape))} images: build it "
                "with an optimization profile for them"
            )
        result = np.empty(tuple(execution.get_tensor_shape(wanted)), np.float32)
        source, target = cuda.mem_alloc(batch.nbytes), cuda.mem_alloc(result.nbytes)
        execution.set_tensor_address(given, int(source))
        execution.set_tensor_address(wanted, int(target))
        cuda.memcpy_htod_async(source, np.ascontiguousarray(batch), stream)
        if not execution.execute_async_v3(stream.handle):
            raise UnusableError(
                f"{plan}: {module} did not run it, for the reason that it printed: remove that, "
                "or take another --engine"
            )
        cuda.memcpy_dtoh_async(result, target, stream)
        stream.synchronize()
        return result

    size = network.get_tensor_shape(given)[0]
    if size > 0:
        return in_batches(once, size)
    smallest, _, largest = (shape[0] for shape in network.get_tensor_profile_shape(given, 0))
    return in_batches(once, largest, smallest)


def _built_with(plan: Path) -> dict[str, Any]:
    """The options that a plan was built with, from its own manifest beside it."""
    manifest = plan.with_name(f"{plan.name}.manifest.json")
    if not manifest.is_file():
        return {}
    options: dict[str, Any] = json.loads(manifest.read_text(encoding="utf-8"))["options"]
    return options


OPENERS: dict[str, Callable[[Path], Engine]] = {
    "openvino": open_openvino,
    "onnxruntime": open_onnxruntime,
    "tensorrt": open_tensorrt,
    "tensorrt_rtx": lambda plan: open_tensorrt(plan, "tensorrt_rtx"),
}


def show(answers: Iterator[dict[str, Any]], *, as_json: bool, program: str = "infer.py") -> int:
    """Print the answers as they come; the exit status."""
    kept, failed = [], False
    for item in answers:
        failed |= "error" in item
        if as_json:
            kept.append(item)
        elif "error" in item:
            print(f"{program}: {item['error']}", file=sys.stderr)
        else:
            best = (f"{x['class']} {x['probability']:.3f}" for x in item["top"])
            print(f"{item['image']}  {', '.join(best)}", flush=True)
    if as_json:
        print(json.dumps(kept, indent=2))
    return 2 if failed else 0


def main() -> int:
    """Open the manifest's engine and answer the images named on the command line."""
    here = Path(__file__).resolve().parent
    manifest = json.loads((here / "manifest.json").read_text(encoding="utf-8"))
    engines = {x["engine"]: x["file"] for x in manifest["engines"]}
    parser = argparse.ArgumentParser(description=f"Answer images with {manifest['job']}.")
    parser.add_argument("images", nargs="+", type=Path, help="image files, or folders of them")
    parser.add_argument("--engine", choices=engines, default=next(iter(engines)))
    parser.add_argument("--top", type=int, default=5, help="how many classes to name")
    parser.add_argument("--fit", action="store_true", help="stretch and convert what does not fit")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    try:
        paths = find_images(given.images)
        engine = OPENERS[given.engine](here / engines[given.engine])
        how, classes = manifest["preprocessing"], manifest["classes"]
        answers = answer(paths, how, classes, engine, top=given.top, fit=given.fit)
        return show(answers, as_json=given.json)
    except (UnusableError, ImportError) as error:
        print(f"infer.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
