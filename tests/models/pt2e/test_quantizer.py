"""Pt2eQuantizer keeps what the seam promises."""

import copy
import io

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from schemas.calibrate import CalibrationTable
from schemas.convert import QuantizationConfig
from schemas.engine import TensorRtRtxConfig
from schemas.errors import InputError
from schemas.surgery import SurgeryConfig
from tasks.calibrate.quality import saturation
from tasks.models.pt2e.quantizer import Pt2eQuantizer, convert_observed
from tasks.models.quantizer import quantizer
from tasks.surgery.lint import lint
from tasks.surgery.parity import prove
from tasks.surgery.reference import ReferenceSession
from tasks.surgery.repair import repair
from tests.models.pt2e.conftest import EXAMPLE, MINMAX, Quantized
from tests.models.pt2e.networks import Residual, warmed

NETWORKS = ("residual", "joined", "attention")


@pytest.fixture(params=NETWORKS)
def quantized(request: pytest.FixtureRequest) -> Quantized:
    found: Quantized = request.getfixturevalue(request.param)
    return found


def test_mode_pt2e_is_this_quantizer() -> None:
    assert isinstance(quantizer("pt2e"), Pt2eQuantizer)


@torch.inference_mode()
def test_a_table_gives_the_bits_that_converting_directly_gives(quantized: Quantized) -> None:
    direct = convert_observed(copy.deepcopy(quantized.prepared))
    assert torch.equal(direct(quantized.images), quantized.int8(quantized.images))


