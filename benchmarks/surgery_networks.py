"""Networks to compare surgery on: one float network, exported in float and quantized."""

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from torch import nn

EAGER = ("resnet18", "resnet50", "mobilenet_v2", "googlenet")
EXPORTED = ("densenet121",)


def calibration_images(folder: Path | None, count: int, size: int) -> NDArray[np.float32]:
    """``float32[count, 3, size, size]``: a folder's images, or noise where none is given."""
    if folder is None:
        generator = np.random.default_rng(0)
        return generator.standard_normal((count, 3, size, size)).astype(np.float32)
    from tasks.surgery.calibration_images import load_images

    return load_images(folder, (1, 3, size, size), (0.5,), (0.25,), count)


def export_both(name: str, images: NDArray[np.float32], folder: Path) -> tuple[Path, Path]:
    """The float graph and PyTorch's own INT8 export of one network, batch 1.

    Weights are random, with batch statistics of the images: kernels and latencies depend on
    shapes, not on what a network has learned.
    """
    warnings.simplefilter("ignore")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch.manual_seed(0)
    batch = torch.from_numpy(images)
    float_file, int8_file = folder / "float.onnx", folder / "int8-raw.onnx"
    if name in EAGER:
        network = getattr(torchvision.models.quantization, name)(weights=None, quantize=False)
    else:
        network = getattr(torchvision.models, name)(weights=None)
    network.train()
    with torch.no_grad():
        network(batch[:16])
    network.eval()
    _export(network, batch, float_file)
    if name in EAGER:
        _export(_quantize_eagerly(network, batch), batch, int8_file)
    else:
        _export(_quantize_exported(network, batch), batch, int8_file, dynamo=True)
    return float_file, int8_file


def _export(network: nn.Module, images: torch.Tensor, file: Path, **options: Any) -> None:
    settings: dict[str, Any] = {"dynamo": False, "opset_version": 17, **options}
    if settings["dynamo"]:
        settings |= {"opset_version": 18, "external_data": False, "verbose": False}
    torch.onnx.export(
        network,
        (images[:1],),
        str(file),
        input_names=["input"],
        output_names=["logits"],
        **settings,
    )


def _quantize_eagerly(network: nn.Module, images: torch.Tensor) -> nn.Module:
    from torch.ao.quantization import (
        MinMaxObserver,
        PerChannelMinMaxObserver,
        QConfig,
        convert,
        prepare,
    )

    torch.backends.quantized.engine = "x86"
    network.fuse_model()  # type: ignore[operator]
    network.qconfig = QConfig(  # type: ignore[assignment]
        activation=MinMaxObserver.with_args(dtype=torch.quint8, qscheme=torch.per_tensor_symmetric),
        weight=PerChannelMinMaxObserver.with_args(
            dtype=torch.qint8, qscheme=torch.per_channel_symmetric, quant_min=-127, quant_max=127
        ),
    )
    prepare(network, inplace=True)
    with torch.no_grad():
        for image in images.split(16):
            network(image)
    return convert(network, inplace=True)


def _quantize_exported(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """PyTorch 2 Export quantization, for networks whose batch norms cannot be fused eagerly."""
    from torchao.quantization.pt2e.observer import MinMaxObserver, PerChannelMinMaxObserver
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import (
        QuantizationAnnotation,
        QuantizationSpec,
        Quantizer,
    )

    symmetric: dict[str, Any] = {"dtype": torch.int8, "quant_min": -127, "quant_max": 127}
    activation = QuantizationSpec(
        observer_or_fake_quant_ctr=MinMaxObserver,
        qscheme=torch.per_tensor_symmetric,
        is_dynamic=False,
        **symmetric,
    )
    weight = QuantizationSpec(
        observer_or_fake_quant_ctr=PerChannelMinMaxObserver,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
        is_dynamic=False,
        **symmetric,
    )
    operators = torch.ops.aten
    weighted = (operators.conv2d.default, operators.linear.default)

    class WeightedOnly(Quantizer):
        """Inputs and weights of convolutions and linear layers."""

        def annotate(self, model: Any) -> Any:
            for node in model.graph.nodes:
                if node.op == "call_function" and node.target in weighted:
                    node.meta["quantization_annotation"] = QuantizationAnnotation(
                        input_qspec_map={node.args[0]: activation, node.args[1]: weight},
                        _annotated=True,
                    )
            return model

        def validate(self, model: Any) -> None:
            """Nothing to check: every annotation is of one kind."""

    program = torch.export.export(network, (images[:1],)).module()
    prepared = prepare_pt2e(program, WeightedOnly())
    with torch.no_grad():
        for image in images.split(1):
            prepared(image)
    return convert_pt2e(prepared)
