from __future__ import annotations

import json
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.data import folder as native
from evalkit.data.evals import Evals
from evalkit.data.schema import SCORES
from evalkit.util.errors import FormatError, PathError

if TYPE_CHECKING:
    from pathlib import Path

CRITERIA = pl.DataFrame(
    {
        "suite": "s",
        "criterion": ["Groq"],
        "scale_min": [1.0],
        "scale_max": [5.0],
        "weight": 1.0,
        "kind": "ordinal",
    }
)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
TEXTS = st.one_of(
    st.none(),
    st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(["", "a\u2028b", "😀", "\x00"]),
)
NUMBERS = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
NESTED = st.one_of(
    st.none(), st.sampled_from(['{"a" : 1.50}', "[]", "{", '"x"', "", '{"a":\n1}', '[{"id":"\\ud800"}]'])
)


def same(left: Evals, right: Evals) -> bool:
    for table, frame in left.tables():
        where = [name for name in ("source", "line") if name in frame.columns]
        if not frame.drop(where).equals(getattr(right, table.name).drop(where)):
            return False
    return True


def write_lines(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


@st.composite
def collections(draw: st.DrawFn) -> Evals:
    runs = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    keys = st.tuples(st.sampled_from(runs), NAMES, st.integers(1, 3))
    trials = draw(st.lists(keys, max_size=4, unique=True))
    turns = (
        draw(st.lists(st.tuples(st.sampled_from(trials), st.integers(1, 4)), unique=True, max_size=5))
        if trials
        else []
    )
    turns.sort(key=lambda turn: (trials.index(turn[0]), turn[1]))
    scores = draw(st.lists(st.tuples(keys, NAMES), max_size=4, unique=True))
    many = {
        name: st.lists(kind, min_size=5, max_size=5).map(tuple)
        for name, kind in {"t": TEXTS, "n": NUMBERS, "j": NESTED}.items()
    }
    text, text2, number, nested = draw(many["t"]), draw(many["t"]), draw(many["n"]), draw(many["j"])
    return Evals.from_tables(
        runs=pl.DataFrame(
            {
                "run": runs,
                "agent": [word or None for word in text[: len(runs)]],
                "config": nested[: len(runs)],
            },
            schema={"run": pl.String, "agent": pl.String, "config": pl.String},
        ),
        trials=pl.DataFrame(
            {
                "run": [key[0] for key in trials],
                "case": [key[1] for key in trials],
                "epoch": [key[2] for key in trials],
                "output": text[: len(trials)],
                "error": text2[: len(trials)],
                "cost_usd": number[: len(trials)],
            },
            schema_overrides={"output": pl.String, "error": pl.String, "cost_usd": pl.Float64},
        ),
        turns=pl.DataFrame(
            {
                "run": [key[0] for key, _ in turns],
                "case": [key[1] for key, _ in turns],
                "epoch": [key[2] for key, _ in turns],
                "turn": [turn for _, turn in turns],
                "content": text[: len(turns)],
                "tool_calls": nested[: len(turns)],
            },
            schema_overrides={"content": pl.String, "tool_calls": pl.String},
        ),
        scores=pl.DataFrame(
            {
                "run": [key[0] for key, _ in scores],
                "case": [key[1] for key, _ in scores],
                "epoch": [key[2] for key, _ in scores],
                "criterion": [criterion for _, criterion in scores],
                "score": number[: len(scores)],
                "rationale": text[: len(scores)],
                "metadata": nested[: len(scores)],
            },
            schema_overrides={"score": pl.Float64, "rationale": pl.String, "metadata": pl.String},
        ),
    )


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    deadline=None,
    max_examples=80,
)
@given(evals=collections())
def test_what_is_written_is_what_is_read(evals: Evals, tmp_path: Path) -> None:
    folder = native.write(evals, tmp_path / "out")

    back = native.read(folder)

    assert back.problems.is_empty(), back.problems.rows()
    assert set(evals.runs["run"]) == set(back.runs["run"])
    order = evals.runs.select("run")
    runs = order.join(back.runs, on="run", how="left", maintain_order="left").select(evals.runs.columns)
    assert same(evals, Evals(**{**{t.name: f for t, f in back.tables()}, "runs": runs}))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(data=st.binary(max_size=200))
