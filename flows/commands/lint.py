"""``enginesmith lint``: what a compiler would refuse or make little of in a graph."""

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.options import Json
from schemas.target import Target


def lint(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="a quantized ONNX graph")],
    target: Annotated[
        Target,
        typer.Option(
            metavar="ENGINE",
            help="whose compiler gets the graph: openvino, tensorrt_rtx, tensorrt or onnxruntime",
        ),
    ],
    every: Annotated[
        bool, typer.Option("--all", help="name every node, not the first few")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check a quantized graph against NVIDIA's placement rules and the parsers' limits.

    QDQ1xx are errors: refused, run in float without a word, or computing something else.
    QDQ2xx are warnings: they cost speed. Exit status 1 where there are errors.

    Examples:

        enginesmith lint resnet18-int8.onnx --target tensorrt
        enginesmith lint resnet18-int8.onnx --target openvino --all
    """
    from tasks.surgery.intake import read_model
    from tasks.surgery.lint import lint as check

    report = check(read_model(model), target)
    if as_json:
        typer.echo(report.model_dump_json(indent=2))
    else:
        groups = defaultdict(list)
        for finding in report.findings:
            groups[finding.code].append(finding)
        for code, findings in groups.items():
            first = findings[0]
            rule = first.message.partition(":")[0]
            typer.echo(f"{code} {first.severity}: {rule} ({len(findings)}); {first.fix}")
            for finding in findings if every else findings[:3]:
                detail = finding.message.partition(":")[2]
                typer.echo(f"    {finding.node}{':' + detail if detail else ''}")
            if len(findings) > 3 and not every:
                typer.echo(f"    … and {len(findings) - 3} more (--all)")
        warnings = len(report.findings) - len(report.errors)
        typer.echo(f"{len(report.errors)} errors, {warnings} warnings for {target}")
    if report.errors:
        raise typer.Exit(1)
