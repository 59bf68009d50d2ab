"""The fusion contract: what must hold in a compiled plan, read from its table of layers."""

from fnmatch import fnmatchcase

from schemas.base import Gate
from schemas.engine import FusionContract, LayerTable
from tasks.runtimes.onnx_names import OnnxNames

_NAMED = 8


def check_contract(
    table: LayerTable, names: OnnxNames, contract: FusionContract
) -> tuple[Gate, ...]:
    """One gate for each thing demanded, naming the ONNX nodes that break it.

    ``table`` must have been annotated with ``names``. A table that does not tell precisions
    (names only), or tells nothing, fails what it cannot show.
    """
    gates = []
    if contract.convs_int8 == "all" or contract.float_convs is not None:
        gates.append(_convolutions(table, names, contract))
    if contract.standalone_adds is not None:
        found = standalone_adds(table, names)
        gates.append(_at_most("standalone_adds", found, contract.standalone_adds))
    if contract.max_kernels is not None:
        gates.append(
            Gate(
                name="contract max_kernels",
                passed=0 < table.kernels <= contract.max_kernels,
                detail=f"{table.kernels} kernels, at most {contract.max_kernels} allowed",
            )
        )
    if contract.max_reformats is not None:
        reformats = [layer.name for layer in table.layers if layer.is_reformat]
        gates.append(_at_most("max_reformats", reformats, contract.max_reformats))
    return tuple(gates)


def _convolutions(table: LayerTable, names: OnnxNames, contract: FusionContract) -> Gate:
    allowed = contract.float_convs or ()
    integer: set[str] = set()
    for layer in table.layers:
        if layer.is_convolution and layer.is_integer:
            integer.update(layer.onnx_nodes)
    wanted = names.convolutions()
    broken = [
        node
        for node in wanted
        if node not in integer and not any(fnmatchcase(node, pattern) for pattern in allowed)
    ]
    detail = f"{len(wanted) - len(broken)} of {len(wanted)} convolutions INT8 or allowed in float"
    traced = {node for layer in table.layers for node in layer.onnx_nodes}
    for what, nodes in (
        ("in float", [node for node in broken if node in traced]),
        ("in no kernel that names them", [node for node in broken if node not in traced]),
    ):
        detail += f"; {what}: {_list(nodes)}" if nodes else ""
    return Gate(name="contract convs_int8", passed=not broken, detail=detail)


def standalone_adds(table: LayerTable, names: OnnxNames) -> list[str]:
    """Residual Adds that no kernel computes together with a conv or matmul that feeds them."""
    found = []
    for add in names.residual_adds():
        kernels = [layer for layer in table.layers if add in layer.onnx_nodes]
        if not any(names.fused_into(add, layer.onnx_nodes) for layer in kernels):
            found.append(add)
    return found


def _at_most(name: str, found: list[str], most: int) -> Gate:
    return Gate(
        name=f"contract {name}",
        passed=len(found) <= most,
        detail=f"{len(found)}, at most {most} allowed" + (f": {_list(found)}" if found else ""),
    )


def _list(nodes: list[str]) -> str:
    more = f" and {len(nodes) - _NAMED} more" if len(nodes) > _NAMED else ""
    return ", ".join(nodes[:_NAMED]) + more
