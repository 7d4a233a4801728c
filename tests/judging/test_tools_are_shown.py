"""What a tool was asked and what it returned reaches the judge, whichever vendor and tool wrote the transcript."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from tests.data.test_chat_messages import SHAPES
from tests.fakes.judges import TINY_SUITE

import evalkit as ek
from evalkit.judging.requests import plan_requests

if TYPE_CHECKING:
    from pathlib import Path


def braintrust(messages: list[Any]) -> Any:
    event = {
        "id": "1",
        "span_id": "1",
        "root_span_id": "1",
        "is_root": True,
        "experiment_id": "e",
        "input": messages[:1],
        "output": messages[1:],
        "expected": None,
        "scores": {"ok": 1},
        "metadata": {},
        "metrics": {},
        "created": "2026-01-01T00:00:00Z",
        "span_attributes": {"type": "eval", "name": "eval"},
    }
    return [event]


def langfuse(messages: list[Any]) -> Any:
    item = {
        "dataset_item_id": "i1",
        "item": {"id": "i1", "input": messages[:1]},
        "run_name": "r",
        "input": messages[:1],
        "output": messages[1:],
        "evaluations": [{"name": "ok", "value": 1}],
    }
    return [item]


def promptfoo(messages: list[Any]) -> Any:
    return {
        "provider": {"id": "anthropic:x"},
        "promptIdx": 0,
        "success": True,
        "failureReason": 0,
        "prompt": {"raw": json.dumps(messages[:-1]), "label": "p"},
        "testCase": {"description": "a", "vars": {}},
        "response": {"output": "Done."},
        "gradingResult": {"pass": True, "score": 1, "componentResults": []},
    }


def mlflow(messages: list[Any]) -> Any:
    attributes = {
        "mlflow.spanType": json.dumps("CHAT_MODEL"),
        "mlflow.spanInputs": json.dumps({"messages": messages[:-1]}),
        "mlflow.spanOutputs": json.dumps(messages[-1]),
    }
    span = {"trace_id": "x", "span_id": "s", "parent_span_id": None, "name": "r", "attributes": attributes}
    info = {
        "trace_id": "tr-1",
        "state": "OK",
        "trace_metadata": {},
        "tags": {},
        "assessments": [],
        "request_time": "2026-01-01T00:00:00Z",
        "trace_location": {"type": "MLFLOW_EXPERIMENT"},
    }
    return [{"info": info, "data": {"spans": [span]}}]


def langsmith(messages: list[Any]) -> Any:
    return [
        {
            "id": "r1",
            "example_id": "e1",
            "execution_time": 1.0,
            "error": None,
            "inputs": {"messages": messages[:1]},
            "outputs": {"messages": messages},
            "feedback.ok": 1,
        }
    ]


def phoenix(messages: list[Any]) -> Any:
    return {
        "example_id": "e",
        "repetition_number": 1,
        "input": {"messages": messages[:1]},
        "annotations": [],
        "output": {"messages": messages[1:]},
    }


def native(messages: list[Any]) -> Any:
    return {"run": "v", "case": "q1", "epoch": 1, "messages": messages, "output": "Done."}


def chat(messages: list[Any]) -> Any:
    return {"id": "q1", "messages": messages}


TOOLS = (braintrust, langfuse, promptfoo, mlflow, langsmith, phoenix, native, chat)


def shown_to_the_judge(evals: ek.Evals, folder: Path) -> list[dict[str, Any]]:
    (folder / "suite.yaml").write_text(TINY_SUITE)
    judge = ek.Judge(model="m", provider="http://127.0.0.1:9/v1", rubric=folder / "suite.yaml")
    request = plan_requests(judge, evals).requests[0]
    lines = request.body["messages"][1]["content"].splitlines()
    return [json.loads(line) for line in lines if line.startswith('{"turn"')]


@pytest.mark.parametrize("write", TOOLS)
@pytest.mark.parametrize("shape", ["Anthropic", "OpenAI chat", "OpenAI chat, old"])
def test_a_call_and_its_result_reach_the_judge(write: Any, shape: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "a.jsonl"
    path.write_text(json.dumps(write(SHAPES[shape])))

    shown = shown_to_the_judge(ek.load(path, cache=False), tmp_path)

    assert [(turn["role"], turn.get("text")) for turn in shown] == [
        ("user", "Delete a.py."),
        ("assistant", "I do."),
        ("tool", "permission denied"),
        ("assistant", "Done."),
    ]
    (call,) = shown[1]["tool_calls"]
    assert (call["name"], call["arguments"]) == ("rm", {"path": "a.py"})
    assert shown[2]["tool"] == "rm"
    assert shown[2].get("is_error", False) == (shape == "Anthropic")
    assert not any("not_sent" in turn for turn in shown)


def test_a_refusal_is_text_and_a_picture_is_named(tmp_path: Path) -> None:
    picture = {"type": "image", "source": {"type": "base64", "data": "x" * 10_000}}
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "See."}, picture]},
        {"role": "assistant", "content": None, "refusal": "I do not do that for you."},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(chat(messages)))

    asked, refused = shown_to_the_judge(ek.load(path, cache=False), tmp_path)

    assert (asked["text"], asked["not_sent"]) == ("See.", ["image"])
    assert (refused["text"], refused["is_refusal"]) == ("I do not do that for you.", True)
    assert "not_sent" not in refused
