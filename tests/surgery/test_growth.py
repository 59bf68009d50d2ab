"""Surgery takes time in proportion to the graph: counted in function calls, which no load moves."""

import cProfile
import pstats
from typing import Any

import pytest

from schemas.base import Target
from tasks.surgery.lint import lint
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder


def residual_chain(blocks: int) -> Any:
    builder = Builder(casts=True)
    x = builder.pair("input", 0.05)
    for _ in range(blocks):
        inner = builder.pair(builder.op("Relu", builder.conv(x, 4, 4)), 0.1)
        added = builder.op("Add", builder.pair(builder.conv(inner, 4, 4), 0.2), x)
        x = builder.pair(builder.op("Relu", added), 0.3)
    return builder.model(x)


def calls_a_node(work: Any, blocks: int) -> float:
    model = residual_chain(blocks)
    profile = cProfile.Profile()
    profile.runcall(work, model)
    return pstats.Stats(profile).total_calls / len(model.graph.node)  # type: ignore[attr-defined]


@pytest.mark.parametrize("target", ["tensorrt", "openvino"])
def test_a_network_ten_times_as_deep_takes_ten_times_the_calls(target: Target) -> None:
    for work in (lambda model: repair(model, target), lambda model: lint(model, target)):
        shallow, deep = (calls_a_node(work, blocks) for blocks in (12, 120))
        assert deep < 1.1 * shallow
