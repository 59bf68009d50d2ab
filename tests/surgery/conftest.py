"""Real exports to operate on: torchvision networks, quantized by PyTorch, written by its exporter.

Their weights and images are random, which is enough for claims about graphs: what a graph
computes before and after is compared, never how well it classifies.
"""

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from torch.ao.quantization import (
    MinMaxObserver,
    PerChannelMinMaxObserver,
    QConfig,
    convert,
    prepare,
)


@dataclass(frozen=True)
class Export:
    """A raw export, images ``float32[16, 3, 32, 32]`` and torch's logits for them.

    ``logits`` are the INT8 network's, ``float_logits`` those of the network it was made from.
    """

    model: onnx.ModelProto
    images: NDArray[np.float32]
    logits: NDArray[np.float32]
    float_logits: NDArray[np.float32] | None = None

    def fresh(self) -> onnx.ModelProto:
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        return copy


def qconfig(lowest_weight: int = -127) -> QConfig:
    return QConfig(
        activation=MinMaxObserver.with_args(dtype=torch.quint8, qscheme=torch.per_tensor_symmetric),
        weight=PerChannelMinMaxObserver.with_args(
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            quant_min=lowest_weight,
            quant_max=127,
        ),
    )


def to_onnx(
    network: torch.nn.Module, images: torch.Tensor, *, opset: int = 17, dynamic: bool = True
) -> onnx.ModelProto:
    """The legacy exporter's graph, input ``input`` and output ``logits``."""
    axes = {"input": {0: "batch"}, "logits": {0: "batch"}} if dynamic else None
    file = io.BytesIO()
    torch.onnx.export(
        network,
        (images[:1],),
        file,
        dynamo=False,
        opset_version=opset,
        input_names=["input"],
        output_names=["logits"],
        dynamic_axes=axes,
    )
    return onnx.load_model_from_string(file.getvalue())


def quantize_eagerly(network: torch.nn.Module, images: torch.Tensor) -> torch.nn.Module:
    """Eager-mode post-training quantization of a torchvision quantizable network."""
    torch.backends.quantized.engine = "x86"
    network.train()
    with torch.no_grad():
        network(images)
    network.eval()
    network.fuse_model()  # type: ignore[operator]
    network.qconfig = qconfig()  # type: ignore[assignment]
    prepare(network, inplace=True)
    with torch.no_grad():
        network(images)
    convert(network, inplace=True)
    return network


def export_of(name: str, **options: object) -> Export:
    with warnings.catch_warnings():
        # PyTorch announces the end of the interfaces in use on every call.
        warnings.simplefilter("ignore")
        return _export_of(name, **options)


def _export_of(name: str, **options: object) -> Export:
    torch.manual_seed(0)
    images = torch.randn(16, 3, 32, 32)
    network = getattr(torchvision.models.quantization, name)(weights=None, quantize=False)
    network = quantize_eagerly(network, images)
    with torch.no_grad():
        logits = network(images).numpy()
    return Export(to_onnx(network, images, **options), images.numpy(), logits)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def exported() -> Callable[[str], Export]:
    """The export of a torchvision network by name, made once."""
    made: dict[str, Export] = {}

    def get(name: str) -> Export:
        if name not in made:
            made[name] = export_of(name)
        return made[name]

    return get


@pytest.fixture(scope="session")
def resnet18(exported: Callable[[str], Export]) -> Export:
    return exported("resnet18")
