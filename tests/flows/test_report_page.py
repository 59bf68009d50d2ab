"""The HTML page of a real run, read as text and in a real browser."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.calibrate import CalibrationTable, TensorRange
from schemas.profiling import PhaseLatency
from schemas.report import ReportResult
from tasks.report.page.page import Drawings, render_page
from tests.flows.conftest import Workshop

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def page_file(first_run: tuple[Workshop, ReportResult]) -> Path:
    workshop, _ = first_run
    return workshop.root / "runs" / "small" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield chromium
        chromium.close()


def test_it_shows_what_the_run_found(
    first_run: tuple[Workshop, ReportResult], page_file: Path
) -> None:
    workshop, result = first_run
    report = workshop.report(result)
    text = page_file.read_text(encoding="utf-8")
    assert len(text) < 3 * MEGABYTE
    for gate in report.gates:
        assert gate.name in text
    engine = next(a for a in report.accuracies if a.name == "openvino int8")
    assert text.count('alt="Test image') == engine.flips
    assert f"{engine.top1:.4f}" in text
    assert report.engines[0].plan.sha256 in text
    assert all(len(x.quantiles_ms) == 51 for x in report.latencies[0].latencies)
    assert 'id="chart-distribution-1"' in text
    times = [x.time_ms for x in report.engines[0].layers.layers if x.is_convolution]
    assert min(times) > 0
    assert 'id="chart-layers-openvino"' in text
    before, after = re.findall(r'<svg class="graph".*?</svg>', text, flags=re.DOTALL)
    assert ">Cast<" in before
    assert ">Cast<" not in after
    on_integers = re.findall(r'class="int8"><title>Conv ', after)
    assert len(on_integers) == len(report.engines[0].layers.integer_convolutions)


def test_the_parts_of_a_call_are_shown_as_far_as_the_engine_tells_them(
    first_run: tuple[Workshop, ReportResult],
) -> None:
    workshop, result = first_run
    report = workshop.report(result)
    on_a_cpu = workshop.store.open(result.page).read_text("utf-8")
    assert "<td>compute</td>" in on_a_cpu
    assert "<td>d2h</td>" not in on_a_cpu
    times = ("min_ms", "mean_ms", "median_ms", "p90_ms", "p95_ms", "p99_ms")
    part = PhaseLatency(phase="d2h", **dict.fromkeys(times, 0.0417))
    measured = report.latencies[0]
    timed = measured.latencies[0].model_copy(update={"phases": (part,)})
    measured = measured.model_copy(update={"latencies": (timed,)})
    calibration = CalibrationTable(
        images=1,
        images_sha256="",
        tensors={"x": TensorRange(minimum=0, maximum=1, scale=0.1, zero_point=128)},
    )
    drawings = {"openvino": Drawings(None, None)}
    report = report.model_copy(update={"latencies": (measured,)})
    page = render_page(report, calibration, drawings, ())
    assert "What a call is made of" in page
    assert "<td>d2h</td><td>0.0417</td>" in page


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (375, "light")])
def test_a_browser_draws_it_without_network_error_or_overflow(
    browser: Any, page_file: Path, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    trouble: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda m: trouble.append(m.text) if m.type in ("error", "warning") else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    page.wait_for_selector("#chart-latency canvas, #chart-latency .bk-Figure", state="attached")
    assert trouble == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    violations = Axe().run(page).response["violations"]
    assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
    context.close()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_paper_is_white_and_holds_all_columns(browser: Any, page_file: Path, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 720, "height": 1020}, color_scheme=scheme)
    page.goto(page_file.as_uri())
    page.wait_for_selector("#chart-latency .bk-Figure", state="attached")
    page.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
    page.emulate_media(media="print", color_scheme=scheme)
    style = "getComputedStyle(document.querySelector('{}')).{}"
    assert page.evaluate(style.format("body", "color")) == "rgb(29, 33, 41)"
    turned = page.evaluate(style.format(".chart", "filter"))
    assert turned == ("none" if scheme == "light" else "invert(1) hue-rotate(180deg)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 720
    wide = "t => t.scrollWidth > t.parentElement.clientWidth + 1"
    assert page.evaluate(f"[...document.querySelectorAll('table')].filter({wide}).length") == 0
    page.close()


@pytest.mark.browser
def test_layers_sort_and_graphs_zoom(browser: Any, page_file: Path) -> None:
    page = browser.new_page()
    page.goto(page_file.as_uri())
    table = page.locator("table", has=page.locator("caption", has_text="kernels of the INT8"))
    header = table.locator("th button").first
    header.click()
    header.click()
    kinds = [cell.inner_text() for cell in table.locator("tbody td:first-child").all()]
    assert kinds == sorted(kinds, reverse=True)
    assert len(set(kinds)) > 1
    graph = page.locator("svg.graph").first
    wide = graph.bounding_box()["width"]
    page.locator("input[data-graph]").first.fill("0.2")
    assert graph.bounding_box()["width"] < wide / 2
    page.close()
