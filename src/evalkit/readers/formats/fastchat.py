"""FastChat: the reviews of the Vicuna benchmark, and MT-bench with its `gpt-4_single` judgements."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from evalkit.data.json_text import as_text
from evalkit.readers.base import Reader
from evalkit.readers.formats import fields
from evalkit.readers.formats.record_format import RecordFormat, has_records
from evalkit.readers.json_values import mapping, moment, sequence

if TYPE_CHECKING:
    from pathlib import Path

    from evalkit.data.evals import Evals

# The scale of FastChat's prompts.
_SCALE: Final = {"kind": "ordinal", "scale_min": 1, "scale_max": 10}
_UNREAD: Final = -1
_ABOVE: Final = 3
_ANSWERS: Final = ("answer", "answers", "model_answer")
_REFERENCE: Final = "reference_answer"
_REVIEWS: Final = "review"
_JUDGE: Final = re.compile(r"(.+?)_review_")
_MODEL: Final = re.compile(r"gpt-\d+(?:\.\d+)?(?:-turbo)?")
_TWO_SCORES: Final = re.compile(r"\s*(\d+(?:\.\d+)?)[,\s/]+(\d+(?:\.\d+)?)\s*$")


def _questions(file: fields.RecordFile) -> fields.Records:
    return ((line, {"question": record, **record}) for line, record in file.records())


def _answers(file: fields.RecordFile) -> fields.Records:
    questions = {}
    for path in _near(file.path, "question.jsonl", "questions.jsonl"):
        for _, record in fields.RecordFile.beside(path).records():
            questions[str(as_text(record.get("question_id")))] = record
    for line, record in file.records():
        question = questions.get(as_text(record.get("question_id")) or "", {})
        choices = [sequence(mapping(choice).get("turns")) for choice in sequence(record.get("choices"))]
        for epoch, turns in enumerate(choices or [[record.get("text", record.get("output"))]], 1):
            texts = [text for text in map(as_text, turns) if text is not None]
            yield line, {**record, "question": question, "epoch": epoch, "texts": texts}


def _prompts(record: fields.Record) -> list[str]:
    question = record["question"]
    turns = sequence(question.get("turns")) or [question.get("text")]
    return [text for text in map(as_text, turns) if text is not None]


def _turns(answer: fields.Record) -> fields.Turns:
    prompts, turns = _prompts(answer), []
    for place, text in enumerate(answer["texts"]):
        turns += fields.as_turns("user", prompts[place]) if place < len(prompts) else []
        turns += fields.as_turns("assistant", text)
    return turns


def _reviews(file: fields.RecordFile) -> fields.Records:
    """Yield the two scores of each review, one per run.

    Several reviews of one answer are samples, counted over all files of the folder: files loaded one by one
    agree.
    """
    path, models = file.path, _models_near(file.path)
    match = _JUDGE.match(path.stem)
    stem = path.stem.removeprefix(match[0] if match else "review_")
    sides = stem.split("_") if stem.count("_") == 1 else [f"answer {side} of {path.stem}" for side in (1, 2)]
    sample = 2 * _place(path)
    for line, record in file.records():
        runs = [models.get(str(record.get(f"answer{side + 1}_id")), sides[side]) for side in (0, 1)]
        judge = match[1] if match else _judge(file, record)
        for side, score in enumerate(_two_scores(record)):
            names = {"run": runs[side], "position": side + 1, "beside": runs[1 - side]}
            judgement = {
                "criterion": "overall",
                "judge": judge,
                "sample": sample + side + 1,
                "score": score,
                "rationale": record.get("text"),
                "error": "the judge's text does not give the two scores" if score is None else None,
                "metadata": fields.known("review_id", "reviewer_id", "position", "beside")(
                    {**record, **names}
                ),
            }
            yield line, {**record, **names, **judgement}
    if not models:
        file.note("default", "No folder of answers is near it. The runs are named after the file.")


def _judge(file: fields.RecordFile, record: fields.Record) -> str:
    match = _MODEL.match(str(record.get("reviewer_id")))
    if match:
        return match[0]
    file.note("default", "No judge is named. Using gpt-4, FastChat's reviewer.")
    return "gpt-4"


def _two_scores(record: fields.Record) -> list[Any]:
    """Return the two scores; FastChat writes -1 for an unreadable one."""
    scores = sequence(record.get("score"))
    if len(scores) != 2:
        match = _TWO_SCORES.match((as_text(record.get("text")) or "").split("\n", 1)[0])
        scores = [float(match[1]), float(match[2])] if match else [_UNREAD, _UNREAD]
    return [None if score == _UNREAD else score for score in scores]


def _single(file: fields.RecordFile) -> fields.Records:
    for line, record in file.records():
        given = record.get("judge")
        judge = [as_text(part) or "" for part in (given if isinstance(given, list) and given else [given])]
        score = None if record.get("score") == _UNREAD else record.get("score")
        judgement = {
            "run": record.get("model"),
            "criterion": f"turn {as_text(record.get('turn')) or 1}",
            "judge": judge[0],
            "score": score,
            "rationale": record.get("judgment"),
            "error": "the judge's text gives no score" if score is None else None,
            "metadata": {"prompt": judge[1]} if len(judge) > 1 else None,
        }
        yield line, {**record, **judgement}


def _judge_prompts(file: fields.RecordFile) -> fields.Records:
    file.builder.ignore_fields("the prompts of judges")
    return ()


def _place(path: Path) -> int:
    path = path.resolve()
    root = next((above for above in path.parents if above.name == _REVIEWS), path.parent)
    files = sorted(root.rglob("*.jsonl") if root.name == _REVIEWS else root.glob("*.jsonl"))
    return files.index(path) if path in files else 0


def _near(path: Path, *names: str) -> list[Path]:
    """Return the named files in a file's folder, or the nearest folder above with any."""
    for above in list(path.resolve().parents)[:_ABOVE]:
        files = [above / name for name in names if (above / name).exists()]
        if files:
            return files
    return []


