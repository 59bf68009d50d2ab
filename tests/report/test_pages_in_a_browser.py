"""The history page and the comparison page in Chromium: no errors, no overflow, axe clean."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.base import Target
from schemas.compare import (
    Change,
    Comparison,
    EngineComparison,
    Figure,
    Interval,
    LayerRow,
    RunSide,
)
from schemas.engine import Layer, LayerPair
from tasks.artifacts.store import Store
from tasks.report.page.comparison import comparison_page
from tasks.report.page.history import history_page
from tests.history.builds import build, chain, figures, speedup

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LONG = "a_name_that_is_long_and_has_no_place_to_break_it_anywhere_at_all" * 2

pytestmark = pytest.mark.browser


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


def history(folder: Path) -> str:
    store, stages = Store(folder / "store"), chain()
    worse = figures(stages, top1=0.91, speedups=(speedup(2.1),), kernels=52, plan_bytes=1300)
    builds = [
        build(store, 1),
        build(store, 2, passed=False, failed=(f"openvino: {LONG}",), engines=(worse,)),
        build(store, 3, engines=(figures(stages, speedups=(), top1=None),)),
    ]
    return history_page("small", builds, {2: [f"calibrate: images 64 -> {LONG}"]})


def comparison(_: Path) -> str:
    sides = [
        RunSide(name=x, label=x, job="small", passed=False, failed=(LONG,), machine=m, images=300)
        for x, m in (("small@1", "a CPU"), ("small@2", None))
    ]
    pair = LayerPair(
        nodes=(LONG,),
        left=(Layer(name="a", type="Convolution", input_dtypes=("uint8",), time_ms=0.1),),
        right=(),
    )
    whole = Interval(value=2.5, low=2.4, high=2.6)
    target: Target = "openvino"
    engine = EngineComparison(
        target=target,
        figures=(Figure(name="INT8 over FP32, 1 thread", unit="times", left=whole, right=None),),
        graph=None,
        graph_note=f"not compared: {LONG}",
        layers=(LayerRow(pair=pair, left_share=1.0, right_share=None, same=False),),
    )
    lost = Figure(name="openvino int8: lost against FP32", unit="points", left=whole, right=whole)
    found = Comparison(
        left=sides[0],
        right=sides[1],
        cautions=(f"timed on different machines {LONG}",),
        config=(Change(name="calibration.images", left="64", right=LONG),),
        environment=(),
        gates=(),
        modules=(),
        accuracy=(lost,),
        engines=(engine,),
    )
    picture = '<svg class="graph" role="img" aria-label="a graph" data-width="900"></svg>'
    return comparison_page(found, {target: (picture, picture)})


@pytest.mark.parametrize("made", [history, comparison], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (375, "dark")])
def test_it_is_drawn_cleanly(
    browser: Any, tmp_path: Path, made: Any, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    file = tmp_path / "page.html"
    file.write_text(made(tmp_path), encoding="utf-8")
    assert file.stat().st_size < 3_000_000
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    page = context.new_page()
    trouble: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.on("console", lambda m: trouble.append(m.text) if m.type in ("error", "warning") else None)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector(".chart .bk-Figure", state="attached")
    page.wait_for_function("document.documentElement.dataset.theme")
    assert trouble == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    violations = Axe().run(page).response["violations"]
    assert [v["id"] for v in violations if v["impact"] in ("serious", "critical")] == []
    context.close()


def test_a_chart_that_cannot_be_drawn_stops_nothing_else(browser: Any, tmp_path: Path) -> None:
    text = history(tmp_path)
    before, rest = text.split('<script type="application/json" id="charts">')
    charts, after = rest.split("</script>", 1)
    items = json.loads(charts)
    assert len(items) > 2
    items[0]["doc"]["roots"][0]["name"] = "NoSuchModel"
    file = tmp_path / "page.html"
    changed = f'<script type="application/json" id="charts">{json.dumps(items)}</script>'
    file.write_text(before + changed + after, encoding="utf-8")
    page = browser.new_page(color_scheme="dark")
    page.goto(file.as_uri())
    page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert page.locator(".chart .bk-Figure").count() == len(items) - 1
    assert (
        page.locator(f"#{items[0]['target_id']}").inner_text() == "This chart could not be drawn."
    )
    page.close()
