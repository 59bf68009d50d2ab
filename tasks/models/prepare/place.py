"""Stubs in a normalized graph: where tensors become INT8, and where they become float again."""

from dataclasses import dataclass, field

from torch import fx, nn
from torch.ao.quantization import DeQuantStub, QuantStub

from schemas.convert import QuantizedModule
from tasks.models.prepare.functional import FunctionalOp
from tasks.models.prepare.fuse import Part
from tasks.models.prepare.normalize import add_module
from tasks.models.prepare.operations import Kind, kind_of, name_of
from tasks.models.selection import Selection


@dataclass
class Placement:
    """What a graph's operations were made to be."""

    modules: list[QuantizedModule] = field(default_factory=list)
    float_modules: set[str] = field(default_factory=set)
    ties: dict[str, str] = field(default_factory=dict)
    """QuantStubs whose tensor is another's values moved: stub's module name to the other's name,
    whose grid it takes, so that nothing is rounded twice."""
    copies: dict[str, str] = field(default_factory=dict)
    """Modules made for further calls of a module: their names to that one's."""
    fused: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Modules that took others in: by its name the names of all, its own first."""


@dataclass(frozen=True)
class _Tensor:
    """How a node's value is held: as INT8 or not, and whose grid its values are on."""

    int8: bool
    grid: str | None


def place_stubs(
    graph: fx.GraphModule, selection: Selection, fused: dict[str, tuple[Part, ...]]
) -> Placement:
    """Put QuantStub and DeQuantStub modules into a fused graph, in place.

    ``fused`` is what ``fuse`` returned.
    """
    return _Placer(graph, selection, fused).run()


class _Placer:
    def __init__(
        self, graph: fx.GraphModule, selection: Selection, fused: dict[str, tuple[Part, ...]]
    ) -> None:
        self.graph = graph
        self.fused = fused
        self.selection = selection
        self.placement = Placement()
        self.held: dict[fx.Node, _Tensor] = {}
        self.stubs: dict[fx.Node, fx.Node] = {}
        """The other form of a node's value: quantized of a float one, and the reverse."""

    def run(self) -> Placement:
        for node in list(self.graph.graph.nodes):
            self.held[node] = self._place(node)
        self.graph.graph.lint()
        self.graph.recompile()
        return self.placement

    def _place(self, node: fx.Node) -> _Tensor:
        inputs = [n for n in node.all_input_nodes if "value" not in n.meta]
        if node.op == "output":
            self._all(node, inputs, int8=False)
            return _Tensor(False, None)
        kind, reason = kind_of(self.graph, node)
        if node.op in ("placeholder", "get_attr") or (kind == "size" and not inputs):
            return _Tensor(False, None)
        arriving = any(self.held[n].int8 for n in inputs)
        kind, reason = self._wanted(node, kind, reason, arriving)
        if kind == "size":
            return _Tensor(False, None)
        if kind == "int8":
            self._all(node, inputs, int8=True)
            result = _Tensor(True, str(node.target))
        elif kind == "follows" and arriving:
            self._all(node, inputs, int8=True)
            result = _Tensor(True, self.held[inputs[0]].grid)
        else:
            self._all(node, inputs, int8=False)
            keeps = kind in ("follows", "moves") and len(inputs) == 1
            result = _Tensor(False, self.held[inputs[0]].grid if keeps else None)
        self._record(node, kind, reason, result.int8)
        return result

    def _wanted(self, node: fx.Node, kind: Kind, reason: str, arriving: bool) -> tuple[Kind, str]:
        """The kind, once the job's choice and the tensors that arrive are looked at."""
        if kind in ("float", "size", "moves"):
            return kind, reason
        module = self._module(node)
        unwanted = self.selection.why_float(self._name(node), type(module) if module else None)
        if unwanted is not None:
            return ("float" if kind == "int8" else "moves"), unwanted
        if kind == "int8" and isinstance(module, FunctionalOp) and not arriving:
            return "float", "none of its inputs is INT8"
        return kind, reason

    def _all(self, node: fx.Node, inputs: list[fx.Node], *, int8: bool) -> None:
        for source in inputs:
            if self.held[source].int8 != int8:
                node.replace_input_with(source, self._stub(source, int8))

    def _stub(self, source: fx.Node, int8: bool) -> fx.Node:
        if source not in self.stubs:
            module: nn.Module = QuantStub() if int8 else DeQuantStub()
            owner, _, name = self._name(source).rpartition(".")
            name += "_quant" if int8 else "_dequant"
            target = add_module(self.graph, owner, name, module)
            with self.graph.graph.inserting_after(source):
                stub = self.graph.graph.call_module(target, (source,))
            stub.meta.update(source.meta)
            self.stubs[source] = stub
            held = self.held[source]
            if int8:
                if held.grid is not None:
                    self.placement.ties[target] = held.grid
                self.held[stub] = _Tensor(True, held.grid or target)
            else:
                self.held[stub] = _Tensor(False, held.grid)
        return self.stubs[source]

    def _module(self, node: fx.Node) -> nn.Module | None:
        if node.op != "call_module":
            return None
        return self.graph.get_submodule(str(node.target))

    def _name(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return str(node.target)
        owner = node.meta.get("owner", "")
        return f"{owner}.{node.name}" if owner else node.name

    def _record(self, node: fx.Node, kind: Kind, reason: str, int8: bool) -> None:
        module = self._module(node)
        if module is None and kind != "float":
            return
        if module is not None and not int8:
            self.placement.float_modules.add(str(node.target))
        itself, *parts = self.fused.get(str(node.target), (None,))
        name = name_of(node) if module is None else type(module).__name__
        name = itself.kind if itself else name
        if int8:
            why = "INT8 kernel" if kind == "int8" else "computes on its input's grid"
        elif not reason:
            why = (
                "moves values, which stay on their grid"
                if kind == "moves"
                else "its input is float"
            )
        else:
            why = reason
        rows = [QuantizedModule(name=self._name(node), kind=name, quantized=int8, why=why)]
        rows += [
            QuantizedModule(
                name=x.name, kind=x.kind, quantized=True, why=f"fused into {node.target}"
            )
            for x in parts
            if x is not None
        ]
        self.placement.modules += rows
