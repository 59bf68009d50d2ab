"""Opening whatever can answer images: a plan, an ONNX file, or something published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import PositiveFloat, PositiveInt, ValidationError

from schemas.base import Strict, Target
from schemas.engine import TensorInfo
from schemas.errors import InputError, cause
from schemas.publish import Preprocessing, Served
from tasks.artifacts.store import Store
from tasks.publish.latest import POINTER, VERSION, latest_folder, read_pointer
from tasks.publish.package import preprocessing
from tasks.publish.runs import read_report
from tasks.publish.standalone import Engine
from tasks.runtimes.plans import manifest_path, open_plan, read_manifest
from tasks.runtimes.registry import runtime


class Given(Strict):
    """What the user says of the images; each takes the place of what is known otherwise."""

    image_size: tuple[PositiveInt, PositiveInt] | None = None
    center_crop: float | None = None
    mode: Literal["L", "RGB"] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[PositiveFloat, ...] | None = None


@dataclass(frozen=True)
class Source:
    """Something that answers images."""

    name: str
    engine: Engine
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    guesses: tuple[str, ...] = field(default=())
    """What was not known and had to be assumed, in words."""


def open_source(
    store: Callable[[], Store], given: str, said: Given, classes: Path | None, engine: Target | None
) -> Source:
    """Open what ``given`` names: a plan, an ONNX file, a published folder, or a published job.

    ``store`` opens the store of published jobs, which makes its folder, where one is named.
    ``engine`` chooses among those of a published version; else the first that runs here is taken.
    Raises InputError where it is not there, does not fit this machine, or takes no images.
    """
    place = Path(given)
    if place.is_dir():
        folder = _served_folder(place)
        # A folder of images may well be called as the job is that tells them apart.
        served = (folder / "manifest.json").is_file()
        if served or place.name != given or read_pointer(store(), given) is None:
            return _open_served(folder, said, classes, engine)
    elif place.is_file():
        return _open_file(place, said, classes)
    elif "/" in given or place.suffix:
        raise InputError(f"{given}: there is no such plan, ONNX file or folder: check the path")
    return _open_served(latest_folder(store(), given) / "folder", said, classes, engine)


def _served_folder(place: Path) -> Path:
    """The plain folder in a job's folder, in a version's, or where it was copied to."""
    if (place / POINTER).is_file():
        place = latest_folder(Store(place.parent.parent), place.name)
    if (place / VERSION).is_file():
        place = place / "folder"
    return place


def _open_served(folder: Path, said: Given, classes: Path | None, engine: Target | None) -> Source:
    try:
        served = Served.model_validate_json((folder / "manifest.json").read_bytes())
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} holds no manifest.json: name a published folder, or publish with the format "
            "'folder'"
        ) from error
    except ValidationError as error:
        raise InputError(
            f"{folder / 'manifest.json'} is damaged ({error.errors()[0]['msg']}): publish again"
        ) from error
    files = {x.engine: x.file for x in served.engines if x.file is not None}
    chosen = engine or _runs_here(served.job, list(files))
    if chosen not in files:
        raise InputError(
            f"{folder} holds no engine of {chosen}: name one of {', '.join(files)} with --engine"
        )
    return Source(
        name=f"{served.job} on {chosen}",
        engine=open_plan(folder / files[chosen]).infer,
        preprocessing=_changed(served.preprocessing, said),
        classes=_read_classes(classes, len(served.classes)) or served.classes,
    )


def _runs_here(job: str, engines: Sequence[Target]) -> Target:
    reasons = {}
    for target in engines:
        try:
            runtime(target).fingerprint()
            reason = runtime(target).cannot_run()
        except InputError as error:
            reason = str(error)
        if reason is None:
            return target
        reasons[target] = reason
    text = "; ".join(f"{target}: {reason}" for target, reason in reasons.items())
    raise InputError(
        f"no engine of {job} runs on this machine ({text}): name another machine's with --engine "
        "there, or build one for openvino"
    )


def _open_file(plan: Path, said: Given, classes: Path | None) -> Source:
    inputs, outputs, engine = _open_network(plan)
    labels = outputs[0].shape[-1]
    known, names = _known_of(plan)
    guesses: list[str] = []
    if known is None:
        known, guesses = _assumed(inputs[0], said)
    chosen = _read_classes(classes, labels) or names or tuple(map(str, range(labels)))
    return Source(
        name=str(plan),
        engine=engine,
        preprocessing=_changed(known, said),
        classes=chosen,
        guesses=tuple(guesses),
    )


def _open_network(plan: Path) -> tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...], Engine]:
    if plan.suffix == ".onnx" and not manifest_path(plan).is_file():
        from tasks.runtimes.onnxruntime import OnnxRuntimeSession

        session = OnnxRuntimeSession(plan, optimize=True)
        return session.inputs, session.outputs, session.infer
    manifest = read_manifest(plan)
    return manifest.inputs, manifest.outputs, open_plan(plan, manifest).infer


def _known_of(plan: Path) -> tuple[Preprocessing | None, tuple[str, ...]]:
    """What lies beside a plan says of its images: a published manifest, or a run's report."""
    if (plan.parent / "manifest.json").is_file():
        file = plan.parent / "manifest.json"
        try:
            served = Served.model_validate_json(file.read_bytes())
        except ValidationError as error:
            raise InputError(
                f"{file}, beside {plan.name}, is damaged ({error.errors()[0]['msg']}): publish "
                "again, or move the plan to a folder without it"
            ) from error
        return served.preprocessing, served.classes
    if (plan.parent / "report.json").is_file():
        report, _ = read_report(plan.parent / "report.json")
        if report.data is not None:
            return preprocessing(report.data), report.data.classes
    return None, ()


