"""What readers of others' formats put together: every good record, a problem for the rest."""

from __future__ import annotations

from evalkit.data.chat_messages import turns
from evalkit.readers.builder import EvalsBuilder


def test_a_record_that_does_not_fit_costs_no_other():
    builder = EvalsBuilder("log.json")
    builder.add_run("a", model="m")
    builder.add_run("a", model="other", agent="x")
    builder.add_trial("a", "01", 1, 3, output="yes", input_tokens="many")
    builder.add_score("a", "01", 1, "Tone", 3, score="n/a")
    builder.add_score("a", "01", 1, "Facts", 3, score=True)
    builder.add_score("a", "01", 1, "Facts", 4, score=0)

    evals = builder.build()

    assert evals.runs.select("model", "agent").rows() == [("m", "x")]
    assert evals.trials.select("output", "input_tokens", "line").rows() == [("yes", None, 3)]
    assert evals.scores.select("criterion", "score", "error").rows() == [
        ("Tone", None, "n/a"),
        ("Facts", 1.0, None),
    ]
    assert evals.problems["line"].to_list() == [3, 3, 4]
    assert set(evals.problems["source"]) == {"log.json"}


def test_fields_without_a_place_are_told_once():
    builder = EvalsBuilder("log.json")
    builder.ignore_fields("embedding", "logprobs")
    builder.ignore_fields("embedding")
    builder.add_trial("a", "01", 1, None)

    assert list(map(str, builder.build().notes)) == ["log.json: Ignored fields: embedding, logprobs."]


def test_nothing_found_is_said():
    assert EvalsBuilder("log.json").build().problems["reason"].to_list() == ["there are no records in it"]


def test_attempts_are_counted_within_a_run_and_a_case():
    builder = EvalsBuilder("log.json")

    assert [builder.next_epoch("a", "01"), builder.next_epoch("a", "01"), builder.next_epoch("b", "01")] == [
        1,
        2,
        1,
    ]


def test_a_message_keeps_what_is_no_text():
    image = {"type": "image_url", "image_url": {"url": "data:,x"}}

    made = turns([{"role": "user", "content": [{"type": "text", "text": "See: "}, image]}])[0]

    assert made["content"] == "See: "
    assert "image_url" in made["parts"]


def test_a_tool_result_and_odd_calls_are_kept():
    result = turns([{"role": "tool", "tool_call_id": 7, "name": "add", "content": "3"}])[0]
    odd = turns([{"role": "assistant", "tool_calls": ["?", {"name": "add", "arguments": "{broken"}]}])[0]

    assert (result["tool_name"], result["tool_call_id"], result["content"]) == ("add", "7", "3")
    assert odd["tool_calls"] == '["?",{"id":null,"name":"add","arguments":"{broken"}]'


def test_a_criterion_judged_by_true_and_by_numbers_has_no_scale():
    builder = EvalsBuilder("log.json")
    for criterion, score in [("Safe", True), ("Tone", False), ("Tone", 3.5)]:
        builder.add_score("a", f"case {score}", 1, criterion, 1, score=score)
        if isinstance(score, bool):
            builder.add_binary_criterion("", criterion)

    evals = builder.build()

    assert evals.criteria.select("criterion", "kind", "scale_max").rows() == [("Safe", "binary", 1.0)]
    assert list(map(str, evals.notes)) == [
        "log.json: Tone is true or false in some records, a number in others."
    ]
