"""A figure that falls behind fails a gate, which says at which stage what changed."""

from pathlib import Path

import pytest

from schemas.base import Gate
from schemas.history import BuildRecord, EngineFigures, RegressionConfig, StageRecord
from tasks.artifacts.store import Store
from tasks.history.changes import changes
from tasks.history.regression import regressions
from tests.history.builds import build, chain, digest, figures, speedup, stage


@pytest.fixture
def before(tmp_path: Path) -> BuildRecord:
    return build(Store(tmp_path / "store"), 7)


def gates(
    before: BuildRecord,
    now: EngineFigures,
    stages: tuple[StageRecord, ...],
    config: RegressionConfig | None = None,
    versions: dict[str, str] | None = None,
) -> tuple[Gate, ...]:
    return regressions(
        before, [now], stages, versions or before.versions, config or RegressionConfig()
    )


def test_an_equal_build_fails_nothing(before: BuildRecord) -> None:
    assert gates(before, figures(chain()), chain()) == ()


def test_lost_accuracy_names_the_setting_that_changed_upstream_and_no_other(
    before: BuildRecord,
) -> None:
    stages = chain(images="4", other="2")
    (gate,) = gates(before, figures(stages, top1=0.93), stages)
    assert not gate.passed
    assert gate.name == "regression: openvino top-1"
    assert "0.9400 -> 0.9300 (at most 0.3 points may be lost), against build 7" in gate.detail
    assert "changed at calibrate: config.images 64 -> 4" in gate.detail
    assert "convert" not in gate.detail


def test_a_dependency_that_changed_is_named_with_both_versions(before: BuildRecord) -> None:
    stages = chain(openvino="2026.1")
    (gate,) = gates(before, figures(stages, kernels=60), stages)
    assert gate.name == "regression: openvino kernels"
    assert "changed at engine openvino int8: versions.openvino 2025.3 -> 2026.1" in gate.detail


def test_a_dataset_that_changed_where_it_lies_is_named_by_its_digests(before: BuildRecord) -> None:
    stages = chain(data="other images")
    (gate,) = gates(before, figures(stages, top1=0.90), stages)
    old, new = digest("data")[:12], digest("other images")[:12]
    assert f"changed at dataset: result {old} -> {new}" in gate.detail


def test_where_no_input_changed_the_gate_says_so(before: BuildRecord) -> None:
    slow = figures(chain(), speedups=(speedup(2.0),))
    (gate,) = gates(before, slow, chain())
    assert gate.name == "regression: openvino speed on 1 thread"
    assert "no input of its stages changed" in gate.detail
    (gate,) = gates(before, slow, chain(), versions={"torch": "2.16.0"})
    assert "installed: torch 2.15.0 -> 2.16.0" in gate.detail


def test_speed_is_compared_on_one_machine_and_beyond_its_noise_only(before: BuildRecord) -> None:
    slower = (speedup(2.0),)
    assert gates(before, figures(chain(), speedups=slower, machine="another"), chain()) == ()
    assert gates(before, figures(chain(), speedups=(speedup(2.0, 0.15),)), chain()) == ()


@pytest.mark.parametrize(("size", "said"), [(128, 0), (1, 1), (None, 1)])
def test_speed_is_compared_at_one_batch_size(
    before: BuildRecord, size: int | None, said: int
) -> None:
    was = before.model_copy(update={"engines": (figures(chain(), batch_size=size),)})
    now = figures(chain(), speedups=(speedup(2.0),), batch_size=1)
    assert len(gates(was, now, chain())) == said


def test_thresholds_are_the_jobs(before: BuildRecord) -> None:
    grown = figures(chain(), plan_bytes=1200, top1=0.935)
    names = [gate.name for gate in gates(before, grown, chain())]
    assert names == ["regression: openvino top-1", "regression: openvino plan size"]
    lenient = RegressionConfig(max_top1_loss_points=0.5, max_size_growth=0.2)
    assert gates(before, grown, chain(), lenient) == ()


def test_what_several_stages_depend_on_is_named_once(before: BuildRecord) -> None:
    now = chain(images="4", openvino="2026.1")
    told = [str(change) for change in changes(before, now)]
    assert told == ["config.images 64 -> 4", "versions.openvino 2025.3 -> 2026.1"]


def test_stages_of_one_name_are_compared_with_the_one_most_alike(tmp_path: Path) -> None:
    """One of each further precision and of each candidate of a search, all under one name."""
    halves = [
        stage("surgery", {"graph": digest("graph"), "config.precision": precision}, precision)
        for precision in ("int8", "int8+fp16")
    ]
    before = build(Store(tmp_path / "store"), 7, stages=(*chain(), *halves))
    again = (stage("surgery", halves[0].inputs, "made otherwise"), halves[1])
    assert changes(before, again) == []
    wider = halves[0].inputs | {"graph": digest("another graph")}
    (change,) = changes(before, (stage("surgery", wider, "of another graph"),))
    assert change.name == "graph"


def test_top1_on_other_images_is_not_held_against_it(before: BuildRecord) -> None:
    assert gates(before, figures(chain(), top1=0.90, images=1000), chain()) == ()


FLOAT32 = {"delivered": "float32", "top1": 0.941, "drop_points": 0.0, "speedups": ()}
"""Of the build before: it has 0.94 in INT8, 0.1 points less than FP32."""


def test_of_int8_and_float_only_the_fp32_network_is_compared(before: BuildRecord) -> None:
    float32 = figures(chain(), plan_bytes=3000, kernels=90, **FLOAT32)
    assert gates(before, float32, chain()) == ()
    earlier = before.model_copy(update={"engines": (float32,)})
    lossy = figures(chain(), top1=0.936, drop_points=0.5)
    assert gates(earlier, lossy, chain()) == ()
    stages = chain(data="other images")
    worse = figures(stages, **FLOAT32 | {"top1": 0.937})
    for build_before, now in ((before, worse), (earlier, figures(stages, top1=0.936))):
        (gate,) = gates(build_before, now, stages)
        assert gate.name == "regression: openvino FP32 top-1"
        assert "0.9410 -> 0.9370 (at most 0.3 points may be lost)" in gate.detail
        assert "changed at dataset" in gate.detail


def test_two_plans_of_float_are_compared_like_any(before: BuildRecord) -> None:
    earlier = before.model_copy(update={"engines": (figures(chain(), **FLOAT32),)})
    (gate,) = gates(earlier, figures(chain(), plan_bytes=1200, **FLOAT32), chain())
    assert gate.name == "regression: openvino plan size"
