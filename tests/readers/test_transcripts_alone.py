"""Transcripts without scores: conversations of every shape, sessions of Claude Code, trajectories of Harbor."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.test_chat_messages import SHAPES, WHOLE
from tests.readers.test_hostile import read
from tests.readers.test_mutated_records import JUNK, changed, places

import evalkit as ek
from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

KEYS = {"Gemini": "contents", "OpenAI Responses": "input", "ATIF": "steps"}
TEXTS = [(role, content) for role, content, _, _ in WHOLE]


def lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def load(path: Path) -> ek.Evals:
    return ek.load(path, cache=False)


def texts(evals: ek.Evals) -> list[tuple[str, str]]:
    return evals.turns.select("role", "content").rows()


# Conversations


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", ["records", "list of records", "document", "messages", "list of messages"])
def test_a_conversation_of_any_shape_and_layout_loads(shape: str, layout: str, tmp_path: Path) -> None:
    record = {"id": "q1", "model": "m", KEYS.get(shape, "messages"): SHAPES[shape]}
    path = tmp_path / "chats.jsonl"
    if layout == "records":
        lines(path, [record])
    elif layout == "messages":
        lines(path, SHAPES[shape])
    else:
        whole = {"list of records": [record], "document": record, "list of messages": SHAPES[shape]}[layout]
        path.write_text(json.dumps(whole, indent=1), encoding="utf-8")

    evals = load(path)

    assert texts(evals) == TEXTS
    assert evals.scores.is_empty()
    assert evals.problems.is_empty()
    (trial,) = evals.trials.iter_rows(named=True)
    has_record = "messages" not in layout
    assert (trial["run"], trial["case"]) == (("m", "q1") if has_record else ("chats", "chats"))
    assert trial["output"] == "Done."
    assert evals.cases["input"].to_list() == ["Delete a.py."]


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_loaded_is_saved_and_read_again(shape: str, tmp_path: Path) -> None:
    from evalkit.data import folder as native

    evals = load(lines(tmp_path / "chats.jsonl", [{"id": "q1", "messages": SHAPES[shape]}]))

    saved = ek.load(evals.save(tmp_path / "saved"), cache=False)
    written = native.read(native.write(evals, tmp_path / "native"))

    assert saved.turns.equals(evals.turns)
    assert written.turns.equals(evals.turns)
    assert written.notes == ()


def test_sharegpt_and_bedrock_load(tmp_path: Path) -> None:
    sharegpt = {
        "id": "a",
        "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}],
    }
    reference = [{"content": [{"text": "Because."}]}]
    asked = {"prompt": {"content": [{"text": "Why?"}]}, "referenceResponses": reference}
    turn, nested = {**asked, "output": {"text": "So."}}, {"inputRecord": asked, "output": {"text": "So."}}

    for record in (sharegpt, {"conversationTurns": [turn]}, {"conversationTurns": [nested]}):
        evals = load(lines(tmp_path / "a.jsonl", [record]))
        assert texts(evals) == [("user", "Why?"), ("assistant", "So.")]
        expected = "Because." if "conversationTurns" in record else None
        assert evals.cases["ideal_behavior"].to_list() == [expected]


ASKED = {"role": "user", "content": "Why?"}
SAID = {"role": "assistant", "content": "So."}


def test_facts_of_a_record_are_read_and_the_rest_is_noted(tmp_path: Path) -> None:
    record = {
        "id": 7,
        "model": "gpt",
        "version": "v2",
        "messages": [ASKED, SAID],
        "expected": "Because.",
        "severity": "high",
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        "created_at": "2026-01-31T09:00:00Z",
        "tools": [{"name": "rm"}],
        "user_note": "x",
    }

    evals = load(lines(tmp_path / "a.jsonl", [record]))

    assert evals.runs.select("run", "agent_version", "model").rows() == [("v2-gpt", "v2", "gpt")]
    assert evals.cases.select("case", "ideal_behavior", "severity").rows() == [("7", "Because.", "high")]
    assert evals.trials.select("input_tokens", "output_tokens").rows() == [(5, 2)]
    assert [note.kind for note in evals.notes] == ["ignored"]
    assert "tools" in evals.notes[0].text
    assert "user_note" in evals.notes[0].text


def test_records_without_an_id_pair_by_their_question_and_repeats_are_epochs(tmp_path: Path) -> None:
    other = {"role": "user", "content": "How?"}
    records = [
        {"model": model, "messages": [question, SAID]}
        for model in ("a", "b")
        for question in (ASKED, other, ASKED)
    ]

    evals = load(lines(tmp_path / "a.jsonl", records))

    assert evals.cases.height == 2
    assert evals.trials["run"].to_list() == ["a"] * 3 + ["b"] * 3
    assert evals.trials["epoch"].to_list() == [1, 1, 2] * 2


def test_a_long_document_over_many_lines_is_read(tmp_path: Path) -> None:
    messages = [{"role": role, "content": "x" * 1000} for role in ("user", "assistant") * 100]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"id": "a", "messages": messages}, indent=2))

    assert path.stat().st_size > 1 << 16
    assert load(path).turns.height == 200

    path.write_text(json.dumps({"id": "a", "messages": messages, "score": 3}, indent=2))
    with pytest.raises(ek.EvalkitError):
        load(path)


def test_an_answer_beside_the_messages_is_a_turn(tmp_path: Path) -> None:
    evals = load(lines(tmp_path / "a.jsonl", [{"id": "a", "messages": [ASKED], "output": "So."}]))

    assert texts(evals) == [("user", "Why?"), ("assistant", "So.")]
    assert evals.trials["output"].to_list() == ["So."]


def test_a_response_with_its_request_is_one_conversation(tmp_path: Path) -> None:
    record = {
        "request": {"messages": [ASKED]},
        "response": {"choices": [{"message": SAID, "finish_reason": "stop"}]},
    }

    assert texts(load(lines(tmp_path / "a.jsonl", [record]))) == [("user", "Why?"), ("assistant", "So.")]


@pytest.mark.parametrize("messages", [[ASKED], [{"role": "system", "content": "s"}, ASKED]])
def test_questions_without_answers_are_a_suite(messages: list[Any], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"id": n, "messages": messages} for n in range(3)])

    with pytest.raises(FormatError, match="a suite, not results") as caught:
        load(path)

    assert "3 questions" in str(caught.value)


def test_one_conversation_without_an_answer_costs_no_other(tmp_path: Path) -> None:
    records = [
        {"id": "a", "messages": [ASKED, SAID]},
        {"id": "b", "messages": [ASKED]},
        {"id": "c", "messages": "lost"},
    ]

    evals = load(lines(tmp_path / "a.jsonl", records))

    assert evals.trials.select("case", "output").rows() == [("a", "So."), ("b", None)]
    assert evals.problems["line"].to_list() == [3]


@pytest.mark.parametrize(
    "judgement",
    [
        {"score": 4},
        {"label": "good"},
        {"helpful": True},
        {"tone": 3.5},
        {"quality": "high"},
        {"scores": {"tone": 3}},
        {"chosen": [SAID], "rejected": [SAID]},
        {"reward": 0.2},
        {"passed": False},
        {"num_errors_score": 1},
        {"metadata": {"score": 4}},
        {"tone": "4"},
        {"grounded": "yes"},
        {"is_helpful": False},
        {"domain_relevance": 3},
        {"time_management": 2},
    ],
)
def test_a_record_with_a_judgement_is_never_read_as_a_transcript_alone(
    judgement: dict[str, Any], tmp_path: Path
) -> None:
    path = lines(tmp_path / "a.jsonl", [{"id": n, "messages": [ASKED, SAID], **judgement} for n in range(3)])

    try:
        evals = load(path)
    except ek.EvalkitError:
        return
    # The guesser of tables decides; what it leaves out is named.
    notes = " ".join(note.text for note in evals.notes)
    assert evals.scores.height == 3 or all(f"{key}" in notes for key in judgement)
    assert evals.turns.height == 6


def test_scores_of_bedrock_are_not_dropped(tmp_path: Path) -> None:
    turn = {"prompt": {"content": [{"text": "Why?"}]}, "output": {"text": "So."}, "results": [{"result": 1}]}

    with pytest.raises(ek.EvalkitError):
        load(lines(tmp_path / "a.jsonl", [{"conversationTurns": [turn]}]))


@pytest.mark.parametrize(
    "count",
    [
        {"index": 3},
        {"num_turns": 2},
        {"total_tokens": 5},
        {"created": 1_700_000_000},
        {"is_streaming": True},
        {"seed": 1},
        {"metadata": {"turns": 3}},
    ],
)
def test_a_count_is_no_judgement(count: dict[str, Any], tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"id": "a", "messages": [ASKED, SAID], **count}])

    assert load(path).trials.height == 1


def test_a_mapping_reads_the_scores_beside_the_messages(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", [{"id": "a", "messages": [ASKED, SAID], "tone": 4}])

    evals = ek.load(path, mapping={"case": "id", "criteria": ["tone"], "scale": [1, 5]}, cache=False)

    assert evals.scores["score"].to_list() == [4.0]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_table_with_messages_and_scores_has_both(shape: str, tmp_path: Path) -> None:
    records = [{"id": f"q{n}", "messages": SHAPES[shape], "tone": n + 1} for n in range(5)]
    mapping = {"case": "id", "messages": "messages", "criteria": ["tone"], "scale": [1, 5]}

    evals = ek.load(lines(tmp_path / "a.jsonl", records), mapping=mapping, cache=False)

    assert evals.scores["score"].to_list() == [1, 2, 3, 4, 5]
    assert texts(evals) == TEXTS * 5
    assert evals.trials["output"].to_list() == ["Done."] * 5
    assert evals.cases["input"].to_list() == ["Delete a.py."] * 5
    scores = ek.load(tmp_path / "a.jsonl", mapping=mapping, tables=("scores",), cache=False)
    assert scores.turns.is_empty()


def test_two_files_with_answers_to_the_same_questions_are_two_runs(tmp_path: Path) -> None:
    for name in ("a", "b"):
        lines(
            tmp_path / f"{name}.jsonl",
            [{"id": "q", "model": "m", "messages": [ASKED, {**SAID, "content": name}]}],
        )

    evals = load(tmp_path)

    assert evals.runs.height == 2
    assert sorted(evals.trials["output"]) == ["a", "b"]


# Claude Code


def line(uuid: str, parent: str | None, role: str, content: Any, **more: Any) -> dict[str, Any]:
    inner = {"role": role, "content": content, **more.pop("inner", {})}
    return {
        "type": role,
        "uuid": uuid,
        "parentUuid": parent,
        "sessionId": "s1",
        "isSidechain": False,
        "version": "2.1.0",
        "timestamp": f"2026-01-31T09:00:0{len(uuid) % 10}Z",
        "message": inner,
        **more,
    }


def answer(
    uuid: str, parent: str | None, *blocks: dict[str, Any], message: str, tokens: int = 3
) -> dict[str, Any]:
    usage = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": tokens}
    inner = {"id": message, "model": "claude-x", "usage": usage, "stop_reason": "end_turn"}
    return line(uuid, parent, "assistant", list(blocks), inner=inner)


def use(identity: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": identity, "name": "Bash", "input": {"command": identity}}


def result(uuid: str, parent: str, identity: str, text: str) -> dict[str, Any]:
    return line(uuid, parent, "user", [{"type": "tool_result", "tool_use_id": identity, "content": text}])


SESSION = [
    {"type": "summary", "summary": "About a.py", "leafUuid": "x"},
    {"type": "file-history-snapshot", "messageId": "1", "snapshot": {}},
    line("u0", None, "user", "<caveat>", isMeta=True),
    line("u1", "u0", "user", "Clean up."),
    answer("a1", "u1", {"type": "thinking", "thinking": "Hm."}, message="m1"),
    answer("a2", "a1", {"type": "text", "text": "I look."}, message="m1"),
    # Parallel calls: each a line of the message, each result behind its own line.
    answer("a3", "a2", use("t1"), message="m1"),
    answer("a4", "a3", use("t2"), message="m1", tokens=9),
    result("r1", "a3", "t1", "one"),
    result("r2", "a4", "t2", "two"),
    {**line("side", None, "user", "Subtask"), "isSidechain": True},
    answer("dead", "r2", {"type": "text", "text": "A dead end."}, message="m2"),
    line("u2", "dead", "user", "No, undo that."),
    {"type": "system", "subtype": "info", "uuid": "sys", "parentUuid": "r2", "sessionId": "s1"},
    line("u3", "sys", "user", "Go on."),
    answer("a5", "u3", {"type": "text", "text": "Done."}, message="m3", tokens=4),
    {"type": "queue-operation", "operation": "enqueue", "sessionId": "s1"},
]


def session(tmp_path: Path, records: list[Any] = SESSION, name: str = "s1.jsonl") -> ek.Evals:
    return load(lines(tmp_path / name, records))


def test_a_session_is_one_transcript_of_its_last_branch(tmp_path: Path) -> None:
    evals = session(tmp_path)

    assert texts(evals) == [
        ("user", "Clean up."),
        ("assistant", "I look."),
        ("tool", "one"),
        ("tool", "two"),
        ("user", "Go on."),
        ("assistant", "Done."),
    ]
    turn = evals.turns.row(1, named=True)
    assert turn["reasoning"] == "Hm."
    assert [call["id"] for call in json.loads(turn["tool_calls"])] == ["t1", "t2"]
    assert evals.problems.is_empty()


def test_a_session_has_its_model_its_tokens_and_its_end(tmp_path: Path) -> None:
    evals = session(tmp_path)

    assert evals.runs.select("run", "agent", "model").rows() == [("claude-x", "claude-code", "claude-x")]
    (trial,) = evals.trials.iter_rows(named=True)
    assert (trial["case"], trial["output"], trial["stop_reason"]) == ("s1", "Done.", "end_turn")
    # Two messages of 15 tokens each: the four lines of the first repeat its usage.
    assert (trial["input_tokens"], trial["output_tokens"]) == (30, 13)


def test_what_is_not_shown_of_a_session_is_noted(tmp_path: Path) -> None:
    (note,) = session(tmp_path).notes

    for name in ("subagents (1)", "meta (1)", "summary (1)", "queue-operation (1)", "other branches (2)"):
        assert name in note.text


def test_a_compaction_and_lines_without_parents_keep_the_beginning(tmp_path: Path) -> None:
    compacted = [
        line("u1", None, "user", "One."),
        answer("a1", "u1", {"type": "text", "text": "1."}, message="m1"),
        {
            "type": "system",
            "subtype": "compact_boundary",
            "uuid": "c",
            "parentUuid": None,
            "logicalParentUuid": "a1",
            "sessionId": "s1",
        },
        line("u2", "c", "user", "Two."),
    ]
    flat = [
        {key: value for key, value in one.items() if key != "parentUuid"}
        for one in (*compacted[:2], compacted[3])
    ]

    assert [text for _, text in texts(session(tmp_path, compacted))] == ["One.", "1.", "Two."]
    assert [text for _, text in texts(session(tmp_path, flat))] == ["One.", "1.", "Two."]


def test_parents_in_a_circle_end(tmp_path: Path) -> None:
    records = [line("u1", "u2", "user", "One."), line("u2", "u1", "user", "Two.")]

    assert [text for _, text in texts(session(tmp_path, records))] == ["One.", "Two."]


def test_a_session_that_broke_off_has_an_error(tmp_path: Path) -> None:
    broken = answer("a9", "a5", {"type": "text", "text": "API Error: 529"}, message="m9")

    evals = session(tmp_path, [*SESSION, {**broken, "isApiErrorMessage": True}])

    assert evals.trials["error"].to_list() == ["API Error: 529"]


def test_a_folder_of_sessions_is_a_trial_each_and_a_subagent_is_noted(tmp_path: Path) -> None:
    second = json.loads(json.dumps(SESSION).replace('"s1"', '"s2"'))
    lines(tmp_path / "s1.jsonl", SESSION)
    lines(tmp_path / "s2.jsonl", second)
    lines(tmp_path / "agent-1.jsonl", [{**one, "isSidechain": True} for one in SESSION if "message" in one])

    evals = load(tmp_path)

    assert sorted(evals.trials["case"].cast(str)) == ["s1", "s2"]
    assert any(note.kind == "skipped" for note in evals.notes)


# Harbor


TRAJECTORY = {
    "schema_version": "ATIF-v1.6",
    "session_id": "t1",
    "agent": {"name": "terminus", "version": "2.0", "model_name": "openai/gpt-5"},
    "steps": [
        {
            **step,
            "timestamp": "2026-01-31T09:00:00Z",
            "metrics": {"prompt_tokens": 10, "completion_tokens": 2},
        }
        for step in SHAPES["ATIF"]
    ],
    "final_metrics": {"total_prompt_tokens": 40, "total_cost_usd": 0.25},
}


@pytest.mark.parametrize("indent", [None, 2])
def test_a_trajectory_of_harbor_is_a_transcript(indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "trajectory.json"
    path.write_text(json.dumps(TRAJECTORY, indent=indent))

    evals = load(path)

    assert texts(evals) == TEXTS
    assert evals.runs.select("run", "agent", "agent_version", "model", "provider").rows() == [
        ("terminus-2.0-openai/gpt-5", "terminus", "2.0", "openai/gpt-5", "openai")
    ]
    (trial,) = evals.trials.iter_rows(named=True)
    assert (trial["case"], trial["input_tokens"], trial["output_tokens"], trial["cost_usd"]) == (
        "t1",
        40,
        6,
        0.25,
    )
    assert trial["started_at"].year == 2026


def test_a_trajectory_of_steps_alone_is_read(tmp_path: Path) -> None:
    path = tmp_path / "trajectory.json"
    path.write_text(json.dumps({"schema_version": "ATIF-v1.5", "steps": SHAPES["ATIF"]}))

    assert texts(load(path)) == TEXTS


def test_a_trajectory_without_an_id_is_named_after_its_trial(tmp_path: Path) -> None:
    folder = tmp_path / "hello__x1" / "agent"
    folder.mkdir(parents=True)
    path = folder / "trajectory.json"
    path.write_text(json.dumps({name: value for name, value in TRAJECTORY.items() if name != "session_id"}))

    assert load(path).trials["case"].to_list() == ["hello__x1"]


# Anything


MADE = {
    "chat": {"id": "a", "model": "m", "messages": SHAPES["Anthropic"], "usage": {"prompt_tokens": 1}},
    "responses": {"id": "a", "input": SHAPES["OpenAI Responses"]},
    "gemini": {"id": "a", "contents": SHAPES["Gemini"]},
    "langchain": {"id": "a", "messages": SHAPES["LangChain, dumps"]},
    "bedrock": {
        "conversationTurns": [{"prompt": {"content": [{"text": "Why?"}]}, "output": {"text": "So."}}]
    },
    "claude code": answer("a2", "u1", {"type": "text", "text": "I look."}, use("t1"), message="m1"),
    "atif": TRAJECTORY,
}


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), junk=JUNK)
def test_a_changed_record_is_a_sentence_and_costs_no_other(
    name: str, data: st.DataObject, junk: Any, tmp_path: Path
) -> None:
    record = copy.deepcopy(MADE[name])
    path = data.draw(st.sampled_from(list(places(record))))
    file = lines(tmp_path / "a.jsonl", [MADE[name], changed(record, path, junk)])

    made = read(file)

    if isinstance(made, ek.Evals) and name not in ("claude code", "atif"):
        assert "So." in made.turns["content"].to_list() or "Done." in made.turns["content"].to_list()
