"""Runs notebooks, each in a kernel of its own: one line of JSON for each, the answer is a line with what went wrong.

In a process of its own, so that the kernels' sockets are none of the tests' business, and once for all notebooks,
because importing nbconvert takes as long as running a short one.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nbformat
from nbconvert.preprocessors import ExecutePreprocessor
from traitlets.config import Config

CONFIG = Config({"KernelManager": {"transport": "ipc"}})


def execute(path: Path, environment: dict[str, str]) -> str:
    """Run a notebook in its folder, and write it as made.ipynb beside it; return what went wrong."""
    os.environ.update(environment)
    # The name of the kernel's socket is relative to it.
    os.chdir(path.parent)
    notebook = nbformat.read(path, as_version=4)
    try:
        ExecutePreprocessor(timeout=180, config=CONFIG).preprocess(
            notebook, {"metadata": {"path": str(path.parent)}}
        )
    except Exception as error:
        return str(error) or repr(error)
    nbformat.write(notebook, path.with_name("made.ipynb"))
    return ""


if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(json.dumps(execute(Path(asked["path"]), asked["environment"])) + "\n")
        sys.stdout.flush()
