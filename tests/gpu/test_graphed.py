"""Recorded training passes are the passes that they stand for."""

import logging

import pytest
import torch
from torch import Tensor, nn

from tasks.train.device import autocast
from tasks.train.graphed import graphed

pytestmark = pytest.mark.gpu


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10)
    ).cuda()


def trained(model: nn.Module, recorded: bool, precision: torch.dtype) -> list[float]:
    generator = torch.Generator("cuda").manual_seed(1)
    sample = torch.randn(16, 3, 8, 8, device="cuda", generator=generator)
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    forward = graphed(model, sample, precision) if recorded else model
    for name, buffer in model.named_buffers():
        assert torch.equal(buffer, before[name]), name
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model.train()
    losses = []
    for _ in range(20):
        images = torch.randn(16, 3, 8, 8, device="cuda", generator=generator)
        labels = images.mean(dim=(1, 2, 3)).gt(0).long()
        with autocast(images.device, precision):
            loss = nn.functional.cross_entropy(forward(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_losses_are_the_same(precision: torch.dtype) -> None:
    plain, recorded = network(), network()
    expected = trained(plain, False, precision)
    tolerance = 1e-4 if precision == torch.float32 else 3e-2
    assert trained(recorded, True, precision) == pytest.approx(expected, abs=tolerance)
    for name, buffer in recorded.named_buffers():
        torch.testing.assert_close(buffer, dict(plain.named_buffers())[name], atol=0.05, rtol=0.05)
    assert "forward" not in recorded.__dict__


class Asking(nn.Module):
    """It looks at a value, which a recorded pass cannot."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.dropout = nn.Dropout(0.1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.dropout(self.inner(images))
        return logits if logits.sum().item() > 0 else logits * 1


def test_what_cannot_be_recorded_trains_without(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "enginesmith"):
        losses = trained(Asking(), True, torch.float32)
    assert "without CUDA graphs" in caplog.text
    assert losses[-1] < losses[0] + 0.5
