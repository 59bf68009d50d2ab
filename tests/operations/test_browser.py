"""A person with a browser: log in, fill the form of `build`, see it run, read its report.

Screenshots go to ENGINESMITH_SCREENSHOTS (default: build/screenshots).
"""

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.operations.conftest import ROOT, Service
from tests.operations.form import choose, field, fill, log_in

CHROMIUM = shutil.which("chromium")
CHECKPOINT = ROOT / "jobs" / "checkpoints" / "resnet20-fashion-mnist.safetensors"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        # The sandbox needs a user that is not root; the only site is our own.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1100, "height": 800})
    page = context.new_page()
    page.set_default_timeout(60_000)
    yield page
    context.close()


def screenshot(page: Page, name: str) -> None:
    folder = Path(os.environ.get("ENGINESMITH_SCREENSHOTS", ROOT / "build" / "screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png")


def open_artifact(page: Page, service: Service, key: str) -> None:
    """From the list of artifacts over the key's history to its newest."""
    page.goto(f"{service.url}/artifacts")
    page.get_by_text(key, exact=True).first.click()
    page.get_by_text(re.compile(r"^[0-9a-f]{8}$")).first.click()
    page.wait_for_url("**/artifacts/artifact/*")


def test_wrong_credentials_do_not_get_in(page: Page, service: Service) -> None:
    page.goto(f"{service.url}/login")
    page.locator("input").first.fill("admin:wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Authentication failed").first).to_be_visible()
    expect(page).to_have_url(re.compile("/login"))


def test_from_the_form_to_the_report(page: Page, service: Service) -> None:
    asked: set[str] = set()
    page.context.on(
        "request",
        lambda request: asked.add(re.sub(r"^(?:blob:)?(\w+://[^/]+).*", r"\1", request.url)),
    )
    log_in(page, service.url, service.auth)
    screenshot(page, "dashboard")

    page.goto(f"{service.url}/deployments")
    page.get_by_text("build", exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    job = field(page.locator("body"), "job")
    choose(job, "Job")
    fill(field(job, "Name"), "from-the-form")
    model = field(job, "Model")
    fill(field(model, "Factory"), "tasks.models.resnet:resnet20")
    fill(field(model, "Kwargs"), '{"num_classes": 10, "in_channels": 1}')
    choose(field(model, "Weights"), "path")
    fill(field(model, "Weights"), str(CHECKPOINT))
    choose(field(job, "Data", "Fashion Mnist"), "FashionMnist")
    fill(field(job, "Calibration", "Images"), "-64")
    choose(field(job, "Accuracy", "Images"), "int")
    fill(field(job, "Accuracy", "Images"), "300")
    fill(field(job, "Accuracy", "Max Drop Points"), "2")
    fill(field(job, "Export", "Parity Images"), "8")
    fill(field(job, "Profile", "Rounds"), "2")
    fill(field(job, "Profile", "Calls"), "5")
    field(job, "Calibration").scroll_into_view_if_needed()
    screenshot(page, "form")

    page.get_by_role("button", name="Submit").click()
    error = page.get_by_text("'job.calibration.images'", exact=False).first
    expect(error).to_contain_text("-64 is less than or equal to the minimum of 0")
    page.wait_for_timeout(1000)  # it fades in
    screenshot(page, "field-error")

    fill(field(job, "Calibration", "Images"), "64")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url(re.compile(r"/deployments/deployment/[0-9a-f-]+(\?.*)?$"))
    page.goto(f"{service.url}/runs")
    page.get_by_text("build-from-the-form").first.click()
    page.wait_for_url("**/runs/flow-run/*")
    # The list that was left fades out, and other runs in it may be completed.
    page.reload()
    expect(page.get_by_text("build-from-the-form").first).to_be_visible()
    page.wait_for_timeout(1000)  # it fades in
    screenshot(page, "running")
    expect(page.get_by_text("Completed", exact=True).first).to_be_visible(timeout=240_000)
    screenshot(page, "run")

    open_artifact(page, service, "report-from-the-form")
    expect(page.get_by_text("Gates", exact=True).first).to_be_visible()
    expect(page.get_by_text("openvino int8", exact=False).first).to_be_visible()
    screenshot(page, "report")
    open_artifact(page, service, "progress-from-the-form")
    expect(page.get_by_text("from-the-form: done", exact=False).first).to_be_visible()
    expect(page.get_by_text("100%", exact=False).first).to_be_visible()
    screenshot(page, "progress")
    assert asked == {service.url}, "the UI called out"

    open_artifact(page, service, "report-from-the-form")
    link = page.get_by_role("link", name="The report as a page").first
    expect(link).to_have_attribute("href", f"{service.reports}/from-the-form/report.html")
    with page.context.expect_page() as opened:
        link.click(modifiers=["ControlOrMeta"])
    report = opened.value
    expect(report.get_by_role("heading", name="from-the-form").first).to_be_visible()
    screenshot(report, "page")
    # The new tab's first requests may be over before anybody listens.
    report.reload()
    assert asked == {service.url, service.reports}, "the page called out"
