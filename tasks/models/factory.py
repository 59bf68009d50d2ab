"""Resolving ``package.module:callable``, the way user code gets in.

A factory is trusted: importing it runs it. It is looked for among the installed packages and in
the folders named with ``import_from``, and nothing is imported before a stage needs it.
"""

import importlib
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from schemas.errors import InputError, cause


def import_from(folder: Path) -> None:
    """Let factories resolve from ``folder``, after everything that is installed.

    Last on ``sys.path``, so that a user's ``types.py`` cannot take the place of a module that
    others import. Stays for the process's life, because a network may import as late as in its
    first call.
    """
    path = str(folder.absolute())
    if path not in sys.path:
        sys.path.append(path)
        importlib.invalidate_caches()


def resolve(factory: str) -> Callable[..., Any]:
    """The callable that a dotted name stands for.

    Raises InputError where the module does not import, lacks the attribute, or it is no callable.
    """
    module_name, _, attributes = factory.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name + ".").startswith(error.name + "."):
            raise InputError(
                f"factory {factory}: there is no module {error.name}: install it, or put it into "
                "the jobs folder, which ENGINESMITH_JOBS names"
            ) from error
        raise InputError(
            f"factory {factory} does not import: install {error.name}, which its module needs"
        ) from error
    except (Exception, SystemExit) as error:
        raise InputError(
            f"factory {factory} does not import ({type(error).__name__}: {cause(error)}): correct "
            "its module"
        ) from error
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError as error:
            raise InputError(
                f"factory {factory}: module {module_name} has no {attributes}: check the name "
                "after the colon"
            ) from error
    if not callable(found):
        raise InputError(
            f"factory {factory} is a {type(found).__name__}, not a callable: name a function or "
            "a class"
        )
    return found  # type: ignore[no-any-return]


def call(factory: str, kwargs: Mapping[str, Any], *args: Any) -> Any:
    """Resolve ``factory`` and call it.

    Raises InputError where its signature does not take the arguments, or it raises.
    """
    function = resolve(factory)
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise InputError(
            f"factory {factory} does not take kwargs {dict(kwargs)} ({cause(error)}): correct them"
        ) from error
    except ValueError:
        pass  # A callable written in C may have no signature to check against.
    try:
        return function(*args, **kwargs)
    except InputError:
        raise
    except (Exception, SystemExit) as error:
        raise InputError(
            f"factory {factory} failed with kwargs {dict(kwargs)} ({type(error).__name__}: "
            f"{cause(error)}): correct the kwargs or the factory"
        ) from error
