"""The whole build flow on a network that was not written for quantization."""

import json
import re
import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from schemas.report import RunReport
from tests.flows.conftest import REPOSITORY, Workshop, small_job


class Plain(nn.Module):
    """No stubs, a plain sum, functional ReLU, BatchNorm unfused."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 8, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(x + self.conv2(x))
        return self.fc(x.mean((2, 3)))


def network(num_classes: int, in_channels: int) -> nn.Module:
    torch.manual_seed(0)
    return Plain(num_classes, in_channels)


@pytest.mark.parametrize(
    ("mode", "exclude"),
    [
        ("auto", []),
        pytest.param("auto", ["conv2"], marks=pytest.mark.thorough),
        pytest.param("fx", [], marks=pytest.mark.thorough),
        ("pt2e", []),
    ],
)
def test_a_plain_network_goes_all_the_way(
    workshop: Workshop, mode: str, exclude: list[str]
) -> None:
    job = small_job(
        model={
            "factory": f"{__name__}:network",
            "weights": None,
            "pretrained": True,
        },
        quantization={"mode": mode, "exclude": exclude},
        accuracy={"max_drop_points": 100.0},
        # Untrained, its answers lie close together.
        surgery={"min_top1_agreement": 0.0},
    )
    result = workshop.run(job)
    report = workshop.report(result)
    assert report.quantized is not None
    assert report.quantized.mode == ("eager" if mode == "auto" else mode)
    rows = {row.name: row for row in report.quantized.modules}
    assert rows["conv1"].quantized
    assert rows["conv2"].quantized is (not exclude)
    assert len(report.engines[0].layers.integer_convolutions) == (1 if exclude else 2)
    folder = workshop.root / "runs" / "small"
    text = (folder / "report.md").read_text()
    assert "## Modules:" in text
    assert re.search(r"- 64 images of .* classes, [\d,.]+ images/s on (cpu|cuda)\n", text)
    if mode == "auto" and not exclude:
        assert_explained(folder, report)


def assert_explained(folder: object, report: RunReport) -> None:
    """``enginesmith explain RUN`` shows what the report holds."""
    command = "from flows.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, "explain", str(folder), "--json"],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        check=True,
    )
    assert report.quantized is not None
    assert report.findings is not None
    layers = [errors.model_dump(mode="json") for errors in report.findings.layers]
    assert len(layers[0]["layers"]) > 1
    assert json.loads(done.stdout) == report.quantized.model_dump(mode="json") | {"layers": layers}
