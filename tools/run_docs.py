"""Run the python blocks of pages of documentation and compare what they print with what the page shows.

Usage: python tools/run_docs.py [--write] PAGE...

The blocks of a page run in order, in one namespace, in a temporary folder that holds the data they name. A ``text``
block right after a ``python`` block is what that one prints: its output, then the last expression. White space and the
lines of a table do not count, "..." stands for anything. ``--write`` puts the real output into the page. A block under
``<!-- not run: reason -->`` is only compiled; one of another language under ``<!-- file: NAME -->`` is that file for the
blocks of the page. Warnings are errors, and the network is closed.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# What the pages read that is not in the repository: a run of somebody's, as another tool wrote it.
STUBS = {
    f"results/{run}/eval_results.jsonl": "".join(
        f'{{"question": "q{at}", "answer": "a", "gpt_groundedness": {score}, "gpt_relevance": 4}}\n'
        for at, score in enumerate((5, 4, 2))
    )
    for run in ("baseline", "candidate")
}
# A block is followed by at most one of text: what it prints.
_BLOCK = re.compile(
    r"(?P<skip><!-- not run: *(?P<why>[^>]*?) *-->\s*\n)?^```python\n(?P<code>.*?)^```\n"
    r"(?:\s*^```text\n(?P<shown>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(
    r"<!-- file: (?P<name>[\w./-]+) -->\s*\n```\w*\n(?P<content>.*?)^```\n", re.MULTILINE | re.DOTALL
)
_RULES = re.compile("[\u2500-\u257f]+")


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code, and what the page says it prints."""

    code: str
    line: int
    skipped: bool
    why: str
    shown: str | None
    span: tuple[int, int]


def find_blocks(text: str) -> list[Block]:
    """Return the python blocks of a page in order."""
    blocks = []
    for match in _BLOCK.finditer(text):
        line = text.count("\n", 0, match.start("code")) + 1
        why = match["why"] or ""
        blocks.append(
            Block(match["code"], line, match["skip"] is not None, why, match["shown"], match.span("shown"))
        )
    return blocks


def run_block(block: Block, names: dict[str, Any], page: str) -> str:
    """Run one block in `names` and return what it prints."""
    tree = ast.parse(block.code, filename=page)
    ast.increment_lineno(tree, block.line - 1)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, page, "exec"), names)  # noqa: S102  (our own pages)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), page, "eval"), names)  # noqa: S307
            if value is not None and block.shown is not None:
                print(repr(value))
    return printed.getvalue()


def normal(text: str) -> str:
    """Return text without the lines of tables, so that only words and numbers count."""
    return " ".join(_RULES.sub(" ", text).split())


def same(shown: str, printed: str) -> bool:
    """Whether a page shows what was printed."""
    return doctest.OutputChecker().check_output(normal(shown), normal(printed), doctest.ELLIPSIS)


def run_page(text: str, page: str) -> tuple[list[str], str]:
    """Run a page in the folder we are in; return what is wrong with it, and the page with the real output."""
    names: dict[str, Any] = {"__name__": "__main__"}
    wrong: list[str] = []
    fresh, at = "", 0
    for match in _FILE.finditer(text):
        Path(match["name"]).write_text(match["content"], encoding="utf-8")
    for block in find_blocks(text):
        if block.skipped:
            if not block.why:
                wrong.append(f"{page}:{block.line}: a block that is not run has to say why.")
            compile(block.code, page, "exec")
            continue
        try:
            printed = run_block(block, names, page)
        except Exception:  # whatever a block raises is what is wrong with it
            wrong.append(f"{page}:{block.line}: {traceback.format_exc(limit=-3)}")
            break
        if block.shown is None:
            continue
        if not same(block.shown, printed):
            lines = difflib.unified_diff(
                block.shown.splitlines(), printed.splitlines(), "shown", "printed", lineterm="", n=1
            )
            wrong.append("\n".join([f"{page}:{block.line}: it prints something else.", *lines]))
            clean = "\n".join(line.rstrip() for line in printed.rstrip("\n").split("\n"))
            fresh += f"{text[at : block.span[0]]}{clean}\n"
            at = block.span[1]
    return wrong, fresh + text[at:]


def prepare(folder: Path) -> None:
    """Put what the pages read into a folder."""
    shutil.copytree(ROOT / "data", folder / "data")
    shutil.copytree(ROOT / "docs" / "mappings", folder / "docs" / "mappings")
    for name, content in STUBS.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


def close_network() -> None:
    """Make every connection but a local one an error."""

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "socket.connect" and not isinstance(arguments[1], str | bytes):
            raise OSError(f"A page of the documentation wants the network: {arguments[1]}.")

    sys.addaudithook(refuse)


def check(path: Path, *, write: bool) -> int:
    """Run one page in a folder of its own and say what is wrong with it."""
    page = path.name
    text = path.read_text(encoding="utf-8")
    back = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        os.chdir(folder)
        try:
            wrong, fresh = run_page(text, page)
        finally:
            os.chdir(back)
    if write and fresh != text:
        path.write_text(fresh, encoding="utf-8")
    for finding in wrong:
        print(finding)
    blocks = find_blocks(text)
    shown = sum(block.shown is not None for block in blocks)
    print(f"{page}: {len(blocks)} blocks, {shown} with what they print, {len(wrong)} findings.")
    return 1 if wrong else 0


def main() -> int:
    """Run the pages, each in a process of its own: a theme or an option set in one is none of the next one's."""
    arguments = sys.argv[1:]
    write = "--write" in arguments
    pages = [Path(name).resolve() for name in arguments if not name.startswith("--")]
    if len(pages) != 1:
        mode = ["--write"] if write else []
        made = [
            subprocess.call([sys.executable, "-W", "error", __file__, *mode, str(page)]) for page in pages
        ]
        return max(made, default=2)
    close_network()
    # A width that no terminal changes.
    os.environ["POLARS_TABLE_WIDTH"] = "110"
    return check(pages[0], write=write)


if __name__ == "__main__":
    sys.exit(main())
