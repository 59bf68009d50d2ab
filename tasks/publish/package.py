"""Everything that a published version holds, put together in the store."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.artifact import ArtifactRef
from schemas.base import Strict, Target
from schemas.data import DataRef
from schemas.engine import LayerTable, Manifest
from schemas.errors import InputError
from schemas.evaluate import Accuracy
from schemas.publish import (
    Package,
    Preprocessing,
    PublishConfig,
    Served,
    ServedEngine,
    Version,
)
from tasks.artifacts.store import Store
from tasks.publish import standalone, triton
from tasks.runtimes.plans import layers_path, manifest_path, sealed
from tasks.runtimes.registry import runtime


@dataclass(frozen=True)
class Engine:
    """An engine to publish: its plan, and the graph that it was compiled from."""

    plan: ArtifactRef
    graph: ArtifactRef
    manifest: Manifest
    layers: LayerTable
    evaluated_as: tuple[str, ...]
    """What the run may have measured its accuracy as, the best first."""


def built_engine(
    plan: ArtifactRef, graph: ArtifactRef, manifest: Manifest, layers: LayerTable
) -> Engine:
    """An engine as the job built it: its INT8 plan, or the FP32 one."""
    target = manifest.engine
    if manifest.precision == "float32":
        return Engine(plan, graph, manifest, layers, ("torch float32",))
    # Where the engine does not run, the run evaluated the graph that it was compiled from.
    return Engine(plan, graph, manifest, layers, (f"{target} int8", f"onnx for {target}"))


def package(
    store: Store,
    job: str,
    config: PublishConfig,
    data: DataRef,
    engines: Sequence[Engine],
    accuracies: Sequence[Accuracy],
) -> Package:
    """Put a version's files into the store; equal content gives an equal version.

    Raises InputError where ``config`` asks for an engine that is not there.
    """
    files: dict[str, ArtifactRef] = {}
    served = [
        _add(store, job, config, engine, accuracies, data.classes, files)
        for engine in _wanted(store, config, engines)
    ]
    manifest = Served(
        job=job, classes=data.classes, preprocessing=preprocessing(data), engines=tuple(served)
    )
    if "folder" in config.formats:
        files["folder/manifest.json"] = store.put_model("served", manifest)
        files["folder/labels.txt"] = store.put_bytes(
            "labels", triton.labels_of(data.classes).encode(), ".txt"
        )
        files["folder/infer.py"] = store.put_file("script", Path(standalone.__file__))
    version = Version(served=manifest, files={path: ref.sha256 for path, ref in files.items()})
    ref = store.put_model("version", version)
    return Package(version=ref.sha256[:16], formats=config.formats, manifest=ref, files=files)


def preprocessing(data: DataRef) -> Preprocessing:
    """What the dataset does to an image, for images that come from elsewhere."""
    config = data.config
    modes: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}
    folder = config.image_folder
    return Preprocessing(
        input_shape=data.input_shape,
        mode=folder.mode if folder is not None else modes.get(data.input_shape[0]),
        convert=folder is not None,
        image_size=config.image_size,
        center_crop=config.center_crop,
        mean=config.mean,
        std=config.std,
    )


def check_engines(config: PublishConfig, built: Sequence[Target]) -> None:
    """Raises InputError where ``config`` asks for an engine that the job does not build."""
    for target in config.engines or ():
        if target not in (*built, "onnxruntime"):
            raise InputError(
                f"publish.engines names {target}, which the job does not build: add "
                f"engines.{target}, or name some of {', '.join((*built, 'onnxruntime'))}"
            )


def _wanted(store: Store, config: PublishConfig, engines: Sequence[Engine]) -> list[Engine]:
    check_engines(config, [engine.manifest.engine for engine in engines])
    if config.engines is None:
        return list(engines)
    found = {engine.manifest.engine: engine for engine in engines}
    return [
        _as_graph(store, engines[0]) if target == "onnxruntime" else found[target]
        for target in config.engines
    ]


def _as_graph(store: Store, engine: Engine) -> Engine:
    """The graph that was compiled, itself as a plan of ONNX Runtime."""
    reference, graph = runtime("onnxruntime"), store.open(engine.graph)
    with store.workspace() as folder:
        built = reference.build(graph, folder / "model.onnx", Strict())
    manifest = engine.manifest.model_copy(
        update={
            "engine": "onnxruntime",
            "plan_sha256": engine.graph.sha256,
            "plan_bytes": graph.stat().st_size,
            "fingerprint": reference.fingerprint(),
            "options": {},
            "inputs": built.inputs,
            "outputs": built.outputs,
            "build_s": 0.0,
            "peak_memory_bytes": None,
            "unquantized_nodes": (),
            "contract": (),
        }
    )
    return Engine(
        engine.graph, engine.graph, sealed(manifest), built.layers, engine.evaluated_as[-1:]
    )


def _add(
    store: Store,
    job: str,
    config: PublishConfig,
    engine: Engine,
    accuracies: Sequence[Accuracy],
    classes: Sequence[str],
    files: dict[str, ArtifactRef],
) -> ServedEngine:
    """Add one engine's files, by path; what the manifest says of it."""
    target, manifest = engine.manifest.engine, engine.manifest
    file = name = left_out = None
    if "folder" in config.formats:
        file = f"{target}.onnx" if target == "onnxruntime" else f"{target}.plan"
        plan = Path("folder") / file
        files[plan.as_posix()] = engine.plan
        files[manifest_path(plan).as_posix()] = store.put_model("manifest", manifest)
        files[layers_path(plan).as_posix()] = store.put_model("layers", engine.layers)
    if "triton" in config.formats:
        left_out = triton.why_not(target)
        if left_out is None:
            name = triton.model_name(job, target)
            _add_triton(store, job, config, engine, classes, files)
    return ServedEngine(
        engine=target,
        precision=manifest.precision,
        file=file,
        triton_model=name,
        left_out=left_out,
        plan_sha256=manifest.plan_sha256,
        top1=_top1(engine, accuracies),
    )


def _add_triton(
    store: Store,
    job: str,
    config: PublishConfig,
    engine: Engine,
    classes: Sequence[str],
    files: dict[str, ArtifactRef],
) -> None:
    target = engine.manifest.engine
    top = f"triton/{triton.model_name(job, target)}"
    text = triton.config_of(job, engine.manifest, config.triton)
    files[f"{top}/config.pbtxt"] = store.put_bytes("triton-config", text.encode(), ".pbtxt")
    labels = triton.labels_of(classes).encode()
    files[f"{top}/{triton.LABELS}"] = store.put_bytes("labels", labels, ".txt")
    for name, content in triton.model_files(target, store.open(engine.plan)).items():
        path = f"{top}/{triton.VERSION}/{name}"
        if isinstance(content, bytes):
            files[path] = store.put_bytes("triton-model", content, Path(name).suffix)
        else:
            files[path] = engine.plan


def _top1(engine: Engine, accuracies: Sequence[Accuracy]) -> float | None:
    found = {accuracy.name: accuracy.top1 for accuracy in accuracies}
    return next((found[name] for name in engine.evaluated_as if name in found), None)
