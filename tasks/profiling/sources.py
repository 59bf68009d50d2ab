"""Contenders from what a user has: ONNX files, plans, and folders of plans."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from schemas.base import Target
from schemas.engine import TensorInfo
from schemas.errors import InputError
from tasks.profiling.contenders import Contender, graph_contender, plan_contender
from tasks.profiling.resize import graph_at_size
from tasks.runtimes.onnx_file import precision_of, read_structure
from tasks.runtimes.plans import check_plan, read_manifest
from tasks.runtimes.registry import runtime


@dataclass(frozen=True)
class Source:
    """A plan, or an ONNX file and the engine that it is to be compiled with."""

    path: Path
    target: Target
    precision: str
    input: TensorInfo
    folders: int = 0
    """How many of the folders that it lies in its name has, to tell it from others."""

    @property
    def is_graph(self) -> bool:
        return self.path.suffix == ".onnx"

    @property
    def name(self) -> str:
        name = Path(*self.path.absolute().parts[-1 - self.folders :])
        return f"{self.target} {self.precision} {name}"

    def contender(self, size_px: int | None, folder: Path) -> Contender:
        """What is timed; ``size_px`` None is the source's own size.

        Raises InputError where it does not run here, or not at that size.
        """
        if self.is_graph:
            # Its own: others may have the same file name.
            place = Path(tempfile.mkdtemp(dir=folder))
            graph = self.path if size_px is None else graph_at_size(self.path, size_px, place)
            return graph_contender(self.name, self.precision, self.target, graph, place)
        if size_px is not None and any(side not in (-1, size_px) for side in self.input.shape[2:]):
            raise InputError(
                f"plan {self.path.name} is for images of {shape_text(self.input)}: profile its "
                "ONNX file to see another size"
            )
        manifest = read_manifest(self.path)
        check_plan(self.path, manifest)
        return plan_contender(self.name, self.precision, self.target, self.path, manifest)


def sources_of(path: Path, engine: Target) -> tuple[list[Source], list[str]]:
    """What ``path`` holds, and a sentence for each plan of a folder that does not run here.

    ``engine`` is what an ONNX file is compiled with. Raises InputError where there is nothing.
    """
    if path.is_dir():
        return _folder(path)
    if not path.is_file():
        raise InputError(f"there is no file or folder {path}: check the path")
    if path.suffix == ".onnx":
        return [_graph(path, engine)], []
    source = _plan(path)
    why_not = runtime(source.target).cannot_run()
    if why_not is not None:
        raise InputError(
            f"{path} cannot be timed here ({why_not}): give its ONNX file, or profile it on a "
            "machine with its GPU"
        )
    return [source], []


def told_apart(sources: Sequence[Source]) -> list[Source]:
    """The sources under names that differ, with as many folders in them as that takes.

    Raises InputError where two are the same file for the same engine.
    """
    found: list[Source] = []
    for source in sources:
        alike = [x for x in sources if x.name == source.name]
        if len({x.path.resolve() for x in alike}) < len(alike):
            raise InputError(f"{source.name} is named twice: compare it with something else")
        folders = 0
        while len({replace(x, folders=folders).name for x in alike}) < len(alike):
            folders += 1
        found.append(replace(source, folders=folders))
    return found


def shape_text(tensor: TensorInfo) -> str:
    """Such as ``3x32x32``, without the batch."""
    return "x".join("any" if side < 0 else str(side) for side in tensor.shape[1:])


def _folder(folder: Path) -> tuple[list[Source], list[str]]:
    found, notes = [], []
    for path in sorted(folder.glob("*.plan")):
        source = _plan(path)
        why_not = runtime(source.target).cannot_run()
        if why_not is None:
            found.append(source)
        else:
            notes.append(f"{path.name} is left out: {why_not}")
    if not found:
        raise InputError(
            f"folder {folder} holds no plan that runs here ({'; '.join(notes) or 'no *.plan'}): "
            "give an ONNX file, or build one"
        )
    return found, notes


def _plan(path: Path) -> Source:
    manifest = read_manifest(path)
    return Source(path, manifest.engine, manifest.precision, _image_input(path, manifest.inputs))


def _graph(path: Path, engine: Target) -> Source:
    import onnx

    model = read_structure(path)
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = tuple(
        TensorInfo(
            name=value.name,
            dtype=onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name,
            shape=tuple(d.dim_value or -1 for d in value.type.tensor_type.shape.dim),
        )
        for value in model.graph.input
        if value.name not in constants
    )
    return Source(path, engine, precision_of(path), _image_input(path, inputs))


def _image_input(path: Path, inputs: tuple[TensorInfo, ...]) -> TensorInfo:
    if len(inputs) != 1 or len(inputs[0].shape) != 4:
        raise InputError(
            f"{path} takes {', '.join(f'{x.name} {list(x.shape)}' for x in inputs)}: give a "
            "network of one input, images (N, C, H, W)"
        )
    if inputs[0].dtype != "float32":
        raise InputError(
            f"{path} takes images of type {inputs[0].dtype}, and the harness gives float32: "
            "export the network with float32 inputs"
        )
    return inputs[0]
