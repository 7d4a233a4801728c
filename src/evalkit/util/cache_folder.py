"""The folder of evalkit's caches: responses of endpoints, parsed files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from evalkit.util.errors import FormatError


def cache_folder() -> Path:
    """Return the cache folder; create it, readable by its owner only.

    `EVALKIT_CACHE_DIR` if set, else `evalkit` in the cache folder of the system. Raise `FormatError` for a folder that
    another user owns or may write: its answers could be anyone's.
    """
    path = os.environ.get("EVALKIT_CACHE_DIR")
    folder = Path(path).expanduser() if path else _system() / "evalkit"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "nt":
        status = folder.stat()
        if status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise FormatError(
                f"Other users may write into the cache folder {str(folder)!r}.",
                value=str(folder),
                fix="Remove their right (chmod go-w), or name a folder of your own with EVALKIT_CACHE_DIR.",
            )
    return folder


def _system() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    path = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: ignore relative paths.
    return Path(path) if Path(path).is_absolute() else Path.home() / ".cache"
