"""Which source a factory stands for, found out without importing, and so running, any of it."""

import ast
import hashlib
import importlib.metadata
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from sysconfig import get_paths

from schemas.errors import InputError

_REPOSITORY = Path(__file__).parents[2]
PARSED_AT_MOST = 5


def source_digest(factory: str) -> str:
    """Hex SHA-256 of the code that ``package.module:callable`` is made of.

    Covers the module's file and every module that it imports by an import statement, directly or
    through others, as long as they are not installed; of what is installed, the distribution's
    name and version, and the file of the factory itself. Modules that are imported by computed
    names are not seen.

    Raises InputError where there is no such module, or a file of it is not Python.
    """
    name = factory.partition(":")[0]
    digest = hashlib.sha256(name.encode())
    spec = _find(name)
    if spec is None:
        raise InputError(
            f"factory {factory}: there is no module {name}: install it, or put it into the jobs "
            "folder, which ENGINESMITH_JOBS names"
        )
    files: dict[str, Path] = {}
    distributions: set[str] = set()
    _collect(name, files, distributions)
    if name not in files and spec.origin and Path(spec.origin).is_file():
        files[name] = Path(spec.origin)
    for module in sorted(files):
        content = hashlib.sha256(files[module].read_bytes()).hexdigest()
        digest.update(f"\0{module} {content}".encode())
    for distribution in sorted(distributions):
        digest.update(f"\0{distribution}".encode())
    return digest.hexdigest()


def _collect(name: str, files: dict[str, Path], distributions: set[str]) -> None:
    """Add a module, its parent packages and all that they import."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        module = ".".join(parts[:count])
        if module in files or parts[0] in sys.stdlib_module_names:
            continue
        spec = _find(module)
        if spec is None or spec.origin is None:
            continue
        path = Path(spec.origin)
        if _is_installed(path):
            distributions.add(_distribution(parts[0]))
            return
        if path.suffix != ".py":
            files[module] = path
            continue
        files[module] = path
        is_package = spec.submodule_search_locations is not None
        for imported in _imports(path, module, is_package):
            _collect(imported, files, distributions)


def _imports(path: Path, module: str, is_package: bool) -> Iterator[str]:
    """The absolute names that a file's import statements may mean."""
    try:
        tree = _parsed(path)
    except (SyntaxError, ValueError) as error:
        raise InputError(f"{path} is not Python ({error}): correct it") from error
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*base, *([node.module] if node.module else [])])
            if source:
                yield source
                # What is imported from a package may be a module of it.
                yield from (f"{source}.{alias.name}" for alias in node.names if alias.name != "*")


def _parsed(path: Path) -> ast.Module:
    source = path.read_bytes()
    for _ in range(PARSED_AT_MOST):
        # Threads that parse at the same time, as Prefect's do, disturb each other's count of the
        # depth in CPython 3.11, which then calls a good file wrong.
        with suppress(SystemError):
            return ast.parse(source, filename=str(path))
    return ast.parse(source, filename=str(path))


@cache
def _distribution(package: str) -> str:
    """Name and version of what installed a top-level package."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        names = importlib.metadata.packages_distributions().get(package, [])
    return " ".join(f"{name} {importlib.metadata.version(name)}" for name in sorted(set(names)))


def _is_installed(path: Path) -> bool:
    if path.is_relative_to(_REPOSITORY / "tasks"):
        return False
    paths = get_paths()
    folders = {paths["purelib"], paths["platlib"], paths["stdlib"], paths["platstdlib"]}
    # Debian's own packages lie in dist-packages, which sysconfig does not name.
    foreign = {"site-packages", "dist-packages"} & set(path.parts)
    return bool(foreign) or any(path.is_relative_to(folder) for folder in folders)


def _find(name: str) -> ModuleSpec | None:
    """A module's spec, walking its packages by their paths; ``find_spec`` would import them."""
    spec: ModuleSpec | None = None
    path: list[str] | None = None
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        if count > 1 and path is None:
            return None
        spec = _find_one(".".join(parts[:count]), path)
        if spec is None:
            return None
        locations = spec.submodule_search_locations
        path = None if locations is None else list(locations)
    return spec


def _find_one(name: str, path: list[str] | None) -> ModuleSpec | None:
    for finder in sys.meta_path:
        find_spec = getattr(finder, "find_spec", None)
        try:
            spec: ModuleSpec | None = find_spec(name, path) if find_spec else None
        except KeyError:
            # A package without an __init__ inside another: Python asks for the outer one, which is
            # not imported. As if it were not inside anything, only its folders are asked for.
            spec = PathFinder.find_spec(name.rpartition(".")[2], path)
        if spec is not None:
            return spec
    return None
