"""Files of OpenAI-compatible Batch APIs: what was asked, what came back, what failed. All records are made up."""

from __future__ import annotations

import json

import pytest

import evalkit as ek


def request(name, model="m", text="Why?", **more):
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 9}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body} | more


def completion(text="So.", model="m-2026", **more):
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7, "total_time": 0.5},
    } | more


def answer(name, body=None, *, status=200, error=None):
    response = {"status_code": status, "request_id": "req_1", "body": completion() if body is None else body}
    return {"id": "batch_req_1", "custom_id": name, "response": response, "error": error}


EXPIRED = {
    "id": "batch_req_2",
    "custom_id": "c",
    "response": None,
    "error": {"code": "batch_expired", "message": "Too late."},
}
BAD = answer("b", {"error": {"message": "no such model", "type": "invalid_request_error"}}, status=400)


def write(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def folder(path, asked=("a", "b", "c"), outputs=None):
    write(path / "asked.jsonl", [request(name) for name in asked])
    write(path / "out.jsonl", outputs or [answer("a")])
    write(path / "err.jsonl", [BAD, EXPIRED])
    return path


def test_outputs_and_errors_are_joined_to_what_was_asked(tmp_path):
    evals = ek.load(folder(tmp_path / "day"))

    assert evals.problems.is_empty()
    assert evals.runs.select("run", "model").rows() == [("asked", "m")]
    assert sorted(evals.trials.select("case", "output", "error").rows()) == [
        ("a", "So.", None),
        ("b", None, "status 400: invalid_request_error: no such model"),
        ("c", None, "batch_expired: Too late."),
    ]
    trial = evals.trials.filter(case="a").row(0, named=True)
    assert (trial["input_tokens"], trial["output_tokens"], trial["stop_reason"]) == (5, 2, "stop")
    assert (trial["latency_s"], str(trial["started_at"])[:10]) == (0.5, "2026-09-21")
    assert evals.turns.filter(case="a").select("role", "content").rows() == [
        ("user", "Why?"),
        ("assistant", "So."),
    ]
    assert evals.turns.filter(case="b")["content"].to_list() == ["Why?"]
    assert evals.cases["input"].to_list() == ["Why?"] * 3


@pytest.mark.parametrize("name", ["out.jsonl", "err.jsonl"])
def test_one_file_alone_finds_what_was_asked_beside_it(tmp_path, name):
    evals = ek.load(folder(tmp_path / "day") / name)

    assert evals.runs["run"].item() == "asked"
    assert set(evals.turns.filter(turn=1)["content"]) == {"Why?"}
    assert len(evals.files) == 2


def test_an_output_without_what_was_asked_is_a_run_of_its_own_name(tmp_path):
    evals = ek.load(write(tmp_path / "nightly.jsonl", [answer("a")]))

    assert evals.runs.select("run", "model").row(0) == ("nightly", "m-2026")
    assert evals.turns["role"].to_list() == ["assistant"]
    assert any("input file" in str(note) for note in evals.notes)


def test_a_request_that_no_file_answers_is_a_failed_trial(tmp_path):
    evals = ek.load(folder(tmp_path / "day", asked=("a", "b", "c", "d")))

    lost = evals.trials.filter(case="d").row(0, named=True)
    assert "neither the output nor the error file" in lost["error"]
    assert (lost["run"], lost["line"]) == ("asked", 4)


def test_requests_alone_are_cases_and_no_failed_trials(tmp_path):
    evals = ek.load(write(tmp_path / "asked.jsonl", [request("a")]))

    assert (evals.cases.height, evals.trials.height) == (1, 0)
    assert any("output file" in str(note) for note in evals.notes)


def test_hosts_that_write_their_lines_otherwise_are_understood(tmp_path):
    lines = [
        {"custom_id": "a", "response": {"status_code": 200, "body": json.dumps(completion("As text."))}},
        {"custom_id": "b", "error": {"code": 7, "message": "inference failed"}},
        {"custom_id": None, "error": {"code": "invalid_json", "message": "line 3"}},
        {"custom_id": "c", "response": {"status_code": 200, "body": completion("x\u2028y")}},
        {"custom_id": "d", "response": {"status_code": 500, "body": "oops"}},
        {"custom_id": "e", "response": None},
        {"custom_id": "f", "error": "just words", "response": None},
    ]
    path = tmp_path / "out.jsonl"
    path.write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines), encoding="utf-8")

    evals = ek.load(path)

    assert evals.trials.select("case", "output", "error").rows() == [
        ("a", "As text.", None),
        ("b", None, "7: inference failed"),
        ("c", "x\u2028y", None),
        ("d", None, "status 500"),
        ("e", None, "there is no response"),
        ("f", None, "just words"),
    ]
    assert evals.problems["line"].to_list() == [3]
    assert "invalid_json" in evals.problems["reason"].item()


