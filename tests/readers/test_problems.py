"""What is wrong with a file is said with its line, and costs no good record."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalkit.readers.load import load
from evalkit.util.errors import EvalkitError, FormatError

if TYPE_CHECKING:
    from pathlib import Path

LONG = '{"run": "a", "case": "%s", "criterion": "tone", "score": %s, "agent_version": "v1"}'
WIDE = {"case": "id", "criteria": ["tone", "facts"], "scale": [1, 5]}


def scores(
    path: Path, **options: object
) -> tuple[list[tuple[str, float | None]], list[tuple[int | None, str]]]:
    evals = load(path, **options)
    rows = evals.scores.select(pl.col("case").cast(pl.String), "score").sort("case").rows()
    return rows, evals.problems.select("line", "reason").rows()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("nonsense", "not JSON"),
        ('{"run": "a", "case": ', "the JSON is cut off"),
        ('{"run": "a", "case": "2", "rationale": "half', "the JSON is cut off"),
        ("[1, 2]", "a JSON object was expected, not a list"),
        ("null", "a JSON object was expected, not null"),
        ('"text"', "a JSON object was expected, not a string"),
        ('{"run": "a"} {"run": "b"}', "not JSON (Extra data"),
        ('{"run": "a", "case": null, "criterion": "tone", "score": 4}', "there is no case"),
        ('{"run": "a", "case": "2", "score": 4}', "there is no criterion"),
        ('{"run": null, "case": "2", "criterion": "tone", "score": 4}', "there is no run"),
        (
            LONG % ("1", 2),
            "the same case '1', epoch 1, criterion 'tone' and grader 'judge' of run 'a' as in line 1",
        ),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_record_that_cannot_be_read_is_a_problem_alone(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join([LONG % ("1", 4), line, LONG % ("3", 5)]) + "\n")

    rows, problems = scores(path)

    assert rows == [("1", 4.0), ("3", 5.0)]
    assert [number for number, _ in problems] == [2]
    assert reason in problems[0][1]


@pytest.mark.parametrize(
    ("cell", "error"),
    [
        ('"(Failed)"', "(Failed)"),
        ("-Infinity", "-Infinity"),
        ("1e999", "inf"),
        ("[4]", "[4]"),
        ('{"a": 1}', '{"a": 1}'),
        ('"4 stars"', "4 stars"),
    ],
)
def test_a_score_that_cannot_be_read_is_a_problem_and_a_row_with_its_text(
    cell: str, error: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join([LONG % ("1", 4), LONG % ("2", cell), LONG % ("3", 5)]))

    evals = load(path)

    row = evals.scores.filter(pl.col("case") == "2").row(0, named=True)
    assert row["score"] is None
    assert row["error"] == error
    assert evals.problems["line"].to_list() == [2]
    assert evals.scores["score"].drop_nulls().to_list() == [4.0, 5.0]


def test_a_score_that_is_null_is_a_row_without_a_score_and_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join([LONG % ("1", 4), LONG % ("2", "null")]))

    rows, problems = scores(path)

    assert rows == [("1", 4.0), ("2", None)]
    assert problems == []


def test_numbers_written_as_text_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join([LONG % ("1", '"4"'), LONG % ("2", '" 4.5 "'), LONG % ("3", 5)]))

    rows, problems = scores(path)

    assert rows == [("1", 4.0), ("2", 4.5), ("3", 5.0)]
    assert problems == []


def test_a_score_outside_its_scale_is_a_problem_and_a_row_with_its_error(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text("\n".join([LONG % ("1", 4), LONG % ("2", 9)]))

    evals = load(path, mapping={"scale": [1, 5]})

    assert evals.scores.sort("case").select("score", "error").rows() == [
        (4.0, None),
        (None, "9 is outside the scale 1 to 5"),
    ]
    assert evals.problems.select("line", "reason").rows() == [(2, "tone: 9 is outside the scale 1 to 5")]


def test_an_unknown_severity_is_lost_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    lines = [
        {"id": "1", "tone": 4, "facts": 3, "severity": "High"},
        {"id": "2", "tone": 4, "facts": 3, "severity": "awful"},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))

    evals = load(path, mapping=WIDE)

    assert evals.scores.height == 4
    assert dict(evals.cases.select("case", "severity").rows()) == {"1": "high", "2": None}
    assert evals.problems["line"].to_list() == [2]
    assert "'awful'" in evals.problems["reason"].item()


def test_a_wide_row_that_is_there_twice_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"id": "1", "tone": 4, "facts": 3}\n{"id": "1", "tone": 2, "facts": 2}\n')

    rows, problems = scores(path, mapping=WIDE)

    assert rows == [("1", 4.0), ("1", 3.0)]
    assert [line for line, _ in problems] == [2]


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (
            [{"id": "q", "version": "v1", "tone": 4}] * 2,
            "the same case 'q' and epoch 1 of run 'v1' as in line 1; the first is kept; "
            'if these are repeats, map "epoch" to their column',
        ),
        (
            [{"id": "q", "version": "v1", "metric": "tone", "rating": 4, "judge": "gpt"}] * 2,
            "the same case 'q', epoch 1, criterion 'tone' and grader 'gpt' of run 'v1' as in line 1; the first is "
            'kept; if these are repeats, map "epoch" to their column',
        ),
        (
            [{"id": "q", "tone": 4}] * 2,
            "the same case 'q' and epoch 1 of run 'frame' as in line 1; the first is kept; if these are repeats, "
            'map "epoch" to their column, or if other versions, map "agent_version"',
        ),
        (
            [{"id": "q", "run": "r", "epoch": 2, "tone": 4}] * 2,
            "the same case 'q' and epoch 2 of run 'r' as in line 1; the first is kept",
        ),
        (
            [{"id": "q", "run": "r", "epoch": 2, "metric": "tone", "rating": 4, "judge": "gpt"}] * 2,
            "the same case 'q', epoch 2, criterion 'tone' and grader 'gpt' of run 'r' as in line 1; the first is "
            'kept; if these are repeated judgements, map "sample" to their column',
        ),
        (
            [{"id": "q", "run": "r", "epoch": 2, "metric": "tone", "rating": 4, "judge": "g", "sample": 2}]
            * 2,
            "the same case 'q', epoch 2, criterion 'tone', grader 'g' and sample 2 of run 'r' as in line 1; the "
            "first is kept",
        ),
    ],
    ids=["wide", "long", "no runs", "wide with epochs", "long with epochs", "long with samples"],
)
def test_rows_that_are_the_same_say_what_makes_them_so_and_what_would_keep_both(
    records: list[dict[str, object]], reason: str
) -> None:
    mapping = {} if "metric" in records[0] else {"criteria": ["tone"]}

    evals = load(pl.DataFrame(records), mapping=mapping)

    assert evals.scores["score"].to_list() == [4.0]
    assert evals.problems.rows() == [("<frame>", 2, reason)]


def test_repeats_with_a_column_are_all_kept() -> None:
    frame = pl.DataFrame({"id": "q", "version": "v1", "draw": [1, 2, 3], "tone": [4, 5, 3]})

    evals = load(frame, mapping={"criteria": ["tone"], "epoch": "draw"})

    assert evals.scores.select("epoch", "score").rows() == [(1, 4.0), (2, 5.0), (3, 3.0)]
    assert evals.problems.is_empty()


def test_problems_are_by_file_and_line_whatever_found_them(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / f"{name}.csv").write_text("id,tone,facts\n1,4,9\n2,x,3\n1,4,4\n3,4\n4,4,7\n")

    evals = load(tmp_path / "b.csv", tmp_path / "a.csv", mapping=WIDE, strict=False)

    places = evals.problems.select("source", "line").rows()
    assert places == [(str(tmp_path / f"{name}.csv"), line) for name in "ab" for line in (2, 3, 4, 5, 6)]


def test_a_wide_row_with_several_unread_scores_is_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(
        '{"id": "1", "tone": "(Failed)", "facts": "(Failed)"}\n{"id": "2", "tone": 2, "facts": 2}\n'
    )

    rows, problems = scores(path, mapping=WIDE)

    assert rows == [("1", None), ("1", None), ("2", 2.0), ("2", 2.0)]
    assert problems == [(1, "tone, facts: the score is '(Failed)', not a finite number")]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.rstrip(b"\n"),
        lambda data: data.replace(b"\n", b"\n\n \n"),
        lambda data: b"\n\n" + data,
    ],
    ids=["bom", "crlf", "no last newline", "blank lines", "blank start"],
)
def test_what_an_editor_does_to_a_file_changes_no_record(spoil: object, tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(spoil("\n".join([LONG % ("1", 4), LONG % ("2", 5)]).encode() + b"\n"))

    evals = load(path)

    physical = path.read_bytes().split(b"\n")
    assert evals.scores.select("case", "score").rows() == [("1", 4.0), ("2", 5.0)]
    assert [
        f'"case": "{case}"'.encode() in physical[line - 1]
        for case, line in evals.scores.select("case", "line").rows()
    ] == [True] * 2
    assert evals.problems.is_empty()


@pytest.mark.parametrize("first", ["[", "PAR1", "suite: x", "a,b,c", "PK\x03\x04"])
def test_the_first_line_alone_does_not_make_the_format(first: str, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("\n".join([first, LONG % ("1", 4), "junk", LONG % ("3", 5)]))

    rows, problems = scores(path)

    assert rows == [("1", 4.0), ("3", 5.0)]
    assert [line for line, _ in problems] == [1, 3]


def test_only_a_newline_ends_a_line(tmp_path: Path) -> None:
    text = "one\u2028two\u2029three\x85four\x0bfive"
    path = tmp_path / "s.jsonl"
    record = {"id": "1", "answer": text, "tone": 4, "facts": 1}
    path.write_text(
        json.dumps(record, ensure_ascii=False) + "\n" + json.dumps({**record, "id": "2"}), encoding="utf-8"
    )

    evals = load(path, mapping=WIDE)

    assert evals.trials["output"].to_list() == [text, text]
    assert evals.trials["line"].to_list() == [1, 2]
    assert evals.problems.is_empty()


def test_bytes_that_are_no_utf8_cost_their_line(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes((LONG % ("1", 4)).encode() + b'\n{"run": "\xff"}\n' + (LONG % ("3", 5)).encode())

    rows, problems = scores(path)

    assert rows == [("1", 4.0), ("3", 5.0)]
    assert problems == [(2, "byte 10 of the line is not UTF-8")]


def test_a_lone_surrogate_becomes_the_replacement_character(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text('{"id": "1", "answer": "x\\ud800y \\ud83d\\ude00", "tone": 4, "facts": 1}\n')

    output = load(path, mapping=WIDE).trials["output"].item()

    assert output == "x\ufffdy 😀"


def test_nesting_and_very_long_lines_are_read(tmp_path: Path) -> None:
    nested: object = "deep"
    for _ in range(10):
        nested = {"inner": [nested]}
    record = {"id": "1", "answer": nested, "tone": 4, "facts": 1}
    long = {"id": "2", "answer": "x" * 5_000_000, "tone": 4, "facts": 1}
    path = tmp_path / "s.jsonl"
    path.write_text(json.dumps(long) + "\n" + json.dumps(record))

    evals = load(path, mapping=WIDE)

    outputs = dict(evals.trials.select("case", "output").rows())
    assert len(outputs["2"]) == 5_000_000
    assert json.loads(outputs["1"]) == nested


def test_an_empty_file_says_that_it_is(tmp_path: Path) -> None:
    for name, content in {"a.jsonl": "", "b.csv": "\ufeff", "c.json": "\n \n"}.items():
        (tmp_path / name).write_text(content)

    evals = load(tmp_path, strict=False)

    assert evals.problems["reason"].to_list() == ["the file is empty"] * 3
    with pytest.raises(FormatError, match="3 problems.*the file is empty"):
        load(tmp_path)


@pytest.mark.parametrize("frame", [pl.DataFrame(), pl.DataFrame({"id": [], "tone": []})])
def test_a_frame_without_rows_says_so(frame: pl.DataFrame) -> None:
    evals = load(frame, mapping={"criteria": ["tone"]}, strict=False)

    assert evals.scores.is_empty()
    assert evals.problems.rows() == [("<frame>", None, "there are no records in it")]
    assert evals.files == ()


def test_a_broken_line_reads_the_rest_as_a_sound_file_would(tmp_path: Path) -> None:
    lines = [
        {"id": 1, "answer": None, "tone": 4, "facts": 2.5, "ok": True, "note": {"a": 1}},
        {"id": 2.5, "answer": "x", "tone": 3, "facts": None, "ok": None, "note": [1]},
    ]
    sound, broken = tmp_path / "sound", tmp_path / "broken"
    for folder, extra in ((sound, ""), (broken, "{")):
        folder.mkdir()
        (folder / "s.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n" + extra)

    one, two = (
        load(folder, mapping={**WIDE, "run": {"value": "r"}, "output": "note"}) for folder in (sound, broken)
    )

    assert one.scores.drop("source").equals(two.scores.drop("source"))
    assert [json.loads(text) for text in one.trials["output"]] == [
        json.loads(text) for text in two.trials["output"]
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.sampled_from(
            [b"[", b"[{", b'[{"a": 1}', b"{}", b"a,b\n", b"PAR1", b"PK\x03\x04", b"suite: [", b'{"a":1}\n']
        ),
        st.text(alphabet='{}[]":,\n\r 1aé', max_size=60).map(str.encode),
    ),
    name=st.sampled_from(["x", "x.jsonl", "x.csv", "scores.jsonl", "scores.parquet", "suite.yaml"]),
)
def test_random_bytes_end_in_problems_or_a_sentence(data: bytes, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)

    for mapping in (None, {"case": "line", "criteria": ["a"], "run": {"value": "r"}}):
        with suppress(EvalkitError):
            load(path, mapping=mapping)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@example(junk=[b"[]"], at=0)
@example(junk=[b"\x1f\x8b", b"\x00"], at=0)
@given(
    junk=st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=4),
    at=st.integers(0, 3),
)
def test_no_junk_between_them_costs_a_good_line(junk: list[bytes], at: int, tmp_path: Path) -> None:
    good = [(LONG % (case, 4)).encode() for case in ("g1", "g2", "g3")]
    path = tmp_path / "s.jsonl"
    path.write_bytes(b"\n".join([*good[:at], *junk, *good[at:]]))

    evals = load(path)

    assert set(evals.scores["case"]) >= {"g1", "g2", "g3"}


def test_a_file_that_is_not_understood_is_named_once(tmp_path: Path) -> None:
    (tmp_path / "scores.jsonl").write_text('{"case": "1", "criterion": "a", "score": 5}\n')
    (tmp_path / "words.csv").write_text("one,two\nhere,there\n")

    problem = load(tmp_path, mapping={"scale": [1, 5]}).problems.row(0, named=True)

    assert problem["source"] == str(tmp_path / "words.csv")
    assert "plainly a judgement" in problem["reason"]
