"""Where downloads are kept."""

import os
from pathlib import Path


def download_folder() -> Path:
    """``enginesmith`` in the user's cache folder (XDG base directory specification)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "enginesmith"
