"""A small convolutional network as ONNX and as plans, with and without Q/DQ."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from schemas.engine import OpenVinoConfig
from tasks.engine.build import build_engine
from tasks.runtimes.plans import write_beside


def small_network(
    path: Path, *, size: int = 8, flat: bool = False, quantized: bool = False
) -> Path:
    """Conv, ReLU, pooling over everything (or none, where ``flat``) and a linear layer."""
    rng = np.random.default_rng(0)
    features = 4 * size * size if flat else 4
    constants = {
        "w": rng.standard_normal((4, 3, 3, 3)).astype(np.float32),
        "fc": rng.standard_normal((features, 5)).astype(np.float32),
        "scale": np.array(0.05, np.float32),
        "zero": np.array(0, np.int8),
    }
    nodes = []
    source = "images"
    if quantized:
        nodes += [
            helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["q"]),
            helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["dq"]),
        ]
        source = "dq"
    nodes += [
        helper.make_node("Conv", [source, "w"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        *([] if flat else [helper.make_node("GlobalAveragePool", ["r"], ["p"])]),
        helper.make_node("Flatten", ["r" if flat else "p"], ["f"]),
        helper.make_node("MatMul", ["f", "fc"], ["logits"]),
    ]
    shape = ["N", 3, size, size]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["N", 5])],
        [
            numpy_helper.from_array(value, name)
            for name, value in constants.items()
            if quantized or name in ("w", "fc")
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with float.onnx, int8.onnx, flat.onnx and openvino.plan."""
    folder = tmp_path_factory.mktemp("profiled")
    small_network(folder / "float.onnx")
    small_network(folder / "int8.onnx", quantized=True)
    small_network(folder / "flat.onnx", flat=True)
    plan = folder / "openvino.plan"
    manifest, layers = build_engine(
        folder / "int8.onnx", "openvino", "int8", OpenVinoConfig(), plan
    )
    write_beside(plan, manifest, layers)
    return folder
