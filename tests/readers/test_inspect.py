"""Inspect logs made by hand: what real ones do seldom, and what goes wrong."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from evalkit.readers.formats import zip_salvage as zips
from evalkit.readers.load import load
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

HEADER = {
    "version": 2,
    "status": "success",
    "eval": {"eval_id": "abcdefghij", "task": "t", "model": "openai/m"},
}


def sample(case: Any = "1", **values: Any) -> dict[str, Any]:
    return {
        "id": case,
        "epoch": 1,
        "input": "Why?",
        "target": "so",
        "messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}],
        "scores": {"ok": {"value": "C", "explanation": "right"}},
        **values,
    }


def write(
    path: Path, *samples: dict[str, Any], members: dict[str, Any] | None = None, header: Any = HEADER
) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "_journal/start.json", json.dumps({"version": 2, "eval": HEADER["eval"], "plan": {}})
        )
        for one in samples:
            archive.writestr(f"samples/{one['id']}_epoch_{one['epoch']}.json", json.dumps(one))
        for name, text in (members or {}).items():
            archive.writestr(name, text if isinstance(text, str | bytes) else json.dumps(text))
        if header is not None:
            archive.writestr("header.json", json.dumps(header))
    return path


def zstd(path: Path, *samples: dict[str, Any]) -> Path:
    """Write members by method 93, of which the standard library of today's Pythons knows nothing."""
    parts = {"header.json": HEADER, **{f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in samples}}
    body, directory = b"", b""
    for name, value in parts.items():
        data = json.dumps(value).encode()
        packed = pa.compress(data, codec="zstd", asbytes=True)
        facts = (0, 93, 0, 0, zlib.crc32(data), len(packed), len(data), len(name), 0)
        directory += (
            struct.pack("<4s2H4H3L5H2L", b"PK\x01\x02", 20, 20, *facts, 0, 0, 0, 0, len(body)) + name.encode()
        )
        body += struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, *facts) + name.encode() + packed
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, len(parts), len(parts), len(directory), len(body), 0)
    path.write_bytes(body + directory + end)
    return path


def as_json(path: Path, *samples: dict[str, Any]) -> Path:
    path.write_text(json.dumps({**HEADER, "samples": samples}))
    return path


@pytest.mark.parametrize("form", [write, zstd, as_json])
def test_each_form_gives_the_same_tables(form: Any, tmp_path: Path) -> None:
    evals = load(form(tmp_path / "log.eval", sample()))

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "suite", "model", "provider").row(0) == (
        "t-m-abcdefgh",
        "t",
        "openai/m",
        "openai",
    )
    assert evals.turns["content"].to_list() == ["Why?", "So."]
    row = evals.scores.row(0, named=True)
    assert (row["criterion"], row["score"], row["label"], row["rationale"]) == ("ok", 1.0, "C", "right")
    assert evals.criteria.select("scale_min", "scale_max", "kind").row(0) == (0.0, 1.0, "binary")
    assert evals.cases.select("input", "ideal_behavior").row(0) == ("Why?", "so")


def test_a_letter_scorer_is_graded_without_another_word(tmp_path: Path) -> None:
    import evalkit as ek

    samples = [sample(f"{n}", scores={"ok": {"value": letter}}) for n, letter in enumerate("CICN")]
    evals = load(write(tmp_path / "log.eval", *samples))

    assert ek.grade(evals)["verdict"].to_list() == ["pass", "fail", "pass", "fail"]


def test_a_crashed_log_is_read_from_its_journal(tmp_path: Path) -> None:
    summary = {key: value for key, value in sample().items() if key != "messages"}
    path = write(
        tmp_path / "log.eval", sample(), members={"_journal/summaries/1.json": [summary]}, header=None
    )

    evals, alone = load(path), load(path, tables=("scores",))

    assert json.loads(evals.runs["config"].item())["status"] == "started"
    assert (evals.trials.height, evals.turns.height, evals.scores.height) == (1, 2, 1)
    assert alone.scores.equals(evals.scores)


def test_a_log_of_a_header_alone_is_a_run(tmp_path: Path) -> None:
    evals = load(write(tmp_path / "log.eval"))

    assert (evals.runs.height, evals.trials.height, evals.problems.height) == (1, 0, 0)


def test_scores_alone_open_no_sample_that_its_summary_tells(tmp_path: Path) -> None:
    summaries = [{k: v for k, v in sample(n).items() if k != "messages"} for n in ("1", "2")]
    summaries[1]["scores"] = {"ok": {"value": "C", "explanation": "cut..."}}
    path = write(
        tmp_path / "log.eval",
        sample("2", scores={"ok": {"value": "C", "explanation": "cut here"}}),
        members={"samples/1_epoch_1.json": "{broken", "summaries.json": summaries},
    )

    alone = load(path, tables=("scores",))

    assert dict(zip(alone.scores["case"], alone.scores["rationale"], strict=True)) == {
        "1": "right",
        "2": "cut here",
    }
    assert alone.problems.is_empty()
    assert load(path).problems.height == 1


