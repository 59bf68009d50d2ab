"""Versions of installed packages, as this process has them."""

import importlib.metadata
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError

from schemas.errors import InputError


@cache
def version_of(package: str) -> str:
    """The version of a distribution, read once: what is imported stays what it is.

    Raises PackageNotFoundError where it is not installed.
    """
    return importlib.metadata.version(package)


def installed_version(package: str, engine: str, how: str) -> str:
    """The version of the first installed distribution that ``package`` names, comma-separated.

    Raises InputError saying ``how`` to install the engine.
    """
    for name in package.split(","):
        try:
            return version_of(name)
        except PackageNotFoundError:
            continue
    raise InputError(f"{engine} is not installed: {how}")


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """The versions of those distributions that are installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = version_of(package)
        except PackageNotFoundError:
            continue
    return versions