def test_random_bytes_become_problems_and_never_a_traceback(data: bytes, tmp_path: Path) -> None:
    for name in (native.SCORES_FILE, native.TRANSCRIPTS_FILE):
        (tmp_path / name).write_bytes(data)

    back = native.read(tmp_path)

    assert back.scores.is_empty()
    assert back.problems.height >= 1


def test_a_suite_survives_with_its_scale_and_points(tmp_path: Path) -> None:
    cases = pl.DataFrame(
        {"suite": "s", "case": "01", "severity": "high", "tags": [["x"]], "expected_rubric": "a\nb"}
    )
    evals = Evals.from_tables(cases=cases, criteria=CRITERIA)

    back = native.read(native.write(evals, tmp_path))

    assert same(evals, back)


def test_a_suite_file_that_says_the_same_keeps_its_comments(tmp_path: Path) -> None:
    text = "# mind this\nsuite: s\ncriteria:\n  - name: Groq\n"
    (tmp_path / "suite.yaml").write_text(text)
    evals = native.read_suite(tmp_path / "suite.yaml")

    native.write(evals, tmp_path)

    assert (tmp_path / "suite.yaml").read_text() == text


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    scores = pl.DataFrame({"run": ["b", "a"], "case": "1", "criterion": "Groq", "score": [4, 5]})
    evals = Evals.from_tables(scores=scores)

    first = native.write(evals, tmp_path / "one")
    second = native.write(native.read(first), tmp_path / "two")

    assert [(first / n).read_bytes() for n in ("scores.jsonl", "transcripts.jsonl")] == [
        (second / n).read_bytes() for n in ("scores.jsonl", "transcripts.jsonl")
    ]


def test_fields_are_in_schema_order_and_nulls_are_left_out(tmp_path: Path) -> None:
    evals = Evals.from_tables(
        scores=pl.DataFrame(
            {"score": [4.0], "criterion": ["Groq"], "case": ["01"], "run": ["a"], "grader": ["j"]}
        )
    )

    line = (native.write(evals, tmp_path) / "scores.jsonl").read_text()

    assert (
        line == '{"run":"a","case":"01","epoch":1,"criterion":"Groq","grader":"j","sample":1,"score":4.0}\n'
    )


def test_a_write_that_fails_leaves_the_earlier_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "scores.jsonl"
    path.write_text("before")
    monkeypatch.setattr(
        "evalkit.data.folder_write.os.fsync", lambda _: (_ for _ in ()).throw(OSError("disk full"))
    )

    with pytest.raises(OSError, match="disk full"):
        native.write(
            Evals.from_tables(scores=pl.DataFrame({"run": ["a"], "case": ["1"], "criterion": ["G"]})),
            tmp_path,
        )

    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.jsonl"]


def test_append_adds_whole_lines_and_cuts_off_a_torn_one(tmp_path: Path) -> None:
    path = tmp_path / "new" / "scores.jsonl"
    native.append(path, [{"run": "a", "case": "01", "criterion": "Groq", "score": 4, "label": None}])
    with path.open("ab") as file:
        file.write(b'{"run": "a", "ca')

    native.append(path, [{"run": "a", "case": "02", "criterion": "Groq", "score": 5}])

    evals = native.read_scores(path)
    assert evals.scores["score"].to_list() == [4.0, 5.0]
    assert evals.problems.is_empty()


def test_append_keeps_text_that_utf8_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"

    native.append(
        path,
        [
            {
                "run": "a",
                "case": "1",
                "criterion": "G",
                "score": 1,
                "rationale": "x\ud800y",
                "metadata": {"k": 1},
            }
        ],
    )

    row = native.read_scores(path).scores.row(0, named=True)
    assert (row["rationale"], row["metadata"]) == ("x\ufffdy", '{"k":1}')


def test_append_of_nothing_makes_no_file(tmp_path: Path) -> None:
    native.append(tmp_path / "scores.jsonl", [])

    assert not (tmp_path / "scores.jsonl").exists()


