"""Preferences between two answers: AlpacaEval, arena and MT-bench pairs.

A pair is a judgement of two trials: 1 for the preferred answer, 0 for the other, 0.5 for a tie. The mean over cases is the
win rate. The order in which the judge saw the answers is in the metadata, as `evalkit.judge_forensics` reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import ZERO_TO_ONE, RecordFormat, has_paths, has_records
from evalkit.readers.json_values import digest, number, sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

CRITERION: Final = "preferred"
_FIRST: Final = ("a", "model_a", "model_1", "model1", "1")
_SECOND: Final = ("b", "model_b", "model_2", "model2", "2")
_TIES: Final = ("tie", "tie (bothbad)", "both", "both_bad", "neither", "draw")


def _share(winner: Any) -> float | None:
    """Return the second answer's share of a win: 1, 0, or 0.5 for a tie; None if the winner is unknown."""
    word = (as_text(winner) or "").strip().lower()
    return 1.0 if word in _SECOND else 0.0 if word in _FIRST else 0.5 if word in _TIES else None


def _alpaca(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records():
        value = number(record.get("preference"))
        is_known = value is not None and 1 <= value <= 2
        judgements = [
            {"share": value - 1 if value is not None and is_known else None, "judge": record.get("annotator")}
        ]
        names = record.get("generator_1"), record.get("generator_2")
        outputs = record.get("output_1"), record.get("output_2")
        yield from _two(line, record.get("instruction"), None, names, outputs, judgements)


def _arena(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records():
        judge = record.get("judge")
        name = next(iter(sequence(judge)), judge) if isinstance(judge, list) else judge
        judgements = [
            {
                "share": _share(record.get("winner")),
                "judge": name,
                "order": "AB",
                "label": record.get("winner"),
            }
        ]
        names = record.get("model_a"), record.get("model_b")
        talks = record.get("conversation_a"), record.get("conversation_b")
        case = record.get("question_id")
        question = fields.get(record, ("question", "prompt", "conversation_a.0.content"))
        yield from _two(line, question, case, names, talks, judgements)


def _mt_bench(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records():
        judge = sequence(record.get("judge"))
        judgements = [
            {
                "share": _share(record.get(f"{game}_winner")),
                "judge": judge[0] if judge else None,
                "order": order,
                "label": record.get(f"{game}_winner"),
                "rationale": record.get(f"{game}_judgment"),
            }
            for game, order in (("g1", "AB"), ("g2", "BA"))
            if f"{game}_winner" in record
        ]
        names = record.get("model_1"), record.get("model_2")
        case = f"{as_text(record.get('question_id'))} turn {as_text(record.get('turn')) or 1}"
        yield from _two(line, None, case, names, (None, None), judgements)


def _two(
    line: int | None,
    question: Any,
    case: Any,
    names: tuple[Any, Any],
    outputs: tuple[Any, Any],
    judgements: list[dict[str, Any]],
) -> Iterator[tuple[int | None, fields.Record]]:
    """Yield the record of each answer of a pair."""
    asked = as_text(question)
    for place, (name, output) in enumerate(zip(names, outputs, strict=True)):
        yield (
            line,
            {
                "run": name,
                "case": as_text(case) or (digest(asked)[:12] if asked else None),
                "epoch": 1,
                "input": asked,
                "output": output,
                "scores": [
                    {
                        **one,
                        "score": None
                        if one["share"] is None
                        else one["share"]
                        if place
                        else 1 - one["share"],
                        "label": _label(one, place),
                        "metadata": {"against": names[1 - place], "order": one.get("order")},
                    }
                    for one in judgements
                ],
            },
        )


def _label(one: dict[str, Any], place: int) -> str | None:
    """Return who wins, seen from an answer: A is itself."""
    if one["share"] is None:
        return as_text(one.get("label"))
    own = one["share"] if place else 1 - one["share"]
    return "tie" if own == 0.5 else "A" if own > 0.5 else "B"


def _turns(record: fields.Record) -> fields.Turns:
    output = record["output"]
    if isinstance(output, list):
        return fields.chat_turns(output)
    return fields.as_turns("user", record["input"]) + fields.as_turns("assistant", output)


def _format(records: Any) -> RecordFormat:
    return RecordFormat(
        records=records,
        required=("case", "run"),
        is_version=True,
        runs={"model": "run"},
        cases={"input": "input"},
        turns=_turns,
        criterion=fields.always(CRITERION),
        criteria=fields.always(ZERO_TO_ONE),
        score={
            "grader": fields.to(lambda name: as_text(name) or "judge", "judge"),
            "grader_kind": fields.always("judge"),
            "score": "score",
            "label": "label",
            "rationale": "rationale",
            "metadata": "metadata",
            "error": lambda one: "the winner is unknown" if one["score"] is None else None,
        },
        counts_samples=True,
        on_repeat="score",
    )


READERS: Final = (
    Reader(
        "AlpacaEval annotations",
        has_paths("[].generator_1", "[].generator_2", "[].output_1", "[].output_2", "[].preference"),
        read=_format(_alpaca).read,
        whole=True,
        alone=True,
    ),
    Reader(
        "arena battles",
        lambda path, data: (
            has_paths("[].model_a", "[].model_b", "[].winner")(path, data)
            or has_records("model_a", "model_b", "winner")(path, data)
        ),
        read=_format(_arena).read,
        whole=True,
        alone=True,
    ),
    Reader(
        "MT-bench preferences",
        has_records("question_id", "model_1", "model_2", "judge", any_of=("g1_winner", "winner")),
        read=_format(_mt_bench).read,
        whole=True,
        alone=True,
    ),
)
