"""What capturing makes of a network, and what it refuses."""

import pytest
import torch
from torch import Tensor, nn

from schemas.errors import InputError
from tasks.models.pt2e.capture import capture
from tasks.models.pt2e.fold import fold_batch_norms
from tests.models.pt2e.networks import Attention, Residual, warmed

EXAMPLE = torch.zeros(2, 3, 16, 16)


def _operators(graph: torch.fx.GraphModule) -> list[str]:
    return [str(node.target) for node in graph.graph.nodes if node.op == "call_function"]


def test_nothing_is_changed_in_place_and_attention_is_two_products(images: Tensor) -> None:
    model = warmed(Attention(), images)
    graph = capture(model, EXAMPLE)
    found = _operators(graph)
    assert "aten.scaled_dot_product_attention.default" not in found
    assert found.count("aten.matmul.default") == 2
    assert torch.allclose(graph(images), model(images), atol=1e-5)
    assert "aten.relu_.default" not in _operators(capture(Residual().eval(), EXAMPLE))


class Odd(nn.Module):
    """A BatchNorm behind a ReLU, one behind a convolution that is read twice, and a plain one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.after_relu = nn.BatchNorm2d(4)
        self.twice = nn.Conv2d(4, 4, 1)
        self.of_two = nn.BatchNorm2d(4)
        self.plain = nn.Conv2d(4, 4, 1, bias=False)
        self.folds = nn.BatchNorm2d(4, affine=False)
        self.up = nn.ConvTranspose2d(4, 4, 2, stride=2)
        self.folds_too = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 6)
        self.last = nn.BatchNorm1d(6)

    def forward(self, images: Tensor) -> Tensor:
        x = self.after_relu(torch.relu(self.first(images)))
        y = self.twice(x)
        x = self.of_two(y) + y
        x = self.folds_too(self.up(self.folds(self.plain(x))))
        return self.last(self.head(x.mean((2, 3))))  # type: ignore[no-any-return]


def test_batch_norms_fold_where_nobody_else_reads_the_layer(images: Tensor) -> None:
    torch.manual_seed(0)
    model = warmed(Odd(), images)
    graph = capture(model, EXAMPLE)
    meant = model(images)
    folded = fold_batch_norms(graph)
    assert sorted(folded.values()) == ["conv2d_2", "conv_transpose2d", "linear"]
    found = _operators(graph)
    assert "aten.batch_norm.default" not in found
    # The two others are a product and a sum each, besides the sum that the network has.
    assert (found.count("aten.mul.Tensor"), found.count("aten.add.Tensor")) == (2, 3)
    assert torch.allclose(graph(images), meant, atol=1e-4)


class Flow(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) if images.sum() > 0 else images.amax((2, 3))


class FixedBatch(nn.Module):
    def forward(self, images: Tensor) -> Tensor:
        return images.reshape(2, -1)[:, :5]


class TwoHeads(nn.Module):
    def forward(self, images: Tensor) -> dict[str, Tensor]:
        return {"a": images.mean((2, 3)), "b": images.amax((2, 3))}


class TwoInputs(nn.Module):
    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        return (images + others).mean((2, 3))


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Flow(), "control flow"),
        (FixedBatch(), "batch"),
        (TwoHeads(), "dict of 2.*returns the logits"),
        (TwoInputs(), "others"),
    ],
)
def test_what_cannot_be_captured_is_said_in_one_line(network: nn.Module, says: str) -> None:
    with pytest.raises(InputError, match=says) as found:
        capture(network.eval(), EXAMPLE)
    assert "\n" not in str(found.value)


class Einsum(nn.Module):
    """Attention as MaxViT writes it, and a sum that is no matrix product."""

    def forward(self, images: Tensor) -> Tensor:
        q = images.flatten(2).reshape(-1, 3, 64, 4).transpose(1, 2)
        scores = torch.einsum("B G I D, B G J D -> B G I J", q, q)
        mixed = torch.einsum("bgij,bgjd->bgid", scores.softmax(-1), q)
        return torch.einsum("bgid,bgid->bg", mixed, mixed)


def test_an_einsum_that_is_a_matrix_product_becomes_one(images: Tensor) -> None:
    model = Einsum().eval()
    graph = capture(model, EXAMPLE)
    found = _operators(graph)
    assert (found.count("aten.matmul.default"), found.count("aten.einsum.default")) == (2, 1)
    assert torch.allclose(graph(images), model(images), rtol=1e-4)