def test_a_score_outside_the_scale_is_null_with_its_reason(tmp_path: Path) -> None:
    evals = Evals.from_tables(
        criteria=CRITERIA,
        runs=pl.DataFrame({"run": ["a"], "suite": ["s"]}),
        trials=pl.DataFrame({"run": ["a"], "case": ["01"]}),
        scores=pl.DataFrame(
            {"run": "a", "case": ["01", "02", "03"], "criterion": "Groq", "score": [0.5, 5.0, 5.5]}
        ),
    )

    back = native.read(native.write(evals, tmp_path))

    assert back.scores.select("case", "score", "error").rows() == [
        ("01", None, "0.5 is outside the scale 1 to 5"),
        ("02", 5.0, None),
        ("03", None, "5.5 is outside the scale 1 to 5"),
    ]
    assert back.problems["line"].to_list() == [1, 3]


def test_messages_in_parts_keep_their_text_and_the_parts(tmp_path: Path) -> None:
    content = [{"type": "text", "text": "look: "}, {"type": "image_url", "image_url": {"url": "x"}}]
    path = write_lines(
        tmp_path / "transcripts.jsonl",
        {"run": "a", "case": 1, "messages": [{"role": "user", "content": content}]},
    )

    turn = native.read_transcripts(path).turns.row(0, named=True)

    assert (turn["case"], turn["content"], json.loads(turn["parts"])) == ("1", "look: ", content[1:])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"run": "a", "case": "02", "latency_s": "fast"}', "latency_s is 'fast'"),
        ('{"run": "a", "case": "02", "messages": "hello"}', "messages is 'hello'. Expected `array"),
        ('{"run": "a", "case": "02", "messages": [3]}', "messages 1 is '3'. Expected `object`"),
        ('{"run": "a", "case": "02", "messages": [{"reasoning": 7}]}', "messages 1.reasoning is '7'"),
        ('{"run": "a", "case": "02", "epoch": 1.5}', "epoch is 1.5"),
        ('{"run": "a", "case": "02", "started_at": "yesterday"}', "started_at is 'yesterday'"),
        ('{"case": "02"}', "there is no run"),
        ('{"run": "a", "output": "x"}', "there is no case"),
        ('{"run": "a", "case": "01"}', "is in line 1 already"),
        ('{"run": "a", "case": "02", "model": "other"}', "run 'a' has model 'other' here and 'm' before"),
        ("[1]", "a JSON object was expected, not a list"),
        ("{", "the JSON is cut off"),
    ],
)
def test_a_bad_transcript_line_costs_no_other(line: str, reason: str, tmp_path: Path) -> None:
    good = '{"run": "a", "model": "m", "case": "%s", "output": "fine"}'
    path = tmp_path / "transcripts.jsonl"
    path.write_text("\n".join([good % "01", line, good % "03"]))

    evals = native.read_transcripts(path)

    assert {"01", "03"} <= set(evals.trials.filter(pl.col("output") == "fine")["case"])
    assert evals.problems["line"].to_list() == [2]
    assert reason in evals.problems["reason"].item()


def test_made_up_runs_say_so(tmp_path: Path) -> None:
    path = write_lines(
        tmp_path / "transcripts.jsonl", {"run": "a", "config": {"made_up": True}, "case": "01"}
    )

    evals = native.read_transcripts(path)

    assert evals.made_up
    assert [note.kind for note in evals.notes] == ["synthetic"]


def test_a_run_marked_as_made_up_stays_so_in_a_folder_and_old_folders_load(tmp_path: Path) -> None:
    evals = Evals.from_tables(runs=pl.DataFrame({"run": ["a"]})).mark_made_up()

    back = native.read(native.write(evals, tmp_path / "native"))
    saved = Evals.load(evals.save(tmp_path / "saved"))
    old = pl.read_parquet(tmp_path / "saved" / "runs.parquet").drop("made_up")
    old.write_parquet(tmp_path / "saved" / "runs.parquet")
    manifest = tmp_path / "saved" / "evalkit.json"
    manifest.write_text('{"evalkit": 1, "notes": ["As it was."], "files": []}')

    assert back.made_up
    assert saved.made_up
    assert not Evals.load(tmp_path / "saved").made_up
    assert list(map(str, Evals.load(tmp_path / "saved").notes)) == ["As it was."]