@pytest.mark.parametrize(
    ("changed", "opened"),
    [
        ({"input": "a long question...\n(content truncated)", "target": "cut..."}, False),
        ({"scores": {"ok": {"value": "C", "answer": "cut..."}}}, True),
        ({"scores": {"ok": {"value": "C", "metadata": {"note": "cut..."}}}}, True),
        ({"scores": {"ok": {"value": "C", "metadata": {"note": "Key removed from summary (> 1k)"}}}}, True),
        ({"scores": {"ok": {"value": "C", "reason": "cut..."}}}, True),
        ({"scores": {"ok": {"value": "C", "explanation": 5}}}, False),
    ],
)
def test_scores_alone_open_a_sample_only_where_one_of_its_scores_was_shortened(
    tmp_path: Path, changed: dict[str, Any], opened: bool
) -> None:
    summaries = [{k: v for k, v in sample(n).items() if k != "messages"} for n in ("1", "2")]
    summaries[0] |= changed
    path = write(
        tmp_path / "log.eval",
        sample("1", scores={"ok": {"value": "I"}}),
        sample("2", scores={"ok": {"value": "I"}}),
        members={"summaries.json": summaries},
    )

    scores = load(path, tables=("scores",)).scores

    assert dict(zip(scores["case"], scores["label"], strict=True)) == {"1": "I" if opened else "C", "2": "C"}


def test_a_sample_that_the_summaries_leave_out_is_read(tmp_path: Path) -> None:
    summary = {key: value for key, value in sample("1").items() if key != "messages"}
    for number, other in enumerate(("2", "samples/1_epoch_1.json", "1_epoch_1.json")):
        path = write(
            tmp_path / f"{number}.eval", sample("1"), sample(other), members={"summaries.json": [summary]}
        )

        assert sorted(load(path, tables=("scores",)).scores["case"]) == sorted(["1", other])


def test_bare_nan_is_not_scored_and_keeps_its_reason(tmp_path: Path) -> None:
    text = json.dumps(sample(scores={"ok": {"value": float("nan"), "reason": "refusal"}, "n": {"value": 3}}))
    assert "NaN" in text
    for path in (
        write(tmp_path / "log.eval", members={"samples/1_epoch_1.json": text}),
        as_json(tmp_path / "log.json", json.loads(text)),
    ):
        scores = load(path).scores

        assert scores.select("criterion", "score", "error").rows() == [
            ("ok", None, "refusal"),
            ("n", 3.0, None),
        ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("C", (1.0, "C", None)),
        ("P", (0.5, "P", None)),
        ("I", (0.0, "I", None)),
        ("N", (0.0, "N", None)),
        (True, (1.0, "true", None)),
        (4, (4.0, None, None)),
        ("4.5", (4.5, "4.5", None)),
        ("yes", (1.0, "yes", None)),
        ("great", (None, "great", "the score is 'great', not a number")),
        (None, (None, None, "not scored")),
        (10**400, (None, None, f"the score is {'1' + '0' * 39}, not a finite number")),
    ],
)
def test_what_a_value_becomes(value: Any, expected: tuple[Any, ...], tmp_path: Path) -> None:
    scores = load(as_json(tmp_path / "log.json", sample(scores={"x": {"value": value}}))).scores

    assert scores.select("score", "label", "error").row(0) == expected


def test_a_dict_is_a_row_a_key_and_a_list_a_row_a_place(tmp_path: Path) -> None:
    values = {"d": {"value": {"a": 1, "b": "C", "c": None}}, "l": {"value": [0.5, True]}}

    scores = load(write(tmp_path / "log.eval", sample(scores=values))).scores

    assert scores.select("criterion", "score").rows() == [
        *(("d/a", 1.0), ("d/b", 1.0), ("d/c", None)),
        *(("l/0", 0.5), ("l/1", 1.0)),
    ]


def test_two_scores_of_one_name_keep_the_first(tmp_path: Path) -> None:
    evals = load(write(tmp_path / "log.eval", sample(scores={"a": {"value": {"b": 1}}, "a/b": {"value": 2}})))

    assert evals.scores.select("criterion", "score").rows() == [("a/b", 1.0)]
    assert "scores are called 'a/b'" in evals.problems["reason"].item()


