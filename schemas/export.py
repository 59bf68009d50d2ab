"""From PyTorch to ONNX."""

from pydantic import Field, PositiveInt

from schemas.artifact import ArtifactRef
from schemas.base import Strict


class ExportConfig(Strict):
    opset: int = Field(default=17, ge=13, le=21, description="ONNX operator set")
    dynamic_batch: bool = Field(default=True, description="leave the batch dimension open")
    batch_size: PositiveInt = Field(default=1, description="the traced batch; fixed if not dynamic")
    parity_images: PositiveInt = Field(
        default=64, description="calibration images that later forms of the network are compared on"
    )


class ExportResult(Strict):
    """The same network twice, with the same inputs and outputs."""

    quantized: ArtifactRef = Field(description="ONNX as the exporter wrote it, Q/DQ inside")
    float32: ArtifactRef = Field(description="ONNX of the FP32 network: the baseline")
    samples: ArtifactRef = Field(
        description="safetensors: images float32[N, C, H, W] and the logits float32[N, classes] "
        "that torch gave for them, as logits_float32 and logits_int8"
    )