def _assumed(tensor: TensorInfo, said: Given) -> tuple[Preprocessing, list[str]]:
    """What a network's input alone tells, and what it does not."""
    if len(tensor.shape) != 4:
        raise InputError(
            f"input {tensor.name} has {len(tensor.shape)} dimensions: give a network of images "
            "(batch, channels, height, width)"
        )
    _, channels, height, width = tensor.shape
    if said.image_size is not None and min(height, width) < 1:
        height, width = said.image_size
    if min(channels, height, width) < 1:
        raise InputError(
            f"input {tensor.name} takes images of any size: say which with --size HEIGHTxWIDTH"
        )
    modes: dict[int, Literal["L", "RGB"]] = {1: "L", 3: "RGB"}
    guesses = []
    if said.mean is None or said.std is None:
        guesses.append(
            "nothing beside it says how images were normalised: the 0..1 scale is assumed "
            "(--mean, --std)"
        )
    known = Preprocessing(
        input_shape=(channels, height, width), mode=modes.get(channels), convert=False
    )
    return known, guesses


def _changed(known: Preprocessing, said: Given) -> Preprocessing:
    channels = known.input_shape[0]
    for name in ("mean", "std"):
        values = getattr(said, name)
        if values is not None and len(values) not in (1, channels):
            raise InputError(
                f"--{name} has {len(values)} values and the network {channels} channels: give one "
                f"value or {channels}"
            )
    changed = known.model_copy(update=said.model_dump(exclude_none=True))
    if said.center_crop is not None and changed.image_size is None:
        return changed.model_copy(update={"image_size": known.input_shape[1:]})
    return changed


def _read_classes(file: Path | None, wanted: int) -> tuple[str, ...]:
    """One class a line; empty where no file is given."""
    if file is None:
        return ()
    try:
        names = tuple(file.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"--classes {file} cannot be read ({cause(error)}): name a text file"
        ) from error
    if len(names) != wanted:
        raise InputError(
            f"--classes {file} names {len(names)} classes and the network has {wanted}: write one "
            "a line"
        )
    return names
