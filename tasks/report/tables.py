"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def plain(value: object) -> str:
    """A value as text: a name that holds HTML or a table's line stays a name."""
    text = " ".join(str(value).split("\n"))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
