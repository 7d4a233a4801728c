"""Run every notebook and keep it, with what it shows, in another folder.

Usage: python tools/run_notebooks.py FOLDER
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"


def main() -> int:
    """Run them all; the first that fails ends it."""
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    # Where the notebooks look for data, unless somebody said something else.
    os.environ.setdefault("EVALKIT_PATH", str(NOTEBOOKS.parent / "data" / "demo"))
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        start = time.monotonic()
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(target)}}
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
        nbformat.write(notebook, target / path.name)
        print(f"{target / path.name}: {time.monotonic() - start:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
