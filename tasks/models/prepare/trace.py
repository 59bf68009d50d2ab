"""From a network's Python code to a graph of its operations, by torch.fx.

torch.fx alone gives up where code looks at a shape: ``if x.shape[1] > 8``, ``for size in x.shape``.
Here every operation is also computed on an example, so that such questions have an answer. What
depends on the values of the images has none, and is refused; a parameter's are written as numbers.
"""

import traceback
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from schemas.errors import InputError

# They turn what a tensor holds into a Python value.
_READS_VALUES = frozenset({"item", "tolist", "is_nonzero", "equal", "allclose"})

# The same for whatever batch of images.
_FIXED = ("ndim", "dtype", "device", "is_cuda", "is_quantized", "requires_grad")


class UntraceableError(Exception):
    """The network's code cannot be written down as a graph: one line saying why."""


class DataDependentError(UntraceableError):
    """What the code does depends on the values of the images, so no graph holds it."""


def undecidable(model: nn.Module, reason: object) -> InputError:
    """What is said where no interface can make a graph: each would keep one case."""
    return InputError(
        f"model {type(model).__name__}: {reason}: write the branch with torch.where, or take it "
        "out of forward"
    )


def trace(model: nn.Module, example: Tensor) -> tuple[fx.GraphModule, Any]:
    """The graph of a network in evaluation mode, and its answers for ``example``.

    ``example`` is float32[N, C, H, W]; modules keep their names. Every node's value for it is in
    ``node.meta["value"]`` where it is no tensor, and for tensors their type and shape in
    ``node.meta["tensor"]``.
    ``node.meta["owner"]`` is the name of the module whose code the operation is in.

    Raises UntraceableError.
    """
    tracer = _Tracer(example)
    try:
        with torch.no_grad():
            graph = tracer.trace(model)
    except UntraceableError:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise UntraceableError(
            f"torch.fx cannot trace it: {type(error).__name__}: {lines[0]}{_where(error)}"
        ) from error
    for node in graph.nodes:
        _note(node, tracer)
    answers = tracer.answers(graph)
    return fx.GraphModule(tracer.root, graph), answers


class _Value(fx.Proxy):
    """A proxy that knows what it is for the example, where that is no tensor's content."""

    def __getattr__(self, name: str) -> Any:
        value = self.tracer.values[self.node]  # type: ignore[attr-defined]
        if name == "shape":
            return self.tracer.create_proxy("call_function", getattr, (self, name), {})
        if name in _FIXED:
            return getattr(value, name)
        return super().__getattr__(name)

    def _python(self) -> Any:
        return self.tracer.python_value(self)  # type: ignore[attr-defined]

    def __int__(self) -> int:
        return int(self._python())

    def __float__(self) -> float:
        return float(self._python())

    def __index__(self) -> int:
        return int(self._python())

    def __len__(self) -> int:
        return len(self.tracer.values[self.node])  # type: ignore[attr-defined]


class _Tracer(fx.Tracer):
    def __init__(self, example: Tensor) -> None:
        super().__init__(autowrap_modules=())
        self.values: dict[fx.Node, Any] = {}
        self.from_images: set[fx.Node] = set()
        self.from_data: set[fx.Node] = set()
        self.owners: dict[fx.Node, str] = {}
        self._example = example
        self._computing = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Value(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        proxy_factory_fn: Callable[[fx.Node], fx.Proxy] | None = None,
    ) -> fx.Proxy:
        proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr, proxy_factory_fn)
        node = proxy.node
        self._computing = True
        try:
            self.values[node] = self._compute(node)
        finally:
            self._computing = False
        inputs = set(node.all_input_nodes)
        if kind == "placeholder" or self.from_images & inputs:
            self.from_images.add(node)
        reads = node.target in _READS_VALUES or bool(self.from_data & inputs)
        if reads and node in self.from_images and not isinstance(self.values[node], Tensor):
            self.from_data.add(node)
        stack = node.meta.get("nn_module_stack") or {}
        self.owners[node] = list(stack)[-1] if stack else ""
        return proxy

    def _compute(self, node: fx.Node) -> Any:
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._value_of)
        if node.op == "placeholder":
            # Inputs beyond the images have defaults, or admission would have refused them.
            first = not any(n.op == "placeholder" for n in self.values)
            return self._example if first else (args[0] if args else None)
        if node.op == "get_attr":
            return _attribute(self.root, str(node.target))
        if node.op == "call_function":
            return node.target(*args, **kwargs)  # type: ignore[operator]
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        if node.op == "call_module":
            return self.root.get_submodule(str(node.target))(*args, **kwargs)
        return args[0]

    def answers(self, graph: fx.Graph) -> Any:
        """What the traced network returned for the example."""
        output = next(node for node in reversed(graph.nodes) if node.op == "output")
        return fx.node.map_arg(output.args[0], self._value_of)

    def _value_of(self, node: fx.Node) -> Any:
        if node not in self.values:
            # Constant tensors among the arguments enter the graph past create_proxy.
            self.values[node] = _attribute(self.root, str(node.target))
        return self.values[node]

    # What is computed for the example must leave no trace of its own.
    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        if self._computing:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if self._computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def python_value(self, proxy: fx.Proxy) -> Any:
        value = self.values[proxy.node]
        content = isinstance(value, Tensor) and proxy.node in self.from_images
        if content or proxy.node in self.from_data:
            raise DataDependentError(
                f"its forward decides by the values of the images{_code_line()}"
            )
        return value

    def to_bool(self, obj: fx.Proxy) -> bool:
        return bool(self.python_value(obj))

    def iter(self, obj: Any) -> Iterator[Any]:
        return iter([obj[i] for i in range(len(self.values[obj.node]))])

    def keys(self, obj: fx.Proxy) -> Any:
        return self.values[obj.node].keys()


def _attribute(root: nn.Module, name: str) -> Any:
    found: Any = root
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _note(node: fx.Node, tracer: _Tracer) -> None:
    """Keep what later steps ask for; the tensors themselves would be all activations at once."""
    value = tracer.values.get(node, node.op)
    node.meta["owner"] = tracer.owners.get(node, "")
    if isinstance(value, Tensor):
        node.meta["tensor"] = (value.dtype, tuple(value.shape))
    elif isinstance(value, (tuple, list)) and any(isinstance(x, Tensor) for x in value):
        node.meta["tensors"] = len(value)
    else:
        node.meta["value"] = value


def _code_line() -> str:
    """The line of the user's code that is being traced."""
    for frame in reversed(traceback.extract_stack()):
        if "/torch/" not in frame.filename and not frame.filename.endswith("prepare/trace.py"):
            return f" ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}: {frame.line})"
    return ""


def _where(error: Exception) -> str:
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/torch/" not in f.filename]
    frames = [f for f in frames if not f.filename.endswith("prepare/trace.py")]
    if not frames:
        return ""
    return f" ({frames[-1].filename.rsplit('/', 1)[-1]}:{frames[-1].lineno}: {frames[-1].line})"
