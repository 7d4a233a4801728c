"""Measure the source: size, layers, circles, class names, long signatures, hand-written tables.

Prints one line per rule and exits with 1 when one is broken.
"""

from __future__ import annotations

import ast
import re
import statistics
import sys
from collections import Counter
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "evalkit"
FLOORS = (
    {"util"},
    {"stats"},
    {"data"},
    {"readers", "llm", "grading"},
    {"charts", "judging", "agents"},
    {"compare", "agreement"},
    {"widgets"},
    {"report"},
    {"cli"},
)
# The goal is 33,000 lines, a median of 150 and 6,000 a package. Until then these only go down.
MOST_LINES = 51_400
LONGEST_FILE = 450
LARGEST_MEDIAN = 161
LARGEST_PACKAGE = 12_600
MOST_PARAMETERS = 8
MOST_LONG_SIGNATURES = 15
TABLES_ALLOWED = {"util/html_table.py", "report/templates/report.html.j2"}


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one module (Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in sorted(imports[module]):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            component = []
            while not component or component[-1] != module:
                component.append(stack.pop())
            if len(component) > 1:
                components.append(sorted(component))

    sys.setrecursionlimit(10_000)
    for module in sorted(imports):
        if module not in index:
            visit(module)
    return components


def upward(imports: dict[str, set[str]]) -> list[str]:
    """Return the imports of a package on the same or a higher floor."""
    floor = {package: number for number, packages in enumerate(FLOORS) for package in packages}
    broken = []
    for module, others in sorted(imports.items()):
        for other in sorted(others):
            importer, imported = (name.split(".")[1] if "." in name else "" for name in (module, other))
            if importer and importer != imported and (not imported or floor[imported] >= floor[importer]):
                broken.append(f"{module} -> {other}")
    return broken


def parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many parameters a function has, without `self` and `cls`."""
    names = [arg.arg for arg in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def main() -> int:
    """Print the measures and return 1 if a rule is broken."""
    files = {path: path.read_text(encoding="utf-8") for path in sorted(SOURCE.rglob("*.py"))}
    lines = {path: text.count("\n") for path, text in files.items()}
    packages: Counter[str] = Counter()
    classes: Counter[str] = Counter()
    long_signatures = []
    for path, text in files.items():
        place = str(path.relative_to(SOURCE))
        packages[place.split("/")[0]] += lines[path]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ClassDef):
                classes[node.name] += 1
            elif (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
                and (count := parameters(node)) > MOST_PARAMETERS
            ):
                long_signatures.append(f"{place}:{node.lineno} {node.name} ({count})")
    tables = [
        f"{place}:{number}"
        for path in sorted(SOURCE.rglob("*"))
        if path.suffix in {".py", ".js", ".j2", ".html"}
        and (place := str(path.relative_to(SOURCE))) not in TABLES_ALLOWED
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"<table\b", line)
    ]
    graph = grimp.build_graph("evalkit", exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    longest = max(lines, key=lambda path: lines[path])
    median = statistics.median(lines.values())
    twice = sorted(name for name, count in classes.items() if count > 1)
    heavy = sorted(name for name, count in packages.items() if count > LARGEST_PACKAGE)
    too_long = [
        f"{path.relative_to(SOURCE)} ({count})" for path, count in lines.items() if count > LONGEST_FILE
    ]
    total = sum(lines.values())
    rules = [
        (f"lines: {total:,} (at most {MOST_LINES:,})", total > MOST_LINES, []),
        (
            f"files: {len(files)}; median {median:g} lines (at most {LARGEST_MEDIAN})",
            median > LARGEST_MEDIAN,
            [],
        ),
        (
            f"longest file: {longest.relative_to(SOURCE)}, {lines[longest]} lines (at most {LONGEST_FILE})",
            bool(too_long),
            too_long,
        ),
        (f"packages over {LARGEST_PACKAGE:,} lines: {len(heavy)}", bool(heavy), heavy),
        (
            f"circles of files: {len(circles(imports))}",
            bool(circles(imports)),
            [" <-> ".join(c) for c in circles(imports)],
        ),
        (f"imports upward: {len(upward(imports))}", bool(upward(imports)), upward(imports)),
        (f"class names that stand twice: {len(twice)}", bool(twice), twice),
        (
            f"functions with more than {MOST_PARAMETERS} parameters: {len(long_signatures)} (at most {MOST_LONG_SIGNATURES})",
            len(long_signatures) > MOST_LONG_SIGNATURES,
            long_signatures,
        ),
        (f"hand-written tables: {len(tables)}", bool(tables), tables),
    ]
    for text, is_broken, places in rules:
        print(f"{'BROKEN ' if is_broken else 'ok     '} {text}")
        if is_broken:
            print("".join(f"          {place}\n" for place in places), end="")
    return int(any(is_broken for _, is_broken, _ in rules))


if __name__ == "__main__":
    sys.exit(main())
