"""Readers of other distributions: found by their entry point; a broken one is named and stops nobody."""

from __future__ import annotations

from dataclasses import replace

import polars as pl
import pytest

import evalkit as ek
from evalkit.readers import registry
from evalkit.readers.load import Raw, Reader
from evalkit.util.errors import FormatError

GOOD = ek.Evals.from_tables(
    scores=pl.DataFrame({"run": ["a"], "case": ["1"], "criterion": ["c"], "score": [3.0]})
)


class Point:
    """An entry point as importlib.metadata gives one."""

    def __init__(self, name, made):
        self.name, self.value, self.made = name, f"{name}:READER", made

    def load(self):
        if isinstance(self.made, BaseException):
            raise self.made
        return self.made


def starts(sign):
    return lambda path, head: head.startswith(sign)


def fail(path):
    raise RuntimeError("my own fault")


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Make readers known, beside a good one of files that start with XYZ, of which there is one."""
    (tmp_path / "good").write_text("XYZ")

    def install(**made):
        points = [Point("good", Reader("xyz", starts(b"XYZ"), read=lambda path: GOOD))]
        points += [Point(name, one) for name, one in made.items()]
        monkeypatch.setattr("evalkit.readers.registry._entry_points", lambda places: points)
        return tmp_path

    return install


@pytest.mark.parametrize(
    "made",
    [
        ImportError("no module"),
        SystemExit(3),
        "not a reader",
        Reader("bad", lambda path, head: 1 / 0, read=fail),
    ],
    ids=["import", "exit", "type", "sniff"],
)
def test_a_reader_that_cannot_be_used_is_named_in_a_note(installed, made):
    folder = installed(broken=made)

    evals = ek.load(folder)

    assert evals.scores["score"].to_list() == [3.0]
    assert evals.problems.is_empty()
    assert [str(note) for note in evals.notes if "'broken' (broken:READER) could not be used" in str(note)]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (Reader("worse", starts(b"QQQ"), read=fail), "my own fault"),
        (Reader("worse", starts(b"QQQ"), read=lambda path: [1]), "it gave list, not Evals"),
        (
            Reader("worse", starts(b"QQQ"), read=lambda path: replace(GOOD, scores=pl.DataFrame({"a": [1]}))),
            "table scores",
        ),
        (Reader("worse", starts(b"QQQ"), rows=fail), "my own fault"),
        (
            Reader("worse", starts(b"QQQ"), rows=lambda path: pl.DataFrame({"a": [1]})),
            "it gave DataFrame, not Raw",
        ),
        (Reader("worse", starts(b"QQQ")), "neither read"),
    ],
)
def test_a_reader_that_fails_is_a_problem_of_its_own_file(installed, made, why):
    folder = installed(worse=made)
    (folder / "bad").write_text("QQQ")

    evals = ek.load(folder)

    assert evals.scores["score"].to_list() == [3.0]
    problem = evals.problems.row(0, named=True)
    assert problem["source"] == str(folder / "bad")
    assert why in problem["reason"]
    assert "'worse'" in problem["reason"]


def test_a_table_reader_that_fails_on_the_only_file_is_one_sentence(installed):
    folder = installed(worse=Reader("worse", starts(b"QQQ"), rows=fail))
    (folder / "bad").write_text("QQQ")

    with pytest.raises(FormatError, match="bad: the reader 'worse' failed: RuntimeError: my own fault"):
        ek.load(folder / "bad")


def test_a_table_reader_gives_its_rows_to_the_mapping(installed):
    frame = pl.DataFrame({"id": ["1"], "tone": [4], "line": [1]})
    folder = installed(table=Reader("table", starts(b"TTT"), rows=lambda path: Raw(frame, str(path))))
    (folder / "t").write_text("TTT")

    evals = ek.load(folder / "t", mapping={"case": "id", "criteria": ["tone"], "scale": [1, 5]})

    assert evals.scores.select("case", "criterion", "score").row(0) == ("1", "tone", 4.0)


def test_a_distribution_that_is_installed_is_found_by_its_entry_point(monkeypatch, tmp_path):
    site = tmp_path / "site"
    info = site / "evalkit_mylog-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evalkit-mylog\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[evalkit.loaders]\nmylog = evalkit_mylog:READER\nwrong = evalkit_mylog:ABSENT\n"
    )
    (site / "evalkit_mylog.py").write_text(
        "import polars as pl\n"
        "import evalkit as ek\n"
        "from evalkit.readers.load import Reader\n"
        "def read(path):\n"
        "    words = path.read_text().split()\n"
        "    scores = pl.DataFrame({'run': ['a'], 'case': [words[1]], 'criterion': ['c'], 'score': [float(words[2])]})\n"
        "    return ek.Evals.from_tables(scores=scores, files=[str(path)])\n"
        "READER = Reader('my log', sniff=lambda path, head: head.startswith(b'MYLOG'), read=read)\n"
    )
    monkeypatch.syspath_prepend(site)
    (tmp_path / "a.log").write_text("MYLOG 01 4")

    evals = ek.load(tmp_path / "a.log")

    assert evals.scores.select("case", "score").row(0) == ("01", 4.0)
    assert any("'wrong' (evalkit_mylog:ABSENT) could not be used" in str(note) for note in evals.notes)


def test_what_evalkit_reads_itself_is_asked_first(installed, tmp_path):
    greedy = Reader("greedy", lambda path, head: True, read=fail)
    folder = installed(greedy=greedy)
    path = folder / "scores.jsonl"
    path.write_text('{"run": "a", "case": "1", "criterion": "c", "score": 1}')

    assert ek.load(path).scores["score"].to_list() == [1.0]
    assert [reader.name for reader in registry.readers()[0]].index("greedy") > 10
