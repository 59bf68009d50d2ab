"""What became of each module: a plan of placement, set beside the INT8 network it led to."""

from torch import nn

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizedModule
from tasks.models.prepare.functional import FunctionalOp
from tasks.models.prepare.place import Placement

_OBSERVED = ("activation_post_process", "op.activation_post_process")


def explain(
    model: nn.Module, placement: Placement, int8: nn.Module, table: CalibrationTable
) -> tuple[QuantizedModule, ...]:
    """Every module and operation with the class that computes it now, its scale, and why."""
    rows = placement.modules or _as_written(model, placement)
    made = dict(int8.named_modules())
    return tuple(
        row.model_copy(update={"became": _became(row, made), "scale": _scale(row.name, table)})
        for row in rows
    )


def _as_written(model: nn.Module, placement: Placement) -> list[QuantizedModule]:
    """The leaf modules of a network that was written for eager mode."""
    rows = []
    for name, module in model.named_modules():
        if any(module.children()) or isinstance(module, nn.Identity):
            continue
        unreached = name in placement.float_modules
        why = "no image reaches it" if unreached else "the network's own stubs"
        rows.append(
            QuantizedModule(name=name, kind=type(module).__name__, quantized=not unreached, why=why)
        )
    return rows


def _became(row: QuantizedModule, made: dict[str, nn.Module]) -> str:
    if row.why.startswith("fused into"):
        return ""
    module = made.get(row.name)
    if isinstance(module, FunctionalOp):
        module = module.op
    if module is None:
        return row.kind
    inner = made.get(f"{row.name}.module")
    return type(inner or module).__name__


def _scale(name: str, table: CalibrationTable) -> float | None:
    names = [f"{name}.{inner}" for inner in (*_OBSERVED, f"module.{_OBSERVED[0]}")]
    return next((table.tensors[n].scale for n in names if n in table.tensors), None)
