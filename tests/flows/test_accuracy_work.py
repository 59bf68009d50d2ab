"""Accuracy work that a job turns on: done, cached, and in the report."""

import hashlib
from pathlib import Path
from typing import Any

import onnx
import pytest

from schemas.findings import Findings
from schemas.publish import Served
from schemas.report import RunReport
from tasks.history.records import read_history
from tasks.publish.latest import latest_folder
from tasks.publish.publish import package_run
from tasks.report.findings import answers_line, work_lines
from tests.flows.conftest import Workshop, small_job

FEW = {
    "fashion_mnist": None,
    "factory": {"factory": "tests.flows.few_images:FewImages", "kwargs": {"count": 400}},
}


def job(**changes: Any) -> Any:
    return small_job(data=FEW, accuracy={"max_drop_points": 3.0}, **changes)


def findings_of(report: RunReport) -> Findings:
    assert report.findings is not None
    return report.findings


def test_every_kind_of_work_is_cached_and_reported(workshop: Workshop) -> None:
    worked = job(
        calibration={"batch_size": 16},
        equalization={"rounds": 3},
        correction={"images": 32},
        finetune={"epochs": 1, "batch_size": 50, "learning_rate": 0.001},
    )
    result = workshop.run(worked)
    assert {"finetune", "equalize", "correct"} <= workshop.ran()
    found = findings_of(workshop.report(result))
    assert found.equalization is not None
    assert len(found.equalization.pairs) == 9
    assert found.correction is not None
    assert len(found.correction.layers) == 22
    assert found.finetuning is not None
    assert found.finetuning.loss <= found.finetuning.loss_before
    assert found.calibration.images == 64
    assert found.layers[0].target == "openvino"
    assert len(found.layers[0].layers) == 31
    # Held against channels that equalization did not scale, layers inside a block are at 10 dB.
    assert min(layer.int8_db or 0 for layer in found.layers[0].layers) > 20
    assert found.calibration.accuracy is not None
    assert found.calibration.accuracy.answered == 64
    folder = workshop.root / "runs/small"
    markdown, page = (
        (folder / name).read_text(encoding="utf-8") for name in ("report.md", "report.html")
    )
    for heading in ("## Calibration", "## Accuracy work", "## Layer by layer, openvino"):
        assert heading in markdown
    work = work_lines(found)
    assert [line.partition(":")[0] for line in work] == [
        "equalization",
        "bias correction",
        "quantization-aware training",
    ]
    for line in (*work, answers_line(found.calibration.accuracy)):
        assert line in markdown
        assert line in page
    diverged = found.finetuning.model_copy(update={"stopped": "the loss is nan in epoch 1"})
    said = work_lines(found.model_copy(update={"finetuning": diverged}))[-1]
    assert said.endswith("; stopped: the loss is nan in epoch 1")
    assert workshop.run(worked) == result
    assert workshop.ran() == set()


@pytest.mark.thorough
def test_a_bound_that_no_assignment_reaches_gives_the_best_and_fails(workshop: Workshop) -> None:
    """A percentile this low clips what the last of three layers reads, too; one stays in INT8."""
    layers = ["conv1", "stages.0.0.conv1", "stages.0.0.conv2"]
    hopeless = job(
        quantization={"observer": "percentile", "percentile": 51.0, "include": layers},
        mixed_precision={"images": 16},
    )
    result = workshop.run(hopeless)
    report = workshop.report(result)
    search = findings_of(report).search
    assert search is not None
    assert not result.passed
    assert not search.reached
    assert [len(a.float_layers) for a in search.assignments] == [0, 1, 2]
    best = min(a.accuracy.drop_points for a in search.assignments)
    chosen = search.assignments[search.chosen]
    assert chosen.accuracy.drop_points == best
    assert report.job.quantization.exclude == chosen.float_layers
    delivered = next(a for a in report.accuracies if a.name == "openvino int8")
    assert delivered.drop_points == best
    failed = [gate.name for gate in report.gates if not gate.passed]
    assert "openvino int8: accuracy.max_drop_points" in failed
    page = (workshop.root / "runs/small/report.html").read_text(encoding="utf-8")
    for chart in ("chart-pareto", "chart-sensitivity"):
        assert f'id="{chart}"' in page
    assert "No assignment loses at most 3 points" in page


