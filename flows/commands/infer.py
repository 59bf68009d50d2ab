"""``enginesmith infer``: answers for images, from a plan or from something published."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from flows.commands.options import Artifacts, Json, numbers
from schemas.target import Target


def infer(
    source: Annotated[
        str,
        typer.Argument(
            metavar="PLAN|PUBLISHED",
            help="a plan, an ONNX file, a published folder, or the name of a published job",
        ),
    ],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES", help="image files, or folders of them")
    ],
    top: Annotated[int, typer.Option(min=1, help="how many classes to name")] = 5,
    engine: Annotated[
        Target | None,
        typer.Option(
            metavar="ENGINE",
            help="which of a published version, such as openvino; left out: the first that runs "
            "here",
        ),
    ] = None,
    fit: Annotated[
        bool, typer.Option("--fit", help="stretch and convert images that do not fit")
    ] = False,
    size: Annotated[
        str | None, typer.Option(metavar="HEIGHTxWIDTH", help="resize images to this")
    ] = None,
    crop: Annotated[
        float | None,
        typer.Option(min=0.01, max=1, help="share to cut from an image's middle before resizing"),
    ] = None,
    mode: Annotated[Literal["RGB", "L"] | None, typer.Option(help="decode images as")] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="per channel, on the 0..1 scale")
    ] = None,
    std: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="per channel, on the 0..1 scale")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="class names, one a line")
    ] = None,
    artifacts: Artifacts = "artifacts",
    as_json: Json = False,
) -> None:
    """Name the classes of images.

    What an image becomes before the network sees it is read from what lies beside the plan; each
    option replaces a part of it. Exit status: 0 all answered, 2 something given cannot be used;
    the images that can be are answered all the same.

    Examples:

        enginesmith infer quickstart photos/
        enginesmith infer resnet18.onnx cat.jpg --size 224x224 --crop 0.875 \\
        --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 --classes imagenet.txt
    """
    from schemas.errors import InputError
    from tasks.artifacts.store import Store
    from tasks.publish.source import Given, open_source
    from tasks.publish.standalone import UnusableError, answer, find_images, show

    said = Given(
        image_size=None if size is None else _size(size),
        center_crop=crop,
        mode=mode,
        mean=None if mean is None else numbers("--mean", mean),
        std=None if std is None else numbers("--std", std),
    )
    try:
        paths = find_images(images)
    except UnusableError as error:
        raise InputError(str(error)) from error
    opened = open_source(lambda: Store(artifacts), source, said, classes, engine)
    for guess in opened.guesses:
        typer.echo(f"enginesmith: {source}: {guess}", err=True)
    how = opened.preprocessing.model_dump(mode="json")
    answers = answer(paths, how, opened.classes, opened.engine, top=top, fit=fit)
    raise typer.Exit(show(answers, as_json=as_json, program="enginesmith"))


def _size(text: str) -> tuple[int, int]:
    from schemas.errors import InputError

    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise InputError(f"--size {text}: write it as HEIGHTxWIDTH in pixels, such as 224x224")
    return int(height), int(width)
