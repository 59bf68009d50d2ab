"""Which modules a job wants in INT8: patterns, types, and the policy for the first and last layer.

Every quantizer asks here, so that a job file means the same whatever its mode.
"""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from schemas.convert import Observer, QuantizationConfig
from schemas.errors import InputError, nearest

WEIGHTED = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
    nn.Linear,
)


class Selection:
    """A job's choice, applied to the modules of one network.

    ``execution_order`` are the names of the convolution and linear modules in the order in which
    they run, for ``first_layer`` and ``last_layer``; left out: in the order of definition.
    ``copies`` are modules made for further calls of one of the network's, by name: they are what
    that one is.

    Raises InputError where a pattern or type fits no module, naming the nearest.
    """

    def __init__(
        self,
        model: nn.Module,
        config: QuantizationConfig,
        execution_order: Sequence[str] | None = None,
        copies: Mapping[str, str] | None = None,
    ) -> None:
        self._config = config
        self._copies = copies or {}
        self._kinds: Mapping[str, type[nn.Module]] = {
            name: type(module) for name, module in model.named_modules() if name
        }
        self._check()
        weighted = execution_order or [
            name for name, kind in self._kinds.items() if issubclass(kind, WEIGHTED)
        ]
        self._first = self._original(weighted[0]) if weighted else None
        self._last = self._original(weighted[-1]) if weighted else None

    def quantized_layers(self, model: nn.Module, section: str) -> dict[str, nn.Module]:
        """The convolution and linear modules of ``model`` that the job wants in INT8, by name.

        Raises InputError, naming the job's ``section`` that asks for them, where there are none, or
        where the weights of one are computed from other parameters and cannot be rounded by
        themselves.
        """
        layers: dict[str, nn.Module] = {
            name: module
            for name, module in model.named_modules()
            if isinstance(module, WEIGHTED) and self.why_float(name) is None
        }
        if not layers:
            raise InputError(
                f"{section}: the job quantizes no layer: check quantization.include and exclude"
            )
        for name, module in layers.items():
            if "weight" not in module._parameters:
                raise InputError(
                    f"{section}: {name} computes its weights, by weight_norm or another "
                    "parametrization: remove it in the factory, name the layer in "
                    f"quantization.exclude, or leave {section} out of the job"
                )
        return layers

    def why_float(self, name: str, kind: type[nn.Module] | None = None) -> str | None:
        """Why the job wants a module in float; None where it does not.

        ``name`` is a module's dotted name; a name that the network does not have, such as that of
        an operation inside a module, is judged by the modules it lies in and, if given, ``kind``.
        """
        config, name = self._config, self._original(name)
        for pattern in config.exclude:
            if _within(name, pattern):
                return f"excluded by quantization.exclude {pattern}"
        kind = self._kinds.get(name, kind)
        for outer in (*_ancestors(name), name):
            found = self._kinds.get(outer, kind if outer == name else None)
            if found is not None and found.__name__ in config.exclude_types:
                return f"excluded by quantization.exclude_types {found.__name__}"
        if config.include and not any(_within(name, pattern) for pattern in config.include):
            return "not in quantization.include"
        weighted = kind is not None and issubclass(kind, WEIGHTED)
        if weighted and config.include_types and kind.__name__ not in config.include_types:  # type: ignore[union-attr]
            return "its type is not in quantization.include_types"
        if config.first_layer == "float" and name == self._first:
            return "the first layer, by quantization.first_layer"
        if config.last_layer == "float" and name == self._last:
            return "the last layer, by quantization.last_layer"
        return None

    def observer(self, *names: str) -> Observer:
        """Which observer watches the output of a module, or of several that became one."""
        for pattern, observer in self._config.observers.items():
            if any(_within(self._original(name), pattern) for name in names):
                return observer
        return self._config.observer

    def _original(self, name: str) -> str:
        return self._copies.get(name, name)

    def _check(self) -> None:
        config = self._config
        for field in ("include", "exclude", "observers"):
            for pattern in getattr(config, field):
                if not any(_within(name, pattern) for name in self._kinds):
                    raise InputError(
                        f"quantization.{field}: no module is called {pattern!r}: "
                        f"{nearest(pattern, self._kinds)}"
                    )
        kinds = sorted({kind.__name__ for kind in self._kinds.values()})
        for field in ("include_types", "exclude_types"):
            for kind in getattr(config, field):
                if kind not in kinds:
                    raise InputError(
                        f"quantization.{field}: no module is a {kind!r}: {nearest(kind, kinds)}"
                    )


def _within(name: str, pattern: str) -> bool:
    """Whether a pattern fits a module or one that it lies in."""
    return any(fnmatchcase(outer, pattern) for outer in (*_ancestors(name), name))


def _ancestors(name: str) -> list[str]:
    """The modules that a module lies in, outermost first."""
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts))]


def chooses_modules(config: QuantizationConfig) -> bool:
    """Whether a job asks for some modules to stay in float."""
    lists = (config.include, config.exclude, config.include_types, config.exclude_types)
    return any(lists) or "float" in (config.first_layer, config.last_layer)