def test_attachments_stand_where_they_are_named(tmp_path: Path) -> None:
    name, other = "a" * 32, "b" * 32
    messages = [
        {"role": "user", "content": f"attachment://{name}"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": f"attachment://{name}"}],
            "tool_calls": [{"id": "c", "function": "f", "arguments": {"x": f"attachment://{name}"}}],
        },
        {"role": "tool", "content": f"attachment://{other}", "tool_call_id": "c", "function": "f"},
    ]
    one = sample(messages=messages, input=f"attachment://{name}", attachments={name: "long \N{SNOWMAN} text"})

    evals = load(write(tmp_path / "log.eval", one))

    assert evals.turns["content"].to_list() == ["long ☃ text", "long ☃ text", f"attachment://{other}"]
    assert json.loads(evals.turns["tool_calls"][1])[0]["arguments"] == {"x": "long ☃ text"}
    assert evals.cases["input"].item() == "long ☃ text"


def test_a_sample_without_messages_has_those_of_its_last_model_call(tmp_path: Path) -> None:
    pool = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "user", "content": "v"},
    ]
    answer = {"choices": [{"message": {"role": "assistant", "content": "w"}}]}
    events = [
        {"event": "model", "input": [], "input_refs": [[0, 1]], "output": {}},
        {"event": "model", "input": [], "input_refs": [[0, 1], [2, 3]], "output": answer},
        {"event": "error", "error": {"message": '"model" broke'}},
    ]
    one = sample(messages=[], events=events, events_data={"messages": pool, "calls": []})

    assert load(write(tmp_path / "log.eval", one)).turns["content"].to_list() == ["s", "v", "w"]


def test_limits_errors_and_old_logs(tmp_path: Path) -> None:
    limited = sample("1", limit={"type": "token", "limit": 5}, uuid=None)
    broken = sample("2", error={"message": "boom", "traceback": "..."}, scores=None)
    old = sample("3", scores=None, score={"value": "I"}, transcript={"events": []})

    evals = load(write(tmp_path / "log.eval", limited, broken, old))

    assert evals.trials.select("case", "stop_reason", "error").rows() == [
        *(("1", "limit: token", None), ("2", None, "boom"), ("3", None, None)),
    ]
    assert evals.scores.select("case", "criterion", "score").rows() == [("1", "ok", 1.0), ("3", "score", 0.0)]


@pytest.mark.parametrize(("version", "notes"), [(2, 0), (3, 0), (9, 1)])
def test_a_newer_version_is_read_as_far_as_it_is_known(version: int, notes: int, tmp_path: Path) -> None:
    evals = load(write(tmp_path / "log.eval", sample(), header={**HEADER, "version": version}))

    assert evals.scores.height == 1
    assert sum("newer Inspect" in str(note) for note in evals.notes) == notes


def test_odd_ids_are_read_from_the_json_and_written_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    ids = ["a/b", "../../up", "/etc/passwd", "c:\\d", 7, "x_epoch_2"]

    evals = load(write(folder / "log.eval", *(sample(case) for case in ids)))

    assert evals.trials["case"].to_list() == [str(case) for case in ids]
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["log.eval", "logs"]


def test_one_broken_sample_costs_itself_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "log.eval", sample("1"), members={"samples/2_epoch_1.json": "{broken"})

    evals = load(path)

    assert evals.trials["case"].to_list() == ["1"]
    assert evals.problems["reason"].item().startswith("samples/2_epoch_1.json: not JSON")


def test_a_value_of_the_wrong_kind_costs_itself_alone(tmp_path: Path) -> None:
    scores = {"ok": {"value": "C", "explanation": 5}, "n": "no object"}

    evals = load(write(tmp_path / "log.eval", sample(scores=scores, total_time="soon", epoch=1)))

    assert evals.scores.select("criterion", "score").rows() == [("ok", 1.0)]
    assert evals.trials.height == 1
    reasons = " ".join(evals.problems["reason"])
    assert "scores.ok.explanation is '5'" in reasons
    assert "scores.n is 'no object'" in reasons
    assert "total_time is 'soon'" in reasons


def test_of_samples_that_are_there_twice_the_first_is_kept(tmp_path: Path) -> None:
    evals = load(as_json(tmp_path / "log.json", sample("1"), sample(1, scores={"ok": {"value": "I"}})))

    assert evals.scores["score"].to_list() == [1.0]
    assert "'1', epoch 1 is there twice" in evals.problems["reason"].item()


def test_an_epoch_that_no_column_holds_costs_its_own_sample_alone(tmp_path: Path) -> None:
    evals = load(as_json(tmp_path / "log.json", sample("1", epoch=10**30), sample("2")))

    assert evals.scores["case"].to_list() == ["2"]
    assert "'1' has the epoch 1000" in evals.problems["reason"].item()


