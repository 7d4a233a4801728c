"""promptfoo: `-o out.json` (results version 2 and 3) and `-o out.jsonl`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.assertions import SUCCESS, Attempt, Check, add_checks, name_cases
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import first_records, listed_in, outline, read_object
from evalkit.readers.json_values import digest, mapping, number, sequence, severity_of, words

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from evalkit.data.evals import Evals

_GRADER: Final = "promptfoo"
# Assertions that a model decides; every other one is code.
_JUDGED: Final = (
    *("llm-rubric", "model-graded", "factuality", "g-eval", "answer-relevance", "context-", "select-best"),
    *(
        "pi",
        "search-rubric",
        "conversation-relevance",
        "agent-rubric",
        "trajectory:goal",
        "promptfoo:redteam",
    ),
)
_DROPPED: Final = ("namedScores", "traceId", "evaluationId", "metadata", "score")
_STRIPPED: Final = "stripped]"
_LONGEST_NAME: Final = 48


def is_json(path: Path, head: bytes) -> bool:
    """Whether it is an object with promptfoo's results in it."""
    keys = outline(head)
    return {"results", "results.version"} <= keys and bool(
        keys & {"results.results", "results.prompts", "results.table", "results.timestamp"}
    )


def is_jsonl(path: Path, head: bytes) -> bool:
    """Whether a line is one result."""
    return any(
        "provider" in record
        and bool({"gradingResult", "failureReason", "success"} & record.keys())
        and bool({"promptIdx", "promptId", "testIdx", "testCase"} & record.keys())
        for record in first_records(head)
    )


def read_json(path: Path) -> Evals:
    """Read what `promptfoo eval -o out.json` wrote."""
    builder = EvalsBuilder(str(path))
    whole, data = read_object(path, builder)
    results = mapping(whole.get("results"))
    builder.ignore_fields(*(name for name in ("traces", "blobAssets") if whole.get(name)))
    _take(
        builder,
        listed_in(whole, data, "results", "results", builder=builder),
        as_text(results.get("timestamp")),
    )
    return builder.build()


def read_jsonl(path: Path) -> Evals:
    """Read what `promptfoo eval -o out.jsonl` wrote: a result a line."""
    builder = EvalsBuilder(str(path))
    _take(builder, list(json_records.read(path, builder)), None)
    return builder.build()


def _take(
    builder: EvalsBuilder, records: list[tuple[int | None, dict[str, Any]]], started: str | None
) -> None:
    cases = name_cases([_identity(record) for _, record in records])
    attempts = []
    for (line, record), case in zip(records, cases, strict=True):
        run = _run(builder, record, started)
        if run is None:
            builder.add_problem(line, "there is no provider")
            continue
        epoch = builder.next_epoch(run, case)
        _case(builder, case, record)
        _trial(builder, (run, case, epoch), line, record)
        attempts.append(_attempt(builder, (run, case, epoch), line, record))
        builder.ignore_fields(*(name for name in _DROPPED if record.get(name)))
    add_checks(builder, attempts, grader=_GRADER)


def _identity(record: dict[str, Any]) -> tuple[str | None, Any]:
    """Return what makes two results the same case: repeats are only told by it."""
    test = mapping(record.get("testCase"))
    name = as_text(test.get("description") or record.get("description")) or None
    asked = test.get("vars") or record.get("vars")
    return name, [
        asked,
        [_words_of(one) for one in sequence(test.get("assert"))],
    ] if name or not asked else asked


def _run(builder: EvalsBuilder, record: dict[str, Any], started: str | None) -> str | None:
    provider = record.get("provider")
    name = as_text(provider) if not isinstance(provider, dict) else None
    who = mapping(provider)
    identity = as_text(who.get("id")) or name
    label = as_text(who.get("label")) or identity
    if not label or identity is None:
        return None
    prompt = _prompt_name(record)
    run = f"{label}: {prompt}" if prompt else label
    template = as_text(mapping(record.get("prompt")).get("label"))
    builder.add_run(
        run,
        agent_version=prompt or label,
        model=label,
        provider=identity.split(":", 1)[0] if ":" in identity else None,
        started_at=started,
        config=as_text({"provider": identity, "prompt": template}),
    )
    return run


def _prompt_name(record: dict[str, Any]) -> str | None:
    """Return the label of the prompt, a long one cut: where none was given it is the whole prompt."""
    prompt = record.get("prompt")
    label = as_text(prompt.get("label") or prompt.get("raw") if isinstance(prompt, dict) else prompt)
    if not label:
        return as_text(record.get("promptId"))
    short = " ".join(label.split())
    return short if len(short) <= _LONGEST_NAME else f"{short[:_LONGEST_NAME]}… {digest(label)[:6]}"


def _case(builder: EvalsBuilder, case: str, record: dict[str, Any]) -> None:
    test = mapping(record.get("testCase"))
    told = mapping(test.get("metadata"))
    points = [_words_of(one) for one in sequence(test.get("assert"))]
    builder.add_case(
        "",
        case,
        input=words(test.get("vars") or record.get("vars") or None),
        expected_rubric="\n".join(" ".join(point.split()) for point in points) or None,
        severity=severity_of(told),
        domain=as_text(told.get("domain") or told.get("category")),
        tags=[str(as_text(tag)) for tag in sequence(told.get("tags"))] or None,
    )


