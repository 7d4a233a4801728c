"""Controls: answers with a known score, judged before real scores are trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.suite import Suite
from evalkit.util.errors import FormatError
from evalkit.util.hostile_text import escape
from evalkit.util.notes import Note
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from evalkit.judging.settings import JudgeSettings

# Each kind of control with the column of `cases` that its answer follows.
_KINDS: Final = {"ideal": "ideal_behavior", "bad": "input"}
# Relative heights on the scale: 4.5 of 1 to 5 rounds to 5; 2 of 1 to 5 is a quarter of the way up.
_MIN_IDEAL: Final = 0.875 - 1e-9
_MAX_BAD: Final = 0.25 + 1e-9


@dataclass(frozen=True, slots=True, repr=False)
class Controls:
    """A judge's scores of answers with a known score.

    Attributes
    ----------
    table
        One row per case and kind: `case`, `control` (ideal or bad), `score` (mean over criteria and samples), `lowest`,
        `highest`, `criteria`, `scored`, `held` (null if a score is missing), `expected`.
    evals
        The answers and each judgement of them.
    grader
        The judge's name.
    """

    table: pl.DataFrame
    evals: Evals
    grader: str

    @property
    def held(self) -> int:
        """The number of controls with the expected score."""
        return int(self.table["held"].sum())

    @property
    def passed(self) -> bool | None:
        """Whether all controls held; None if none failed and some could not be scored."""
        if (~self.table["held"]).any():
            return False
        return None if self.table["held"].null_count() or self.table.is_empty() else True

    @property
    def words(self) -> str:
        """The outcome in a few sentences."""
        sentences = [f"{self.held} of {plural(self.table.height, 'control')} held."]
        failed = self.table.filter(~pl.col("held"))
        if failed.height:
            rows = [f"case {r['case']} {r['control']} {r['score']:.1f}" for r in failed.iter_rows(named=True)]
            sentences.append(f"Failed: {join_words(rows, limit=4)}. Find out why before using its scores.")
        if unknown := self.table["held"].null_count():
            sentences.append(f"{unknown} could not be scored.")
        return " ".join(sentences)

    def __repr__(self) -> str:
        return f"Controls of {self.grader}: {self.words}\n{self.table}"

    def _repr_html_(self) -> str:
        return f"<p><strong>Controls</strong> of {escape(self.grader)}: {escape(self.words)}</p>{self.table._repr_html_()}"


def run_controls(judge: JudgeSettings, suite: Any, *, samples: int = 1, **settings: Any) -> Controls:
    """Return the result of `Judge.controls`."""
    evals = control_trials(suite if suite is not None else judge.rubric)
    # `Judge` has `run`; its module imports this one.
    sampler: Any = replace(judge, samples=samples)
    judged = sampler.run(evals, **settings)
    scores = judged.scores.filter(pl.col("grader") == sampler.grader)
    return Controls(_table(scores, judged), judged, sampler.grader)


def control_trials(suite: Any) -> Evals:
    """Return an ideal and a bad answer per case.

    The ideal one follows the case's `ideal_behavior`, the bad one its `input`, which describes the mistake.

    Raises
    ------
    FormatError
        No case has both.

    Examples
    --------
    >>> from evalkit.data.suite import Case, Criterion, Expected
    >>> case = Case(id="01", input="It guesses.", expected=Expected(ideal_behavior="It looks."))
    >>> evals = control_trials(Suite(suite="demo", criteria=[Criterion(name="Care")], cases=[case]))
    >>> evals.trials.select("run", "output").rows()
    [('control ideal', 'What was done: It looks.'), ('control bad', 'What was done: It guesses.')]
    """
    cases, criteria = _read_cases(suite)
    usable = cases.drop_nulls(list(_KINDS.values()))
    if usable.is_empty():
        raise FormatError(
            "No case has both an input (a description of the mistake) and an ideal_behavior. Controls need both."
        )
    has_suites = usable["suite"].n_unique() > 1
    runs: dict[str, dict[str, Any]] = {}
    trials, turns = [], []
    for row in usable.iter_rows(named=True):
        for kind, column in _KINDS.items():
            run = f"control {kind}, {row['suite']}" if has_suites else f"control {kind}"
            runs[run] = {"suite": row["suite"], "agent": "control", "agent_version": kind, "made_up": True}
            key = {"run": run, "case": row["case"], "epoch": 1}
            # The same words before both: they differ in the behavior alone.
            output = f"What was done: {row[column]}"
            trials.append({**key, "output": output})
            turns += [
                {**key, "turn": 1, "role": "user", "content": row["prompt"] or ""},
                {**key, "turn": 2, "role": "assistant", "content": output},
            ]
    return Evals.from_tables(
        cases=cases,
        criteria=criteria,
        runs=pl.DataFrame([{"run": run, **facts} for run, facts in runs.items()]),
        trials=pl.DataFrame(trials),
        turns=pl.DataFrame(turns),
        notes=[Note("synthetic", "Synthetic answers from the suite, as controls of the judge.")],
    )


def _read_cases(suite: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    if isinstance(suite, str | Path):
        suite = Suite.read(suite)
    if isinstance(suite, Suite):
        return suite.tables()
    if isinstance(suite, Evals):
        return suite.cases, suite.criteria
    raise FormatError(
        f"Invalid suite of type {type(suite).__name__}.",
        argument="suite",
        value=suite,
        expected="a Suite, its path, or an Evals",
    )


def _table(scores: pl.DataFrame, evals: Evals) -> pl.DataFrame:
    scales = evals.criteria.select("criterion", "scale_min", "scale_max").unique(subset="criterion")
    kinds = evals.runs.select("run", pl.col("agent_version").cast(pl.String).alias("control"))
    span = pl.col("scale_max") - pl.col("scale_min")
    by_criterion = (
        scores.join(scales, on="criterion", how="left", maintain_order="left")
        .join(kinds, on="run", maintain_order="left")
        .group_by(pl.col("case").cast(pl.String), "control", "criterion", maintain_order=True)
        .agg(
            pl.col("score").mean(),
            # Relative, so that criteria on different scales have a mean.
            ((pl.col("score") - pl.col("scale_min")) / span).mean().alias("height"),
            pl.col("scale_min", "scale_max").first(),
        )
    )
    is_ideal = pl.col("control") == "ideal"
    holds = pl.when(is_ideal).then(pl.col("height") >= _MIN_IDEAL).otherwise(pl.col("height") <= _MAX_BAD)
    top = pl.format("{} (the mean rounds to it)", "scale_max")
    bottom = pl.format("at most {}", (pl.col("scale_min") + span / 4).round(2))
    return (
        by_criterion.group_by("case", "control", maintain_order=True)
        .agg(
            pl.col("score").mean(),
            pl.col("score").min().alias("lowest"),
            pl.col("score").max().alias("highest"),
            pl.len().cast(pl.Int64).alias("criteria"),
            pl.col("score").count().cast(pl.Int64).alias("scored"),
            pl.col("height").mean(),
            pl.col("scale_min", "scale_max").first(),
        )
        .with_columns(
            held=pl.when(pl.col("scored") == pl.col("criteria")).then(holds),
            expected=pl.when(is_ideal).then(top).otherwise(bottom),
        )
        .drop("height", "scale_min", "scale_max")
    )
