"""`evalkit demo`."""

from __future__ import annotations

from evalkit.cli import options as opt
from evalkit.cli.terminal import emit, one_line, shell_line, working


def demo(folder: opt.Folder) -> None:
    """Write the synthetic demo data, whose truth is known."""
    from evalkit.data.demo import write

    with working("Making the demo data"):
        path = write(folder)
    emit(f"Wrote synthetic runs over the nine cases of the suite into {one_line(path)}")
    emit(f"Next: {shell_line('evalkit', 'compare', path, '--baseline', 'v2', '--candidate', 'v3')}")
