"""FastChat: the reviews of the Vicuna benchmark, and MT-bench with its `gpt-4_single` judgements."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.chat_messages import message
from evalkit.data.columns import as_text
from evalkit.readers import json_values as json_records
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.json_keys import first_records
from evalkit.readers.json_values import mapping, moment, sequence

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from evalkit.data.evals import Evals

_SCALE: Final = {"kind": "ordinal", "scale_min": 1, "scale_max": 10}
"""What each of FastChat's prompts asks for: a score from 1 to 10."""

_ABOVE: Final = 3
_ANSWERS: Final = ("answer", "answers", "model_answer")
_REFERENCE: Final = "reference_answer"
_REVIEWS: Final = "review"
_JUDGE: Final = re.compile(r"(.+?)_review_")
_MODEL: Final = re.compile(r"gpt-\d+(?:\.\d+)?(?:-turbo)?")
_TWO_SCORES: Final = re.compile(r"\s*(\d+(?:\.\d+)?)[,\s/]+(\d+(?:\.\d+)?)\s*$")
_UNREAD: Final = -1


def _with(
    *names: str, any_of: tuple[str, ...] = (), none_of: tuple[str, ...] = ()
) -> Callable[[Path, bytes], bool]:
    """Return a sniff: some line has all of these names, one of those, and none of the last."""

    def sniff(path: Path, head: bytes) -> bool:
        return any(
            record.keys() >= {*names}
            and (not any_of or bool(record.keys() & {*any_of}))
            and not record.keys() & {*none_of}
            for record in first_records(head)
        )

    return sniff


def read_questions(path: Path) -> Evals:
    """Read the questions: cases."""
    builder = EvalsBuilder(str(path))
    for line, record in json_records.read(path, builder):
        case = as_text(record.get("question_id"))
        if case is None:
            builder.add_problem(line, "there is no question_id")
            continue
        _case(builder, case, record)
        reference = [as_text(one) for one in sequence(record.get("reference"))]
        builder.add_case("", case, ideal_behavior="\n\n".join(text for text in reference if text) or None)
    return builder.build()


def read_answers(path: Path) -> Evals:
    """Read the answers of a model: a choice is an epoch; reference answers are what a good answer does."""
    builder = EvalsBuilder(str(path))
    questions = _questions_near(path)
    reference = path.parent.name == _REFERENCE
    for line, record in json_records.read(path, builder):
        case, model = as_text(record.get("question_id")), as_text(record.get("model_id"))
        if case is None or model is None:
            builder.add_problem(line, "there is no question_id or no model_id")
            continue
        asked = questions.get(case, {})
        _case(builder, case, asked)
        answers = _said(record)
        if reference:
            builder.add_case("", case, ideal_behavior="\n\n".join(answers[0]) if answers else None)
            continue
        _run(builder, model)
        for epoch, turns in enumerate(answers, 1):
            _answer(builder, (model, case, epoch), line, record, _asked(asked), turns)
        builder.ignore_fields(*(name for name in ("metadata", "answer_id") if record.get(name)))
    return builder.build()


def _said(record: dict[str, Any]) -> list[list[str]]:
    """Return the turns of each choice; the old files hold one text."""
    choices = [sequence(mapping(choice).get("turns")) for choice in sequence(record.get("choices"))]
    if not choices:
        choices = [[record.get("text", record.get("output"))]]
    return [[text for text in map(as_text, turns) if text is not None] for turns in choices]


def _answer(
    builder: EvalsBuilder,
    trial: tuple[str, str, int],
    line: int,
    record: dict[str, Any],
    asked: list[str],
    said: list[str],
) -> None:
    turns = []
    for at, text in enumerate(said):
        if at < len(asked):
            turns.append(message({"role": "user", "content": asked[at]}))
        turns.append(message({"role": "assistant", "content": text}))
    builder.add_trial(
        *trial,
        line,
        output=said[-1] if said else None,
        error=None if said else "there is no answer",
        started_at=moment(record.get("tstamp")),
    )
    builder.add_turns(*trial, turns)


