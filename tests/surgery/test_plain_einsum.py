"""Einsum as PyTorch users write it reaches the compilers."""

from pathlib import Path

import numpy as np
import pytest

from schemas.engine import TensorRtRtxConfig
from tasks.engine.build import build_engine
from tasks.surgery.passes.plain_einsum import plain
from tasks.surgery.repair import repair
from tests.surgery.qdq_builder import Builder


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("B G H I D, B G H J D -> B G H I J", "abcde,abcfe->abcdf"),
        ("bij,bjk->bik", "bij,bjk->bik"),
        ("ij, jk", "ij,jk"),
        ("iJ,Jk", "ab,bc->ac"),
        ("...I,IJ", "...a,ab->...b"),
        ("bI,cI->", "ab,cb->"),
    ],
)
def test_an_equation_is_spelled_plainly(written: str, spelled: str) -> None:
    assert plain(written) == spelled
    sizes = dict.fromkeys(filter(str.isalpha, written), 0)
    sizes = {letter: 2 + index for index, letter in enumerate(sizes)}
    terms = written.replace(" ", "").split("->")[0].split(",")
    random = np.random.default_rng(0)
    factors = [
        random.normal(size=[*([3] * t.startswith("...")), *(sizes[x] for x in t.strip("."))])
        for t in terms
    ]
    np.testing.assert_array_equal(np.einsum(spelled, *factors), np.einsum(written, *factors))


def test_a_graph_with_capitals_compiles_for_tensorrt_rtx(tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx")
    graph = Builder()
    features = graph.conv(graph.pair("input", 0.05), 4, 4)
    product = graph.op("Einsum", features, features, equation="B C H I, B C H J -> B C I J")
    repaired, records = repair(graph.model(product), "tensorrt_rtx")
    assert next(record for record in records if record.name == "plain_einsum").changed
    file = tmp_path / "graph.onnx"
    file.write_bytes(repaired.SerializeToString())
    options = TensorRtRtxConfig(compute_capability="8.6")
    _, layers = build_engine(file, "tensorrt_rtx", "int8", options, file.with_suffix(".plan"))
    assert layers.kernels >= 2
