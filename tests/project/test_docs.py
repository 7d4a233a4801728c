"""The pages of the documentation run, show what they print, name everything, and lead where they say."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import evalkit
from evalkit.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OTHERS = [path for path in (ROOT / "data" / "README.md", ROOT / "CONTRIBUTING.md") if path.exists()]
# A warning where it is made, not where a list chooses among them.
PRINTED = re.compile(r'"(W\d\d)",(?!\s*"W)')
RUNNER = runpy.run_path(str(ROOT / "tools/run_docs.py"))
COMMANDS = typer.main.get_command(app).commands


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(path: Path) -> str:
    """Return a page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def code(path: Path) -> list[str]:
    """Return the blocks and the spans of code of a page: a word in them is a name, not a word of the sentence."""
    text = path.read_text(encoding="utf-8")
    blocks = re.findall(r"^```.*?^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [*blocks, *re.findall(r"`([^`\n]+)`", prose(path))]


def slugs(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ +(.+?) *$", prose(path), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def run_page(text: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], str]:
    monkeypatch.chdir(folder)
    return RUNNER["run_page"](text, "page.md")


# A process a page, warnings as errors: a theme or an option that one page sets is none of the next one's.
@pytest.mark.parametrize("path", PAGES, ids=named)
def test_every_block_of_a_page_runs_and_prints_what_the_page_shows(path, tmp_path):
    command = [sys.executable, "-W", "error", str(ROOT / "tools/run_docs.py"), str(path)]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_block_that_prints_something_else_than_its_page_shows_is_a_finding(tmp_path, monkeypatch):
    page = "# A\n\n```python\nx = 1\nprint('a', x)\nx + 1\n```\n```text\na 1\n3\n```\n"

    wrong, fresh = run_page(page, tmp_path, monkeypatch)

    assert len(wrong) == 1
    assert "page.md:4" in wrong[0]
    assert fresh == page.replace("\n3\n", "\n2\n")
    assert run_page(fresh, tmp_path, monkeypatch) == ([], fresh)


def test_the_blocks_of_a_page_share_their_names_and_a_failure_says_its_line(tmp_path, monkeypatch):
    page = "```python\nx = 1\n```\n\nand\n\n```python\ny = x\nassert y == 2\n```\n"

    wrong, _ = run_page(page, tmp_path, monkeypatch)

    assert len(wrong) == 1
    assert "AssertionError" in wrong[0]
    assert "line 9" in wrong[0]


def test_a_block_that_is_not_run_has_to_say_why(tmp_path, monkeypatch):
    page = "<!-- not run: {} -->\n```python\nraise SystemExit\n```\n"

    silent, _ = run_page(page.format(""), tmp_path, monkeypatch)
    told, _ = run_page(page.format("it needs a key"), tmp_path, monkeypatch)

    assert len(silent) == 1
    assert told == []


def test_a_table_is_compared_by_its_words_and_numbers():
    same = RUNNER["same"]

    assert same("│ v1 ┆ 0.5 │", "│ v1   ┆ 0.5   │\n")
    assert same("shape ... end", "shape (3, 2) end")
    assert not same("│ v1 ┆ 0.5 │", "│ v1 ┆ 0.4 │")


@pytest.mark.parametrize("path", [*PAGES, *OTHERS], ids=named)
def test_every_relative_link_leads_to_a_file_and_a_heading(path):
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        there = (path.parent / file).resolve() if file else path
        if not there.exists():
            missing.append(f"{target}: there is no such file")
        elif anchor and anchor not in slugs(there):
            missing.append(f"{target}: there is no such heading")

    assert missing == []


def test_every_page_is_in_the_map():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")

    assert [
        path.name for path in PAGES[1:] if path.name != "index.md" and f"]({path.name})" not in index
    ] == []


def test_every_public_name_is_in_the_docs():
    words = {word for path in PAGES for part in code(path) for word in re.findall(r"\w+", part)}

    assert sorted(set(evalkit.__all__) - words) == []


def test_every_command_is_in_the_docs():
    parts = [part for path in PAGES for part in code(path)]
    typed = {word for part in parts for word in re.findall(r"\bevalkit ([a-z][a-z-]+)", part)}

    assert sorted(set(COMMANDS) - typed - set(parts)) == []


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_a_command_line_in_the_docs_has_a_command_and_options_that_exist(path):
    text = path.read_text(encoding="utf-8")
    wrong = []
    for block in re.findall(r"^```sh\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.split("#")[0].split()
            if words[:1] != ["evalkit"]:
                continue
            command = COMMANDS.get(words[1])
            if command is not None and hasattr(command, "commands"):
                command = command.commands.get(words[2])
            known = {
                option
                for item in getattr(command, "params", ())
                for option in [*item.opts, *item.secondary_opts]
            }
            used = {word.split("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)}
            if command is None or used - known - {"--help"}:
                wrong.append(line)

    assert wrong == []


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_no_page_names_a_path_of_one_machine_or_a_registry(path):
    findings = runpy.run_path(str(ROOT / "tools/check_tree.py"))["findings"]

    assert findings(path) == []


def test_the_page_of_the_tables_is_what_the_schema_says():
    maker = runpy.run_path(str(ROOT / "tools/make_tables_doc.py"))
    text = (ROOT / "docs/tables.md").read_text(encoding="utf-8")

    assert maker["fill"](text) == text, "make it anew with: python tools/make_tables_doc.py"


def test_every_warning_is_in_the_table_and_says_by_whom_it_is_printed():
    page = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (W\d\d) \|.*\| ([^|]+) \|$", page, flags=re.MULTILINE))
    source = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    printed = set(re.findall(PRINTED, source))

    assert sorted(rows) == [f"W{number:02}" for number in range(1, 29)]
    assert {name for name, by in rows.items() if by != "none yet"} == printed


def test_the_table_of_warnings_names_the_verb_that_prints_them():
    page = (ROOT / "docs/statistics.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (W\d\d) \|.*\| ([^|]+) \|$", page, flags=re.MULTILINE))
    files = {
        "agreement": ["agreement/warnings.py"],
        "correct_for_judge": ["agreement/correct_for_judge.py"],
        "judge_forensics": ["agreement/judge_bias.py"],
    }
    found: dict[str, set[str]] = {}
    for verb, names in files.items():
        text = "".join((ROOT / "src/evalkit" / name).read_text(encoding="utf-8") for name in names)
        for number in re.findall(PRINTED, text):
            found.setdefault(number, set()).add(verb)
    # Each function of compare/warnings.py warns for the verb that imports it, or for compare by find_warnings.
    many = (ROOT / "src/evalkit/compare/compare_many.py").read_text(encoding="utf-8")
    one = (ROOT / "src/evalkit/compare/compare.py").read_text(encoding="utf-8")
    warnings = "".join(
        (ROOT / "src/evalkit/compare" / name).read_text(encoding="utf-8")
        for name in ("warnings.py", "data_warnings.py")
    )
    for function in re.split(r"^def ", warnings, flags=re.MULTILINE)[1:]:
        name = function.partition("(")[0]
        verb = "compare_many" if name in many and name not in one else "compare"
        for number in re.findall(PRINTED, function):
            found.setdefault(number, set()).add(verb)
    # Functions of agreement/warnings.py also warn for the verbs whose file names them.
    shared = (ROOT / "src/evalkit/agreement/warnings.py").read_text(encoding="utf-8")
    for function in re.split(r"^def ", shared, flags=re.MULTILINE)[1:]:
        name = function.partition("(")[0]
        for verb in ("correct_for_judge", "judge_forensics"):
            text = (ROOT / "src/evalkit" / files[verb][0]).read_text(encoding="utf-8")
            if f"{name}(" in text:
                for number in re.findall(PRINTED, function):
                    found.setdefault(number, set()).add(verb)

    told = {name: set(by.split(", ")) for name, by in rows.items() if by != "none yet"}

    assert told == found
