"""The form that Prefect's first UI makes out of a flow's parameters, as a test fills it."""

from playwright.sync_api import Locator, Page


def field(place: Locator, *names: str) -> Locator:
    """A field by the labels that lead to it, as in ``field(form, "job", "Calibration")``."""
    for name in names:
        labels = " or ".join(f"normalize-space(.)='{name}{more}'" for more in ("", " (Optional)"))
        place = place.locator(
            "xpath=.//div[contains(concat(' ', @class, ' '), ' schema-form-property ')]"
            "[./div[contains(@class, 'p-label__header')]"
            f"//span[contains(@class, 'schema-form-property__label') and ({labels})]]"
        ).first
    return place


def choose(place: Locator, name: str) -> None:
    """Switch an optional field from None to its other type."""
    place.get_by_text(name, exact=True).first.click()


def fill(place: Locator, value: str) -> None:
    """Type into the field's first control."""
    place.locator("input:visible, textarea:visible").first.fill(value)


def log_in(page: Page, url: str, auth: str) -> None:
    page.goto(f"{url}/login")
    page.locator("input").first.fill(auth)
    page.keyboard.press("Enter")
    page.wait_for_url("**/dashboard")
