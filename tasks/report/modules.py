"""What became of each module of the network, as a section of the report."""

from collections.abc import Iterable

from schemas.convert import ConvertSummary, QuantizedModule
from tasks.report.tables import plain, table


def render_modules(quantized: ConvertSummary | None) -> str:
    """How many modules are INT8, which are not and why, and the whole table folded away."""
    if quantized is None:
        return ""
    integer = sum(row.quantized for row in quantized.modules)
    left = [row for row in quantized.modules if not row.quantized]
    parts = [
        f"## Modules: {integer} of {len(quantized.modules)} INT8, by {quantized.mode}",
        f"{plain(quantized.reason)}." if quantized.reason else "",
        _reasons(left),
        "<details><summary>Every module</summary>",
        table(("module", "is a", "became", "scale", "why"), _rows(quantized.modules)),
        "</details>",
    ]
    return "\n\n".join(part for part in parts if part)


def _reasons(left: list[QuantizedModule]) -> str:
    """The float modules, those of one reason on one line."""
    by_reason: dict[tuple[str, str], list[str]] = {}
    for row in left:
        by_reason.setdefault((row.kind, row.why), []).append(row.name)
    return "\n".join(
        f"- float: {len(names)} {plain(kind)} "
        f"({plain(names[0])}{', ...' if len(names) > 1 else ''}): {plain(why)}"
        for (kind, why), names in by_reason.items()
    )


def _rows(modules: tuple[QuantizedModule, ...]) -> Iterable[tuple[str, ...]]:
    for row in modules:
        became = row.became if row.quantized else f"{row.became} (float)"
        scale = "" if row.scale is None else f"{row.scale:.4g}"
        yield row.name, row.kind, became, scale, row.why
