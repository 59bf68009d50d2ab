"""The same network for images of another size."""

from pathlib import Path

from schemas.errors import InputError, cause
from tasks.runtimes.onnx_file import read_structure


def graph_at_size(graph: Path, size_px: int, folder: Path) -> Path:
    """``graph`` written to ``folder`` for square images of ``size_px``, or itself where it is that.

    Raises InputError where the network is bound to its size, as by a flattened feature map.
    """
    import onnx

    model = read_structure(graph)
    tensor = model.graph.input[0].type.tensor_type
    if len(tensor.shape.dim) != 4:
        raise InputError(f"{graph.name} takes no images (N, C, H, W): leave --size out")
    height, width = tensor.shape.dim[2:]
    if height.dim_value == width.dim_value == size_px:
        return graph
    model = onnx.load(str(graph))
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        dimension.dim_value = size_px
    # What was inferred for the old size would contradict the new one.
    del model.graph.value_info[:]
    for output in model.graph.output:
        for dimension in output.type.tensor_type.shape.dim[2:]:
            dimension.ClearField("value")
    try:
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # InferenceError derives from Exception alone
        raise InputError(
            f"{graph.name} does not take images of {size_px}x{size_px} ({cause(error)}): choose "
            "another size, or export the network for it"
        ) from error
    resized = folder / f"{graph.stem}-{size_px}.onnx"
    onnx.save(model, resized)
    return resized
