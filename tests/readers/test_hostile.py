"""Whatever a file holds: a sentence, never a traceback; no good row is lost; nothing is written anywhere."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.data.evals import Evals
from evalkit.readers import registry
from evalkit.readers.load import load
from evalkit.util.errors import EvalkitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

QUICK = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# How files of each kind begin: what follows is anything.
STARTS = (
    *(b"", b"PAR1", b"PK\x03\x04 header.json", b"\xef\xbb\xbf", b"\x00"),
    *(
        b'{"version":2,"status":"success","eval":{"task":"t"},"samples":[',
        b'{"results":{"version":3,"results":[',
    ),
    *(
        b'{"spec":{"eval_name":"x"}}\n',
        b'{"doc_id":0,"filter":"none","metrics":["acc"],',
        b'[{"example_id":"a",',
    ),
    *(
        b'{"run":"a","case":"1","criterion":"c","score":',
        b'{"run":"a","messages":[',
        b"suite: s\ncases:\n  - ",
    ),
    *(b'{"resourceSpans":[{', b'[{"task_id":1,"reward":', b'{"custom_id":"r","response":', b"id,score\n1,"),
    *(b'{"testCases":[{"name":', b'{"id":"s","scores":{', b'[{"trace_id":"t","assessments":['),
)
TAILS = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=100).map(str.encode),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)


def read(path: Path, **options: Any) -> Evals | EvalkitError:
    """Return what a file gives, or the sentence that says why it gives nothing."""
    before = sorted(str(one) for one in path.parent.rglob("*"))
    try:
        made: Evals | EvalkitError = load(path, cache=False, **options)
    except EvalkitError as error:
        made = error
    assert sorted(str(one) for one in path.parent.rglob("*")) == before, "something was written"
    if isinstance(made, EvalkitError):
        assert str(made)
        assert "Traceback" not in str(made)
    else:
        # A reader that broke is caught, and is a fault all the same.
        assert not made.problems["reason"].str.contains("^the reader .* failed: ").any(), made.problems[
            "reason"
        ].to_list()
    return made


@QUICK
@given(
    start=st.sampled_from(STARTS),
    tail=TAILS,
    name=st.sampled_from(["a.jsonl", "a.json", "a.eval", "a.csv", "a"]),
)
def test_any_bytes_after_any_beginning_are_a_sentence(
    start: bytes, tail: bytes, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_bytes(start + tail)

    read(path)


@QUICK
@given(data=st.binary(max_size=400))
def test_random_bytes_are_a_sentence(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(data)

    read(path)


def samples(count: int = 4) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{n}",
            "epoch": 1,
            "input": "Why?",
            "messages": [{"role": "user", "content": "Why?"}],
            "scores": {"ok": {"value": "C"}},
        }
        for n in range(count)
    ]


def log(path: Path, made: list[dict[str, Any]]) -> bytes:
    header = {"version": 2, "status": "success", "eval": {"task": "t", "model": "m", "eval_id": "e"}}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps(header))
        for one in made:
            archive.writestr(f"samples/{one['id']}_epoch_1.json", json.dumps(one))
    return path.read_bytes()


@QUICK
@given(share=st.floats(0, 1))
def test_a_zip_cut_anywhere_keeps_the_samples_before_the_cut(share: float, tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    whole = log(path, samples())
    cut = int(share * len(whole))
    starts = [whole.find(f"samples/{n}_epoch".encode()) for n in range(4)]
    path.write_bytes(whole[:cut])

    made = read(path)

    # A sample is whole when the next member begins before the cut.
    sure = sum(1 for start in [*starts[1:], whole.find(b"PK\x01\x02")] if start <= cut) if cut else 0
    if isinstance(made, Evals):
        assert made.trials.height >= sure
    else:
        assert sure == 0


@QUICK
@given(place=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_a_zip_with_one_byte_changed_gives_no_wrong_value(place: float, value: int, tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    data = bytearray(log(path, samples()))
    data[int(place * len(data))] = value
    path.write_bytes(bytes(data))

    made = read(path)

    if isinstance(made, Evals) and made.scores.height:
        assert set(made.scores["score"]) == {1.0}
        assert set(made.turns["content"]) == {"Why?"}


def nested(depth: int) -> Any:
    value: Any = "deep"
    for _ in range(depth):
        value = {"a": [value]}
    return value


RECORDS: dict[str, Callable[[Any], str]] = {
    "scores": lambda odd: (
        json.dumps({"run": "a", "case": "x", "criterion": "c", "score": 1, "metadata": odd}) + "\n"
    ),
    "transcripts": lambda odd: (
        json.dumps({"run": "a", "case": "x", "messages": [{"role": "user", "content": "q", "parts": odd}]})
        + "\n"
    ),
    "inspect": lambda odd: json.dumps(
        {
            "version": 2,
            "status": "success",
            "eval": {"task": "t", "eval_id": "e", "metadata": odd},
            "samples": [
                {**samples(1)[0], "id": "x", "metadata": odd, "scores": {"ok": {"value": 1, "metadata": odd}}}
            ],
        }
    ),
    "table": lambda odd: json.dumps({"id": "x", "tone_score": 1, "more": odd}) + "\n",
}


@pytest.mark.parametrize("kind", RECORDS)
@pytest.mark.parametrize("depth", [10, 3000])
def test_json_in_json_in_json_costs_no_good_row(kind: str, depth: int, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    good = RECORDS[kind](nested(10))
    odd = good.replace('"deep"', '[{"a":' * depth + '"deep"' + "}]" * depth) if depth > 10 else good
    path.write_text((good.replace('"x"', '"good"') if kind != "inspect" else "") + odd)

    made = read(
        path, mapping={"criteria": {"tone_score": "tone"}, "scale": [0, 5]} if kind == "table" else None
    )

    if isinstance(made, Evals):
        assert made.trials.height + made.scores.height >= 1 or made.problems.height
    else:
        assert depth > 10


TRAJECTORY = (
    '{"task_id": "x", "reward": 1.0, "info": {}, "trial": 0, "traj": [{"role": "user", "content": "ODD"}]}'
)
# Files of two records: an odd one, and a good one that it may not cost.
WHOLE = {
    "scores": ("a.jsonl", RECORDS["scores"]("ODD"), "{}{}"),
    "transcripts": ("a.jsonl", RECORDS["transcripts"]("ODD"), "{}{}"),
    "table": ("a.jsonl", RECORDS["table"]("ODD"), "{}{}"),
    "list": ("a.json", RECORDS["table"]("ODD"), "[{},{}]"),
    "csv": ("a.csv", '"x",1,"ODD"\n', "id,tone_score,more\n{}{}"),
    "tau-bench": ("a.json", TRAJECTORY, "[{},{}]"),
}


def write(folder: Path, kind: str, change: Callable[[str], str]) -> Path:
    """Write the two records, the first changed."""
    name, record, both = WHOLE[kind]
    path = folder / name
    path.write_text(both.format(change(record), record.replace('"x"', '"good"')))
    return path


def cases_of(path: Path, kind: str) -> tuple[Evals, set[str]]:
    table = kind in ("table", "list", "csv")
    made = read(path, mapping={"case": "id", "criteria": ["tone_score"]} if table else None)
    assert isinstance(made, Evals)
    return made, {*made.scores["case"], *made.trials["case"]}


@pytest.mark.parametrize("kind", sorted(WHOLE.keys() - {"csv"}))
def test_a_record_that_is_nested_beyond_all_measure_costs_itself_alone(kind: str, tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000

    made, cases = cases_of(write(tmp_path, kind, lambda text: text.replace('"ODD"', deep)), kind)

    assert cases == {"good"}
    assert made.problems["reason"].str.contains("too deeply").to_list() == [True]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_record_of_fifty_megabytes_costs_no_other(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind, lambda text: text.replace("ODD", "x" * (50 << 20)))

    made, cases = cases_of(path, kind)

    assert cases == {"x", "good"}
    assert made.problems.is_empty()


@pytest.mark.parametrize("kind", sorted(WHOLE.keys() - {"csv"}))
def test_a_field_that_is_there_twice_costs_no_record(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind, lambda text: text.replace('"x"', '"x", "seed": 1, "seed": 2'))

    made, cases = cases_of(path, kind)

    assert cases == {"x", "good"}
    assert made.problems.is_empty()


@pytest.mark.parametrize("column", ["run", "case", "criterion", "grader", "rubric_hash"])
def test_a_lone_surrogate_in_a_name_is_the_replacement_character(column: str, tmp_path: Path) -> None:
    good = {"run": "a", "case": "x", "criterion": "c", "grader": "g", "rubric_hash": "h", "score": 1}
    path = tmp_path / "scores.jsonl"
    odd = json.dumps({**good, "epoch": 2, column: "one\ud800 \U0001f600"})
    path.write_text(f"{json.dumps(good)}\n{odd}\n")

    made = read(path)

    assert isinstance(made, Evals)
    assert made.scores[column].to_list() == [good[column], "one\ufffd \U0001f600"]
    assert made.problems.is_empty()


@pytest.mark.parametrize("kind", sorted(WHOLE.keys() - {"csv"}))
def test_a_lone_surrogate_in_the_name_of_a_case_is_the_replacement_character(
    kind: str, tmp_path: Path
) -> None:
    path = write(tmp_path, kind, lambda text: text.replace('"x"', r'"one\udfff"'))

    assert cases_of(path, kind)[1] == {"one\ufffd", "good"}


def test_columns_of_a_csv_that_are_called_the_same_get_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,tone,tone\n1,4,5\n")

    made = read(path, mapping={"case": "id", "criteria": ["tone", "tone_3"]})

    assert isinstance(made, Evals)
    assert made.scores["score"].to_list() == [4.0, 5.0]


@pytest.mark.parametrize("kind", ["scores", "transcripts", "inspect"])
def test_a_line_of_fifty_megabytes_is_a_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    text = "x" * (50 << 20)
    path.write_text(RECORDS[kind]({"long": "LONG"}).replace("LONG", text))

    made = read(path)

    assert isinstance(made, Evals)
    assert made.problems.is_empty()
    assert made.trials.height + made.scores.height >= 1


ODD = [
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    "",
    "NaN",
    "C",
    "\x00",
    "ü☃",
    [],
    [1, "a"],
    {},
    {"a": {"b": None}},
    "../../x",
    "1e999",
]


@QUICK
@given(
    values=st.lists(st.sampled_from(ODD), min_size=1, max_size=6),
    field=st.sampled_from(["score", "rationale", "epoch", "grader"]),
)
def test_mixed_kinds_in_one_field_cost_no_other_line(values: list[Any], field: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.jsonl"
    good = {"run": "a", "case": "good", "criterion": "c", "score": 3}
    lines = [{**good, "case": f"{n}", field: value} for n, value in enumerate(values)]
    path.write_text("".join(json.dumps(line) + "\n" for line in [good, *lines, {**good, "case": "last"}]))

    made = read(path)

    assert isinstance(made, Evals)
    kept = dict(zip(made.scores["case"].cast(str), made.scores["score"], strict=True))
    assert (kept["good"], kept["last"]) == (3.0, 3.0)
    assert len(kept) + made.problems["line"].n_unique() >= len(values) + 2


@QUICK
@given(data=st.data())
def test_mixed_kinds_in_an_inspect_log_cost_no_other_sample(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    odd = samples(1)[0]
    for name in (
        "epoch",
        "input",
        "target",
        "metadata",
        "messages",
        "output",
        "scores",
        "model_usage",
        "error",
        "limit",
        "total_time",
    ):
        if data.draw(st.booleans()):
            odd[name] = data.draw(st.sampled_from(ODD))
    header = {"version": 2, "status": "success", "eval": {"task": "t", "eval_id": "e"}}
    whole = [{**samples(1)[0], "id": "good"}, odd, {**samples(1)[0], "id": "last"}]
    path.write_text(json.dumps({**header, "samples": whole}))

    made = read(path)

    assert isinstance(made, Evals)
    for case in ("good", "last"):
        assert made.scores.filter(case=case)["score"].to_list() == [1.0]
        assert made.turns.filter(case=case)["content"].to_list() == ["Why?"]


@pytest.mark.parametrize(
    "name", ["../up", "/etc/passwd", "c:\\windows\\x", "a/../../b", "~", "con", "a\nb", "\u202egp.exe"]
)
def test_a_case_that_is_a_path_is_a_name_and_no_more(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "scores.jsonl").write_text(
        json.dumps({"run": name, "case": name, "criterion": name, "score": 1}) + "\n"
    )
    log(folder / "log.eval", [{**samples(1)[0], "id": name.replace("\n", " ")}])
    before = sorted(str(path) for path in tmp_path.rglob("*"))

    evals = load(folder, cache=False)
    evals.save(tmp_path / "out")

    assert name in set(evals.scores["run"])
    assert evals.problems.is_empty()
    after = {str(path) for path in tmp_path.rglob("*")} - set(before)
    assert all(path.startswith(str(tmp_path / "out")) for path in after)


def test_no_reader_breaks_on_being_asked_about_odd_files(tmp_path: Path) -> None:
    known, notes = registry.readers()
    assert notes == []
    for number, start in enumerate(STARTS):
        path = tmp_path / f"{number}"
        path.write_bytes(start)
        for reader in known:
            assert reader.sniff(path, start) in (True, False), reader.name
