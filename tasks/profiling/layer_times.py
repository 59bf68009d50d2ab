"""How long each layer of an engine takes."""

from pathlib import Path

from schemas.base import Target


def layer_times_ms(target: Target, plan: Path, calls: int) -> dict[str, float]:
    """The median of each layer over ``calls`` inferences of one image, by the layer's name.

    Empty where the engine cannot tell, or with 0 calls. Timing the layers slows the network down as
    a whole: these are for their shares, never for their sum.
    """
    if target != "openvino" or not calls:
        return {}
    from tasks.runtimes.openvino_times import measured_layers

    table = measured_layers(plan, calls=calls)
    return {x.name: x.time_ms for x in table.layers if x.time_ms is not None}
