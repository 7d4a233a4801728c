"""Traces of agents in OTLP/JSON, by the GenAI conventions and by OpenInference. All of them are made up."""

from __future__ import annotations

import json

import pytest

import evalkit as ek
from evalkit.readers.formats.opentelemetry_attributes import messages_of


def typed(value):
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    if isinstance(value, list):
        return {"arrayValue": {"values": [typed(one) for one in value]}}
    return {kinds[type(value)]: str(value) if type(value) is int else value}


def attributes(values):
    return [{"key": key, "value": typed(value)} for key, value in values.items()]


def span(span_id, parent, values, *, trace="t1", start=1, events=(), status=None, name="span"):
    return {
        "traceId": trace,
        "spanId": span_id,
        "parentSpanId": parent,
        "name": name,
        "startTimeUnixNano": str(1759312800_000000000 + start * 1_000_000_000),
        "endTimeUnixNano": str(1759312800_000000000 + (start + 2) * 1_000_000_000),
        "attributes": attributes(values),
        "events": [{"name": event, "attributes": attributes(v)} for event, v in events],
        "status": status or {},
    }


def export(*spans, resource=None):
    held = {"attributes": attributes(resource or {"service.name": "helper", "service.version": "v2"})}
    return {"resourceSpans": [{"resource": held, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]}


SYSTEM = [{"type": "text", "content": "Be brief."}]
ASKED = [
    {"role": "user", "parts": [{"type": "text", "content": "2+2?"}]},
    {
        "role": "assistant",
        "parts": [
            {"type": "reasoning", "content": "I add."},
            {"type": "tool_call", "id": "c1", "name": "add", "arguments": {"a": 2, "b": 2}},
        ],
    },
    {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "4"}]},
]
ANSWERED = [{"role": "assistant", "parts": [{"type": "text", "content": "4"}], "finish_reason": "stop"}]
RESULT = {
    "gen_ai.evaluation.name": "Correct",
    "gen_ai.evaluation.score.value": 1.0,
    "gen_ai.evaluation.score.label": "pass",
    "gen_ai.evaluation.explanation": "It is four.",
}
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "groq",
    "gen_ai.request.model": "m-1",
    "gen_ai.usage.input_tokens": 20,
    "gen_ai.usage.output_tokens": 3,
    "gen_ai.response.finish_reasons": ["stop"],
    "gen_ai.system_instructions": json.dumps(SYSTEM),
    "gen_ai.input.messages": json.dumps(ASKED),
    "gen_ai.output.messages": json.dumps(ANSWERED),
}


def load(tmp_path, *records):
    path = tmp_path / "spans.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    return ek.load(path)


def test_a_genai_trace_is_a_trial_with_its_conversation_and_its_evaluation(tmp_path):
    first = span("b", "a", {**CHAT, "gen_ai.input.messages": json.dumps(ASKED[:1])}, start=2)
    last = span("c", "a", CHAT, start=4, events=[("gen_ai.evaluation.result", RESULT)])
    agent = span("a", "", {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "adder"})

    evals = load(tmp_path, export(agent, first, last))

    runs = evals.runs.select("run", "agent", "agent_version", "model", "provider")
    assert runs.rows() == [("adder-v2", "adder", "v2", "m-1", "groq")]
    trials = evals.trials.select("output", "stop_reason", "input_tokens", "output_tokens", "latency_s")
    assert trials.rows() == [("4", "stop", 40, 6, 2.0)]
    assert evals.turns["role"].to_list() == ["system", "user", "assistant", "tool", "assistant"]
    assert evals.turns["reasoning"][2] == "I add."
    assert evals.turns["tool_calls"][2] == '[{"id":"c1","name":"add","arguments":{"a":2,"b":2}}]'
    assert evals.turns.select("tool_call_id", "content").row(3) == ("c1", "4")
    scores = evals.scores.select("criterion", "score", "label", "rationale")
    assert scores.rows() == [("Correct", 1.0, "pass", "It is four.")]
    assert evals.cases["input"].to_list() == ["2+2?"]


def test_an_evaluation_in_a_log_record_finds_its_trace(tmp_path):
    record = {"traceId": "t1", "eventName": "gen_ai.evaluation.result", "attributes": attributes(RESULT)}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}

    evals = load(tmp_path, export(span("a", "", CHAT)), logs)

    assert evals.trials.height == 1
    assert evals.scores.select("case", "criterion", "score").rows() == [
        (evals.trials["case"].item(), "Correct", 1.0)
    ]


INFERENCE = {
    "openinference.span.kind": "LLM",
    "llm.model_name": "m-2",
    "llm.provider": "openai",
    "llm.token_count.prompt": 8,
    "llm.token_count.completion": 2,
    "llm.cost.total": 0.25,
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.contents.0.message_content.type": "text",
    "llm.input_messages.1.message.contents.0.message_content.text": "2+2?",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.tool_calls.0.tool_call.id": "c1",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "add",
    "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"a": 2}',
}


def test_an_openinference_trace_is_read_too(tmp_path):
    root = span(
        "a",
        "",
        {
            "openinference.span.kind": "AGENT",
            "input.value": "2+2?",
            "output.value": "4",
            "evalkit.case": "add-1",
            "annotation.name": "Correct",
            "annotation.score": 0,
            "annotation.annotator_kind": "HUMAN",
            "annotation.explanation": "No.",
        },
    )

    evals = load(tmp_path, export(root, span("b", "a", INFERENCE, start=2)))

    trials = evals.trials.select("run", "case", "output", "input_tokens", "cost_usd")
    assert trials.rows() == [("helper-v2", "add-1", "4", 8, 0.25)]
    assert evals.turns.select("role", "content").rows() == [
        ("system", "Be brief."),
        ("user", "2+2?"),
        ("assistant", None),
    ]
    assert evals.turns["tool_calls"][2] == '[{"id":"c1","name":"add","arguments":{"a":2}}]'
    assert evals.scores.select("criterion", "grader_kind", "score", "rationale").rows() == [
        ("Correct", "human", 0.0, "No.")
    ]


def test_two_traces_of_one_question_are_two_epochs_and_an_error_is_kept(tmp_path):
    broken = span("a", "", CHAT, trace="t2", status={"code": 2, "message": "RateLimit"})

    evals = load(tmp_path, export(span("a", "", CHAT)), export(broken))

    assert evals.trials.select("epoch", "error").rows() == [(1, None), (2, "RateLimit")]
    assert evals.trials["line"].to_list() == [1, 2]


def test_messages_stand_in_order_past_the_tenth():
    flat = {f"llm.input_messages.{n}.message.content": str(n) for n in range(12)}

    assert [turn["content"] for turn in messages_of(flat)] == [str(n) for n in range(12)]


@pytest.mark.parametrize(
    "record",
    [
        {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x", "attributes": None}]}]}]},
        {"resourceSpans": [{"scopeSpans": [{"spans": ["no span"]}]}]},
        {"resourceSpans": [None, {"scopeSpans": 3}]},
    ],
)
def test_spans_that_are_none_cost_nothing_else(tmp_path, record):
    evals = load(tmp_path, export(span("a", "", CHAT)), record)

    assert evals.trials.height == 1


def test_an_id_that_is_no_text_costs_no_other_trace(tmp_path):
    evals = load(tmp_path, export(span("a", "", CHAT)), export(span([None], {}, CHAT, trace="t2")))

    assert evals.trials.height == 2
