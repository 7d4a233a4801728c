"""Turns and scores as what is shown: messages in parts, judgements in words."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.util.words import NOT_GIVEN, plural

if TYPE_CHECKING:
    from evalkit.data.evals import Evals

# A message longer than this is folded after its beginning.
_LONG: Final = 3_000
_BEGINNING: Final = 1_500
# Longer JSON than this is not laid out.
_MOST: Final = 100_000
_PREVIEW: Final = 90

Style = Literal["markdown", "plain"]


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a message: text shown at once, or folded behind a summary."""

    text: str
    style: Style = "plain"
    summary: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One message: `kind` colours it (user, assistant, tool, ...), `role` says it in words."""

    kind: str
    role: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one grader said about one criterion; `score` in words, `value` as a number, `sample` from 1."""

    criterion: str
    score: str
    value: float | None
    kind: str
    grader: str
    sample: int
    rationale: str
    evidence: str


def messages(turns: list[dict[str, Any]], trial: dict[str, Any]) -> list[Message]:
    """Return the turns of a trial as messages; then its output where no message holds it, and its error."""
    made = [_message(turn) for turn in turns]
    said = [turn["content"] or "" for turn in turns if turn["role"] == "assistant"]
    output = trial.get("output")
    if output is not None and (not said or output.strip() not in said[-1]):
        made.append(Message("output", "final output", (Part(output, "markdown"),)))
    if trial.get("error"):
        made.append(Message("failure", "the trial ended with an error", (Part(trial["error"]),)))
    return made


def _message(turn: dict[str, Any]) -> Message:
    role = turn["role"] or "unknown role"
    kind = role if role in ("system", "user", "assistant", "tool") else "other"
    content = turn["content"] or ""
    parts: list[Part] = []
    if turn["reasoning"]:
        parts.append(Part(turn["reasoning"], summary=f"Reasoning ({_size(turn['reasoning'])})"))
    if kind == "tool":
        name = turn["tool_name"] or turn["tool_call_id"] or ""
        summary = f"Tool result {name} ({_size(content)}): {_preview(content)}"
        parts.append(Part(_indented(content), summary=summary))
    elif content:
        parts += _clamped(content)
    parts += _tool_calls(turn["tool_calls"])
    if turn["parts"]:
        parts.append(
            Part(_indented(turn["parts"])[:2_000], summary=f"Not text: {_part_kinds(turn['parts'])}")
        )
    if not parts:
        parts.append(Part("(empty)"))
    return Message(kind, role, tuple(parts))


def _clamped(content: str) -> list[Part]:
    """Show the beginning of a long message and fold the rest; a code fence is closed and opened again."""
    if len(content) <= _LONG:
        return [Part(content, "markdown")]
    cut = content.rfind("\n", _BEGINNING // 2, _BEGINNING)
    cut = cut if cut > 0 else _BEGINNING
    head, rest = content[:cut], content[cut:].removeprefix("\n")
    summary = f"The rest of the message ({_size(rest)})"
    if head.count("```") % 2:
        head, rest = f"{head}\n```", f"```\n{rest}"
    return [Part(head, "markdown"), Part(rest, "markdown", summary)]


def _tool_calls(text: str | None) -> list[Part]:
    if not text:
        return []
    calls = _loaded(text)
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return [Part(text, summary="Tool calls that could not be read")]
    parts = []
    for call in calls:
        function = call.get("function") if isinstance(call.get("function"), dict) else {}
        name = call.get("name") or function.get("name") or "(no name)"
        given = call.get("arguments", function.get("arguments"))
        arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        parts.append(Part(_indented(arguments), summary=f"Tool call {name}: {_preview(arguments)}"))
    return parts


def _part_kinds(text: str) -> str:
    parts = _loaded(text)
    kinds = (
        [str(part.get("type", "part")) for part in parts if isinstance(part, dict)]
        if isinstance(parts, list)
        else []
    )
    return ", ".join(kinds) or "a part"


def _loaded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _indented(text: str) -> str:
    """Return JSON with a line a value; anything else, and long text, as it is.

    A string of several lines in an object (a file that is written, a query) stands below its key as it is:
    code on one line, with escapes for its line ends, cannot be read.
    """
    if len(text) > _MOST or not text.lstrip().startswith(("{", "[")):
        return text
    value = _loaded(text)
    if value is None:
        return text
    if isinstance(value, dict) and any(isinstance(one, str) and "\n" in one for one in value.values()):
        return "\n".join(
            f"{key}:\n{one}"
            if isinstance(one, str) and "\n" in one
            else f"{key}: {json.dumps(one, ensure_ascii=False)}"
            for key, one in value.items()
        )
    return json.dumps(value, indent=1, ensure_ascii=False)


def _size(text: str) -> str:
    return plural(len(text), "character")


def _preview(text: str) -> str:
    line = " ".join(text[: 4 * _PREVIEW].split())
    return f"{line[:_PREVIEW]}…" if len(line) > _PREVIEW else line


def scales(evals: Evals, run: dict[str, Any]) -> dict[str, float | None]:
    """Return the highest score of each criterion of the run's suite."""
    frame = evals.criteria
    if run.get("suite"):
        frame = frame.filter(pl.col("suite") == run["suite"])
    return dict(zip(frame["criterion"].cast(pl.String), frame["scale_max"], strict=True))


def judgement(row: dict[str, Any], scales: dict[str, float | None]) -> Judgement:
    """Return a row of `scores` in words; `scales` says out of how much."""
    if row["score"] is None:
        score = f"unscored: {row['error']}" if row["error"] else "unscored"
    else:
        most = scales.get(row["criterion"])
        score = f"{row['score']:g}" + (f" of {most:g}" if most is not None else "")
        score += f" ({row['label']})" if row["label"] else ""
    names = dict.fromkeys(str(name) for name in (row["grader"], row["judge_model"]) if name)
    said = [name.lower() for name in names]
    kind = f" ({row['grader_kind']})" if row["grader_kind"] and row["grader_kind"] not in said else ""
    return Judgement(
        criterion=row["criterion"],
        score=score,
        value=row["score"],
        kind=row["grader_kind"] or "",
        grader=f"{', '.join(names) or f'grader {NOT_GIVEN}'}{kind}",
        sample=row["sample"],
        rationale=row["rationale"] or "",
        evidence=row["evidence"] or "",
    )
