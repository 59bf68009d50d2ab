"""``enginesmith build``: from any ONNX file to a plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from flows.commands.options import Compiler, Json, Quiet
from flows.commands.output import log_to_stderr

if TYPE_CHECKING:
    from schemas.base import Strict
    from schemas.engine import Manifest

Number = Literal["float32", "float16", "int8", "int8+fp16"]


def build(
    graph: Annotated[Path, typer.Argument(metavar="ONNX", help="the graph, with Q/DQ for INT8")],
    plan: Annotated[Path, typer.Option("--output", "-o", metavar="PLAN", help="file to write")],
    engine: Annotated[
        Compiler,
        typer.Option(metavar="ENGINE", help="which compiler: openvino, tensorrt_rtx or tensorrt"),
    ] = "openvino",
    options: Annotated[
        list[str],
        typer.Option(
            "--option",
            metavar="FIELD=VALUE",
            help="a field of the engine's config, such as --option compute_capability=8.9 or "
            "--option contract.convs_int8=all; the value is YAML; repeatable",
        ),
    ] = [],  # noqa: B006
    precision: Annotated[
        Number | None, typer.Option(help="what the graph computes in; left out: found in the graph")
    ] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="build though PLAN is up to date")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compile an ONNX file into a plan, with its manifest and table of layers beside it.

    A plan that is already what building would give is left as it is. Exit status: 0 built, 1 the
    contract given in the options does not hold, 2 something given cannot be used.

    Examples:

        enginesmith build resnet18-int8.onnx -o resnet18.plan
        enginesmith build resnet18-int8.onnx -o resnet18.plan --engine tensorrt_rtx \\
        --option compute_capability=8.9 --option contract.convs_int8=all
    """
    from schemas.errors import InputError
    from tasks.engine.build import already_built, build_engine, check_target
    from tasks.runtimes.onnx_file import precision_of
    from tasks.runtimes.plans import write_beside

    log_to_stderr(quiet=quiet)
    config = parse_options(engine, options)
    check_target(plan)
    computes_in = precision_of(graph)
    number = precision or computes_in
    # A graph of float32 can become one of float16; Q/DQ come and go by surgery alone.
    if number != "float16" and ("int8" in number) != ("int8" in computes_in):
        raise InputError(
            f"--precision {number}: {graph.name} computes in {computes_in}: leave --precision out, "
            f"or give a graph {'with' if 'int8' in number else 'without'} Q/DQ"
        )
    found = None if refresh else already_built(graph, engine, number, config, plan)
    if found is None:
        partial = plan.with_name(f"{plan.name}.partial")
        try:
            manifest, layers = build_engine(
                graph, engine, number, config, partial, hold_in_float=True
            )
            partial.replace(plan)
        finally:
            partial.unlink(missing_ok=True)
        write_beside(plan, manifest, layers)
    else:
        manifest, layers = found
    if as_json:
        typer.echo(manifest.model_dump_json(indent=2))
    else:
        typer.echo(_summary(plan, manifest, layers.kernels, reused=found is not None))
    raise typer.Exit(0 if all(gate.passed for gate in manifest.contract) else 1)


def parse_options(engine: Compiler, settings: list[str]) -> "Strict":
    """An engine's config from ``field.field=value`` settings, the values in YAML.

    Raises InputError naming the setting that is wrong, and the fix.
    """
    from pydantic import ValidationError

    from flows.jobfile import fields_at
    from schemas.engine import EnginesConfig
    from schemas.errors import InputError, nearest

    document: dict[str, Any] = {}
    for setting in settings:
        _set(document, setting)
    try:
        config = EnginesConfig.model_validate({engine: document})
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        name = ".".join(map(str, problem["loc"][1:])) or engine
        if problem["type"] == "extra_forbidden":
            known = fields_at(EnginesConfig, problem["loc"][:-1])
            raise InputError(
                f"--option {name}: {engine} has no such option: "
                f"{nearest(str(problem['loc'][-1]), known)}"
            ) from error
        message = problem["msg"].removeprefix("Value error, ")
        raise InputError(
            f"--option {name}={problem['input']}: {message}: correct it, see enginesmith schema"
        ) from error
    chosen = getattr(config, engine)
    assert chosen is not None
    found: Strict = chosen
    return found


def _set(document: dict[str, Any], setting: str) -> None:
    from flows.yaml_file import parse_yaml
    from schemas.errors import InputError

    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise InputError(f"--option {setting}: write it as field=value or field.field=value")
    *parents, last = key.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
        if not isinstance(document, dict):
            raise InputError(
                f"--option {setting}: {parent} is a value: give it once, or its fields"
            )
    document[last] = parse_yaml(text, f"--option {setting}: the value")


def _summary(plan: Path, manifest: "Manifest", kernels: int, *, reused: bool) -> str:
    lines = [
        f"{plan}: {manifest.engine} {manifest.precision}, {manifest.plan_bytes / 1e6:.1f} MB, "
        f"{kernels} kernels, " + ("up to date" if reused else f"built in {manifest.build_s:.1f} s")
    ]
    lines += [f"  left in float, no INT8 kernel: {node}" for node in manifest.unquantized_nodes]
    lines += [
        f"  {'held' if gate.passed else 'BROKEN'}: {gate.name}: {gate.detail}"
        for gate in manifest.contract
    ]
    return "\n".join(lines)
