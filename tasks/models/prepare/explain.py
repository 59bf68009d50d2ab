"""What became of each module: a plan of placement in words."""

from collections.abc import Mapping

from torch import nn
from torch.ao.nn.quantized import FloatFunctional

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizedModule
from tasks.models.prepare.clamped import Clamped
from tasks.models.prepare.functional import FunctionalOp
from tasks.models.prepare.leaves import BetweenStubs
from tasks.models.prepare.quantizable import Quantizable

_OBSERVED = (
    "activation_post_process",
    "op.activation_post_process",
    "inner.activation_post_process",
)


def explain(
    model: nn.Module, made: Quantizable, table: CalibrationTable
) -> tuple[QuantizedModule, ...]:
    """Every module and operation with the class that computes it now, its scale, and why."""
    rows = made.placement.modules or _as_written(model, made)
    modules = dict(made.network.named_modules())
    return tuple(
        row.model_copy(update={"became": _became(row, modules), "scale": _scale(row.name, table)})
        for row in rows
    )


def _as_written(model: nn.Module, made: Quantizable) -> list[QuantizedModule]:
    """The leaf modules of a network that was written for eager mode."""
    rows = []
    for name, module in model.named_modules():
        if any(module.children()) or isinstance(module, nn.Identity):
            continue
        unreached = name in made.placement.float_modules
        fused = type(made.network.get_submodule(name)) is nn.Identity
        why = "no image reaches it" if unreached and not fused else "the network's own stubs"
        rows.append(
            QuantizedModule(
                name=name,
                kind=type(module).__name__,
                quantized=fused or not unreached,
                why="fused into the module before it" if fused else why,
            )
        )
    return rows


def _became(row: QuantizedModule, modules: Mapping[str, nn.Module]) -> str:
    """The class of the INT8 network's module: PyTorch's integer ones are called like the float."""
    if row.why.startswith("fused into"):
        return ""
    module = modules.get(row.name)
    if isinstance(module, (FunctionalOp, FloatFunctional)):
        return "QFunctional" if row.quantized else row.kind
    if isinstance(module, Clamped):
        return f"{row.kind} and clamp"
    if isinstance(module, BetweenStubs):
        module = module.module
    return row.kind if module is None else type(module).__name__


def _scale(name: str, table: CalibrationTable) -> float | None:
    names = [f"{name}.{inner}" for inner in (*_OBSERVED, f"module.{_OBSERVED[0]}")]
    return next((table.tensors[n].scale for n in names if n in table.tensors), None)
