"""Two plans of one network side by side, matched by the ONNX nodes that their layers compute."""

import difflib
from collections import Counter
from dataclasses import dataclass, field

from schemas.engine import Layer, LayerPair, LayerTable

_QDQ = ("QuantizeLinear", "DequantizeLinear")
# What wrappers put in front of every module's name.
_WRAPPERS = {"model", "module", "model_fp32", "network", "net"}


def side_by_side(left: LayerTable, right: LayerTable) -> tuple[LayerPair, ...]:
    """Every layer of both plans once, in the order of ``left``.

    Layers that share a node, directly or through others, stand together: three kernels of one plan
    against one fused kernel of the other. Q and DQ nodes do not count, because a float graph has
    none. Layers without a node, such as reformats, stand alone, but for those of one name.
    """
    groups = _Groups()
    keyed: list[tuple[int, Layer, frozenset[str]]] = []
    for side, table in enumerate((left, right)):
        named = Counter[str]()
        for layer in table.layers:
            keys = frozenset(map(canonical, _computed(layer)))
            named[layer.name] += 1
            keyed.append((side, layer, keys or frozenset([f"{named[layer.name]}:{layer.name}"])))
            groups.join(keyed[-1][2])
    rows: dict[str, _Row] = {}
    for side, layer, keys in keyed:
        row = rows.setdefault(groups.root(next(iter(keys))), _Row())
        row.layers[side].append(layer)
        if side == 0 or not row.layers[0]:
            row.nodes.update(dict.fromkeys(_computed(layer)))
    return tuple(
        LayerPair(nodes=tuple(row.nodes), left=tuple(row.layers[0]), right=tuple(row.layers[1]))
        for row in rows.values()
    )


def in_order(left: LayerTable, right: LayerTable) -> tuple[LayerPair, ...]:
    """Every layer of both plans once, those of one type matched in their order.

    For plans of networks that were exported in different ways, with no node name in common.
    """
    kinds = [[layer.type for layer in table.layers] for table in (left, right)]
    matcher = difflib.SequenceMatcher(a=kinds[0], b=kinds[1], autojunk=False)
    pairs: list[LayerPair] = []
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        ours, theirs = left.layers[i:i_end], right.layers[j:j_end]
        if tag == "equal":
            both = zip(ours, theirs, strict=True)
            pairs += [LayerPair(nodes=a.onnx_nodes, left=(a,), right=(b,)) for a, b in both]
        else:
            pairs += [LayerPair(nodes=a.onnx_nodes, left=(a,), right=()) for a in ours]
            pairs += [LayerPair(nodes=b.onnx_nodes, left=(), right=(b,)) for b in theirs]
    return tuple(pairs)


def canonical(node: str) -> str:
    """A node's name without what differs between a float and a quantized export of one network.

    PyTorch's exporter writes ``/layer1/layer1.0/conv1/Conv`` for a float network and
    ``/model/layer1/0/conv1/Conv`` for one wrapped to be quantized.
    """
    parts: list[str] = []
    before = ""
    for part in node.strip("/").split("/"):
        if not parts and part in _WRAPPERS:
            continue
        short = part.removeprefix(f"{before}.") if before else part
        before = part
        parts.append(short)
    return "/".join(parts)


def _computed(layer: Layer) -> list[str]:
    """The layer's nodes without Q, DQ and constants."""
    if layer.onnx_ops:
        pairs = zip(layer.onnx_nodes, layer.onnx_ops, strict=True)
        return [node for node, op in pairs if op not in _QDQ]
    skip = (*_QDQ, "Constant")
    return [
        node
        for node in layer.onnx_nodes
        if not any(word in node.rsplit("/", 1)[-1] for word in skip)
        and not node.endswith(("/Q", "/DQ"))
    ]


@dataclass
class _Row:
    layers: tuple[list[Layer], list[Layer]] = field(default_factory=lambda: ([], []))
    nodes: dict[str, None] = field(default_factory=dict)


class _Groups:
    """Sets of keys that belong together (union-find)."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}

    def root(self, key: str) -> str:
        self._parents.setdefault(key, key)
        while self._parents[key] != key:
            self._parents[key] = self._parents[self._parents[key]]
            key = self._parents[key]
        return key

    def join(self, keys: frozenset[str]) -> None:
        first, *others = sorted(keys)
        for other in others:
            self._parents[self.root(other)] = self.root(first)