def read_reviews(path: Path) -> Evals:
    """Read reviews of two answers side by side: two scores a row, each of its own run.

    An answer that is reviewed beside several others has a score for each: they are samples, counted over all the
    files of the folder of reviews, so that they are told apart also when the files are loaded one by one.
    """
    builder = EvalsBuilder(str(path))
    models = _models_near(path)
    named = _JUDGE.match(path.stem)
    stem = path.stem.removeprefix(named[0] if named else "review_")
    sides = stem.split("_") if stem.count("_") == 1 else [f"answer {at} of {path.stem}" for at in (1, 2)]
    sample = 2 * _place(path)
    for line, record in json_records.read(path, builder):
        case = as_text(record.get("question_id"))
        if case is None:
            builder.add_problem(line, "there is no question_id")
            continue
        runs = [models.get(str(record.get(f"answer{at + 1}_id")), sides[at]) for at in (0, 1)]
        judge = _judge(builder, named[1] if named else None, record)
        builder.add_criterion("", "overall", **_SCALE)
        for at, score in enumerate(_two_scores(record)):
            _run(builder, runs[at])
            facts = {
                "review_id": record.get("review_id"),
                "reviewer_id": record.get("reviewer_id"),
                "position": at + 1,
                "beside": runs[1 - at],
            }
            builder.add_score(
                *(runs[at], case, 1, "overall", line),
                sample=sample + at + 1,
                grader=judge,
                grader_kind="judge",
                judge_model=judge,
                score=score,
                rationale=as_text(record.get("text")),
                error=None if score is not None else "the judge's text does not give the two scores",
                metadata=as_text({name: value for name, value in facts.items() if value is not None}),
            )
    if not models:
        builder.notes.append(
            f"{path}: no folder of answers lies near it: the runs are called after the file."
        )
    return builder.build()


def _judge(builder: EvalsBuilder, named: str | None, record: dict[str, Any]) -> str:
    if named:
        return named
    hit = _MODEL.match(str(record.get("reviewer_id")))
    if hit:
        return hit[0]
    note = f"{builder.source}: nothing says which model judged: it is taken for gpt-4, FastChat's reviewer."
    if note not in builder.notes:
        builder.notes.append(note)
    return "gpt-4"


def _two_scores(record: dict[str, Any]) -> tuple[Any, Any]:
    """Return the two scores; FastChat writes -1 where it could not read them."""
    given = sequence(record.get("score"))
    if len(given) != 2:
        hit = _TWO_SCORES.match((as_text(record.get("text")) or "").split("\n", 1)[0])
        given = [float(hit[1]), float(hit[2])] if hit else [_UNREAD, _UNREAD]
    first, second = (None if score == _UNREAD else score for score in given)
    return first, second


def read_single(path: Path) -> Evals:
    """Read judgements of single answers: a turn of the conversation is a criterion."""
    builder = EvalsBuilder(str(path))
    seen: dict[tuple[str, ...], int] = {}
    for line, record in json_records.read(path, builder):
        case, run = as_text(record.get("question_id")), as_text(record.get("model"))
        if case is None or run is None:
            builder.add_problem(line, "there is no question_id or no model")
            continue
        given = record.get("judge")
        judge = [as_text(part) or "" for part in (given if isinstance(given, list) and given else [given])]
        criterion = f"turn {as_text(record.get('turn')) or 1}"
        key = (run, case, criterion, judge[0])
        seen[key] = seen.get(key, 0) + 1
        score = None if record.get("score") == _UNREAD else record.get("score")
        _run(builder, run)
        builder.add_criterion("", criterion, **_SCALE)
        builder.add_score(
            *(run, case, 1, criterion, line),
            sample=seen[key],
            grader=judge[0],
            grader_kind="judge",
            judge_model=judge[0] or None,
            score=score,
            rationale=as_text(record.get("judgment")),
            error=None if score is not None else "the judge's text gives no score",
            metadata=as_text({"prompt": judge[1]}) if len(judge) > 1 else None,
        )
        builder.ignore_fields(*(name for name in ("user_prompt", "tstamp") if record.get(name)))
    return builder.build()


def read_pairs(path: Path) -> Evals:
    """Say that a preference between two answers is no score of either."""
    builder = EvalsBuilder(str(path))
    builder.add_problem(
        None,
        "these are preferences between two answers, which evalkit does not read; gpt-4_single.jsonl has scores",
    )
    return builder.build()


