"""`evalkit init`."""

from __future__ import annotations

from evalkit.cli import options as opt
from evalkit.cli import project_folder
from evalkit.cli.terminal import emit, one_line, shell_line
from evalkit.util.words import plural


def init(folder: opt.Folder) -> None:
    """Create a folder with the notebooks and the demo data."""
    written, kept = project_folder.create(folder)
    existing = f" Kept {plural(len(kept), 'existing file')}." if kept else ""
    emit(f"Wrote {plural(len(written), 'file')} into {one_line(folder)}.{existing}")
    emit(f"Next: {shell_line('evalkit', 'lab', folder)}")
