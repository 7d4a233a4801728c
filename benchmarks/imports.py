"""Time `import evalkit` beside `import polars`, and `evalkit --help`.

Fresh processes, one after another in turns, medians; everything is compiled first. `import evalkit` alone imports
nothing that is heavy; "and load" adds what the first `ek.load` needs.

Usage: python benchmarks/imports.py [ROUNDS]
"""

from __future__ import annotations

import compileall
import importlib.util
import statistics
import subprocess
import sys
import time
from pathlib import Path

CODE = {
    "python": "pass",
    "import polars": "import polars",
    "import evalkit": "import evalkit",
    "import evalkit, and load": "import evalkit; evalkit.load",
    "evalkit --help": "from evalkit.cli import main; main(['--help'])",
}
TARGET = 1.3
HELP_TARGET = 0.5


def main() -> int:
    """Time each, print a table and the two numbers that were promised."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 11
    for name in ("polars", "evalkit"):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            compileall.compile_dir(str(Path(spec.origin).parent), quiet=2)
    times: dict[str, list[float]] = {name: [] for name in CODE}
    for _ in range(rounds):
        for name, code in CODE.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(each) for name, each in times.items()}
    print(f"{'what':26}{'median':>9}{'fastest':>9}   of {rounds} fresh processes, in seconds")
    for name, each in times.items():
        print(f"{name:26}{medians[name]:9.3f}{min(each):9.3f}")
    ratio = medians["import evalkit"] / medians["import polars"]
    loaded = medians["import evalkit, and load"] / medians["import polars"]
    print(
        f"\nimport evalkit : import polars = {ratio:.2f} (at most {TARGET}); with what load needs {loaded:.2f}"
    )
    print(f"evalkit --help: {medians['evalkit --help']:.2f} s (at most {HELP_TARGET} s)")
    return 0 if ratio <= TARGET and medians["evalkit --help"] <= HELP_TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
