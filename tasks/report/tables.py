"""Tables in Markdown."""

from collections.abc import Iterable, Sequence


def plain(value: object) -> str:
    """A value as text: a name that holds HTML or a table's line stays a name."""
    text = " ".join(str(value).split("\n"))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")


def bullets(lines: Iterable[str]) -> str:
    """A list in Markdown; the names in its lines stay names."""
    return "\n".join(f"- {plain(line)}" for line in lines)


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    lines = ["| " + " | ".join(header) + " |", "|---|" + "---:|" * (len(header) - 1)]
    lines += ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
