"""Draw a residual block before and after surgery, for docs/residual-block.md.

    python scripts/draw_residual_block.py [docs/images]

A block of convolutions with an identity skip, quantized by PyTorch's eager mode, exported, and
repaired for TensorRT: the pictures are what the code makes of it, in the report's own drawing.
"""

import io
import sys
import tempfile
from pathlib import Path

import onnx
import onnx.utils
import torch
from torch import Tensor, nn

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from tasks.models.exporter import write_onnx
from tasks.models.quantizer import quantizer
from tasks.report.page.drawing import draw
from tasks.surgery.repair import repair

STYLE = """
rect { stroke: #555c68; fill: #e8eaee } .q rect, .dq rect { fill: #d8efd9 }
.int8 rect { fill: #cfe3f8; stroke: #1a5fb4 } .float rect { fill: #fbdfc0 }
path { fill: none; stroke: #555c68 }
text { fill: #1d2129; font: 17px sans-serif; text-anchor: middle }
svg { background: #fff }
"""


class Block(nn.Module):
    """Two convolutions and an identity skip, as in a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.conv2(torch.relu(self.conv1(x))))


class Network(nn.Module):
    """A block between two others, so that its neighbours are quantized as well."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = Block()
        self.head = nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.block(torch.relu(self.stem(x))))


def exported() -> onnx.ModelProto:
    """The INT8 network as PyTorch's exporter writes it."""
    torch.manual_seed(0)
    images = torch.randn(2, 3, 16, 16)
    config = QuantizationConfig(mode="eager", observer="minmax")
    network, ways = Network().eval(), quantizer("eager")
    prepared = ways.prepare(network, config, images)
    with torch.inference_mode():
        prepared(images)
    table = CalibrationTable(images=2, images_sha256="", tensors=ways.read_ranges(prepared))
    int8 = ways.convert_with_table(network, config, table, images)
    file = io.BytesIO()
    write_onnx(int8, images, file, ways.exporter, opset=17, dynamic_batch=True)
    return onnx.load_model_from_string(file.getvalue())


def block_of(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph from the activation ahead of the block to the quantizer behind it."""
    made = {node.name: node.output[0] for node in model.graph.node}
    ends = ([made["/stem/Relu"]], [made["/add_relu/QuantizeLinear"]])
    return onnx.utils.Extractor(onnx.shape_inference.infer_shapes(model)).extract_model(*ends)


def pictures() -> dict[str, str]:
    """SVG by file name."""
    raw = exported()
    repaired, _ = repair(raw, "tensorrt")
    found = {}
    for name, model, label in (
        ("residual-before.svg", raw, "A residual block as PyTorch exports it"),
        ("residual-after.svg", repaired, "The same block after surgery for TensorRT"),
    ):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "graph.onnx")
            onnx.save(block_of(model), file)
            svg = draw(file, label)
        assert svg is not None
        head, _, rest = svg.partition(">")
        namespace = '<svg xmlns="http://www.w3.org/2000/svg"'
        found[name] = f"{head.replace('<svg', namespace)}><style>{STYLE}</style>{rest}\n"
    return found


def main() -> None:
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images")
    for name, svg in pictures().items():
        (folder / name).write_text(svg, encoding="utf-8")
        print(folder / name)


if __name__ == "__main__":
    main()
