"""The six tables: the unit of a row, the columns and their meaning."""

from __future__ import annotations

from typing import Final

import polars as pl

from evalkit.data.table import PROBLEMS_SCHEMA, Column, Key, Problem, Table, TableName

__all__ = [
    "CASES", "CRITERIA", "CRITERION_KINDS", "DIRECTIONS", "GRADER_KINDS", "IS_HUMAN", "MODES", "PROBLEMS_SCHEMA", "RUNS", "SCORES", "SEVERITIES",
    "TABLES", "TRIALS", "TRIAL_KEY", "TURNS", "VERDICTS", "Column", "Key", "Problem", "Severity", "Table", "TableName",
    "Verdict",
]  # fmt: skip

SEVERITIES: Final = ("low", "medium", "high", "critical")
"""From the mildest to the worst: the order of the Enum, so that `critical > high > medium > low`."""

VERDICTS: Final = ("fail", "unscored", "pass")
GRADER_KINDS: Final = ("judge", "human", "code")
CRITERION_KINDS: Final = ("ordinal", "nominal", "binary", "continuous")
DIRECTIONS: Final = ("higher", "lower", "none")
MODES: Final = ("live", "batch")
TRIAL_KEY: Final = ["run", "case", "epoch"]
"""The key of a trial, to join by."""

IS_HUMAN: Final = pl.col("grader_kind").eq_missing("human")
"""Whether a person gave a score."""

Severity: Final = pl.Enum(SEVERITIES)
Verdict: Final = pl.Enum(VERDICTS)


def _key(name: str, doc: str, dtype: pl.DataType = Key) -> Column:
    return Column(name, dtype, doc, nullable=False)


_TEXT = pl.String()
_TIME = pl.Datetime("us", "UTC")
_RUN = _key("run", "One agent version over one suite; unique in a collection.")
_CASE = _key("case", "Which case of the suite: a string, also where it looks like a number.")
_EPOCH = _key("epoch", "Which attempt at the same case, from 1.", pl.Int32())
_SUITE = _key("suite", "The suite's name; empty where unknown.")
_SOURCE = Column("source", pl.Categorical(), "The file it was read from.")
_LINE = Column("line", pl.Int64(), "The line of that file, from 1.")
_USAGE = (
    Column("input_tokens", pl.Int64(), "Tokens sent."),
    Column("output_tokens", pl.Int64(), "Tokens received."),
    Column("cost_usd", pl.Float64(), "What it cost, in US dollars."),
)

CASES: Final = Table(
    "cases",
    "one test case",
    ("suite", "case"),
    (
        _SUITE,
        _CASE,
        Column("input", _TEXT, "The situation, as the suite words it. Not a prompt."),
        Column("prompt", _TEXT, "What an agent is sent."),
        Column("ideal_behavior", _TEXT, "What a good answer does."),
        Column("expected_rubric", _TEXT, "The case's checkable points, one a line."),
        Column("check", _TEXT, "What kind of check it is, e.g. Pass / Fail."),
        Column("domain", _TEXT, "The field the case is from."),
        Column("severity", Severity, "How bad a failure is; null if unknown."),
        Column("tags", pl.List(pl.String()), "Names of the slices the case belongs to."),
        Column("cluster", _TEXT, "Cases with the same cluster are not independent of each other."),
    ),
)

CRITERIA: Final = Table(
    "criteria",
    "one criterion",
    ("suite", "criterion"),
    (
        _SUITE,
        _key("criterion", "One line of the rubric."),
        Column("description", _TEXT, "What it judges."),
        Column("anchors", _TEXT, 'JSON: what each score means, {"1": "...", ...}.'),
        Column("scale_min", pl.Float64(), "The lowest score there is. Declared, never inferred."),
        Column("scale_max", pl.Float64(), "The highest score there is."),
        Column("weight", pl.Float64(), "Its weight in the mean; null counts as 1."),
        Column(
            "kind",
            pl.Enum(CRITERION_KINDS),
            "ordinal, nominal (names without an order: it counts in no verdict), binary or continuous.",
        ),
        Column(
            "direction",
            pl.Enum(DIRECTIONS),
            "Which end is better: higher or lower; none: it counts in no verdict; null counts as higher.",
        ),
    ),
)

