"""Baseline against candidate: paired case by case, with an interval, a verdict in words and what to beware of."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from evalkit.compare.estimates import (
    METRICS,
    MORE,
    SUMMARY,
    Metric,
    adjust_scopes,
    estimate_scope,
    estimate_weighted,
    find_scopes,
)
from evalkit.compare.pairs import Pairs, find_runs, majority, make_pairs, share_criteria
from evalkit.compare.warnings import find_caveats
from evalkit.data.evals import some_of
from evalkit.data.schema import Severity, Verdict
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.select_scores import choose_scores
from evalkit.grading.version_order import natural_order
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError, SelectorError
from evalkit.util.words import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import altair as alt

    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    baseline, candidate
        What the two sides are called, always in this order.
    verdict
        "regressed", "regressed within margin", "improved", "no worse than margin" or "inconclusive": of the pass
        rate over all cases.
    sentence
        The verdict in words, with its numbers and the worst flips.
    summary
        polars frame, a row for each scope and metric: `scope`, `metric` (pass_rate in 0 to 1, mean_score in the
        scores' units), `baseline`, `candidate`, `difference` (candidate minus baseline), `low`, `high`, `p_value`,
        `p_adjusted` (over the scopes of `by`, for each metric), `n` (cases), `n_eff`, `method`, `level`, `verdict`.
    flips
        polars frame, the worst first: `case`, `severity`, `baseline`, `candidate` (majority verdicts), `kind`
        (regression, improvement), `baseline_passes`, `baseline_trials`, `candidate_passes`, `candidate_trials`,
        `difference`, `p_value` (Boschloo's exact test, from four trials a side), `suite`.
    cases
        polars frame, every pair: `case`, `severity`, and for both sides `*_rate`, `*_passes`, `*_trials`, `*_mean`,
        `*_verdict`, and `suite`.
    unpaired
        polars frame `case`, `severity`, `side`, `verdict`: cases that only one side has scored.
    warnings
        polars frame `id` (W01 ...), `scope`, `text`.
    rule, margin, level, by
        What was asked.
    """

    baseline: str
    candidate: str
    verdict: str
    sentence: str
    summary: pl.DataFrame
    flips: pl.DataFrame
    cases: pl.DataFrame
    unpaired: pl.DataFrame
    warnings: pl.DataFrame
    rule: PassRule
    margin: dict[str, float] | None
    level: float
    by: tuple[str, ...]
    estimates: pl.DataFrame

    def to_frame(self) -> pl.DataFrame:
        """Return `summary` with what else is known of each number.

        Returns
        -------
        polars.DataFrame
            Also `k` (trials a case), `clusters`, `up` and `down` (cases that rose and fell), `adjustment`, `seed`,
            `status` ("ok" or "not_estimable") and `reason`.
        """
        return self.estimates

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        frames = {n: getattr(self, n) for n in ("flips", "cases", "unpaired", "warnings")}
        return {
            "baseline": self.baseline,
            "candidate": self.candidate,
            "verdict": self.verdict,
            "sentence": self.sentence,
            "rule": self.rule.to_dict(),
            "margin": self.margin,
            "level": self.level,
            "by": list(self.by),
            "summary": self.estimates.to_dicts(),
            **{name: frame.to_dicts() for name, frame in frames.items()},
        }

    def explain(self) -> str:
        """Return a paragraph for somebody who does not read tables.

        Examples
        --------
        >>> import evalkit as ek
        >>> change = ek.compare(ek.demo.make(), baseline="v1", candidate="v2")
        >>> change.explain().startswith("v2 improved on v1.")
        True
        """
        from evalkit.compare.sentences import explain

        return explain(self)

    def chart(self, metric: Metric = "pass_rate") -> alt.TopLevelMixin:
        """Draw the differences with their intervals; see `evalkit.charts.regression`."""
        from evalkit import charts

        return charts.regression(self, metric=metric)

    def __repr__(self) -> str:
        from evalkit.util.words import printable

        lines = [self.sentence]
        lines += [f"  {row['id']} {row['text']}" for row in self.warnings.iter_rows(named=True)]
        return printable("\n".join(lines))

    def _repr_html_(self) -> str:
        from evalkit.compare.sentences import cells

        head = "".join(f"<th scope='col' style='text-align:left'>{name}</th>" for name in cells(None))
        body = "".join(
            "<tr>"
            + "".join(f"<td style='text-align:left'>{html.escape(text)}</td>" for text in cells(row))
            + "</tr>"
            for row in self.estimates.iter_rows(named=True)
        )
        warnings = "".join(
            f"<li>{html.escape(row['text'])} <small>({row['id']})</small></li>"
            for row in self.warnings.iter_rows(named=True)
        )
        return (
            f"<p><strong>{html.escape(self.sentence)}</strong></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            + (f"<ul>{warnings}</ul>" if warnings else "")
        )


