"""A process of its own that holds a lock, until it is told to let go or is killed."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager

_CODE = """
import sys
from pathlib import Path
from evalkit.util.file_lock import locked
with locked(Path(sys.argv[1]), "it"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_elsewhere(path):
    """Have another process hold a lock file; give that process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-c", _CODE, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout.readline() == "held\n"
            yield holder
        finally:
            holder.kill()