def _words_of(assertion: Any) -> str:
    facts = mapping(assertion)
    value = as_text(facts.get("value"))
    kind = as_text(facts.get("type")) or "assertion"
    return f"{kind}: {value}" if value else kind


def _trial(
    builder: EvalsBuilder, trial: tuple[str, str, int], line: int | None, record: dict[str, Any]
) -> None:
    response = mapping(record.get("response"))
    usage = mapping(response.get("tokenUsage") or record.get("tokenUsage"))
    latency = number(record.get("latencyMs"))
    output = as_text(response.get("output"))
    builder.add_trial(
        *trial,
        line,
        output=output,
        error=_error(record),
        stop_reason=as_text(response.get("finishReason")),
        input_tokens=usage.get("prompt"),
        output_tokens=usage.get("completion"),
        cost_usd=record.get("cost"),
        latency_s=None if latency is None else latency / 1000,
    )
    messages = _messages(record.get("prompt"))
    if output is not None:
        messages.append(message({"role": "assistant", "content": output}))
    builder.add_turns(*trial, messages)


def _messages(prompt: Any) -> list[dict[str, Any]]:
    """Return what was sent: promptfoo writes a chat as its JSON."""
    raw = mapping(prompt).get("raw") if isinstance(prompt, dict) else prompt
    if not isinstance(raw, str) or raw.endswith(_STRIPPED):
        return []
    chat = sequence(raw)
    if chat and all(isinstance(one, dict) and "role" in one for one in chat):
        return [message(one) for one in chat]
    return [message({"role": "user", "content": raw})]


def _error(record: dict[str, Any]) -> str | None:
    """Return why there is no answer. What stands in `error` may as well be why an assertion failed."""
    response = mapping(record.get("response"))
    told = as_text(record.get("error") or response.get("error"))
    reason = record.get("failureReason")
    if reason == 2:
        return told or "promptfoo says that the call failed"
    if reason is None and response.get("output") is None and not record.get("gradingResult"):
        return told
    return None


def _attempt(
    builder: EvalsBuilder, trial: tuple[str, str, int], line: int | None, record: dict[str, Any]
) -> Attempt:
    result = mapping(record.get("gradingResult"))
    options = mapping(mapping(record.get("testCase")).get("options"))
    checks, humans = [], []
    for part in sequence(result.get("componentResults")):
        component = mapping(part)
        if mapping(component.get("assertion")).get("type") == "human":
            humans.append(component)
        elif component.get("assertion") or not component.get("componentResults"):
            # The result of a set of assertions is beside those of its members.
            checks.append(_check(component, options.get("provider")))
    success = record.get("success", result.get("pass"))
    success = success if isinstance(success, bool) else None
    for component in humans:
        # A person's thumb replaces the verdict: what the assertions said is left in them alone.
        success = all(check.passed for check in checks) if checks else None
        _human(builder, trial, line, component)
    if _error(record) is not None:
        return Attempt("", trial, line, None, ())
    return Attempt("", trial, line, success, checks, as_text(result.get("reason")))


def _check(component: Mapping[str, Any], judge: Any) -> Check:
    """Return a component as a check; `judge` is the provider that decides where the assertion names none."""
    assertion = mapping(component.get("assertion"))
    kind = as_text(assertion.get("type")) or "assertion"
    passed = component.get("pass")
    failed = mapping(component.get("metadata")).get("graderError")
    if failed is True:
        failed = as_text(component.get("reason")) or "the grader gave no verdict"
    judged = kind.removeprefix("not-").startswith(_JUDGED)
    provider = assertion.get("provider") or (judge if judged else None)
    score, threshold = component.get("score"), assertion.get("threshold")
    facts = {"score": score, "threshold": threshold, "weight": assertion.get("weight"), "type": kind}
    return Check(
        as_text(assertion.get("metric")) or kind,
        None if failed or not isinstance(passed, bool) else passed,
        rationale=as_text(component.get("reason")),
        error=as_text(failed) if failed else None,
        kind="judge" if judged else "code",
        judge_model=as_text(mapping(provider).get("id") if isinstance(provider, dict) else provider),
        facts={name: value for name, value in facts.items() if value is not None},
    )


def _human(
    builder: EvalsBuilder, trial: tuple[str, str, int], line: int | None, component: Mapping[str, Any]
) -> None:
    passed = component.get("pass")
    builder.add_criterion("", SUCCESS, kind="binary", scale_min=0, scale_max=1)
    builder.add_score(
        *trial,
        SUCCESS,
        line,
        grader="human",
        grader_kind="human",
        score=passed if isinstance(passed, bool) else None,
        rationale=as_text(component.get("comment") or component.get("reason")),
    )


READERS: Final = (
    Reader("promptfoo results", is_json, read=read_json, whole=True, alone=True),
    Reader("promptfoo results as JSON lines", is_jsonl, read=read_jsonl, whole=True, alone=True),
)
