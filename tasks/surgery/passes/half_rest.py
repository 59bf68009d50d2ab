"""Everything that is not an integer becomes float16."""

from typing import Any

import numpy as np
import onnx
import onnx_graphsurgeon as gs

from tasks.surgery.contract import Changes, Pass
from tasks.surgery.graph import (
    Names,
    constant,
    is_constant,
    is_output,
    producer,
    replace_input,
    sweep,
)
from tasks.surgery.integers import RESHAPES, cast_type, source_of
from tasks.surgery.quantizers import DQ, WEIGHTED, grid_of, has_grid, is_dq, is_q

_F16, _F32 = np.dtype(np.float16), np.dtype(np.float32)
LEAST_OPSET = 19
SMALLEST_SCALE = 2.0**-16
LARGEST = float(np.finfo(np.float16).max)

# Has no float16 form at all.
_FLOAT32_ONLY = frozenset({"Range"})
# Inputs that the operators' definitions fix to float32, by operator and place.
_FIXED_FLOAT32 = {"Resize": {2}, "Upsample": {1}, "NonMaxSuppression": {0, 1, 3, 4}}


class HalfRest(Pass):
    """Rules, for compilers of strongly typed networks: the graph's types are the plan's.

    1. Float32 constants become float16: biases, scales, whatever operators in float read.
       Q/DQ take float16 scales from opset 19 on.
    2. The graph's inputs and outputs keep float32. A quantizer that reads an input stays in
       float32 with it; every other reader, and every output, gets a Cast.
    3. A scale so small that float16 would move the grid by more than a quarter step at its end
       stays float32. Compilers want both factors of a product on scales of one type, so the
       operator that reads it stays in float32 as a whole, with a Cast behind.
    4. Constants too large for float16 are not converted and stop the pass; so does a Range of
       floats, which has no float16 form.
    5. What an operator's definition fixes to float32, as NonMaxSuppression's boxes, it gets
       through a Cast.
    """

    name = "half_rest"
    keeps_values = False

    def requires(self, graph: gs.Graph) -> str | None:
        if graph.opset < LEAST_OPSET:
            return f"opset {graph.opset} has no float16 scales: {LEAST_OPSET} is the first"
        for node in graph.nodes:
            if any(isinstance(value, gs.Graph) for value in node.attrs.values()):
                return f"{node.op} node {node.name!r} holds a subgraph"
            for tensor in node.inputs:
                if node.op in _FLOAT32_ONLY and tensor.dtype == _F32:
                    return f"{node.op} node {node.name!r} has no float16 form"
                if _is_float32(tensor) and np.abs(tensor.values).max(initial=0) > LARGEST:
                    if is_q(node) or is_dq(node):
                        continue
                    return f"{tensor.name!r}, read by {node.name!r}, is too large for float16"
        return None

    def change(self, graph: gs.Graph, changes: Changes) -> None:
        names = Names(graph)
        islands = _islands(graph)
        changes.changed.extend(_keep_wide(graph, islands, names))
        sweep(graph)
        wide = {id(node) for node in islands}
        for node in list(graph.nodes):
            if id(node) in wide:
                continue
            if is_q(node) or is_dq(node):
                if is_dq(node) and any(id(reader) in wide for reader in node.outputs[0].outputs):
                    continue
                _quantizer(graph, node, names, changes)
            else:
                _operator(graph, node, names, changes)
        _outputs(graph, names, changes)
        ends = {id(tensor) for tensor in (*graph.inputs, *graph.outputs)}
        for node in graph.nodes:
            for tensor in node.outputs:
                fixed = node.op == "Cast" and cast_type(node) == _F32
                kept = (is_dq(node) and node.inputs[1].dtype == _F32) or id(node) in wide
                if tensor.dtype == _F32 and id(tensor) not in ends and not fixed and not kept:
                    tensor.dtype = _F16

    def left(self, graph: gs.Graph) -> list[str]:
        return [
            tensor.name
            for node in graph.nodes
            if not (is_q(node) or is_dq(node) or _is_island(node))
            for place, tensor in enumerate(node.inputs)
            if _is_float32(tensor) and place not in _FIXED_FLOAT32.get(node.op, ())
        ]