def read_models(path: Path) -> Evals:
    """Read the list of models: runs."""
    builder = EvalsBuilder(str(path))
    for line, record in json_records.read(path, builder):
        run = as_text(record.get("model_id"))
        if run is None:
            builder.add_problem(line, "there is no model_id")
            continue
        _run(builder, run, config=as_text(record))
    return builder.build()


def read_prompts(path: Path) -> Evals:
    """Read nothing: what the judges were told is not kept."""
    builder = EvalsBuilder(str(path))
    builder.ignore_fields("what the judges were told")
    return builder.build()


def _run(builder: EvalsBuilder, run: str, **facts: Any) -> None:
    builder.add_run(run, agent_version=run, model=run.split(":", 1)[0] or run, **facts)


def _case(builder: EvalsBuilder, case: str, question: dict[str, Any]) -> None:
    category = as_text(question.get("category"))
    builder.add_case(
        "",
        case,
        input="\n\n".join(_asked(question)) or None,
        domain=category,
        tags=[category] if category else None,
        severity=json_records.severity_of(question),
    )


def _asked(question: dict[str, Any]) -> list[str]:
    turns = sequence(question.get("turns")) or [question.get("text")]
    return [text for text in map(as_text, turns) if text is not None]


def _place(path: Path) -> int:
    """Return how many files of reviews come before this one."""
    path = path.resolve()
    root = next((above for above in path.parents if above.name == _REVIEWS), path.parent)
    files = sorted(root.rglob("*.jsonl")) if root.name == _REVIEWS else sorted(root.glob("*.jsonl"))
    return files.index(path) if path in files else 0


def _near(path: Path, *names: str) -> list[Path]:
    """Return what is called so in the folder of a file, or in the nearest above it that has any."""
    for above in list(path.resolve().parents)[:_ABOVE]:
        there = [above / name for name in names if (above / name).exists()]
        if there:
            return there
    return []


def _questions_near(path: Path) -> dict[str, dict[str, Any]]:
    made = {}
    for file in _near(path, "question.jsonl", "questions.jsonl"):
        for _, record in json_records.read(file, EvalsBuilder(str(file))):
            made[str(as_text(record.get("question_id")))] = record
    return made


def _models_near(path: Path) -> dict[str, str]:
    """Return the model of each answer in the folder of answers near a file of reviews."""
    files = [file for folder in _near(path, *_ANSWERS) for file in sorted(folder.glob("*.jsonl"))]
    return {
        answer: model
        for file in files
        for answer, model in _models(file, file.stat().st_mtime_ns, file.stat().st_size)
    }


@lru_cache(maxsize=64)
def _models(path: Path, changed: int, size: int) -> tuple[tuple[str, str], ...]:
    return tuple(
        (str(record["answer_id"]), str(record["model_id"]))
        for _, record in json_records.read(path, EvalsBuilder(str(path)))
        if record.get("answer_id") and record.get("model_id")
    )


READERS: Final = (
    Reader(
        "FastChat questions",
        _with("question_id", "category", any_of=("text", "turns"), none_of=("answer_id", "model_id", "run")),
        read=read_questions,
        describes=True,
    ),
    Reader(
        "FastChat answers",
        _with("question_id", "answer_id", "model_id", any_of=("text", "choices", "output")),
        read=read_answers,
        describes=True,
    ),
    Reader(
        "FastChat reviews", _with("review_id", "question_id", "answer1_id", "answer2_id"), read=read_reviews
    ),
    Reader("MT-bench judgements", _with("question_id", "model", "judge", "judgment"), read=read_single),
    Reader("MT-bench preferences", _with("question_id", "model_1", "model_2", "judge"), read=read_pairs),
    Reader(
        "FastChat models", _with("model_id", "model_name", "model_version"), read=read_models, describes=True
    ),
    Reader(
        "FastChat prompts of judges",
        _with("prompt_id", any_of=("prompt_template", "reviewer_id"), none_of=("question_id",)),
        read=read_prompts,
        describes=True,
    ),
)
