"""Convert turns and scores to plain data to show."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.util.format import shorten
from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from evalkit.data.evals import Evals

# A longer message is folded after its beginning.
_LONG: Final = 3_000
_BEGINNING: Final = 1_500
# Longer JSON is not laid out.
_MAX_JSON: Final = 100_000
_MAX_PREVIEW: Final = 91
_MAX_ATTACHMENT: Final = 2_000

# Parts that say what the text is.
_MARKS: Final = {"refusal": "Refusal", "error": "Error"}

Style = Literal["markdown", "plain"]


@dataclass(frozen=True, slots=True)
class MessagePart:
    """A section of a message, open or folded behind a summary."""

    text: str
    style: Style = "plain"
    summary: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptMessage:
    """One message; `kind` chooses the color, `role` is the heading."""

    kind: str
    role: str
    parts: tuple[MessagePart, ...]


@dataclass(frozen=True, slots=True)
class JudgementView:
    """One score of one criterion; `score` is in words, `sample` counts from 1."""

    criterion: str
    score: str
    value: float | None
    kind: str
    grader: str
    sample: int
    rationale: str
    evidence: str


def read_messages(turns: list[dict[str, Any]], trial: dict[str, Any]) -> list[TranscriptMessage]:
    """Return the turns as messages, the output unless repeated, and the error."""
    messages = [_message(turn) for turn in turns]
    answers = [turn["content"] or "" for turn in turns if turn["role"] == "assistant"]
    output = trial.get("output")
    if output is not None and (not answers or output.strip() not in answers[-1]):
        messages.append(TranscriptMessage("output", "final output", (MessagePart(output, "markdown"),)))
    if trial.get("error"):
        messages.append(
            TranscriptMessage("failure", "the trial ended with an error", (MessagePart(trial["error"]),))
        )
    return messages


def _message(turn: dict[str, Any]) -> TranscriptMessage:
    role = turn["role"] or "unknown role"
    kind = role if role in ("system", "user", "assistant", "tool") else "other"
    content = turn["content"] or ""
    parts: list[MessagePart] = []
    if turn["reasoning"]:
        size = plural(len(turn["reasoning"]), "character")
        parts.append(MessagePart(turn["reasoning"], summary=f"Reasoning ({size})"))
    if kind == "tool":
        name = turn["tool_name"] or turn["tool_call_id"] or ""
        summary = f"Tool result {name} ({plural(len(content), 'character')}): {_preview(content)}"
        parts.append(MessagePart(_pretty(content), summary=summary))
    elif content:
        parts += _split_long(content)
    parts += _tool_calls(turn["tool_calls"])
    if turn["parts"]:
        attachments = _parse(turn["parts"])
        listed = attachments if isinstance(attachments, list) else []
        kinds = [str(part.get("type", "part")) for part in listed if isinstance(part, dict)]
        others = [kind for kind in kinds if kind not in _MARKS]
        marks = [_MARKS[kind] for kind in kinds if kind in _MARKS]
        if others or not marks:
            marks.append(f"Not text: {', '.join(others) or 'a part'}")
        summary = ". ".join(marks)
        parts.append(MessagePart(_pretty(turn["parts"])[:_MAX_ATTACHMENT], summary=summary))
    return TranscriptMessage(kind, role, tuple(parts) or (MessagePart("(empty)"),))


def _split_long(content: str) -> list[MessagePart]:
    if len(content) <= _LONG:
        return [MessagePart(content, "markdown")]
    end = content.rfind("\n", _BEGINNING // 2, _BEGINNING)
    end = end if end > 0 else _BEGINNING
    head, rest = content[:end], content[end:].removeprefix("\n")
    summary = f"The rest of the message ({plural(len(rest), 'character')})"
    if head.count("```") % 2:
        head, rest = f"{head}\n```", f"```\n{rest}"
    return [MessagePart(head, "markdown"), MessagePart(rest, "markdown", summary)]


def _tool_calls(text: str | None) -> list[MessagePart]:
    if not text:
        return []
    calls = _parse(text)
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return [MessagePart(text, summary="Tool calls (invalid)")]
    parts = []
    for call in calls:
        function = call["function"] if isinstance(call.get("function"), dict) else {}
        name = call.get("name") or function.get("name") or "(no name)"
        arguments = call.get("arguments", function.get("arguments"))
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments, ensure_ascii=False)
        parts.append(MessagePart(_pretty(arguments), summary=f"Tool call {name}: {_preview(arguments)}"))
    return parts


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _pretty(text: str) -> str:
    """Lay out JSON; a string of several lines stands below its key without escapes."""
    value = _parse(text) if len(text) <= _MAX_JSON and text.lstrip().startswith(("{", "[")) else None
    if value is None:
        return text
    items = value.items() if isinstance(value, dict) else ()
    long = {key: f"\n{item}" for key, item in items if isinstance(item, str) and "\n" in item}
    if long:
        lines = {key: long.get(key) or f" {json.dumps(item, ensure_ascii=False)}" for key, item in items}
        return "\n".join(f"{key}:{line}" for key, line in lines.items())
    return json.dumps(value, indent=1, ensure_ascii=False)


def _preview(text: str) -> str:
    return shorten(" ".join(text[: 4 * _MAX_PREVIEW].split()), _MAX_PREVIEW)


def top_scores(evals: Evals, run: dict[str, Any]) -> dict[str, float | None]:
    """Return the highest score of each criterion in the suite of a run."""
    criteria = evals.criteria
    if run.get("suite"):
        criteria = criteria.filter(pl.col("suite") == run["suite"])
    return dict(zip(criteria["criterion"].cast(pl.String), criteria["scale_max"], strict=True))


def read_judgement(row: dict[str, Any], top: dict[str, float | None]) -> JudgementView:
    """Return a row of `scores` in words; `top` has the highest scores."""
    if row["score"] is None:
        score = f"unscored: {row['error']}" if row["error"] else "unscored"
    else:
        highest = top.get(row["criterion"])
        score = f"{row['score']:g}" + ("" if highest is None else f" of {highest:g}")
        score += f" ({row['label']})" if row["label"] else ""
    names = dict.fromkeys(str(name) for name in (row["grader"], row["judge_model"]) if name)
    kind = row["grader_kind"] or ""
    is_named = kind in map(str.lower, names)
    return JudgementView(
        criterion=row["criterion"],
        score=score,
        value=row["score"],
        kind=kind,
        grader=f"{', '.join(names) or f'grader {NOT_GIVEN}'}{f' ({kind})' if kind and not is_named else ''}",
        sample=row["sample"],
        rationale=row["rationale"] or "",
        evidence=row["evidence"] or "",
    )