def _is_island(node: gs.Node) -> bool:
    """Whether a product has a factor whose scale float16 cannot hold."""
    if node.op not in WEIGHTED or node.domain:
        return False
    factors = [source_of(tensor) for tensor in node.inputs[:2]]
    return any(
        is_dq(factor) and has_grid(factor) and grid_of(factor).scale.min() < SMALLEST_SCALE
        for factor in factors
        if factor is not None
    )


def _islands(graph: gs.Graph) -> list[gs.Node]:
    """Products that stay float32, and the reshapes that only serve them."""
    found = [node for node in graph.nodes if _is_island(node)]
    members = {id(node) for node in found}
    for node in found:
        for tensor in node.inputs[:2]:
            maker = producer(tensor)
            if maker is None or maker.op not in RESHAPES or id(maker) in members:
                continue
            if all(id(reader) in members for reader in tensor.outputs):
                members.add(id(maker))
                found.append(maker)
    return found


def _keep_wide(graph: gs.Graph, islands: list[gs.Node], names: Names) -> list[str]:
    """Give islands dequantizers of their own, shared among them, and a Cast behind."""
    copies: dict[int, gs.Node] = {}
    members = {id(node) for node in islands}
    changed = []
    for node in islands:
        for place, tensor in enumerate(node.inputs[:2]):
            factor = producer(tensor)
            if factor is None or not is_dq(factor):
                continue
            if all(id(r) in members or r.op == "Cast" for r in tensor.outputs):
                continue
            if grid_of(factor).scale.min() < SMALLEST_SCALE:
                # It stays as it is for islands; the others read it through a Cast.
                half = _cast(graph, tensor, _F16, names)
                for reader in list(tensor.outputs):
                    if id(reader) not in members and reader.outputs[0] is not half:
                        replace_input(reader, tensor, half)
                continue
            copy = copies.get(id(factor))
            if copy is None:
                real = gs.Variable(names.fresh(f"{tensor.name}_wide"), _F32, tensor.shape)
                name = names.fresh(f"{factor.name}_wide")
                copy = gs.Node(DQ, name, dict(factor.attrs), list(factor.inputs), [real])
                graph.nodes.append(copy)
                copies[id(factor)] = copy
            node.inputs[place] = copy.outputs[0]
        output = node.outputs[0]
        if output.outputs and all(id(reader) in members for reader in output.outputs):
            continue
        settled = any(
            r.op == "Cast" or (is_q(r) and grid_of(r).scale.min() < SMALLEST_SCALE)
            for r in output.outputs
        ) and all(r.op == "Cast" or is_q(r) for r in output.outputs)
        if settled or any(output is end for end in graph.outputs):
            continue
        wide = gs.Variable(names.fresh(f"{output.name}_wide"), _F32, output.shape)
        node.outputs[0] = wide
        cast = names.fresh(f"{node.name}_Cast")
        to = {"to": int(onnx.TensorProto.FLOAT16)}
        graph.nodes.append(gs.Node("Cast", cast, to, [wide], [output]))
        changed.append(node.name)
    return changed


def _is_float32(tensor: gs.Tensor) -> bool:
    return is_constant(tensor) and tensor.dtype == _F32


def _operator(graph: gs.Graph, node: gs.Node, names: Names, changes: Changes) -> None:
    fixed = _FIXED_FLOAT32.get(node.op, set())
    for place, tensor in enumerate(node.inputs):
        if _is_float32(tensor) and place not in fixed:
            half = np.asarray(tensor.values).astype(np.float16)
            node.inputs[place] = constant(names.fresh(f"{tensor.name}_half"), half)
            changes.changed.append(node.name)
        elif is_constant(tensor) or tensor.dtype != _F32:
            continue
        elif place in fixed:
            if producer(tensor) is not None and not _is_wide_cast(producer(tensor)):
                node.inputs[place] = _cast(graph, tensor, _F32, names)
                changes.changed.append(node.name)
        elif _is_input(graph, tensor):
            if node.op == "Cast":
                continue
            node.inputs[place] = _cast(graph, tensor, _F16, names)
            changes.changed.append(node.name)
    if node.op == "Cast" and cast_type(node) == _F32 and not _must_be_wide(graph, node):
        node.attrs["to"] = int(onnx.TensorProto.FLOAT16)
        changes.changed.append(node.name)
    if node.op == "EyeLike" and node.attrs.get("dtype") == onnx.TensorProto.FLOAT:
        node.attrs["dtype"] = int(onnx.TensorProto.FLOAT16)
        changes.changed.append(node.name)
    if node.op == "ConstantOfShape":
        value = node.attrs.get("value")
        if value is None or value.dtype == _F32:
            fill = np.zeros(1, np.float16) if value is None else value.values.astype(np.float16)
            node.attrs["value"] = gs.Constant(f"{node.name}_value", fill)
            changes.changed.append(node.name)


