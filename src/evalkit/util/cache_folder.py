"""Where evalkit keeps what it may make again: the answers of endpoints, files that were read before."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder of evalkit's caches, made where it is missing and readable by its owner alone.

    It is `EVALKIT_CACHE_DIR` where that is set, else `evalkit` in the place the system has for caches:
    `XDG_CACHE_HOME` or `~/.cache`, `~/Library/Caches` on macOS, `%LOCALAPPDATA%` on Windows. Everything
    in it can be deleted; the answers that were paid for are then paid for again.
    """
    named = os.environ.get("EVALKIT_CACHE_DIR")
    folder = Path(named).expanduser() if named else _system() / "evalkit"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _system() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    named = os.environ.get("XDG_CACHE_HOME", "")
    # What is no absolute path is to be ignored, says the XDG specification.
    return Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
