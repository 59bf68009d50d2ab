"""Which passes each target gets, in order: read it from top to bottom."""

from schemas.base import Target
from schemas.surgery import Precision
from tasks.surgery.contract import Pass
from tasks.surgery.passes.align_concat import AlignConcat
from tasks.surgery.passes.cancel_pairs import CancelPairs
from tasks.surgery.passes.centre_zero_points import CentreZeroPoints
from tasks.surgery.passes.drop_casts import DropCasts
from tasks.surgery.passes.drop_unused import DropUnused
from tasks.surgery.passes.explicit_relu import ExplicitRelu
from tasks.surgery.passes.float_bias import FloatBias
from tasks.surgery.passes.float_epilogue import FloatEpilogue
from tasks.surgery.passes.float_head import FloatHead
from tasks.surgery.passes.fold_constants import FoldConstants
from tasks.surgery.passes.half_rest import HalfRest
from tasks.surgery.passes.int8_zero_points import Int8ZeroPoints
from tasks.surgery.passes.integer_weights import IntegerWeights
from tasks.surgery.passes.merge_equal import MergeEqual
from tasks.surgery.passes.narrow_weights import NarrowWeights
from tasks.surgery.passes.pairs_ahead_of_weights import PairsAheadOfWeights
from tasks.surgery.passes.per_tensor_activations import PerTensorActivations
from tasks.surgery.passes.place_around_moves import PlaceAroundMoves
from tasks.surgery.passes.plain_einsum import PlainEinsum
from tasks.surgery.passes.relu_before_quantizer import ReluBeforeQuantizer
from tasks.surgery.passes.residual_add import ResidualAdd
from tasks.surgery.passes.restore_int8 import RestoreInt8
from tasks.surgery.passes.scalar_scales import ScalarScales
from tasks.surgery.passes.screen import Screen
from tasks.surgery.passes.settle_pools import SettlePools
from tasks.surgery.passes.transposed_weights import TransposedWeights
from tasks.surgery.passes.unsigned_activations import UnsignedActivations

# The constants are where passes can see them, and mean what the network meant.
_READING: tuple[Pass, ...] = (
    FoldConstants(),
    RestoreInt8(),
    PlainEinsum(),
)

# These keep every value: after them the graph is still bit-equal to what it came from.
_CANONICAL: tuple[Pass, ...] = (
    DropCasts(),
    ScalarScales(),
    Int8ZeroPoints(),
    IntegerWeights(),
    TransposedWeights(),
    FloatBias(),
    MergeEqual(),
    ExplicitRelu(),
    ReluBeforeQuantizer(),
    PlaceAroundMoves(),
    CancelPairs(),
    MergeEqual(),
)

# These change what is rounded where; each is measured.
_PLACEMENT: tuple[Pass, ...] = (
    NarrowWeights(),
    DropUnused(),
    FloatEpilogue(),
    AlignConcat(),
)

# What TensorRT asks of foreign graphs, ahead of all that moves quantizers.
_ASKED: dict[Target, tuple[Pass, ...]] = dict.fromkeys(
    ("tensorrt", "tensorrt_rtx"), (PerTensorActivations(), PairsAheadOfWeights())
)

_TENSORRT: tuple[Pass, ...] = (ResidualAdd(), CentreZeroPoints(), FloatHead(), SettlePools())

# OpenVINO adds integers: measured, an Add with both edges quantized is its fastest.
_COMPILED: dict[Target, tuple[Pass, ...]] = {
    "tensorrt": _TENSORRT,
    "tensorrt_rtx": _TENSORRT,
    # What differed by the sign alone may now undo what is ahead of it.
    "openvino": (UnsignedActivations(), CancelPairs()),
}


def pipeline(target: Target, precision: Precision) -> tuple[Pass, ...]:
    """The passes for a target; ``int8+fp16`` makes the unquantized rest float16 at the end.

    ONNX Runtime fuses integers around every operator, so there quantizers stay where they are.
    """
    placed = (*_PLACEMENT, *_COMPILED[target]) if target in _COMPILED else ()
    half = (HalfRest(),) if precision == "int8+fp16" else ()
    asked = _ASKED.get(target, ())
    return (*_READING, Screen(target), *asked, *_CANONICAL, *placed, *half)
