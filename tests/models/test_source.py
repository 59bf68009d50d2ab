"""The digest of a factory's source: what it covers, and that nothing is imported."""

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import InputError
from tasks.models.source import source_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``my_nets.small:build``, which needs my_nets.layers.attention and my_constants."""
    monkeypatch.syspath_prepend(tmp_path)
    files = {
        "my_nets/__init__.py": "print('imported')\n",
        "my_nets/small.py": "import torch\nfrom .layers import attention\ndef build(): ...\n",
        "my_nets/layers/__init__.py": "",
        "my_nets/layers/attention.py": "import my_constants\nfrom .. import big\n",
        "my_nets/big.py": "from my_nets.small import build\n",
        "my_nets/unrelated.py": "",
        "my_constants.py": "WIDTH = 4\n",
        "plot.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.usefixtures("package")
def test_nothing_is_imported_and_it_takes_no_framework(capsys: pytest.CaptureFixture[str]) -> None:
    source_digest("my_nets.small:build")
    assert "my_nets" not in sys.modules
    assert capsys.readouterr().out == ""
    code = (
        "import sys; from tasks.models.source import source_digest;"
        "source_digest('torchvision.models.quantization:resnet18');"
        "source_digest('tasks.models.resnet:resnet20');"
        "assert not {'torch', 'torchvision', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "name",
    [
        "my_nets/small.py",
        "my_nets/__init__.py",
        "my_nets/layers/attention.py",
        "my_nets/layers/__init__.py",
        "my_nets/big.py",
        "my_constants.py",
    ],
)
def test_editing_what_the_network_imports_changes_it(package: Path, name: str) -> None:
    before = source_digest("my_nets.small:build")
    with (package / name).open("a") as file:
        file.write("# edited\n")
    assert source_digest("my_nets.small:build") != before


@pytest.mark.parametrize("name", ["my_nets/unrelated.py", "plot.py"])
def test_editing_something_else_does_not(package: Path, name: str) -> None:
    before = source_digest("my_nets.small:build")
    (package / name).write_text("# edited\n")
    assert source_digest("my_nets.small:build") == before


def test_it_does_not_depend_on_the_place(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = source_digest("my_nets.small:build")
    moved = package.with_name(package.name + "-moved")
    package.rename(moved)
    monkeypatch.syspath_prepend(moved)
    assert source_digest("my_nets.small:build") == before


@pytest.mark.usefixtures("package")
def test_another_version_of_an_installed_package_changes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import importlib.metadata

    from tasks.models import source

    before = {name: source_digest(name) for name in ("my_nets.small:build", "torch.nn:Linear")}
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "99.0")
    source._distribution.cache_clear()
    try:
        for name, digest in before.items():
            assert source_digest(name) != digest
    finally:
        source._distribution.cache_clear()


@pytest.mark.usefixtures("package")
def test_factories_of_one_module_share_a_digest_and_modules_do_not() -> None:
    assert source_digest("my_nets.small:a") == source_digest("my_nets.small:b")
    assert source_digest("my_nets.big:build") != source_digest("my_nets.small:build")


@pytest.mark.parametrize("factory", ["no_such:f", "my_nets.no_such:f", "my_constants.deeper:f"])
@pytest.mark.usefixtures("package")
def test_a_missing_module_is_named(factory: str) -> None:
    with pytest.raises(InputError, match="there is no module"):
        source_digest(factory)


def test_a_file_that_is_not_python_is_named(package: Path) -> None:
    (package / "my_constants.py").write_text("def f(:\n")
    with pytest.raises(InputError, match=r"my_constants\.py is not Python"):
        source_digest("my_nets.small:build")


def test_packages_without_an_init_are_found_at_any_depth(package: Path) -> None:
    inner = package / "bare" / "inner"
    inner.mkdir(parents=True)
    (inner / "nets.py").write_text("def build(): ...\n")
    before = source_digest("bare.inner.nets:build")
    (inner / "nets.py").write_text("def build(): return 1\n")
    fresh = "import sys; sys.path.insert(0, sys.argv[1]); from tasks.models.source import "
    fresh += "source_digest; print(source_digest('bare.inner.nets:build'))"
    after = subprocess.run(
        [sys.executable, "-c", fresh, str(package)], capture_output=True, text=True, check=True
    )
    assert after.stdout.strip() != before


def test_threads_that_parse_at_the_same_time_disturb_nobody(
    package: Path,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What CPython 3.11 said of a good file in a run on a busy machine, and not again."""
    expected = source_digest("my_nets.small:build")
    parse, said = ast.parse, iter(["AST constructor recursion depth mismatch"])

    def disturbed(*arguments: Any, **named: Any) -> ast.Module:
        for mismatch in said:
            raise SystemError(mismatch)
        return parse(*arguments, **named)

    monkeypatch.setattr(ast, "parse", disturbed)
    assert source_digest("my_nets.small:build") == expected
