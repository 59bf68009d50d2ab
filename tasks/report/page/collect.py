"""From a run's artifacts to its page."""

from safetensors.numpy import load_file

from schemas.calibrate import CalibrationTable
from schemas.data import DataRef
from schemas.report import ReportSources, RunReport
from tasks.artifacts.store import Store
from tasks.datasets.open import open_dataset
from tasks.report.page.drawing import draw
from tasks.report.page.flips import find_flips
from tasks.report.page.page import Drawings, render_page


def make_page(store: Store, report: RunReport, data: DataRef, sources: ReportSources) -> bytes:
    """The HTML page of a run, in UTF-8."""
    float32 = load_file(store.open(sources.float32.file))
    flips = find_flips(
        float32["logits"],
        load_file(store.open(sources.engine.file))["logits"],
        float32["labels"],
        float32["indices"],
        open_dataset(data.config, "test"),
        data.classes,
    )
    before = draw(store.open(sources.exported), "The graph as PyTorch exported it")
    drawings: dict[str, Drawings] = {
        engine.target: Drawings(
            before, draw(store.open(engine.graph), f"The graph as compiled for {engine.target}")
        )
        for engine in report.engines
    }
    table = store.load(sources.calibration, CalibrationTable)
    return render_page(report, table, drawings, flips).encode()