def _models_near(path: Path) -> dict[str, str]:
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
        for _, record in fields.RecordFile.beside(path).records()
        if record.get("answer_id") and record.get("model_id")
    )


def _model(*paths: str) -> dict[str, fields.Field]:
    return {"model": fields.to(lambda run: str(as_text(run)).split(":", 1)[0] or run, *paths)}


_QUESTION: Final[fields.Fields] = {
    "input": lambda record: fields.joined(_prompts(record), "\n\n"),
    "domain": "question.category",
    "tags": fields.to(lambda category: [as_text(category)] if category else None, "question.category"),
    "severity": fields.severity("question"),
}
QUESTIONS: Final = RecordFormat(
    row="case",
    records=_questions,
    required=("question_id",),
    case="question_id",
    cases={
        **_QUESTION,
        "ideal_behavior": lambda record: fields.joined(sequence(record.get("reference")), "\n\n"),
    },
)
ANSWERS: Final = RecordFormat(
    records=_answers,
    required=("question_id", "model_id"),
    run="model_id",
    case="question_id",
    is_version=True,
    runs=_model("model_id"),
    cases=_QUESTION,
    trials={
        "output": lambda answer: answer["texts"][-1] if answer["texts"] else None,
        "error": lambda answer: None if answer["texts"] else "there is no answer",
        "started_at": fields.to(moment, "tstamp"),
    },
    turns=_turns,
    ignored=("metadata", "answer_id"),
)
REFERENCES: Final = replace(
    ANSWERS,
    row="case",
    cases={
        **_QUESTION,
        "ideal_behavior": lambda answer: (
            fields.joined(answer["texts"], "\n\n") if answer["epoch"] == 1 else None
        ),
    },
)
REVIEWS: Final = RecordFormat(
    records=_reviews,
    required=("question_id",),
    case="question_id",
    epoch=fields.always(1),
    is_version=True,
    runs=_model("run"),
    trials=None,
    scores=lambda judgement: [judgement],
    criterion="criterion",
    criteria=fields.always(_SCALE),
    score={
        **fields.same("sample", "score", "rationale", "error", "metadata"),
        "grader": "judge",
        "grader_kind": fields.always("judge"),
        "judge_model": fields.not_empty("judge"),
    },
    counts_samples=True,
)
SINGLE: Final = replace(
    REVIEWS, records=_single, required=("question_id", "model"), ignored=("user_prompt", "tstamp")
)
MODELS: Final = RecordFormat(
    row="run",
    required=("model_id",),
    run="model_id",
    is_version=True,
    runs={**_model("model_id"), "config": dict},
)


def read_answers(path: Path) -> Evals:
    """Read the answers of a model, or reference answers as ideal behavior."""
    return (REFERENCES if path.parent.name == _REFERENCE else ANSWERS).read(path)


READERS: Final = (
    Reader(
        "FastChat questions",
        has_records(
            *("question_id", "category"), any_of=("text", "turns"), none_of=("answer_id", "model_id", "run")
        ),
        read=QUESTIONS.read,
        describes=True,
    ),
    Reader(
        "FastChat answers",
        has_records("question_id", "answer_id", "model_id", any_of=("text", "choices", "output")),
        read=read_answers,
        describes=True,
    ),
    Reader(
        "FastChat reviews",
        has_records("review_id", "question_id", "answer1_id", "answer2_id"),
        read=REVIEWS.read,
    ),
    Reader("MT-bench judgements", has_records("question_id", "model", "judge", "judgment"), read=SINGLE.read),
    Reader(
        "FastChat models",
        has_records("model_id", "model_name", "model_version"),
        read=MODELS.read,
        describes=True,
    ),
    Reader(
        "FastChat prompts of judges",
        has_records("prompt_id", any_of=("prompt_template", "reviewer_id"), none_of=("question_id",)),
        read=RecordFormat(records=_judge_prompts).read,
        describes=True,
    ),
)
