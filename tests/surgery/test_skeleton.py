"""Shapes are inferred, and graphs checked, without handing the weights around."""

from typing import Any

import numpy as np
import onnx
import pytest

from tasks.surgery.graph import from_model
from tasks.surgery.skeleton import check, graph_with_shapes, skeleton
from tests.surgery.qdq_builder import Builder


def test_a_skeleton_has_the_nodes_and_not_the_weights(resnet18: Any) -> None:
    bare = skeleton(resnet18.model)
    assert bare.ByteSize() < 0.02 * resnet18.model.ByteSize()
    onnx.checker.check_model(bare, full_check=True)


def test_every_shape_and_type_is_what_the_whole_model_gives(resnet18: Any) -> None:
    whole = onnx.shape_inference.infer_shapes(resnet18.model, data_prop=True)
    expected, found = from_model(whole).tensors(), graph_with_shapes(resnet18.model).tensors()
    assert {name: (x.dtype, x.shape) for name, x in found.items()} == {
        name: (x.dtype, x.shape) for name, x in expected.items()
    }


def spoiled(change: Any) -> onnx.ModelProto:
    builder = Builder()
    model = builder.model(builder.conv(builder.pair("input", 0.1), 4, 64))
    weights = next(x for x in model.graph.initializer if len(x.dims) == 4)
    check(model)
    change(weights)
    return model


def test_a_weight_of_another_type_or_size_is_still_noticed() -> None:
    with pytest.raises(onnx.checker.ValidationError):
        check(spoiled(lambda x: setattr(x, "raw_data", x.raw_data[:-1])))

    def widen(weights: onnx.TensorProto) -> None:
        integers = onnx.numpy_helper.to_array(weights)
        weights.CopyFrom(onnx.numpy_helper.from_array(integers.astype(np.int64), weights.name))

    with pytest.raises(onnx.shape_inference.InferenceError):
        check(spoiled(widen))
