"""Keys of a store stay below its root, whatever they were read from."""

from pathlib import Path

from schemas.errors import InputError


def check_key(key: str) -> str:
    """A key as it is: names joined by slashes.

    Raises InputError for what could lead out of the store, or mean another place on another file
    system: an absolute path, ``..`` and ``.``, empty names, backslashes and control characters.
    """
    if (
        any(part in ("", ".", "..") for part in key.split("/"))
        or "\\" in key
        or any(ord(character) < 32 for character in key)
    ):
        raise InputError(
            f"{key!r} is no path within an artifact store, and may have been tampered with: run "
            "`enginesmith cache verify`"
        )
    return key


def inside(root: Path, key: str) -> Path:
    """The path of a key below the folder ``root``, which may itself be a link.

    Raises InputError where the key, or a link on the way to it, leads out.
    """
    path = root / check_key(key)
    if not path.parent.resolve().is_relative_to(root.resolve()):
        raise InputError(
            f"artifact folder {root}: {Path(key).parent} is a link that leads out of it: replace "
            "it with a folder"
        )
    return path
