"""The pictures in the explanation of the surgery are what the code draws, and show what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_docs import REPOSITORY

NAMES = ("residual-before.svg", "residual-after.svg")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    script = REPOSITORY / "scripts/draw_residual_block.py"
    subprocess.run([sys.executable, script, folder], check=True, cwd=REPOSITORY)
    return folder


def operators(svg: str) -> list[str]:
    return re.findall(r"<title>(\w+)", svg)


@pytest.mark.parametrize("name", NAMES)
def test_the_pictures_are_of_today(drawn: Path, name: str) -> None:
    kept = (REPOSITORY / "docs/images" / name).read_text(encoding="utf-8")
    assert operators(kept) == operators((drawn / name).read_text(encoding="utf-8")), (
        "python scripts/draw_residual_block.py"
    )


def test_they_show_what_the_page_says(drawn: Path) -> None:
    before, after = (operators((drawn / name).read_text(encoding="utf-8")) for name in NAMES)
    assert (before.count("Cast"), after.count("Cast")) == (4, 0)
    assert (before.count("DequantizeLinear"), after.count("DequantizeLinear")) == (4, 2)
    # Nothing is between the second convolution and the Add.
    assert after[-4:] == ["Conv", "Add", "Relu", "QuantizeLinear"]
