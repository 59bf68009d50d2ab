"""PyTorch's quantization without its notices."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Without the deprecation notices that every call into eager mode and its exporter prints."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
