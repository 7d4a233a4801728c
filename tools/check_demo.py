"""Check that data/demo is what evalkit.data.demo makes, byte for byte."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from evalkit.data import demo

KEPT = Path(__file__).resolve().parents[1] / "data" / "demo"


def main() -> int:
    """Make the demo data in another folder and compare."""
    with tempfile.TemporaryDirectory() as folder:
        made = {path.name: path.read_bytes() for path in demo.write(folder).iterdir()}
    kept = {path.name: path.read_bytes() for path in KEPT.iterdir() if path.suffix in (".jsonl", ".yaml")}
    differing = sorted(name for name in made.keys() | kept.keys() if made.get(name) != kept.get(name))
    for name in differing:
        print(f"data/demo/{name} is not what evalkit.data.demo makes; make it anew with: make demo")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