def test_a_criterion_called_made_up_makes_no_data_synthetic() -> None:
    scores = pl.DataFrame({"run": "a", "case": "1", "criterion": "made up facts", "score": 1.0})

    assert not Evals.from_tables(scores=scores, notes=["No scale for made up facts."]).made_up


def test_a_broken_suite_is_a_problem_and_the_scores_stay(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text("suite: s\ncritera: []\n")
    write_lines(tmp_path / "scores.jsonl", {"run": "a", "case": "01", "criterion": "Groq", "score": 4})

    evals = native.read(tmp_path)

    assert evals.scores.height == 1
    assert "critera" in evals.problems["reason"].item()


def test_a_folder_that_is_not_there_and_one_that_holds_nothing_are_named(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()

    with pytest.raises(PathError, match="Did you mean .*demo"):
        native.read(tmp_path / "dmo")
    with pytest.raises(FormatError, match="holds none of suite.yaml"):
        native.read(tmp_path / "demo")


def test_a_field_that_only_a_late_line_has_is_read(tmp_path: Path) -> None:
    text = "x" * 2_000
    records = [{"run": "a", "case": str(n), "criterion": "c", "rationale": text} for n in range(50)]
    path = write_lines(tmp_path / native.SCORES_FILE, *records, {**records[0], "case": "50", "label": "late"})

    evals = native.read_scores(path)

    assert evals.scores["label"].to_list() == [None] * 50 + ["late"]
    assert evals.problems.is_empty()


def test_a_column_of_nulls_has_its_type(tmp_path: Path) -> None:
    path = write_lines(tmp_path / native.SCORES_FILE, {"run": "a", "case": "1", "criterion": "c"})

    scores = native.read_scores(path).scores

    assert scores.schema == SCORES.schema
    assert (scores["sample"].item(), scores["rubric_hash"].item()) == (1, "")


def test_transcripts_are_the_same_in_one_batch_and_in_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = [{"role": "user", "content": "Hi"}, {"role": 7, "content": [{"type": "image"}, "b"], "parts": [1]}]
    numbered = [{"role": "user", "content": "Hi", "turn": 3}, {"role": "assistant", "content": "Yes."}]
    records = [
        {"run": "a", "case": "1", "messages": said, "input_tokens": 5},
        {"run": "a", "model": "m"},
        {"run": "b", "case": 2, "messages": numbered, "started_at": "2026-01-31T09:00:00+01:00"},
        {"run": "a", "case": "1", "output": "again"},
        {"run": "b", "case": "3", "epoch": 2.0, "output": "x", "input_tokens": 1.5},
    ]
    path = write_lines(tmp_path / native.TRANSCRIPTS_FILE, *records)
    path.write_text("\ufeff" + path.read_text().replace("\n", "\r\n\r\n"), encoding="utf-8")

    whole = native.read_transcripts(path)
    monkeypatch.setattr("evalkit.data.folder_read._BATCH_BYTES", 1)
    parts = native.read_transcripts(path)

    assert parts.equals(whole)
    assert whole.trials.select("run", "case", "epoch", "line").rows() == [
        ("a", "1", 1, 1),
        ("b", "2", 1, 5),
        ("b", "3", 2, 9),
    ]
    assert whole.turns["turn"].to_list() == [1, 2, 3, 2]
    assert whole.turns["content"].to_list() == ["Hi", "b", "Hi", "Yes."]
    assert whole.turns["parts"].to_list() == [None, '[{"type":"image"},1]', None, None]
    assert whole.turns["role"].to_list() == ["user", "7", "user", "assistant"]
    assert whole.problems.select("line", "reason").rows() == [
        (7, "run 'a', case '1', epoch 1 is in line 1 already; the first is kept"),
        (9, "input_tokens is 1.5. Expected a whole number."),
    ]
