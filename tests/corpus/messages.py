"""Every message in the source that a user can be stopped with, as its template."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("schemas", "tasks", "flows")
ERRORS = frozenset({"InputError", "StaleArtifactError", "UnusableError"})
HINT = "did you mean this?"
"""What stands in a template for a call of ``nearest``."""


@dataclass(frozen=True)
class Message:
    """One message: ``text`` has ``{expression}`` for what is filled in."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


def messages() -> Iterator[Message]:
    """All of them, by file and line."""
    sources = {
        file.relative_to(ROOT).as_posix(): ast.parse(file.read_text(encoding="utf-8"))
        for package in PACKAGES
        for file in sorted((ROOT / package).rglob("*.py"))
    }
    errors = _with_subclasses(sources.values())
    for file, tree in sources.items():
        # A validator's ValueError reaches the user as the reason why a field is refused.
        kinds = errors | ({"ValueError"} if file.startswith("schemas/") else set())
        found = _Module(tree)
        for call in _calls(tree, kinds):
            for line, text in found.texts(call.args[0] if call.args else None, call.lineno):
                yield Message(file, line, text)


def _with_subclasses(trees: object) -> frozenset[str]:
    classes = [
        node
        for tree in trees  # type: ignore[attr-defined]
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    ]
    known = set(ERRORS)
    while True:
        more = {x.name for x in classes if {ast.unparse(base) for base in x.bases} & known}
        if more <= known:
            return frozenset(known)
        known |= more


def _calls(tree: ast.Module, kinds: frozenset[str] | set[str]) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in kinds:
            yield node


class _Module:
    """A module's constants and functions, to look up what a message is made with."""

    def __init__(self, tree: ast.Module) -> None:
        self.functions = {x.name: x for x in ast.walk(tree) if isinstance(x, ast.FunctionDef)}
        self.constants: dict[str, list[str]] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                table = node.value.values if isinstance(node.value, ast.Dict) else [node.value]
                texts = [x.value for x in table if isinstance(x, ast.Constant)]
                if texts and all(isinstance(text, str) for text in texts):
                    self.constants[node.targets[0].id] = [str(text) for text in texts]

    def texts(self, value: ast.expr | None, line: int) -> Iterator[tuple[int, str]]:
        """The templates that an expression can give: of a function call, what it returns."""
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
            function = self.functions.get(value.func.id)
            if function is not None:
                for node in ast.walk(function):
                    if isinstance(node, ast.Return) and node.value is not None:
                        yield from self.texts(node.value, node.lineno)
                return
        if isinstance(value, ast.IfExp):
            yield from self.texts(value.body, line)
            yield from self.texts(value.orelse, line)
        elif value is not None:
            yield from ((line, text) for text in self._texts(value))

    def _texts(self, value: ast.expr) -> list[str]:
        """The templates of one expression: several where it looks a part up in a table."""
        if isinstance(value, ast.Constant):
            return [str(value.value)]
        if isinstance(value, ast.JoinedStr):
            return self._joined(value.values)
        if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add):
            return self._joined([value.left, value.right])
        inner = value.value if isinstance(value, ast.FormattedValue) else value
        if isinstance(inner, ast.Name) and inner.id in self.constants:
            return self.constants[inner.id]
        if isinstance(inner, ast.Subscript) and ast.unparse(inner.value) in self.constants:
            return self.constants[ast.unparse(inner.value)]
        if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "nearest":
            return [HINT]
        return ["{" + ast.unparse(inner) + "}"]

    def _joined(self, parts: list[ast.expr]) -> list[str]:
        return ["".join(each) for each in product(*map(self._texts, parts))]


_ASIDE = re.compile(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}|`[^`]*`|'[^']*'|\([^()]*\)")


def fix_of(text: str) -> str | None:
    """What follows the last colon of a message, leaving out what is quoted, filled in or aside."""
    bare = _ASIDE.sub(lambda found: "_" * len(found[0]), text)
    place = bare.rfind(": ")
    return None if place < 0 else text[place + 2 :]
