"""Names are text wherever they are shown: in the page, in its drawings, and to other programs."""

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser
from typing import Any

import pytest

from tests.security.conftest import OddRun
from tests.security.odd_network import ATTACK, CLOSING

ODD_CLASS = "a \"b\"; {name: 'c'} & <d>"


class Elements(HTMLParser):
    """Counts elements, and the attributes that could run something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.handlers: list[str] = []
        self.images: list[str] = []
        self.texts: list[str] = []
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self._inside = tag
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        self.handlers += [
            str(value) for _, value in attrs if str(value).strip().lower().startswith("javascript:")
        ]
        self.images += [str(value) for name, value in attrs if (tag, name) == ("img", "src")]

    def handle_data(self, data: str) -> None:
        if self._inside not in ("script", "style"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def page(odd_run: OddRun) -> Elements:
    return Elements((odd_run.pages / "report.html").read_text(encoding="utf-8"))


def test_the_page_shows_the_names_as_text(page: Elements) -> None:
    text = " ".join(page.texts)
    assert ATTACK in text
    assert CLOSING in text


def test_and_nothing_in_them_became_part_of_the_page(odd_run: OddRun, page: Elements) -> None:
    assert page.handlers == []
    assert all(source.startswith("data:image/png;base64,") for source in page.images)
    # The data of the charts, the charting library and the page's own script: no others.
    source = (odd_run.pages / "report.html").read_text(encoding="utf-8")
    assert page.tags["script"] == len(re.findall(r"^\s*<script\b", source, re.M))
    assert "iframe" not in page.tags
    charts = re.search(r'<script type="application/json" id="charts">(.*?)</script>', source, re.S)
    assert charts
    assert json.loads(charts[1])


@pytest.mark.browser
def test_a_browser_runs_none_of_it(odd_run: OddRun) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        tab: Any = browser.new_page()
        asked: list[str] = []
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto((odd_run.pages / "report.html").as_uri())
        tab.wait_for_selector("#chart-latency canvas, #chart-latency .bk-Figure", state="attached")
        assert tab.evaluate("window.taken") is None
        assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
        browser.close()


def test_markdown_keeps_names_inside_code_or_escaped(odd_run: OddRun) -> None:
    """Prefect's UI shows it; whatever renders it must find no element in it."""
    from markdown_it import MarkdownIt

    text = (odd_run.pages / "report.md").read_text(encoding="utf-8")
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inner = [child for token in tokens for child in (token.children or [])]
    found = [x.content for x in (*tokens, *inner) if x.type in ("html_block", "html_inline")]
    ours = {"<details><summary>Every module</summary>", "</details>"}
    assert {text.strip() for text in found} - ours == set()


def test_published_labels_are_one_line_each_and_the_configuration_is_whole(
    odd_run: OddRun,
) -> None:
    from tests.publish.model_config import parse

    files = {key.partition("/versions/")[2]: data for key, data in odd_run.objects.items()}
    (labels,) = {data.decode() for key, data in files.items() if key.endswith("labels.txt")}
    assert labels.splitlines() == sorted([ATTACK, ODD_CLASS])
    (config,) = [data.decode() for key, data in files.items() if key.endswith("config.pbtxt")]
    assert parse(config).name == "odd-openvino"
