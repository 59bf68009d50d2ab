"""A job's profile: engines, baselines and sweep on the job's own network and images."""

import itertools
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from flows.jobfile import load_job
from schemas.artifact import ArtifactRef
from schemas.calibrate import Split
from schemas.data import DataConfig
from schemas.engine import EngineResult, OpenVinoConfig
from schemas.errors import InputError
from schemas.export import ExportConfig
from schemas.model import ModelRef
from schemas.profiling import Clocks, LatencyReport, ProfileConfig, ProfileSources
from tasks.artifacts.store import Store
from tasks.datasets.dataset import Dataset
from tasks.datasets.fashion_mnist import DEBIAN_FOLDER
from tasks.datasets.open import open_dataset
from tasks.engine.build import build_engine
from tasks.export.to_onnx import export_onnx
from tasks.models.float32 import load_float32
from tasks.profiling.baselines import baseline_contenders
from tasks.profiling.clocks import ClockWatch
from tasks.profiling.job import profile_job

JOB = Path(__file__).parents[2] / "jobs" / "quickstart.yaml"


class Profiled:
    """The quickstart's FP32 network as both engines: what is timed matters here, not how fast."""

    def __init__(self, folder: Path) -> None:
        if not DEBIAN_FOLDER.is_dir():
            pytest.skip("dataset-fashion-mnist is not installed: make data")
        job = load_job(JOB)
        assert job.model.weights is not None
        self.store = Store(folder / "artifacts")
        model = ModelRef(
            factory=job.model.factory,
            kwargs=job.model.kwargs,
            source_sha256="0" * 64,
            weights=self.store.put_file("weights", job.model.weights),
        )
        graph_file, plan_file = folder / "float32.onnx", folder / "float32.plan"
        export_onnx(load_float32(model, self.store), (1, 28, 28), ExportConfig(), graph_file)
        manifest, layers = build_engine(
            graph_file, "openvino", "float32", OpenVinoConfig(), plan_file
        )
        self.engine = EngineResult(
            plan=self.store.put_file("plan", plan_file),
            manifest=self.store.put_model("manifest", manifest),
            layers=self.store.put_model("layers", layers),
        )
        graph: ArtifactRef = self.store.put_file("graph", graph_file)
        self.sources = ProfileSources(model=model, float32_graph=graph, int8_graph=graph)
        self.data = job.data

    def profile(self, *further: EngineResult, **changes: object) -> LatencyReport:
        quick = {"rounds": 2, "calls": 3, "warmup_calls": 1, "threads": (1,)}
        config = ProfileConfig.model_validate({**quick, **changes})
        return profile_job(
            *(self.store, "openvino", self.engine, self.engine, self.sources, self.data, config),
            further=further,
        )


@pytest.fixture(scope="module")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Profiled:
    return Profiled(tmp_path_factory.mktemp("job"))


def test_the_engine_is_held_against_what_the_user_would_run(profiled: Profiled) -> None:
    report = profiled.profile(baselines=("torch", "torch_float16", "onnxruntime", "openvino"))
    names = [row.name for row in report.latencies]
    # OpenVINO's FP32 is there already.
    assert names == ["openvino int8", "openvino float32", "torch float32", "onnxruntime float32"]
    assert [(x.of, x.over) for x in report.ratios] == [(names[0], other) for other in names[1:]]
    assert report.speedups[0].ratio == report.ratios[0].ratio
    # Only OpenVINO's sessions take several calls at a time.
    assert [x.streamed_images_per_second is not None for x in report.latencies] == [
        *(True, True),
        *(False, False),
    ]
    assert any("torch_float16 is left out: it is for a GPU" in note for note in report.notes)
    assert report.clocks is not None


def test_baselines_on_the_cpu_and_on_a_gpu_have_different_names(tmp_path: Path) -> None:
    """A job's report may have both, one for each engine."""
    named = {
        on_gpu: {
            x.name
            for x in baseline_contenders(
                ("torch", "torch_compile"), torch.nn.ReLU, tmp_path, tmp_path, on_gpu=on_gpu
            )[0]
        }
        for on_gpu in (False, True)
    }
    assert named[True] == {"torch float32 on a GPU", "torch compile float16 on a GPU"}
    assert named[False] == {"torch float32", "torch compile float32"}


