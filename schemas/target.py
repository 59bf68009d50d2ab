"""The engines by name, for what cannot wait for pydantic: the command line's help."""

from typing import Literal

Target = Literal["openvino", "tensorrt_rtx", "tensorrt", "onnxruntime"]
"""Whose dialect a repaired graph speaks, and which compiler gets it."""
