"""Negative and positive controls: attempts whose score is known, judged before any real score is believed."""

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

_KINDS: Final = ("ideal", "bad")
_SCHEMA: Final = {
    "case": pl.String(),
    "control": pl.String(),
    "score": pl.Float64(),
    "lowest": pl.Float64(),
    "highest": pl.Float64(),
    "criteria": pl.Int64(),
    "scored": pl.Int64(),
    "held": pl.Boolean(),
    "expected": pl.String(),
}


@dataclass(frozen=True, slots=True, repr=False)
class Controls:
    """How a judge scores attempts whose score is known.

    Attributes
    ----------
    table
        A row for each case and kind: `case`, `control` (ideal or bad), `score` (the mean over criteria and
        samples), `lowest`, `highest`, `criteria`, `scored`, `held` (null where a score is missing), `expected`.
    evals
        The attempts and every single judgement of them, to be read like any other.
    grader
        Which judge.
    """

    table: pl.DataFrame
    evals: Evals
    grader: str

    @property
    def held(self) -> int:
        """How many controls have the score that they must have."""
        return int(self.table["held"].sum())

    @property
    def passed(self) -> bool | None:
        """Whether all hold; None where none fails and some could not be scored."""
        if (~self.table["held"]).any():
            return False
        return None if self.table["held"].null_count() or self.table.is_empty() else True

    @property
    def words(self) -> str:
        """The outcome in a sentence."""
        wrong = self.table.filter(~pl.col("held"))
        unknown = self.table["held"].null_count()
        text = f"{self.held} of {plural(self.table.height, 'control')} held"
        if wrong.height:
            each = [f"case {r['case']} {r['control']} {r['score']:.1f}" for r in wrong.iter_rows(named=True)]
            text += f"; not so: {join_words(each, limit=4)}. Its scores are not to be believed before that is understood"
        if unknown:
            text += f"; {unknown} could not be scored"
        return f"{text}."

    def __repr__(self) -> str:
        return f"Controls of {self.grader}: {self.words}\n{self.table}"

    def _repr_html_(self) -> str:
        return f"<p><strong>Controls</strong> of {escape(self.grader)}: {escape(self.words)}</p>{self.table._repr_html_()}"


def run_controls(judge: JudgeSettings, suite: Any, *, samples: int = 1, **settings: Any) -> Controls:
    """Do what `Judge.controls` says."""
    evals = control_trials(suite if suite is not None else judge.rubric)
    # A `Judge`: only that has `run`, and its module imports this one.
    asking: Any = replace(judge, samples=samples)
    judged = asking.run(evals, **settings)
    mine = judged.scores.filter(pl.col("grader") == asking.grader)
    return Controls(_table(mine, judged), judged, asking.grader)


def control_trials(suite: Any) -> Evals:
    """Return two attempts at each case: one that does what the reference says, one what the situation describes.

    Raises
    ------
    FormatError
        There is no case that says both.

    Examples
    --------
    >>> from evalkit.data.suite import Case, Criterion, Expected
    >>> case = Case(id="01", input="It guesses.", expected=Expected(ideal_behavior="It looks."))
    >>> evals = control_trials(Suite(suite="demo", criteria=[Criterion(name="Care")], cases=[case]))
    >>> evals.trials.select("run", "output").rows()
    [('control ideal', 'What was done: It looks.'), ('control bad', 'What was done: It guesses.')]
    """
    cases, criteria = _cases(suite)
    usable = cases.filter(pl.col("input").is_not_null() & pl.col("ideal_behavior").is_not_null())
    if usable.is_empty():
        raise FormatError(
            "No case has both an input (the situation in which an agent goes wrong) and an ideal_behavior, so there is "
            "nothing to control the judge with."
        )
    many = usable["suite"].n_unique() > 1
    runs: dict[tuple[str, str], str] = {}
    trials, turns = [], []
    for row in usable.iter_rows(named=True):
        for kind, text in zip(_KINDS, (row["ideal_behavior"], row["input"]), strict=True):
            name = f"control {kind}, {row['suite']}" if many else f"control {kind}"
            runs[row["suite"], kind] = name
            key = {"run": name, "case": row["case"], "epoch": 1}
            # The same words before both, so that nothing but what was done tells them apart.
            output = f"What was done: {text}"
            trials.append({**key, "output": output})
            turns += [
                {**key, "turn": 1, "role": "user", "content": row["prompt"] or ""},
                {**key, "turn": 2, "role": "assistant", "content": output},
            ]
    made = [
        {"run": name, "suite": suite_name, "agent": "control", "agent_version": kind, "made_up": True}
        for (suite_name, kind), name in runs.items()
    ]
    return Evals.from_tables(
        cases=cases,
        criteria=criteria,
        runs=pl.DataFrame(made),
        trials=pl.DataFrame(trials),
        turns=pl.DataFrame(turns),
        notes=[Note("synthetic", "Made up from the suite, to control the judge: no agent did this.")],
    )


def _cases(suite: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    if isinstance(suite, str | Path):
        suite = Suite.read(suite)
    if isinstance(suite, Suite):
        return suite.tables()
    if isinstance(suite, Evals):
        return suite.cases, suite.criteria
    raise FormatError(f"controls takes a Suite, the path of one, or an Evals, not {type(suite).__name__}.")


def _table(scores: pl.DataFrame, evals: Evals) -> pl.DataFrame:
    limits = evals.criteria.select("criterion", "scale_min", "scale_max").unique(subset="criterion")
    joined = (
        scores.join(limits, on="criterion", how="left", maintain_order="left")
        .join(
            evals.runs.select("run", pl.col("agent_version").cast(pl.String).alias("control")),
            on="run",
            maintain_order="left",
        )
        .with_columns(pl.col("case").cast(pl.String))
    )
    # On the way from the lowest to the highest score, so that criteria on other scales can stand beside each other.
    height = (pl.col("score") - pl.col("scale_min")) / (pl.col("scale_max") - pl.col("scale_min"))
    each = joined.group_by("case", "control", "criterion", maintain_order=True).agg(
        pl.col("score").mean(), height.mean().alias("height"), pl.col("scale_min", "scale_max").first()
    )
    grouped = each.group_by("case", "control", maintain_order=True).agg(
        pl.col("score").mean(),
        pl.col("score").min().alias("lowest"),
        pl.col("score").max().alias("highest"),
        pl.len().cast(pl.Int64).alias("criteria"),
        pl.col("score").count().cast(pl.Int64).alias("scored"),
        pl.col("height").mean(),
        pl.col("scale_min", "scale_max").first(),
    )
    ideal = pl.col("control") == "ideal"
    # 4.5 of 1 to 5 rounds to 5; 2 of 1 to 5 is a quarter of the way up.
    within = pl.when(ideal).then(pl.col("height") >= 0.875 - 1e-9).otherwise(pl.col("height") <= 0.25 + 1e-9)
    words = (
        pl.when(ideal)
        .then(pl.format("{} (the mean rounds to it)", "scale_max"))
        .otherwise(
            pl.format(
                "at most {}",
                (pl.col("scale_min") + (pl.col("scale_max") - pl.col("scale_min")) / 4).round(2),
            )
        )
    )
    return grouped.with_columns(
        held=pl.when(pl.col("scored") == pl.col("criteria")).then(within), expected=words
    ).select(pl.col(name).cast(kind) for name, kind in _SCHEMA.items())