def test_further_plans_are_timed_like_the_first_two(
    profiled: Profiled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = profiled.store
    graph, plan = store.open(profiled.sources.float32_graph), tmp_path / "half.plan"
    manifest, layers = build_engine(graph, "openvino", "float16", OpenVinoConfig(), plan)
    half = EngineResult(
        plan=store.put_file("plan", plan),
        manifest=store.put_model("manifest", manifest),
        layers=store.put_model("layers", layers),
    )
    monkeypatch.setattr("tasks.runtimes.openvino.computes_float16", lambda: False)
    report = profiled.profile(half, baselines=("openvino_float16", "onnxruntime"))
    assert [row.name for row in report.latencies] == [
        "openvino int8",
        "openvino float32",
        "openvino float16",
        "onnxruntime float32",
    ]
    assert [row.calls for row in report.latencies] == [6, 6, 6, 2]
    assert report.latencies[2].precision == "float16"
    assert report.ratios[1].over == "openvino float16"
    assert any(note.startswith("openvino float16 computes in float32") for note in report.notes)


def test_a_baseline_that_fails_is_left_out_and_the_rest_is_measured(
    profiled: Profiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler\nset CXX")

    monkeypatch.setattr("torch.nn.Module.compile", without_compiler)
    report = profiled.profile(baselines=("torch_compile", "onnxruntime"), threads=(1, 2))
    names = ["openvino int8", "openvino float32", "onnxruntime float32"]
    assert [row.name for row in report.latencies] == names * 2
    left_out = [note for note in report.notes if "left out" in note]
    assert left_out == ["baseline torch compile float32 is left out: no C++ compiler set CXX"]


def test_the_images_are_read_once(profiled: Profiled, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []

    def counted(data: DataConfig, split: Split) -> Dataset:
        opened.append(split)
        return open_dataset(data, split)

    monkeypatch.setattr("tasks.profiling.job.open_dataset", counted)
    profiled.profile(baselines=(), sweep={"batch_sizes": (1, 4), "rounds": 1})
    assert opened == ["test"]


def test_the_sweep_goes_over_batches_and_sizes(profiled: Profiled) -> None:
    report = profiled.profile(
        baselines=(), sweep={"batch_sizes": (1, 4), "image_sizes_px": (28, 36), "rounds": 1}
    )
    assert [(x.batch_size, x.image_size_px, x.precision) for x in report.sweep] == [
        (batch, (size, size), precision)
        for size in (28, 36)
        for batch in (1, 4)
        for precision in ("int8", "float32")
    ]
    assert [(x.batch_size, x.image_size_px) for x in report.sweep_ratios] == [
        (batch, (size, size)) for size in (28, 36) for batch in (1, 4)
    ]
    assert all(x.ratio_low <= x.ratio <= x.ratio_high for x in report.sweep_ratios)
    assert {x.image_size_px for x in report.latencies} == {(28, 28)}


def test_a_run_can_demand_steady_clocks(
    profiled: Profiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Clocks(source="cpufreq", unit="MHz", low=2000, median=2500, high=3000, moved=True)
    monkeypatch.setattr(ClockWatch, "report", lambda _self: moved)
    assert "from 2000 to 3000 MHz" in profiled.profile(baselines=()).notes[0]
    with pytest.raises(InputError, match="set the governor to performance"):
        profiled.profile(baselines=(), steady_clocks="require")


def test_a_duration_adds_rounds(profiled: Profiled, monkeypatch: pytest.MonkeyPatch) -> None:
    assert profiled.profile(baselines=()).latencies[0].calls == 2 * 3
    # A look at this clock takes 0.3 s: two rounds, and three more until a second is over.
    ticks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: 0.3 * next(ticks))
    monkeypatch.setattr("tasks.profiling.alternate.time", clock)
    assert profiled.profile(baselines=(), duration_s=1.0).latencies[0].calls == 5 * 3
