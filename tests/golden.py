"""Texts kept in files: `make golden` rewrites them, and their diff is reviewed.

Tests assert kinds, ids, numbers and parts. The words themselves stand in `tests/golden/<module>/<name>.txt`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "golden"
IS_WRITING = os.environ.get("EVALKIT_GOLDEN") == "write"


@pytest.fixture
def golden(request):
    """Compare a text with its file, or write the file under `make golden`."""

    def check(name: str, text: str) -> None:
        path = FOLDER / request.path.stem / f"{name}.txt"
        text = text.rstrip("\n") + "\n"
        if IS_WRITING:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            return
        assert path.exists(), f"{path} is missing. Run: make golden"
        assert text == path.read_text(encoding="utf-8")

    return check