def compare(
    evals: Evals,
    *,
    baseline: Selector,
    candidate: Selector,
    rule: PassRule = DEFAULT_RULE,
    by: str | Sequence[str] | None = None,
    margin: Mapping[str, float] | None = None,
    level: float = 0.95,
    adjust: Literal["holm", "bh", "none"] | None = None,
    weights: Mapping[str, float] | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    judge: Literal["same", "any"] = "same",
    criteria: Literal["same", "shared"] = "same",
    rerun: Selector | None = None,
    seed: int = 0,
) -> Comparison:
    """Say whether a candidate is better or worse than a baseline, and how sure that is.

    Cases that both sides have scored are paired; a case's trials are averaged inside it first, so the case is the
    unit. Where both sides have models (agents, versions) in common, pairs are made within each of them and averaged
    per case, so that n stays the number of cases.

    Parameters
    ----------
    evals
        The collection that holds both sides.
    baseline, candidate
        A run, an agent_version or a model by name, or a dict of columns of `runs`, e.g.
        ``{"agent_version": "v1", "model": "demo-large"}``.
    rule
        When a trial passes.
    by
        Also split by these: "criterion", a column of cases (`severity`, `domain`, `tags`, `cluster`) or a column of
        runs that both sides have in common (`model`, ...). Several make a grid.
    margin
        The largest loss that would not matter, by metric: ``{"pass_rate": 0.05, "mean_score": 0.25}``. Declared, never
        fitted. Without it nothing says "no worse".
    level
        Confidence of the intervals.
    adjust
        Over the scopes of `by`: "holm" for a gate (the default for one column), "bh" for exploration (the default for
        a grid), or "none".
    weights
        Severity -> weight: adds a scope "weighted" in which a case counts by its severity.
    grader, rubric
        As for `evalkit.grade`; `rubric="any"` compares across rubric versions in spite of everything.
    judge
        "same" refuses sides that were scored by different judge models or prompts; "any" compares them anyway.
    criteria
        "same" refuses sides that were scored on different criteria (one with fewer passes more easily); "shared"
        compares them by the criteria that both have.
    rerun
        Another run of the same version as the baseline (an A/A run), if there is one: how many cases flip between two
        runs of one version is then counted, not estimated from the baseline's epochs (W19).
    seed
        Of the sign-flip permutation behind the p-value where cases were tried several times.

    Returns
    -------
    Comparison

    Raises
    ------
    SelectorError
        A side is not there or ambiguous; the sides share a run; or they were not judged alike.
    ColumnError
        `by` names no column of cases, or one of runs that the sides do not have in common.

    Notes
    -----
    Pass rates: Tango's (1998) score interval for a paired difference, on the effective number of cases where they were
    tried several times; p from McNemar's mid-p, or a sign-flip permutation. Mean scores: paired t on case means. A row
    of `by` is called regressed or improved only when its adjusted p allows it too.

    Examples
    --------
    >>> import evalkit as ek
    >>> change = ek.compare(ek.demo.make(), baseline="v2", candidate="v3")
    >>> print(change.sentence)
    v3 against v2: inconclusive overall; critical case 02 fails (0/6, was 6/6). Pass rate 96.3% to 87.0%, ...
    >>> change.verdict, change.flips["case"].to_list()
    ('inconclusive', ['02'])
    """
    expect(compare, locals())
    columns = (by,) if isinstance(by, str) else tuple(by or ())
    sides = dict(find_runs(evals, side) for side in (baseline, candidate))
    human = grader is not None
    evals, left_out = share_criteria(evals, sides, criteria=criteria, human=human)
    given = _check_margin(margin)
    asked: dict[str, Any] = {
        "baseline": baseline,
        "candidate": candidate,
        "rule": rule,
        "grader": grader,
        "rubric": rubric,
    }
    pairs = make_pairs(evals, **asked)
    if judge == "same":
        _check_judges(evals, pairs, grader=grader, rubric=rubric)
    units = pairs.units()
    rows = estimate_scope("overall", units, level=level, margin=given, seed=seed)
    if weights:
        rows += estimate_weighted(units, weights, level=level)
    split = [
        row
        for scope, units in find_scopes(evals, pairs, columns, asked)
        for row in estimate_scope(scope, units, level=level, margin=given, seed=seed)
    ]
    kind = adjust or ("holm" if len(columns) < 2 else "bh")
    rows += adjust_scopes(split, kind, level=level, margin=given)
    estimates = pl.DataFrame(rows, schema={**SUMMARY, **MORE})
    cases = _cases(units)
    flips = _flips(cases)
    again = None if rerun is None else make_pairs(evals, **{**asked, "candidate": rerun})
    if again is not None and set(again.runs["candidate"]) & set(pairs.runs["candidate"]):
        raise SelectorError("rerun= was given the candidate; it is another run of the baseline's version.")
    warnings, blocked = find_caveats(
        evals,
        pairs,
        units,
        cases,
        estimates,
        rule=rule,
        margin=given,
        grader=grader,
        rubric=rubric,
        judge=judge,
        rerun=None if again is None else again.units(),
        left_out=left_out,
        level=level,
    )
    if blocked:
        overall = (pl.col("scope") == "overall") & (pl.col("metric") == "pass_rate")
        estimates = estimates.with_columns(
            verdict=pl.when(overall).then(pl.lit("inconclusive")).otherwise("verdict")
        )
    from evalkit.compare.sentences import say

    return Comparison(
        baseline=pairs.baseline,
        candidate=pairs.candidate,
        verdict=estimates["verdict"][0],
        sentence=say(pairs.baseline, pairs.candidate, estimates.row(0, named=True), flips),
        summary=estimates.select(list(SUMMARY)),
        flips=flips,
        cases=cases,
        unpaired=pairs.unpaired,
        warnings=warnings,
        rule=rule,
        margin=given,
        level=level,
        by=columns,
        estimates=estimates,
    )