def _quantizer(graph: gs.Graph, node: gs.Node, names: Names, changes: Changes) -> None:
    scale = node.inputs[1]
    if not _is_float32(scale):
        return
    real = node.inputs[0] if is_q(node) else node.outputs[0]
    if is_q(node) and not is_constant(real) and _is_input(graph, real):
        return
    values: Any = np.asarray(scale.values)
    if is_constant(real):
        real_half = np.asarray(real.values).astype(np.float16)
        node.inputs[0] = constant(names.fresh(f"{real.name}_half"), real_half)
    if values.min() >= SMALLEST_SCALE and values.max() <= LARGEST:
        node.inputs[1] = constant(names.fresh(f"{scale.name}_half"), values.astype(np.float16))
    elif is_q(node):
        maker = producer(real)
        if maker is not None and maker.op == "Cast":
            if cast_type(maker) == _F32:
                return
            node.inputs[0] = maker.inputs[0]
        else:
            node.inputs[0] = _cast(graph, real, _F32, names)
    else:
        if all(reader.op == "Cast" for reader in real.outputs) and real.outputs:
            return
        wide = gs.Variable(names.fresh(f"{real.name}_float"), _F32, real.shape)
        node.outputs[0] = wide
        graph.nodes.append(
            gs.Node(
                "Cast",
                names.fresh(f"{node.name}_Cast"),
                {"to": int(onnx.TensorProto.FLOAT16)},
                [wide],
                [real],
            )
        )
    changes.changed.append(node.name)


def _outputs(graph: gs.Graph, names: Names, changes: Changes) -> None:
    for output in graph.outputs:
        maker = producer(output)
        if output.dtype != _F32 or maker is None:
            continue
        if _is_island(maker) or (maker.op == "Cast" and cast_type(maker) == _F32):
            continue
        half = gs.Variable(names.fresh(f"{output.name}_half"), _F16, output.shape)
        maker.outputs[[t is output for t in maker.outputs].index(True)] = half
        for reader in list(output.outputs):
            for place, tensor in enumerate(reader.inputs):
                if tensor is output:
                    reader.inputs[place] = half
        graph.nodes.append(
            gs.Node(
                "Cast",
                names.fresh(f"{output.name}_Cast"),
                {"to": int(onnx.TensorProto.FLOAT)},
                [half],
                [output],
            )
        )
        changes.changed.append(output.name)


def _cast(graph: gs.Graph, tensor: gs.Tensor, dtype: np.dtype[Any], names: Names) -> gs.Variable:
    """A Cast of ``tensor``, shared by those who need it."""
    code = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    for reader in tensor.outputs:
        if reader.op == "Cast" and cast_type(reader) == dtype:
            return reader.outputs[0]
    made = gs.Variable(names.fresh(f"{tensor.name}_{dtype.name}"), dtype, tensor.shape)
    graph.nodes.append(
        gs.Node("Cast", names.fresh(f"{tensor.name}_Cast"), {"to": int(code)}, [tensor], [made])
    )
    return made


def _is_input(graph: gs.Graph, tensor: gs.Tensor) -> bool:
    return any(tensor is given for given in graph.inputs)


def _must_be_wide(graph: gs.Graph, cast: gs.Node) -> bool:
    """Whether a Cast to float32 writes an output of the graph or serves what takes only such."""
    made = cast.outputs[0]
    small = [r for r in made.outputs if is_q(r) and grid_of(r).scale.min() < SMALLEST_SCALE]
    return is_output(graph, made) or bool(small) or _is_wide_cast(cast)


def _is_wide_cast(node: gs.Node | None) -> bool:
    """Whether a node is a Cast to float32 that only inputs fixed to float32 read."""
    if node is None or node.op != "Cast" or cast_type(node) != _F32:
        return False
    made = node.outputs[0]
    return all(
        place in _FIXED_FLOAT32.get(reader.op, ())
        for reader in made.outputs
        for place, tensor in enumerate(reader.inputs)
        if tensor is made
    )
