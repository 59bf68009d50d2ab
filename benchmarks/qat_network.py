"""PyTorch's own quantization-aware training of a job's network, in a form that a GPU can record."""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.ao.quantization import (
    FakeQuantize,
    MovingAverageMinMaxObserver,
    MovingAveragePerChannelMinMaxObserver,
    QConfig,
    prepare_qat,
)

from schemas.job import Job
from schemas.train import TrainConfig
from tasks.models.build import build_model
from tasks.models.quiet import quiet
from tasks.models.weights import load_weights


class TrainingFakeQuantize(FakeQuantize):
    """Fake quantization that follows training images only, and asks the GPU nothing.

    PyTorch's own looks at its switches, which lie on the GPU, at every call: a round trip each, and
    nothing that a CUDA graph can hold. Same grid: its observer keeps the range that is converted.
    """

    def forward(self, x: Tensor) -> Tensor:
        observer = self.activation_post_process
        if self.training:
            low, high = torch.aminmax(x.detach())
            for kept, new in ((observer.min_val, low), (observer.max_val, high)):
                moved = kept + observer.averaging_constant * (new - kept)
                kept.copy_(torch.where(torch.isinf(kept), new, moved))
        largest = torch.maximum(-observer.min_val, observer.max_val).clamp(min=1e-6)
        zero_point = torch.full((), 128, dtype=torch.int32, device=x.device)
        return torch.fake_quantize_per_tensor_affine(x, largest / 127.5, zero_point, 0, 255)


class WeightFakeQuantize(FakeQuantize):
    """As above for weights, by output channel and by their range of the moment."""

    def forward(self, x: Tensor) -> Tensor:
        observer = self.activation_post_process
        low, high = torch.aminmax(x.detach().flatten(1), dim=1)
        for kept, new in ((observer.min_val, low), (observer.max_val, high)):
            if kept.shape != new.shape:
                kept.resize_(new.shape)
            kept.copy_(new)
        scale = (torch.maximum(-low, high).clamp(min=1e-6) / 127).reshape(-1, *[1] * (x.ndim - 1))
        rounded = torch.round(x.detach() / scale) * scale
        # Nothing is clipped, so every gradient passes; PyTorch's own kernel asks for zero-points.
        return x + (rounded - x.detach())


def qat_network(job: Job, checkpoint: Path) -> nn.Module:
    """The trained network with its weights and activations rounded to the INT8 grid as it runs."""
    torch.backends.quantized.engine = job.quantization.kernels
    model = build_model(job.model.factory, job.model.kwargs)
    load_weights(model, checkpoint)
    model.train()
    model.fuse_model(is_qat=True)  # type: ignore[operator]
    model.qconfig = QConfig(  # type: ignore[assignment]
        activation=TrainingFakeQuantize.with_args(
            observer=MovingAverageMinMaxObserver,
            dtype=torch.quint8,
            qscheme=torch.per_tensor_symmetric,
            quant_min=0,
            quant_max=255,
        ),
        # Weights are there from the start, and their range is that of the moment.
        weight=WeightFakeQuantize.with_args(
            observer=MovingAveragePerChannelMinMaxObserver,
            averaging_constant=1.0,
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
            quant_min=-127,
            quant_max=127,
        ),
    )
    with quiet():
        return prepare_qat(model)


def qat_config(config: TrainConfig, epochs: int) -> TrainConfig:
    """A short run at a fraction of the learning rate; float32, as fake quantization has to be."""
    rate = config.learning_rate / 20
    changes = {"epochs": epochs, "learning_rate": rate, "precision": "float32"}
    return config.model_copy(update=changes)