@pytest.mark.thorough
def test_where_float_is_delivered_float_is_judged_and_published(warm: Workshop) -> None:
    """After a good build that delivered INT8."""
    lossy = small_job(
        quantization={"observer": "percentile", "percentile": 60.0},
        # Clipped alike, PyTorch and the engine still round otherwise here and there.
        surgery={"min_top1_agreement": 0.0, "max_difference_steps": 500, "max_noise_ratio": 2},
        deliver="fastest_within_accuracy",
        publish={"formats": ["folder"], "engines": ["openvino", "onnxruntime"]},
    )
    result = warm.run(lossy)
    report = warm.report(result)
    assert result.passed, report.gates
    assert result.publication is not None
    assert result.publication.promoted
    assert report.engines[0].delivered == "float32"
    folder = latest_folder(warm.store, "small") / "folder"
    served = Served.model_validate_json((folder / "manifest.json").read_bytes())
    float32 = report.accuracies[0].top1
    assert [(x.precision, x.top1) for x in served.engines] == [("float32", float32)] * 2
    delivered = (warm.root / "runs/small/openvino.plan").read_bytes()
    assert (folder / "openvino.plan").read_bytes() == delivered
    before, now = read_history(warm.store, "small").builds
    assert (before.engines[0].delivered, now.engines[0].delivered) == ("int8", "float32")
    assert (now.baseline, now.engines[0].top1) == (1, float32)
    assert now.engines[0].plan_sha256 == hashlib.sha256(delivered).hexdigest()
    operators = {node.op_type for node in onnx.load(folder / "onnxruntime.onnx").graph.node}
    assert "Conv" in operators
    assert "QuantizeLinear" not in operators
    # Published by hand, the run is the same version.
    assert package_run(warm.store, report).version == result.publication.version


@pytest.mark.thorough
def test_an_interrupted_search_goes_on(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a layer that the job itself leaves in float, which every assignment has as well."""
    import flows.mixed

    hopeless = job(
        quantization={"observer": "percentile", "percentile": 70.0, "exclude": ["fc"]},
        mixed_precision={"images": 16, "max_float_layers": 1},
    )
    real, count = flows.mixed._candidate, 0

    def interrupted(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == 2:
            raise RuntimeError("pulled the plug")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(flows.mixed, "_candidate", interrupted)
        with pytest.raises(RuntimeError, match="pulled the plug"):
            workshop.run(hopeless)
    assert "calibrate" in workshop.ran()
    caplog.clear()
    search = findings_of(workshop.report(workshop.run(hopeless))).search
    assert workshop.states["sensitivity"] == "cached"
    # The first candidate was done; the second is what was missing; the build is one of the two.
    for name in ("calibrate", "convert", "engine openvino int8", "predict_engine openvino"):
        lines = [x for x in caplog.messages if x.startswith(f"{name} ") and "  " in x]
        assert [line.endswith(" cached") for line in lines] == [True, False, True], name
    assert search is not None
    assert [a.float_layers[0] for a in search.assignments] == ["fc", "fc"]
    assert [len(a.float_layers) for a in search.assignments] == [1, 2]


@pytest.mark.thorough
def test_constant_activations_and_one_class_are_said_once_each(
    workshop: Workshop, tmp_path: Path
) -> None:
    from safetensors.torch import save_file

    from tasks.models.weights import read_weights
    from tests.flows.conftest import CHECKPOINT

    weights = read_weights(CHECKPOINT)
    weights["stages.0.0.bn1.weight"].zero_()
    weights["stages.0.0.bn1.bias"].fill_(-1.0)
    save_file(weights, tmp_path / "dead.safetensors")
    one_class = {
        "fashion_mnist": None,
        "factory": {"factory": "tests.flows.few_images:OneClass", "kwargs": {"count": 200}},
    }
    dead = small_job(
        model={"weights": str(tmp_path / "dead.safetensors")},
        data=one_class,
        accuracy={"max_drop_points": 100.0},
    )
    warnings = findings_of(workshop.report(workshop.run(dead))).calibration.warnings
    assert sum("all calibration images are of one class" in w for w in warnings) == 1
    constant = [w for w in warnings if "never changed over all images" in w]
    assert len(constant) == 1
    assert "stages.0.0.conv1" in constant[0]
