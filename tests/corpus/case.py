"""What a case of the corpus is, and how one is run."""

import hashlib
import io
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

Given = Callable[[Path], None]
"""Puts something into the folder that the command is run in."""


@dataclass(frozen=True)
class Case:
    """Something given, and what must be said of it.

    ``says`` is searched for in the one line on stderr; with ``status`` 0, which stands for what is
    odd and yet handled, in stdout. ``command`` replaces that of the group.
    """

    name: str
    given: Given | tuple[Given, ...]
    says: str
    command: str = ""
    status: int = 2


@dataclass(frozen=True)
class Ended:
    status: int
    out: str
    err: str


def put(case: Case, folder: Path) -> None:
    """Fill the folder."""
    for give in case.given if isinstance(case.given, tuple) else (case.given,):
        give(folder)


def holdings(folder: Path) -> dict[str, str]:
    """Everything in a folder, with a digest of its content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            content = f"-> {path.readlink()}"
        elif path.is_file():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            content = "folder"
        found[path.relative_to(folder).as_posix()] = content
    return found


def run_here(
    command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Ended:
    """The command line in this process, as ``enginesmith`` starts it."""
    from flows.cli import main

    monkeypatch.setattr(sys, "argv", ["enginesmith", *command.split()])
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    capfd.readouterr()
    status: object = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code
    out, err = capfd.readouterr()
    return Ended(status if isinstance(status, int) else int(status is not None), out, err)
