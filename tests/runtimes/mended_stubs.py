"""TensorRT's type stubs, with the lines mended that are no Python.

The package ``tensorrt-stubs`` was generated: parameters are called ``in``, and one without a
default follows some with. A type checker stops at those. A variable ``bool`` hides the type, which
makes flags untyped, and ``py.typed`` is missing.
"""

import re
from importlib.metadata import files
from pathlib import Path

_MENDS = (
    (re.compile(r"(?<=[\[ (])bool(?=[\],):| ]|$)(?! =)", re.M), "builtins.bool"),
    (re.compile(r"^(    |)builtins\.bool:", re.M), r"\1bool:"),
    (re.compile(r"^from __future__ import annotations$", re.M), r"\g<0>\nimport builtins"),
    (re.compile(r"\bin: list\["), "inputs: list["),
    (re.compile(r"(= None, channel_axis: int)\)"), r"\1 = ...)"),
)


def write_stubs(target: Path) -> Path:
    """Copy the stubs into ``target``, a folder for MYPYPATH, mended."""
    for entry in files("tensorrt-stubs") or ():
        if entry.suffix != ".pyi":
            continue
        text = Path(str(entry.locate())).read_text()
        for pattern, replacement in _MENDS:
            text = pattern.sub(replacement, text)
        copy = target / entry
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(text)
    return target