RUNS: Final = Table(
    "runs",
    "one agent version over one suite",
    ("run",),
    (
        _RUN,
        Column("suite", Key, "The suite it was run over; empty where unknown."),
        Column("agent", Key, "The agent's name."),
        Column("agent_version", Key, "The agent's version."),
        Column("model", Key, "The model the agent runs on."),
        Column("provider", Key, "Who serves the model."),
        Column("started_at", _TIME, "When it began, UTC."),
        Column("config", _TEXT, "JSON: settings."),
        Column("made_up", pl.Boolean(), "Whether it is synthetic; null counts as false."),
        _SOURCE,
    ),
)

TRIALS: Final = Table(
    "trials",
    "one attempt at one case",
    ("run", "case", "epoch"),
    (
        _RUN,
        _CASE,
        _EPOCH,
        Column("output", _TEXT, "The agent's final answer."),
        Column("error", _TEXT, "Why the trial crashed; null if it did not."),
        Column("stop_reason", _TEXT, "Why the agent stopped."),
        *_USAGE,
        Column("latency_s", pl.Float64(), "How long it took, in seconds."),
        Column("started_at", _TIME, "When it began, UTC."),
        Column("uid", _TEXT, "The tool's own ID of the attempt; copies in other logs have the same."),
        _SOURCE,
        _LINE,
    ),
)

TURNS: Final = Table(
    "turns",
    "one message of a trial",
    ("run", "case", "epoch", "turn"),
    (
        _RUN,
        _CASE,
        _EPOCH,
        _key("turn", "Which message, from 1.", pl.Int32()),
        Column("role", _TEXT, "system, user, assistant or tool."),
        Column("content", _TEXT, "The text."),
        Column("reasoning", _TEXT, "The model's reasoning, where it was given apart."),
        Column("tool_calls", _TEXT, "JSON: the calls an assistant made, [{id, name, arguments}, ...]."),
        Column("tool_name", _TEXT, "Which tool answered (role tool)."),
        Column("tool_call_id", _TEXT, "Which call it answers (role tool)."),
        Column("parts", _TEXT, "JSON: images and whatever else is not text."),
    ),
)

SCORES: Final = Table(
    "scores",
    "one judgement",
    ("run", "case", "epoch", "criterion", "grader", "rubric_hash", "sample"),
    (
        _RUN,
        _CASE,
        _EPOCH,
        _key("criterion", "Which line of the rubric."),
        _key("grader", "Name of the judge, person or check; empty if unknown."),
        _key("rubric_hash", "Content hash of the wording at scoring time; empty if unknown."),
        _key("sample", "Which repeated judgement of the same answer, from 1.", pl.Int32()),
        Column("grader_kind", pl.Enum(GRADER_KINDS), "judge (a model), human or code."),
        Column("score", pl.Float64(), "The score, on the criterion's scale; null: no score, never 'bad'."),
        Column("label", _TEXT, "The score as a word, where the grader gave one."),
        Column("rationale", _TEXT, "The grader's reason."),
        Column("evidence", _TEXT, "What the grader quoted from the transcript."),
        Column("answer", _TEXT, "The answer the grader read out of the output."),
        Column("error", _TEXT, "Why there is no score."),
        Column("judge_model", _TEXT, "The judge's model."),
        Column("prompt_hash", _TEXT, "Content hash of the judge's prompt."),
        Column("seed", pl.Int64(), "The seed the judge was given."),
        Column("mode", pl.Enum(MODES), "live or batch."),
        *_USAGE,
        Column("metadata", _TEXT, "JSON: whatever else came with it."),
        _SOURCE,
        _LINE,
    ),
)

TABLES: Final[dict[TableName, Table]] = {t.name: t for t in (CASES, CRITERIA, RUNS, TRIALS, TURNS, SCORES)}


def __dir__() -> list[str]:
    return __all__
