"""``enginesmith init``: a job file for the user's own network."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.commands.options import Json

if TYPE_CHECKING:
    from schemas.base import Target


def init(
    file: Annotated[Path, typer.Argument(metavar="JOB.yaml", help="the file to write")] = Path(
        "jobs/mine.yaml"
    ),
    factory: Annotated[
        str | None,
        typer.Option(help="callable that returns the network, such as mypackage.nets:resnet"),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="a safetensors file; pretrained: the factory gives them; train: the job makes them"
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="a folder or tar of images (train|test/CLASS/IMAGE), fashion_mnist, cifar10, "
            "or a dataset callable such as mypackage.data:open_split"
        ),
    ] = None,
    classes: Annotated[
        int | None, typer.Option(min=2, help="given to the factory as num_classes; left out: not")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option(min=1, help="height and width to resize images to; left out: as they are"),
    ] = None,
    engines: Annotated[
        str | None,
        typer.Option(help="what to build, such as openvino,tensorrt_rtx; left out: what runs here"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="replace a file that is there")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented job file for your network.

    On a terminal, what no option says is asked. Elsewhere --factory and --data are needed.

    Examples:

        enginesmith init
        enginesmith init jobs/mine.yaml --factory mynet:Net --weights mynet.safetensors \\
        --data photos/ --classes 10 --size 224
    """
    from flows.commands.output import writing
    from flows.newjob import Answers, job_text, name_of
    from schemas.errors import InputError

    if file.exists() and not force:
        raise InputError(
            f"{file} is there already: choose another name, or replace it with --force"
        )
    asked = sys.stdin.isatty() and sys.stderr.isatty()
    missing = [f"--{name}" for name, value in (("factory", factory), ("data", data)) if not value]
    if missing and not asked:
        raise InputError(
            f"init has no {' and no '.join(missing)}: give them, or use a terminal to be asked"
        )
    if missing:
        factory = factory or _ask("Network, as package.module:callable")
        weights = weights or _ask(
            "Weights: a safetensors file, pretrained (the callable's own) or train",
            default="pretrained",
        )
        data = data or _ask(
            "Images: a folder or tar, fashion_mnist, cifar10, or package.module:callable"
        )
        classes = classes or _number("Classes, given to the callable as num_classes (0: do not)")
        size = size or _number("Height and width to resize images to (0: as they are)")
    assert factory is not None
    assert data is not None
    answers = Answers(
        name=name_of(file),
        factory=factory,
        data=_from(file, data) if Path(data).exists() else data,
        engines=_named(engines) if engines else _those_that_run(),
        weights=_from(file, weights) if weights and Path(weights).exists() else weights or "train",
        classes=classes,
        size_px=size,
        training_images=_training_images(Path(data)),
    )
    text = job_text(answers, file)
    with writing("init:", file):
        file.write_text(text, encoding="utf-8")
    missing_yet = _what_is_missing(file)
    following = shlex.join(["enginesmith", "explain", str(file)])
    if as_json:
        typer.echo(json.dumps({"file": str(file), "missing": missing_yet, "next": following}))
        return
    typer.echo(f"wrote {file}")
    if missing_yet is not None:
        typer.echo(f"not there yet: {missing_yet}", err=True)
    typer.echo(f"next: {following}")


def _ask(question: str, **options: Any) -> Any:
    """On stderr: what is piped from stdout is the answer alone."""
    return typer.prompt(question, err=True, **options)


def _number(question: str) -> int | None:
    answer: int = _ask(question, default=0, type=int)
    return answer or None


def _from(file: Path, given: str) -> str:
    """A path of the current folder as the job file has to say it."""
    path = Path(given)
    return given if path.is_absolute() else Path(os.path.relpath(path, file.parent)).as_posix()


def _training_images(data: Path) -> int | None:
    """Files of the classes of a folder's training split; None where it is no such folder."""
    split = data / "train"
    if not split.is_dir():
        return None
    return sum(1 for place in split.glob("*/*") if place.is_file())


def _named(text: str) -> "tuple[Target, ...]":
    """The engines named, each once; raises InputError for one that there is not."""
    from flows.newjob import ENGINES
    from schemas.errors import InputError, nearest

    names = dict.fromkeys(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in ENGINES]
    if unknown or not names:
        given = unknown[0] if unknown else text
        raise InputError(f"--engines {given}: there is no such engine: {nearest(given, ENGINES)}")
    return tuple(target for target in ENGINES if target in names)


def _those_that_run() -> "tuple[Target, ...]":
    """TensorRT where it is installed beside a GPU, else OpenVINO."""
    from schemas.errors import InputError
    from tasks.runtimes.registry import runtime

    try:
        engine = runtime("tensorrt")
        engine.fingerprint()
    except InputError:
        return ("openvino",)
    return ("openvino",) if engine.cannot_run() else ("tensorrt",)


def _what_is_missing(file: Path) -> str | None:
    """What the job names and is not there yet; the file is good all the same."""
    from flows.jobfile import load_job
    from flows.jobs_folder import trust
    from flows.preflight import check
    from schemas.errors import InputError

    trust(file)
    try:
        check(load_job(file))
    except InputError as error:
        return str(error)
    return None
