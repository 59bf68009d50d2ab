"""From PyTorch to ONNX."""

from pydantic import Field, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict


class ExportConfig(Strict):
    opset: int = Field(default=17, ge=13, le=21, description="ONNX operator set")
    dynamic_batch: bool = Field(default=True, description="leave the batch dimension open")
    batch_size: PositiveInt = Field(default=1, description="the traced batch; fixed if not dynamic")


class ExportResult(Strict):
    """The same network twice, with the same inputs and outputs."""

    quantized: ArtifactRef = Field(description="ONNX as the exporter wrote it, Q/DQ inside")
    float32: ArtifactRef = Field(description="ONNX of the FP32 network: the baseline")
