"""The networks of our own can be quantized, and compute what they should."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tasks.models.build import build_model
from tasks.models.resnet import Block, ResNet, resnet18_cifar, resnet20
from tasks.models.weights import load_weights

CHECKPOINT = Path(__file__).parents[2] / "jobs/checkpoints/resnet20-fashion-mnist.safetensors"


def warmed(model: ResNet, images: torch.Tensor) -> ResNet:
    """BatchNorm statistics that are not those of initialisation."""
    model.train()
    for _ in range(3):
        model(images)
    return model.eval()


@pytest.mark.parametrize(
    ("build", "shape", "parameters"),
    [(resnet20, (1, 28, 28), 272_186), (resnet18_cifar, (3, 32, 32), 11_173_962)],
)
def test_size_and_logits(
    build: Callable[..., ResNet], shape: tuple[int, ...], parameters: int
) -> None:
    model = build()
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.eval()(torch.zeros(2, *shape)).shape == (2, 10)


def test_fusing_changes_no_logit_and_leaves_no_batchnorm() -> None:
    torch.manual_seed(0)
    images = torch.randn(16, 1, 28, 28)
    model = warmed(resnet20(), images)
    expected = model(images)
    model.fuse_model()
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def test_converted_every_convolution_addition_and_linear_layer_is_integer() -> None:
    from torch.ao.nn import quantized
    from torch.ao.quantization import convert, get_default_qconfig, prepare

    torch.manual_seed(0)
    images = torch.randn(16, 1, 28, 28)
    model = warmed(resnet20(), images)
    expected = model(images)
    model.fuse_model()
    model.qconfig = get_default_qconfig("x86")  # type: ignore[assignment]
    prepared = prepare(model)
    prepared(images)
    int8 = convert(prepared)
    kinds = [type(module) for module in int8.modules()]
    assert nn.Conv2d not in kinds
    assert nn.Linear not in kinds
    blocks = [module for module in int8.modules() if isinstance(module, Block)]
    assert all(isinstance(block.add_relu, quantized.QFunctional) for block in blocks)
    assert len(blocks) == 9
    agreement = (int8(images).argmax(1) == expected.argmax(1)).float().mean()
    assert agreement >= 0.8


def test_fused_for_training_it_still_trains() -> None:
    from torch.ao.quantization import get_default_qat_qconfig, prepare_qat

    model = resnet20().train()
    model.fuse_model(is_qat=True)
    model.qconfig = get_default_qat_qconfig("x86")  # type: ignore[assignment]
    prepared = prepare_qat(model)
    prepared(torch.randn(4, 1, 28, 28)).sum().backward()
    assert prepared.conv1.weight.grad is not None


def test_the_quickstarts_checkpoint_classifies_real_images() -> None:
    from schemas.data import DataConfig, FashionMnist
    from tasks.datasets.fashion_mnist import DEBIAN_FOLDER
    from tasks.datasets.open import open_dataset

    assert CHECKPOINT.stat().st_size <= 2_000_000
    model = build_model("tasks.models.resnet:resnet20", {"num_classes": 10, "in_channels": 1})
    load_weights(model, CHECKPOINT)
    model.eval()
    if not DEBIAN_FOLDER.is_dir():
        pytest.skip("dataset-fashion-mnist is not installed: make data")
    config = DataConfig(fashion_mnist=FashionMnist(), mean=(0.286,), std=(0.353,))
    test = open_dataset(config, "test")
    right = 0
    with torch.inference_mode():
        for batch in test.batches(500, np.arange(2500)):
            logits = model(torch.from_numpy(batch.images))
            right += int((logits.argmax(1).numpy() == batch.labels).sum())
    assert right / 2500 >= 0.92