def test_of_members_with_one_name_the_last_counts(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    write(path, sample())
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("header.json", json.dumps({**HEADER, "status": "cancelled"}))

    assert json.loads(load(path).runs["config"].item())["status"] == "cancelled"


def test_a_zip_that_is_cut_off_gives_what_is_before_the_cut(tmp_path: Path) -> None:
    path = write(tmp_path / "log.eval", *(sample(f"{n}", target="x" * n) for n in range(9)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])

    evals = load(path)

    assert 0 < evals.trials.height < 9
    assert "zip is cut off" in evals.problems["reason"][0]
    assert evals.scores["score"].to_list() == [1.0] * evals.trials.height


def test_a_json_that_is_cut_off_gives_what_is_before_the_cut(tmp_path: Path) -> None:
    path = as_json(tmp_path / "log.json", *(sample(f"{n}") for n in range(9)))
    text = path.read_text()
    path.write_text(text[: len(text) * 2 // 3])

    evals = load(path)

    assert 0 < evals.trials.height < 9
    assert "broken or cut off" in evals.problems["reason"].item()


def test_a_bomb_is_refused_in_a_sentence_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    write(path, sample("1"), members={"samples/2_epoch_1.json": b"0" * (zips._HARMLESS + 1)})

    evals = load(path)

    assert evals.trials["case"].to_list() == ["1"]
    assert "would unpack from" in evals.problems["reason"].item()
    assert "not unpacked" in evals.problems["reason"].item()


def test_a_member_that_lies_about_its_size_is_damaged(tmp_path: Path) -> None:
    path = write(tmp_path / "log.eval", sample("1"), members={"samples/2_epoch_1.json": b" " * 100_000})
    data = path.read_bytes().replace(struct.pack("<L", 100_000), struct.pack("<L", 10))
    path.write_bytes(data)

    evals = load(path)

    assert evals.trials["case"].to_list() == ["1"]
    assert "'samples/2_epoch_1.json' is damaged" in evals.problems["reason"].item()


def test_a_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    write(path, members={})
    with zipfile.ZipFile(path, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("samples/1_epoch_1.json", json.dumps(sample("1")))
    path.write_bytes(path.read_bytes().replace(b"right", b"wrong"))

    assert "'samples/1_epoch_1.json' is damaged" in load(path).problems["reason"].item()


def test_another_way_of_packing_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("header.json", json.dumps(HEADER))

    assert "packed by method 12" in load(path).problems["reason"][0]


def test_a_zip_of_which_nothing_is_left_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "log.eval"
    path.write_bytes(b"PK\x03\x04 header.json and nothing else")

    with pytest.raises(FormatError, match="is a zip of which nothing can be read"):
        load(path)


def test_shards_of_a_log_that_is_whole_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "log.eval", sample("1"))
    (tmp_path / "log.shards" / "0").mkdir(parents=True)
    write(tmp_path / "log.shards" / "0" / "part.eval", sample("2"))

    evals = load(tmp_path)

    assert evals.trials["case"].to_list() == ["1"]
    assert any("log.shards: Not read" in str(note) for note in evals.notes)


def test_the_same_log_twice_is_one_run(tmp_path: Path) -> None:
    write(tmp_path / "a.eval", sample())
    write(tmp_path / "b.eval", sample())

    evals = load(tmp_path)

    assert (evals.runs.height, evals.scores.height, evals.problems.height) == (1, 1, 0)


def test_tools_on_the_side_of_the_model_are_calls_and_results(tmp_path: Path) -> None:
    search = {
        "type": "tool_use",
        "tool_type": "web_search",
        "id": "s",
        "name": "web_search",
        "arguments": '{"query": "x"}',
        "result": "Nothing.",
    }
    content = [
        {"type": "text", "text": "I look."},
        search,
        {"type": "text", "text": "a"},
        {"type": "text", "text": "b"},
    ]
    picture = {"type": "image", "image": f"data:image/png;base64,{'x' * 5000}"}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "See."}, picture]},
        {"role": "assistant", "content": content},
    ]

    turns = load(write(tmp_path / "log.eval", sample(messages=messages))).turns

    assert turns.select("role", "content").rows() == [
        ("user", "See."),
        ("assistant", "I look."),
        ("tool", "Nothing."),
        ("assistant", "a\nb"),
    ]
    (call,) = json.loads(turns["tool_calls"][1])
    assert (call["name"], call["arguments"]) == ("web_search", {"query": "x"})
    assert turns["tool_name"].to_list() == [None, None, "web_search", None]
    assert turns["turn"].to_list() == [1, 2, 3, 4]
    assert "xxx" not in turns["parts"][0]
