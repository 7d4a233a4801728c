"""Check what is committed: no addresses of registries, no paths of somebody's machine.

Prints each finding as file:line and exits with 1 when there is one.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Written so that this file does not find itself.
REGISTRIES = (
    "pypi[.]org",
    "python" + "hosted[.]",
    "npmjs[.]",
    "debian[.]org",
    "anaconda[.]org",
    "--(extra-)?index-url",
)
MACHINES = ("work", "root", "tmp", "home/[a-z]", "Users/[A-Za-z]", "private/var")
FORBIDDEN = {
    "an address of a package registry": re.compile("|".join(REGISTRIES)),
    "a path of one machine": re.compile(
        rf"(?<![\w.~*/:$-])/(?:{'|'.join(MACHINES)})(?:[\w-]*/|\b)|[A-Z]:\\\\?Users"
    ),
}
SKIPPED = {".png", ".gz", ".parquet", ".woff2", ".ico"}


def committed() -> list[Path]:
    """Return the files that git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def findings(path: Path, root: Path = ROOT) -> list[str]:
    """Return what is wrong in one file."""
    if path.suffix in SKIPPED:
        return []
    found = []
    place = path.relative_to(root)
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        for what, pattern in FORBIDDEN.items():
            if hit := pattern.search(line):
                found.append(f"{place}:{number}: {what}: {hit[0]!r}")
    return found


def main() -> int:
    """Check every file."""
    paths = committed()
    found = [line for path in paths for line in findings(path)]
    for line in found:
        print(line)
    print(f"{len(paths)} files looked through, {len(found)} findings.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
