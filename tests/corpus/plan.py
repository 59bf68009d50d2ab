"""Plans, manifests and published runs with a fault, made once and copied."""

import json
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from schemas.base import Gate
from schemas.data import DataConfig
from schemas.engine import Manifest, OpenVinoConfig
from tasks.datasets.open import describe
from tasks.engine.build import build_engine
from tasks.publish.publish import package_run, publish
from tasks.runtimes.plans import manifest_path, sealed, write_beside
from tests.corpus.case import Given
from tests.corpus.image import encoded
from tests.corpus.job import text
from tests.profiling.conftest import small_network
from tests.publish.conftest import CLASSES, Run, deliver, make_run, tiny_network

Change = Callable[[Path], object]
MANIFEST = "net.plan.manifest.json"


@cache
def _shelf() -> tempfile.TemporaryDirectory[str]:
    """float.onnx, int8.onnx, flat.onnx and net.plan, for images of 3x8x8, five classes."""
    kept = tempfile.TemporaryDirectory()
    folder = Path(kept.name)
    small_network(folder / "float.onnx")
    small_network(folder / "int8.onnx", quantized=True)
    small_network(folder / "flat.onnx", flat=True)
    plan = folder / "net.plan"
    write_beside(
        plan, *build_engine(folder / "int8.onnx", "openvino", "int8", OpenVinoConfig(), plan)
    )
    return kept


def shelf(*names: str) -> Given:
    """Copies of those files."""

    def give(folder: Path) -> None:
        for name in names:
            shutil.copy(Path(_shelf().name) / name, folder / name)

    return give


def plan(change: Change | None = None) -> tuple[Given, ...]:
    """``net.plan`` with its manifest and layers after ``change``, and ``photos/0.png``."""
    files = shelf("net.plan", MANIFEST, "net.plan.layers.json")
    return files, photo(encoded("PNG", size=8)), change or (lambda _: None)


def photo(content: bytes, name: str = "0.png") -> Given:
    return text(f"photos/{name}", content)


def cut(folder: Path) -> None:
    whole = (folder / "net.plan").read_bytes()
    (folder / "net.plan").write_bytes(whole[: len(whole) // 2])


def flipped(folder: Path) -> None:
    """One bit of the plan is another."""
    whole = bytearray((folder / "net.plan").read_bytes())
    whole[len(whole) // 2] ^= 1
    (folder / "net.plan").write_bytes(whole)


def edited(folder: Path) -> None:
    """The manifest says something else than the build did."""
    file = folder / MANIFEST
    file.write_text(file.read_text().replace('"int8"', '"float32"'))


def resealed(**fields: Any) -> Change:
    """A manifest as another build would have written it."""

    def change(folder: Path) -> None:
        path = manifest_path(folder / "net.plan")
        manifest = Manifest.model_validate_json(path.read_bytes())
        path.write_text(sealed(manifest.model_copy(update=fields)).model_dump_json())

    return change


def of_rtx(version: str = "") -> Change:
    """A plan of TensorRT for RTX, of the version that is installed if none is given."""
    from tasks.runtimes.registry import runtime

    def change(folder: Path) -> None:
        made = {"tensorrt_rtx": version} if version else runtime("tensorrt_rtx").fingerprint()
        resealed(engine="tensorrt_rtx", fingerprint=made, options={})(folder)

    return change


def rubbish(folder: Path) -> None:
    """No plan at all, of the digest in its manifest."""
    import hashlib

    data = b"no plan" * 99
    (folder / "net.plan").write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    resealed(plan_sha256=digest, plan_bytes=len(data))(folder)


def manifest(content: str) -> Change:
    return lambda folder: (folder / MANIFEST).write_text(content)


def without_manifest(folder: Path) -> None:
    (folder / MANIFEST).unlink()


@cache
def _run() -> tuple[tempfile.TemporaryDirectory[str], Run]:
    """A store with a finished run of job ``tiny``."""
    kept = tempfile.TemporaryDirectory()
    root = Path(kept.name)
    for split in ("train", "test"):
        for number, name in enumerate(CLASSES):
            (root / "images" / split / name).mkdir(parents=True)
            image = Image.fromarray(np.full((24, 32, 3), 50 * number, np.uint8))
            image.save(root / "images" / split / name / "0.png")
    data = DataConfig.model_validate({"image_folder": {"path": root / "images"}})
    graph = tiny_network(root / "tiny.onnx")
    return kept, make_run(root / "store", graph, describe(data), "openvino")


def finished(change: Change | None = None, *gates: Gate) -> Given:
    """``store`` with the run, of which ``gates`` are all there are, after ``change``."""

    def give(folder: Path) -> None:
        from tasks.artifacts.store import Store

        _, run = _run()
        shutil.copytree(run.store.root, folder / "store")
        if gates:
            fields = {"gates": gates, "passed": all(gate.passed for gate in gates)}
            deliver(Store(folder / "store"), run.report.model_copy(update=fields))
        if change is not None:
            change(folder / "store")

    return give


def published(change: Change | None = None) -> Given:
    """The same, and the run published."""

    def give(folder: Path) -> None:
        from tasks.artifacts.store import Store

        finished()(folder)
        store, (_, run) = Store(folder / "store"), _run()
        packed = package_run(store, run.report, None)
        publish(store, packed, run.report, run.digest)
        if change is not None:
            change(folder / "store")

    return give


def without_version(store: Path) -> None:
    """What ``latest`` points at is removed."""
    (version,) = (store / "published/tiny/versions").iterdir()
    shutil.rmtree(version)


def without_a_file(store: Path) -> None:
    next((store / "published/tiny/versions").rglob("*.plan")).unlink()


def pointer(content: str) -> Change:
    return lambda store: (store / "published/tiny/latest.json").write_text(content)


def report(content: str) -> Change:
    return lambda store: (store / "runs/tiny/report.json").write_text(content)


def without_objects(store: Path) -> None:
    shutil.rmtree(store / "objects")
    (store / "objects").mkdir()


def layers(*rows: object) -> str:
    """What TensorRT's inspector writes of these layers."""
    return json.dumps({"Layers": rows, "Bindings": ["images", "logits"]})
