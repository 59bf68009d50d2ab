"""``enginesmith surgery``: repair anybody's quantized ONNX graph, without a job file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.commands.options import Json, numbers
from schemas.target import Target

if TYPE_CHECKING:
    from schemas.surgery import SurgeryReport


def surgery(
    graph: Annotated[Path, typer.Argument(metavar="IN.onnx", help="a quantized graph")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="OUT.onnx", help="file to write")
    ],
    target: Annotated[
        Target,
        typer.Option(
            metavar="ENGINE",
            help="whose compiler gets the graph: openvino, tensorrt_rtx, tensorrt or onnxruntime",
        ),
    ],
    precision: Annotated[
        Literal["int8", "int8+fp16"],
        typer.Option(help="int8+fp16: what is not quantized computes in float16"),
    ] = "int8",
    calibration_images: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="real images to measure parity on; left out: noise"),
    ] = None,
    mean: Annotated[str, typer.Option(help="of the images, 0..1, one or one a channel")] = "0",
    std: Annotated[str, typer.Option(help="of the images, 0..1, one or one a channel")] = "1",
    images: Annotated[int, typer.Option(min=1, help="how many of the images to use")] = 64,
    size: Annotated[int, typer.Option(min=1, help="pixels of an open height or width")] = 224,
    parity: Annotated[bool, typer.Option(help="prove the result by ONNX Runtime")] = True,
    as_json: Json = False,
) -> None:
    """Repair a quantized graph for a compiler, and prove that nothing broke.

    Exit status 1: the repaired graph is further from the given one than it may be; it is written
    all the same, for you to look at.

    Example:

        enginesmith surgery resnet18-int8.onnx -o resnet18-trt.onnx --target tensorrt
    """
    from collections import Counter

    from schemas.surgery import SurgeryConfig, SurgeryReport
    from tasks.surgery.calibration_images import input_shape, load_images, noise
    from tasks.surgery.intake import read_model, write_model
    from tasks.surgery.parity import prove
    from tasks.surgery.repair import repair

    scaling = numbers("--mean", mean), numbers("--std", std)
    raw = read_model(graph)
    repaired, records = repair(raw, target, precision)
    if parity:
        shape = input_shape(raw, size)
        batch = (
            noise(shape)
            if calibration_images is None
            else load_images(calibration_images, shape, *scaling, images)
        )
        config = SurgeryConfig(precision=precision)
        report = prove(raw, repaired, batch, None, target, config, records)
        if calibration_images is None:
            # Noise says whether graphs are equal, not whether a network still classifies.
            report = report.model_copy(update={"gates": report.gates[:1]})
    else:
        report = SurgeryReport(
            target=target,
            passes=records,
            parity=(),
            gates=(),
            nodes_before=dict(Counter(n.op_type for n in raw.graph.node)),
            nodes_after=dict(Counter(n.op_type for n in repaired.graph.node)),
        )
    write_model(repaired, output)
    passed = all(gate.passed for gate in report.gates)
    if as_json:
        document = {"output": str(output), "passed": passed, **json.loads(report.model_dump_json())}
        typer.echo(json.dumps(document, indent=2))
    else:
        _print(report, output, calibration_images is not None)
    if not passed:
        raise typer.Exit(1)


def _print(report: "SurgeryReport", output: Path, real_images: bool) -> None:
    for record in report.passes:
        if not record.changed and not record.left_alone:
            continue
        measured = ""
        if record.bit_equal:
            measured = "  [bit-equal]"
        elif record.max_difference_steps is not None:
            measured = f"  [{record.max_difference_steps:.2f} output steps]"
        typer.echo(f"{record.name:22} {record.summary}{measured}")
        for skip in record.left_alone:
            typer.echo(f"{'':22} left alone: {skip.node}: {skip.reason}")
    before, after = sum(report.nodes_before.values()), sum(report.nodes_after.values())
    typer.echo(f"{before} nodes became {after}")
    for found in report.parity:
        equal = "bit-equal" if found.bit_equal else f"{found.max_difference_steps:.2f} output steps"
        agreement = f", top-1 agrees on {found.top1_agreement:.1%}" if real_images else ""
        kind = "images" if real_images else "inputs of noise"
        typer.echo(f"against {found.against}: {equal}{agreement} ({found.images} {kind})")
    if report.worst_layer is not None and report.worst_layer.max_difference_steps:
        worst = report.worst_layer
        typer.echo(f"moved most: {worst.op} {worst.node!r}, {worst.max_difference_steps:.2f} steps")
    for gate in report.gates:
        typer.echo(f"{'passed' if gate.passed else 'FAILED'}: {gate.name}: {gate.detail}")
    typer.echo(f"wrote {output}")