@torch.inference_mode()
def test_a_stored_network_comes_back_to_the_bit(quantized: Quantized) -> None:
    ways, file = Pt2eQuantizer(), io.BytesIO()
    torch.save(ways.int8_state(quantized.int8), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    again = ways.load_int8(quantized.model, MINMAX, state, EXAMPLE)
    assert torch.equal(again(quantized.images), quantized.int8(quantized.images))


@torch.inference_mode()
def test_a_stored_network_has_its_own_weights(residual: Quantized) -> None:
    ways = Pt2eQuantizer()
    state = ways.int8_state(residual.int8)
    other = warmed(Residual(), residual.images)
    again = ways.load_int8(other, MINMAX, state, EXAMPLE)
    assert torch.equal(again(residual.images), residual.int8(residual.images))


def test_observers_have_the_same_names_whenever_they_are_placed(residual: Quantized) -> None:
    table = residual.table.tensors
    again = Pt2eQuantizer().prepare(warmed(Residual(), residual.images), MINMAX, EXAMPLE)
    with torch.inference_mode():
        again(residual.images)
    assert list(Pt2eQuantizer().read_ranges(again)) == list(table)
    assert "one.2.relu" in " ".join(table)


@torch.inference_mode()
def test_int8_is_close_to_float32_and_not_float32(quantized: Quantized) -> None:
    meant, got = quantized.model(quantized.images), quantized.int8(quantized.images)
    assert not torch.equal(got, meant)
    assert float((got - meant).norm() / meant.norm()) < 0.1


def test_the_given_network_stays_as_it_is(residual: Quantized) -> None:
    before = copy.deepcopy(residual.model.state_dict())
    Pt2eQuantizer().convert_with_table(residual.model, MINMAX, residual.table, EXAMPLE)
    after = residual.model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


@torch.inference_mode()
def test_any_batch_goes_through(quantized: Quantized) -> None:
    for network in (quantized.prepared, quantized.int8.eval()):
        for count in (1, 3, 8):
            assert network(quantized.images[:count]).shape == (count, 5)


def test_saturation_is_counted_at_every_observer(attention: Quantized) -> None:
    narrow = {
        name: entry.model_copy(update={"scale": entry.scale / 4})
        for name, entry in attention.table.tensors.items()
    }
    table = attention.table.model_copy(update={"tensors": narrow})
    shares = saturation(attention.prepared, [attention.images], table, "pt2e")
    assert shares.keys() == narrow.keys()
    assert all(0 < share < 1 for share in shares.values())


def test_an_observer_that_saw_nothing_is_left_out(residual: Quantized) -> None:
    prepared = Pt2eQuantizer().prepare(residual.model, MINMAX, EXAMPLE)
    assert Pt2eQuantizer().read_ranges(prepared) == {}


def test_a_range_that_is_not_finite_is_said_with_its_name(residual: Quantized) -> None:
    prepared = Pt2eQuantizer().prepare(residual.model, MINMAX, EXAMPLE)
    with torch.inference_mode():
        prepared(torch.full_like(residual.images, float("inf")))
    with pytest.raises(InputError, match="not finite"):
        Pt2eQuantizer().read_ranges(prepared)


@pytest.mark.parametrize("observer", ["percentile", "mse", "entropy"])
def test_every_observer_of_a_job_chooses_scales(residual: Quantized, observer: str) -> None:
    config = MINMAX.model_copy(update={"observer": observer, "percentile": 90.0})
    prepared = Pt2eQuantizer().prepare(residual.model, config, EXAMPLE)
    with torch.inference_mode():
        prepared(residual.images)
    ranges = Pt2eQuantizer().read_ranges(prepared)
    assert ranges.keys() == residual.table.tensors.keys()
    widest = {name: entry.scale for name, entry in residual.table.tensors.items()}
    assert any(entry.scale < 0.999 * widest[name] for name, entry in ranges.items())


def test_weights_take_the_observer_of_the_job(residual: Quantized) -> None:
    config = MINMAX.model_copy(update={"weight_observer": "mse"})
    ways = Pt2eQuantizer()
    other = ways.convert_with_table(residual.model, config, residual.table, EXAMPLE)
    ours, theirs = (
        [value for key, value in net.state_dict().items() if "scale" in key]
        for net in (residual.int8, other)
    )
    assert len(ours) == len(theirs) > 0
    assert any(not torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert all((b <= a).all() for a, b in zip(ours, theirs, strict=True))


def test_an_observer_can_be_chosen_for_one_module(residual: Quantized) -> None:
    config = MINMAX.model_copy(update={"observers": {"one": "percentile"}, "percentile": 75.0})
    prepared = Pt2eQuantizer().prepare(residual.model, config, EXAMPLE)
    with torch.inference_mode():
        prepared(residual.images)
    ranges = Pt2eQuantizer().read_ranges(prepared)
    changed = [n for n, x in ranges.items() if x.scale != residual.table.tensors[n].scale]
    assert changed == [name for name in ranges if name.startswith("one.")]
    assert changed


def _exported(quantized: Quantized, count: int) -> np.ndarray:
    found = ReferenceSession(quantized.onnx).logits(quantized.images[:count].numpy())
    return np.asarray(found)


def test_the_export_computes_what_torch_computes(quantized: Quantized) -> None:
    for count in (1, 5):
        with torch.inference_mode():
            meant = quantized.int8(quantized.images[:count]).numpy()
        assert np.abs(_exported(quantized, count) - meant).max() < 0.02 * np.abs(meant).max()


def test_the_export_is_named_open_and_in_one_piece(quantized: Quantized) -> None:
    model = quantized.onnx
    assert [x.name for x in model.graph.input] == ["images"]
    assert [x.name for x in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert {x.domain: x.version for x in model.opset_import}[""] == 18
    assert not any(x.data_location == onnx.TensorProto.EXTERNAL for x in model.graph.initializer)


@pytest.mark.parametrize("target", ["tensorrt_rtx", "openvino"])
def test_surgery_proves_and_lints_it(quantized: Quantized, target: str) -> None:
    repaired, records = repair(quantized.onnx, target)  # type: ignore[arg-type]
    images = quantized.images.numpy()
    with torch.inference_mode():
        logits = quantized.int8(quantized.images).numpy()
    report = prove(
        quantized.onnx,
        repaired,
        images,
        logits,
        target,
        SurgeryConfig(),
        records,  # type: ignore[arg-type]
    )
    assert all(gate.passed for gate in report.gates), report.gates
    assert lint(repaired, target).findings == ()  # type: ignore[arg-type]


def test_every_convolution_of_the_plan_is_int8(residual: Quantized, tmp_path) -> None:  # type: ignore[no-untyped-def]
    from tasks.engine.build import build_engine

    repaired, _ = repair(residual.onnx, "tensorrt_rtx")
    onnx.save(repaired, tmp_path / "x.onnx")
    _, layers = build_engine(
        tmp_path / "x.onnx", "tensorrt_rtx", "int8", TensorRtRtxConfig(), tmp_path / "x.plan"
    )
    assert layers.float_convolutions == ()
    assert len(layers.integer_convolutions) == 5


def _quantized_modules(model: nn.Module, config: QuantizationConfig) -> dict[str, str]:
    table = CalibrationTable(images=1, images_sha256="", tensors={})
    rows = Pt2eQuantizer().explain(model, config, table, EXAMPLE)
    return {row.name: row.became for row in rows if row.kind in ("Conv2d", "Linear")}


@pytest.mark.parametrize(
    ("settings", "float_modules"),
    [
        ({}, set()),
        ({"exclude": ("one", "left")}, {"one.0", "left"}),
        ({"include": ("one*",)}, {"stem", "two", "left", "right", "fc"}),
        ({"exclude_types": ("Linear",)}, {"fc"}),
        ({"include_types": ("Linear",)}, {"stem", "one.0", "two", "left", "right"}),
        ({"first_layer": "float", "last_layer": "float"}, {"stem", "fc"}),
    ],
)
def test_a_job_chooses_its_modules(
    residual: Quantized, settings: dict[str, object], float_modules: set[str]
) -> None:
    became = _quantized_modules(residual.model, MINMAX.model_copy(update=settings))
    assert {name for name, what in became.items() if what.startswith("float")} == float_modules
    assert len(became) == 6


def test_a_pattern_that_fits_nothing_names_the_nearest(residual: Quantized) -> None:
    config = MINMAX.model_copy(update={"exclude": ("stemm",)})
    with pytest.raises(InputError, match=r"did you mean stem\?"):
        Pt2eQuantizer().prepare(residual.model, config, EXAMPLE)


def test_the_table_says_what_became_of_everything(residual: Quantized) -> None:
    rows = Pt2eQuantizer().explain(residual.model, MINMAX, residual.table, EXAMPLE)
    by_name = {row.name: row for row in rows}
    assert [row.name for row in rows][:4] == ["stem", "bn", "relu", "pool"]
    assert by_name["bn"].became == "part of stem.conv2d"
    assert by_name["pool"].became == "int8 max_pool2d"
    adds = [row for row in rows if row.kind == "add"]
    assert [row.quantized for row in adds] == [True, True]
    assert "its skip" in adds[0].why
    assert by_name["one.2"].scale == residual.table.tensors["one.2.relu_1"].scale
    assert all(row.why for row in rows)


def test_attention_says_why_its_softmax_is_float(attention: Quantized) -> None:
    rows = Pt2eQuantizer().explain(attention.model, MINMAX, attention.table, EXAMPLE)
    (softmax,) = (row for row in rows if row.kind == "softmax")
    assert not softmax.quantized
    assert softmax.name == "attend.softmax"
    assert sum(row.kind == "matmul" and row.quantized for row in rows) == 2


def test_a_transposed_convolution_is_quantized_along_its_outputs(images: Tensor) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ReLU(), nn.ConvTranspose2d(4, 6, 2, stride=2), nn.Flatten()
    ).eval()
    int8 = Pt2eQuantizer().convert_with_table(
        network, MINMAX, CalibrationTable(images=1, images_sha256="", tensors={}), EXAMPLE
    )
    scales = [v for k, v in int8.state_dict().items() if "scale" in k]
    assert sorted(len(x) for x in scales) == [4, 6]
    assert int8(images[:2]).shape == network(images[:2]).shape


class Biased(nn.Module):
    """A bias by position, from a small network on constants, as Swin V2 has."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.linspace(0, 1, 6).reshape(3, 2))
        self.bias = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 1))
        self.head = nn.Linear(3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(images.mean((2, 3))) + self.bias(self.places).flatten()  # type: ignore[no-any-return]


def test_what_no_image_reaches_is_computed_in_float() -> None:
    rows = Pt2eQuantizer().explain(
        Biased().eval(), MINMAX, CalibrationTable(images=1, images_sha256="", tensors={}), EXAMPLE
    )
    linear = {row.name: row.became for row in rows if row.kind == "Linear"}
    assert linear["head"] == "int8 linear"
    assert linear["bias.2"] == "float linear"