def _check_margin(margin: Mapping[str, float] | None) -> dict[str, float] | None:
    for name, value in (margin or {}).items():
        if name not in METRICS:
            raise ColumnError(
                f"margin names the metric {name!r}; it may be pass_rate or mean_score.{did_you_mean(name, METRICS)}"
            )
        if not 0 < value < (1 if name == "pass_rate" else float("inf")):
            raise ColumnError(
                f"margin[{name!r}] is {value!r}; it is a loss above 0{' and below 1 (0.05 is 5 points)' if name == 'pass_rate' else ''}."
            )
    return dict(margin) if margin else None


def _check_judges(evals: Evals, pairs: Pairs, **chosen: Any) -> None:
    """Refuse sides that different judge models or prompts have scored: the change would be confounded with them."""
    named = some_of(evals.scores, "judge_model", "prompt_hash")
    told = [column.name for column in named if column.null_count() < named.height]
    if not told:
        return
    both = [run for runs in pairs.runs.values() for run in runs]
    counted = choose_scores(evals.scores.lazy().filter(pl.col("run").is_in(both)), **chosen).to_native()
    judged = counted.filter(pl.col("grader_kind").fill_null("judge") == "judge")
    for column in told:
        used = judged.select("run", column).unique().drop_nulls().collect()
        sides = {
            side: sorted(used.filter(pl.col("run").is_in(runs))[column].unique())
            for side, runs in pairs.runs.items()
        }
        if sides["baseline"] and sides["candidate"] and sides["baseline"] != sides["candidate"]:
            raise SelectorError(
                f"The sides were not judged alike: {column} is {', '.join(sides['baseline'])} for {pairs.baseline!r} and "
                f'{", ".join(sides["candidate"])} for {pairs.candidate!r}. Judge both with one, or say judge="any" to compare anyway.'
            )


def _cases(units: pl.DataFrame) -> pl.DataFrame:
    sides = ("baseline", "candidate")
    numbers = [
        pl.col(f"{name}_{side}").alias(f"{side}_{name}")
        for name in ("rate", "passes", "trials", "mean")
        for side in sides
    ]
    verdicts = [majority(f"passes_{side}", f"trials_{side}").alias(f"{side}_verdict") for side in sides]
    names = pl.col("case").cast(pl.String)
    # Names of one length (c001, c002) are in their natural order as they are, and sort ten times faster.
    plain = units.select(names.str.len_bytes().n_unique()).item() <= 1
    return units.select("case", pl.col("severity").cast(Severity), *numbers, *verdicts, "suite").sort(
        pl.col("severity"),
        names if plain else natural_order("case"),
        descending=[True, False],
        nulls_last=True,
    )


def _flips(cases: pl.DataFrame) -> pl.DataFrame:
    from evalkit import stats

    flipped = cases.filter(pl.col("baseline_verdict") != pl.col("candidate_verdict"))
    counts = [f"{side}_{name}" for side in ("baseline", "candidate") for name in ("passes", "trials")]
    rows = flipped.select(counts).rows()
    # Many cases share their counts; the exact test of each is made once.
    exact = {
        (old, k_old, new, k_new): stats.boschloo(new, k_new, old, k_old)
        for old, k_old, new, k_new in set(rows)
        if min(k_new, k_old) >= 4
    }
    values = [exact.get(row) for row in rows]
    kind = (
        pl.when(pl.col("candidate_verdict") == "fail")
        .then(pl.lit("regression"))
        .otherwise(pl.lit("improvement"))
    )
    return flipped.select(
        "case",
        "severity",
        pl.col("baseline_verdict").cast(Verdict).alias("baseline"),
        pl.col("candidate_verdict").cast(Verdict).alias("candidate"),
        kind.cast(pl.Enum(["regression", "improvement"])).alias("kind"),
        *counts,
        (pl.col("candidate_rate") - pl.col("baseline_rate")).alias("difference"),
        pl.Series("p_value", values, dtype=pl.Float64),
        "suite",
    ).sort(
        "kind",
        "severity",
        "difference",
        descending=[False, True, False],
        nulls_last=True,
        maintain_order=True,
    )
