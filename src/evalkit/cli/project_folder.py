"""Project folder: notebooks, demo data and suites, copied from the package."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import PathError

_ROOMS: Final = ("notebooks", "data")
# What of them is handed on; the wheel is built from the same kinds of files (pyproject.toml).
_KINDS: Final = ("notebooks/*.ipynb", "data/README.md", "data/demo/*", "data/suites/*.yaml")


def find_share() -> Path:
    """Return the notebooks and data of evalkit; raise PathError if they are not installed."""
    here = Path(__file__).resolve()
    for folder in (here.parents[1] / "_share", here.parents[3]):
        if all((folder / room).is_dir() for room in _ROOMS):
            return folder
    raise PathError("This installation of evalkit lacks its notebooks and data; install evalkit-lab again.")


def create(folder: str | Path) -> tuple[list[Path], list[Path]]:
    """Copy notebooks and data; return the written files, and the existing ones, which stay."""
    share, folder = find_share(), Path(folder)
    if folder.exists() and not folder.is_dir():
        raise PathError(f"{str(folder)!r} is a file; name a folder that is new, or one to add to.")
    written: list[Path] = []
    kept: list[Path] = []
    for source in sorted(path for kind in _KINDS for path in share.glob(kind) if path.is_file()):
        place = source.relative_to(share)
        if any(part.startswith((".", "__")) for part in place.parts):
            continue
        target = folder / place
        if target.exists():
            kept.append(target)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(target) as fresh:
            shutil.copyfile(source, fresh)
        written.append(target)
    return written, kept
