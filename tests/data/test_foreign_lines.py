"""Native lines with messages of any vendor: read by the normalizer; what has no column is counted in a note."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.data.test_chat_messages import SHAPES, WHOLE

from evalkit.data import folder as native
from evalkit.data.folder_read import scan_transcripts

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals


def read(path: Path, *records: dict[str, Any]) -> Evals:
    file = path / "transcripts.jsonl"
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return native.read_transcripts(file)


def line(messages: list[Any], **more: Any) -> dict[str, Any]:
    return {"run": "v", "case": "a", "epoch": 1, "messages": messages, **more}


@pytest.mark.parametrize("shape", SHAPES)
def test_native_lines_have_messages_of_any_shape(shape: str, tmp_path: Path) -> None:
    evals = read(tmp_path, line(SHAPES[shape], output="Done."))

    assert evals.turns.select("role", "content").rows() == [row[:2] for row in WHOLE]
    assert evals.turns["reasoning"].to_list() == [row[2] for row in WHOLE]
    (call,) = json.loads(evals.turns["tool_calls"][1])
    assert (call["name"], call["arguments"]) == ("rm", {"path": "a.py"})
    assert evals.turns["turn"].to_list() == [1, 2, 3, 4]
    assert evals.problems.is_empty()
    assert [turns.height for _, turns in scan_transcripts(tmp_path / "transcripts.jsonl")] == [4]


def test_keys_of_the_case_native_keys_dropped_in_silence(tmp_path: Path) -> None:
    messages = [
        {"role": "assistant", "content": "a", "reasoning": "T"},
        {"role": "assistant", "content": "b", "reasoning_content": "T"},
        {"role": "assistant", "content": "c", "thinking": "T"},
        {"role": "assistant", "content": None, "refusal": "I won't."},
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    ]

    evals = read(tmp_path, line(messages, mystery=1))

    assert evals.turns["reasoning"].to_list() == ["T", "T", "T", None, None]
    assert evals.turns["content"].to_list() == ["a", "b", "c", "I won't.", None]
    assert evals.turns["tool_calls"].to_list()[4] == '[{"id":null,"name":"f","arguments":{}}]'
    (note,) = evals.notes
    assert note.kind == "ignored"
    assert "mystery (1)" in note.text


def test_unknown_keys_are_counted_over_lines_and_messages(tmp_path: Path) -> None:
    message = {"role": "user", "content": "q", "logprobs": [1], "empty": None}
    records = [line([message, message], case=f"c{n}", trace={"id": n}) for n in range(1200)]

    evals = read(tmp_path, *records, line([{"role": "user", "content": "q"}], case="plain"))

    (note,) = evals.notes
    assert "trace (1,200)" in note.text
    assert "messages.logprobs (2,400)" in note.text
    assert "empty" not in note.text
    assert evals.trials.height == 1201
    assert evals.turns.height == 2401


def test_an_unknown_key_of_a_line_with_own_messages_is_counted(tmp_path: Path) -> None:
    evals = read(tmp_path, line(SHAPES["evalkit"], mystery=1), line([], case="b", mystery=2))

    assert [note.text for note in evals.notes] == ["Ignored fields: mystery (2)."]
    assert evals.turns.height == 4


def test_own_lines_have_no_note(tmp_path: Path) -> None:
    evals = read(tmp_path, line(SHAPES["evalkit"], output="Done."))

    assert evals.notes == ()


def test_a_wrong_value_beside_foreign_messages_is_a_problem_and_no_more(tmp_path: Path) -> None:
    messages = [
        3,
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {"role": "tool", "reasoning": 7, "content": "r"},
    ]

    evals = read(tmp_path, line(messages, cost_usd="much", mystery=1), line([], case="b", output="x"))

    assert evals.turns.select("role", "content").rows() == [("user", "q"), ("tool", "r")]
    assert evals.trials["case"].to_list() == ["a", "b"]
    reasons = evals.problems["reason"].to_list()
    assert [reason.split(" is ")[0] for reason in reasons] == [
        "messages 1",
        "messages 3.reasoning",
        "cost_usd",
    ]


def test_parts_of_own_lines_have_no_bytes_and_keep_the_rest(tmp_path: Path) -> None:
    trace = "Traceback (most recent call last): " * 100
    parts = [{"type": "image", "data": "iVBORw0KGgo" * 300}, {"type": "error", "error": trace}]

    evals = read(tmp_path, line([{"role": "user", "content": "q", "parts": parts}]))

    assert json.loads(evals.turns["parts"][0]) == [
        {"type": "image", "data": "(3,300 characters)"},
        {"type": "error", "error": trace},
    ]


def test_calls_of_openai_in_own_lines_have_native_keys(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}

    evals = read(tmp_path, line([{"role": "model", "content": "x", "tool_calls": [call]}]))

    assert evals.turns["tool_calls"].to_list() == ['[{"id":"c","name":"f","arguments":{"a":1}}]']
    assert evals.turns["role"].to_list() == ["assistant"]