def test_an_answer_in_the_wrong_order_reaches_its_own_question(tmp_path):
    write(tmp_path / "in.jsonl", [request("a", text="first"), request("b", text="second")])
    write(tmp_path / "out.jsonl", [answer("b", completion("2")), answer("a", completion("1"))])

    evals = ek.load(tmp_path)

    said = evals.turns.sort("case", "turn").select("case", "content").rows()
    assert said == [("a", "first"), ("a", "1"), ("b", "second"), ("b", "2")]


def test_several_choices_are_epochs_and_their_usage_counts_once(tmp_path):
    two = completion()
    two["choices"] = [{"message": {"content": text}, "finish_reason": "stop"} for text in ("x", "y")]

    evals = ek.load(write(tmp_path / "out.jsonl", [answer("a", two)]))

    assert evals.trials.select("epoch", "output", "output_tokens").rows() == [(1, "x", 2), (2, "y", None)]


def test_several_models_in_one_file_are_several_runs(tmp_path):
    write(tmp_path / "in.jsonl", [request("a", "small"), request("b", "large")])
    write(tmp_path / "out.jsonl", [answer("a"), answer("b")])

    evals = ek.load(tmp_path)

    assert sorted(evals.runs["run"]) == ["in: large", "in: small"]


def test_the_responses_endpoint_and_tool_calls_are_read(tmp_path):
    body = {
        "object": "response",
        "model": "m",
        "status": "completed",
        "created_at": 1_790_000_000,
        "output": [
            {"type": "function_call", "id": "f", "name": "add", "arguments": '{"a": 1}'},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Two."}]},
        ],
        "usage": {"input_tokens": 3, "output_tokens": 1},
    }
    asked = request("a", url="/v1/responses", body={"model": "m", "instructions": "Add.", "input": "1 + 1"})
    write(tmp_path / "in.jsonl", [asked])
    write(tmp_path / "out.jsonl", [answer("a", body)])

    evals = ek.load(tmp_path)

    assert evals.trials.select("output", "input_tokens", "output_tokens").row(0) == ("Two.", 3, 1)
    assert evals.turns.select("role", "content").rows() == [
        ("system", "Add."),
        ("user", "1 + 1"),
        ("assistant", "Two."),
    ]
    assert json.loads(evals.turns["tool_calls"][2])[0]["arguments"] == {"a": 1}


def test_two_days_of_the_same_requests_are_two_runs(tmp_path):
    for day, text in (("monday", "So."), ("tuesday", "Thus.")):
        folder(tmp_path / day, outputs=[answer("a", completion(text))])
        (tmp_path / day / "asked.jsonl").rename(tmp_path / day / "input.jsonl")

    evals = ek.load(tmp_path)

    assert evals.problems.is_empty()
    assert evals.runs["run"].to_list() == ["monday", "tuesday"]
    assert evals.trials.filter(case="a").select("run", "output").rows() == [
        ("monday", "So."),
        ("tuesday", "Thus."),
    ]


def test_a_request_named_twice_keeps_its_first_answer_and_says_so(tmp_path):
    evals = ek.load(write(tmp_path / "out.jsonl", [answer("a"), answer("a", completion("Again."))]))

    assert evals.trials["output"].to_list() == ["So."]
    assert evals.problems["line"].to_list() == [2]
