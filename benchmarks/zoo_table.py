"""The zoo's results as Markdown: what went through, what it became, and why the rest did not."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo_networks import Entry

Row = dict[str, Any]
Rows = dict[tuple[str, str], Row]
BEGIN = "<!-- written by `python benchmarks/zoo.py --table --into docs/zoo.md` -->"
END = "<!-- end of what was written -->"
HEADS = (
    "network",
    "M parameters",
    "size",
    "mode",
    "reached",
    "convs and products INT8",
    "of these in the plan",
    "kernels",
    "steps off torch",
    "INT8 to FP32, dB",
    "OpenVINO to torch, dB",
    "s",
    "on",
)


def read(results: Path) -> Rows:
    """The last row of each network and mode."""
    if not results.is_file():
        return {}
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {(row["network"], row["mode"]): row for row in rows}


def done(rows: Rows, entry: Entry, mode: str) -> bool:
    """Whether a network got all the way by a mode."""
    return rows.get((entry.name, mode), {}).get("stage") == "done"


def write_into(file: Path, text: str) -> None:
    """Put ``text`` between the marks of a page. Raises ValueError where it has none."""
    page = file.read_text()
    ahead, begin, rest = page.partition(BEGIN)
    _, end, behind = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{file} has no lines {BEGIN!r} and {END!r}")
    file.write_text(f"{ahead}{BEGIN}\n\n{text}\n{END}{behind}")


def tables(chosen: Sequence[Entry], rows: Rows, modes: Sequence[str]) -> str:
    """Counts, every network, reasons of failures, broken bounds, and the machines."""
    found = [rows.get((entry.name, mode)) for entry in chosen for mode in modes]
    known = [row for row in found if row is not None]
    machines = list(dict.fromkeys(_machine(row) for row in known))
    lines = [
        f"- **{mode}: {sum(done(rows, entry, mode) for entry in chosen)} of {len(chosen)} all the "
        "way**"
        for mode in modes
    ]
    either = sum(any(done(rows, entry, mode) for mode in modes) for entry in chosen)
    lines += [f"- **by one or the other: {either} of {len(chosen)}**", ""]
    lines += [_cells(HEADS), "|---" * len(HEADS) + "|"]
    for entry in chosen:
        for mode in modes:
            row = rows.get((entry.name, mode))
            lines.append(_line(entry, mode, row, machines))
    failed = [row for row in known if row["stage"] != "done"]
    lines += ["", *_reasons("stopped at", [(row, row["stage"], row["why"]) for row in failed])]
    broken = [(row, gate) for row in known for gate in row.get("broken", ())]
    bounds = [(row, *gate.split(": ", 1)) for row, gate in broken]
    lines += _reasons("bound of a job that these images broke", bounds)
    lines += [f"- {_letter(index)}: {machine}" for index, machine in enumerate(machines)]
    return "\n".join(lines) + "\n"


def _machine(row: Row) -> str:
    return str(row.get("machine", "not noted"))


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _cells(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |"


def _reasons(head: str, found: Sequence[tuple[Any, ...]]) -> list[str]:
    if not found:
        return []
    lines = [f"| network | mode | {head} | because |", "|---|---|---|---|"]
    lines += [_cells((row["network"], row["mode"], what, why)) for row, what, why in found]
    return [*lines, ""]


def _line(entry: Entry, mode: str, row: Row | None, machines: list[str]) -> str:
    start = (entry.name, f"{entry.parameters / 1e6:.1f}", entry.size, mode)
    if row is None:
        return _cells((*start, "not run", *[""] * (len(HEADS) - 5)))
    reached = "all" if row["stage"] == "done" else f"stopped at {row['stage']}"
    shares = [
        f"{row[part]} of {row[whole]}" if whole in row else ""
        for part, whole in (("int8_products", "products"), ("plan_int8_products", "plan_products"))
    ]
    steps = f"{row['parity_steps']:.1f}" if "parity_steps" in row else ""
    decibels = [row.get(key, "") for key in ("sqnr_db", "openvino_sqnr_db")]
    took = f"{sum(row['seconds'].values()):.0f}"
    where = _letter(machines.index(_machine(row)))
    figures = (*shares, row.get("kernels", ""), steps, *decibels, took, where)
    return _cells((*start, reached, *figures))
