"""A page from its template: one file, with style, script, charting library and charts inside."""

from collections.abc import Mapping
from pathlib import Path

from bokeh.resources import Resources
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tasks.report.page.frame import Chart

HERE = Path(__file__).parent


def fill(template: str, charts: Mapping[str, Chart | None], **values: object) -> str:
    """The page of ``template`` with these values; ``charts`` are those that it places, by name."""
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Bokeh defines a thing where it first appears: sorted keys would use it before that.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    return environment.get_template(template).render(
        **values,
        charts=charts,
        items=[chart.item for chart in charts.values() if chart is not None],
        style=(HERE / "style.css").read_text(encoding="utf-8"),
        script=(HERE / "page.js").read_text(encoding="utf-8"),
        bokeh=Resources(mode="inline", components=["bokeh"]).js_raw,
    )
