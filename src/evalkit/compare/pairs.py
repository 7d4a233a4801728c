"""Two sides of a comparison, case by case: who is compared, on what, and what has no partner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.data.schema import Severity, Verdict
from evalkit.grading.grade import count_cases
from evalkit.util.errors import ColumnError, SelectorError
from evalkit.util.words import did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

Selector = str | Mapping[str, Any]
"""A run, an agent_version or a model by name, or a mapping of columns of `runs` to values."""

RUN_COLUMNS: Final = ("run", "suite", "agent", "agent_version", "model", "provider")
CASE_COLUMNS: Final = ("suite", "case", "severity", "domain", "tags", "cluster")
_SIDES: Final = ("baseline", "candidate")
# Pairs are made within these where both sides have them in common.
_STRATA: Final = ("agent", "agent_version", "model")


def find_runs(evals: Evals, selector: Selector) -> tuple[str, list[str]]:
    """Return a label and the runs that a selector means.

    A string is looked up as a run, then as an agent_version, then as a model.

    Raises
    ------
    SelectorError
        Nothing has that name, or it means different runs as a version and as a model.
    ColumnError
        A mapping names a column that `runs` does not have.
    """
    runs = evals.runs.with_columns(pl.col(c).cast(pl.String).fill_null("") for c in RUN_COLUMNS)
    if isinstance(selector, Mapping):
        for column in selector:
            if column not in RUN_COLUMNS:
                raise ColumnError(
                    f"A side is chosen by columns of runs ({join_words(RUN_COLUMNS)}), not by {column!r}."
                    f"{did_you_mean(column, RUN_COLUMNS)} Filter the evals first for anything else."
                )
        found = evals.filter(**selector).runs["run"].cast(pl.String).to_list()
        if not found:
            raise SelectorError(f"No run has {_words(selector)}.")
        return _words(selector), found
    meanings = {
        column: frozenset(runs.filter(pl.col(column) == str(selector))["run"])
        for column in ("run", "agent_version", "model")
    }
    found_in = {column: named for column, named in meanings.items() if named}
    if not found_in:
        names = [name for c in ("run", "agent_version", "model") for name in sorted(set(runs[c])) if name]
        raise SelectorError.unknown(selector, kind="run, agent_version or model", have=dict.fromkeys(names))
    if len(set(found_in.values())) > 1:
        options = " or ".join(f"{{{column!r}: {selector!r}}}" for column in found_in)
        raise SelectorError(
            f"{selector!r} is the name of a {' and of a '.join(found_in)}; say which: {options}."
        )
    return str(selector), sorted(next(iter(found_in.values())))


def share_criteria(
    evals: Evals, sides: Mapping[str, Sequence[str]], *, criteria: Literal["same", "shared"], human: bool
) -> tuple[Evals, list[str]]:
    """Return the scores by the criteria that every side was scored on, and the names of those left out.

    Parameters
    ----------
    evals
        The collection.
    sides
        What each side is called, and its runs.
    criteria
        "same" refuses sides that were scored on different criteria; "shared" leaves out what one of them lacks.
    human
        Whether people's scores count too.

    Raises
    ------
    SelectorError
        The sides differ and `criteria` is "same", or they share none.
    """
    judged = evals.judged if human else evals.judged.filter(pl.col("grader_kind").ne_missing("human"))
    pairs = judged.select("run", "criterion").rows()
    scored = {side: {str(c) for run, c in pairs if run in set(runs)} for side, runs in sides.items()}
    # A side that nobody scored has no criteria to differ by: it is unscored, and counted there.
    known = {side: names for side, names in scored.items() if names}
    if len(known) < 2 or len({frozenset(names) for names in known.values()}) == 1:
        return evals, []
    every = set[str]().union(*known.values())
    shared = sorted(every.intersection(*known.values()))
    lacking = "; ".join(
        f"{side!r} on {join_words(sorted(every - n))}" for side, n in known.items() if n != every
    )
    if not shared:
        raise SelectorError(f"The sides share no criterion: not scored is {lacking}.")
    if criteria == "same":
        raise SelectorError(
            f"The sides were scored on different criteria (not scored: {lacking}), and a trial with fewer criteria passes more easily. "
            f'Compare them by what they share ({join_words(shared)}): criteria="shared".'
        )
    return evals.filter(criterion=shared), sorted(every - set(shared))


@dataclass(frozen=True, slots=True)
class Pairs:
    """Two graded sides, matched.

    Attributes
    ----------
    baseline, candidate
        What the sides are called.
    runs
        The runs of each side.
    cells
        One row for each case, stratum (models and the like that both sides have) and criterion that both sides
        have scored: `passes_*`, `trials_*` (scored), `rate_*`, `mean_*` for `*` in baseline, candidate.
    sides
        The same of each `side` before they are matched: also `unscored` (trials without a verdict), and cells that
        only one side has.
    unpaired
        `case`, `severity`, `side`, `verdict`: cases that only one side has scored, with the majority verdict there.
    strata
        The columns within which pairs were made.
    """

    baseline: str
    candidate: str
    runs: dict[str, list[str]]
    cells: pl.DataFrame
    sides: pl.DataFrame
    unpaired: pl.DataFrame
    strata: tuple[str, ...]

    def units(self, *also: str) -> pl.DataFrame:
        """Return one row a case (and value of `also`): the strata of a case averaged with equal weights.

        Returns
        -------
        polars.DataFrame
            The columns of the case, those of `also`, and `passes_*`, `trials_*` (sums), `rate_*` (mean of the
            strata's pass fractions), `mean_*` (of the strata where both sides have a mean; else null).
        """
        keys = [*CASE_COLUMNS, *(column for column in also if column not in CASE_COLUMNS)]
        both = pl.col("mean_baseline").is_not_null() & pl.col("mean_candidate").is_not_null()
        return self.cells.group_by(keys, maintain_order=True).agg(
            *(pl.col(f"passes_{s}", f"trials_{s}").sum() for s in _SIDES),
            *(pl.col(f"rate_{s}").mean() for s in _SIDES),
            *(pl.col(f"mean_{s}").filter(both).mean() for s in _SIDES),
        )


def make_pairs(
    evals: Evals,
    *,
    baseline: Selector,
    candidate: Selector,
    rule: PassRule,
    criteria: bool = False,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Pairs:
    """Grade both sides by one rule and match them case by case.

    Parameters
    ----------
    evals, baseline, candidate, rule, grader, rubric
        As for `evalkit.compare`.
    criteria
        Grade each criterion by itself instead of each trial.

    Raises
    ------
    SelectorError
        A side is not there, both sides share a run, or several graders or rubrics judged them.
    """
    labels, runs = {}, {}
    for side, selector in zip(_SIDES, (baseline, candidate), strict=True):
        labels[side], runs[side] = find_runs(evals, selector)
    shared = sorted(set(runs["baseline"]) & set(runs["candidate"]))
    if shared:
        raise SelectorError(f"The run {shared[0]!r} is on both sides; a comparison needs two different ones.")
    asked = [*runs["baseline"], *runs["candidate"]]
    chosen = evals if len(asked) == evals.runs.height else evals.filter(run=asked)
    counts = count_cases(chosen, rule, criteria=criteria, grader=grader, rubric=rubric)
    known = evals.runs.select("run", pl.col("suite").fill_null(""), *_STRATA)
    which = (
        pl.when(pl.col("run").is_in(runs["baseline"])).then(pl.lit("baseline")).otherwise(pl.lit("candidate"))
    )
    strata = _common(known, runs)
    known = known.select("run", "suite", pl.col(strata).cast(pl.String).fill_null(""), side=which)
    facts = [c for c in CASE_COLUMNS if c not in ("suite", "case")]
    keys = ["suite", "case", *strata, *(["criterion"] if criteria else [])]
    cells = counts.join(known, on="run", how="left", maintain_order="left").drop("run")
    if known.select("suite", *strata, "side").is_duplicated().any():
        sums = pl.col("passes", "trials", "unscored", "score", "means").sum()
        cells = cells.group_by([*keys, "side"], maintain_order=True).agg(sums)
    cells = cells.join(
        evals.cases.select("suite", "case", *facts), on=["suite", "case"], how="left", maintain_order="left"
    ).with_columns(
        rate=pl.col("passes") / pl.col("trials").replace(0, None),
        mean=pl.col("score") / pl.col("means").replace(0, None),
    )
    scored = cells.filter(pl.col("trials") > 0)
    numbers = ["passes", "trials", "rate", "mean"]
    left, right = (
        scored.filter(side=side).select(*keys, *facts, *(pl.col(n).alias(f"{n}_{side}") for n in numbers))
        for side in _SIDES
    )
    paired = left.join(right.drop(facts), on=keys, how="inner", maintain_order="left")
    return Pairs(
        labels["baseline"], labels["candidate"], runs, paired, cells, _unpaired(cells, paired), tuple(strata)
    )


def majority(passes: str, trials: str) -> pl.Expr:
    """Return the verdict of a case on one side: pass when more than half of its scored trials do."""
    share = pl.col(passes) / pl.col(trials)
    verdict = (
        pl.when(pl.col(trials) == 0)
        .then(pl.lit("unscored"))
        .otherwise(pl.when(share > 0.5 + 1e-9).then(pl.lit("pass")).otherwise(pl.lit("fail")))
    )
    return verdict.cast(Verdict)


def _common(known: pl.DataFrame, runs: dict[str, list[str]]) -> list[str]:
    """Return the columns that both sides have values of in common."""
    strata = []
    for column in _STRATA:
        values = [
            set(known.filter(pl.col("run").is_in(runs[s]))[column].cast(pl.String).fill_null(""))
            for s in _SIDES
        ]
        if values[0] & values[1]:
            strata.append(column)
    return strata


def _unpaired(cells: pl.DataFrame, paired: pl.DataFrame) -> pl.DataFrame:
    alone = (
        cells.join(paired.select("suite", "case"), on=["suite", "case"], how="anti", maintain_order="left")
        .group_by("suite", "case", "severity", "side", maintain_order=True)
        .agg(pl.col("passes", "trials").sum())
        .with_columns(majority("passes", "trials").alias("verdict"))
    )
    # A case that neither side has scored is no odd one out: it is unscored, and counted there.
    return (
        alone.filter(pl.col("trials").sum().over("suite", "case") > 0)
        .filter(pl.col("trials") > 0)
        .select("case", pl.col("severity").cast(Severity), "side", "verdict")
        .sort("severity", descending=True, nulls_last=True, maintain_order=True)
    )


def _words(selector: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{column} {join_words(v) if isinstance(v, list | tuple | set) else v}"
        for column, v in selector.items()
    )
