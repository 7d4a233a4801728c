"""Compare a candidate with a baseline, case by case."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from evalkit.compare.data_warnings import (
    leave_out_conflicts,
    warn_of_directions,
    warn_of_missing,
    warn_of_sources,
)
from evalkit.compare.estimates import (
    CompareOptions,
    Metric,
    Row,
    adjust_scopes,
    estimate_scope,
    estimate_weighted,
    find_scale,
    find_scopes,
    to_estimates,
)
from evalkit.compare.pairs import (
    SIDES,
    default_sides,
    find_runs,
    find_sides,
    majority,
    make_pairs,
    share_criteria,
)
from evalkit.compare.results import EstimatedResult
from evalkit.compare.sentences import FlipCount, describe_change, explain_change, summary_table
from evalkit.compare.warnings import (
    find_churn,
    find_unscored,
    find_warnings,
    warn_left_out,
    warn_of_unscored,
)
from evalkit.data.frames import some_of
from evalkit.data.result import plain_data
from evalkit.data.schema import Severity, Verdict
from evalkit.grading.select_scores import choose_scoring, scores_for
from evalkit.grading.version_order import natural_order
from evalkit.util.arguments import expect
from evalkit.util.errors import SelectorError
from evalkit.util.words import Option, Sentence, as_names, join_words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import altair as alt

    from evalkit.compare.pairs import Pairs, Selector
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.grading.pass_rule import PassRule
    from evalkit.util.html_table import Html
    from evalkit.util.notes import Warning


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(EstimatedResult):
    """The result of `compare`.

    Attributes
    ----------
    baseline, candidate
        Labels of the two sides.
    verdict
        "regressed", "regressed within margin", "improved", "no worse than margin" or "inconclusive": the pass rate over
        all cases.
    sentence
        The verdict with its numbers and the worst flips.
    summary
        polars frame, one row per scope and metric: `scope`, `metric` (pass_rate in 0 to 1, mean_score in score
        units), `baseline`, `candidate`, `difference` (candidate minus baseline), `low`, `high`, `p_value`,
        `p_adjusted` (over the scopes of `by`, per metric), `n` (cases), `n_eff`, `method`, `level`, `verdict`.
    table
        `summary` and `k` (trials per case), `clusters`, `up` and `down` (cases that rose and fell), `direction` (the better end: higher or lower), `adjustment`,
        `seed`, `limited` (a limit rests on the baseline's own uncertainty: the ceiling), `status` ("ok" or
        "not_estimable"), `reason`.
    flips
        polars frame, the worst first: `case`, `severity`, `baseline`, `candidate` (majority verdicts), `kind`
        (regression, improvement), `baseline_passes`, `baseline_trials`, `candidate_passes`, `candidate_trials`,
        `difference`, `p_value` (Boschloo, from four trials per side; Holm over all cases), `suite`.
    cases
        polars frame, every pair: `case`, `severity`, and per side `*_rate`, `*_passes`, `*_trials`, `*_mean`,
        `*_verdict`, and `suite`.
    unpaired
        polars frame `case`, `severity`, `side`, `verdict`: cases scored on one side only.
    warnings
        polars frame `id` (W01 ...), `scope`, `text`.
    rule, margin, level, by
        The arguments.
    """

    baseline: str
    candidate: str
    verdict: str
    sentence: str
    estimates: pl.DataFrame
    flips: pl.DataFrame
    cases: pl.DataFrame
    unpaired: pl.DataFrame
    cautions: tuple[Warning, ...]
    rule: PassRule
    margin: dict[str, float] | None
    level: float
    by: tuple[str, ...]
    churn: FlipCount | None = None

    @property
    def has_more_flips_than_chance(self) -> bool:
        """Whether more cases flipped than between two runs of one version, or that number is unknown."""
        return self.churn is None or self.churn.expected is None or self.churn.flips > self.churn.expected

    def explain(self) -> str:
        """Describe the result in a paragraph."""
        labels = {"baseline": self.baseline, "candidate": self.candidate}
        return explain_change(labels, self.estimates, self.flips, self.warnings)

    def chart(self, metric: Metric = "pass_rate") -> alt.TopLevelMixin:
        """Plot the differences with their intervals; see `evalkit.charts.regression`."""
        from evalkit import charts

        return charts.regression(self, metric=metric)

    def _html_tables(self) -> Iterable[Html]:
        return [summary_table(self.estimates)]

    def _facts(self) -> dict[str, Any]:
        names = ("baseline", "candidate", "verdict", "sentence", "rule", "margin", "level", "by")
        frames = {"summary": self.estimates, "warnings": self.warnings}
        frames |= {name: getattr(self, name) for name in ("flips", "cases", "unpaired")}
        return dict(plain_data({**{name: getattr(self, name) for name in names}, **frames}))


def compare(
    evals: Evals,
    baseline: Selector | None = None,
    candidate: Selector | None = None,
    *,
    rule: PassRule | None = None,
    by: str | Sequence[str] | None = None,
    margin: Mapping[str, float] | None = None,
    level: float | None = None,
    adjust: Literal["holm", "bh", "none"] | None = None,
    weights: Mapping[str, float] | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    judge: Literal["same", "any"] = "same",
    criteria: Literal["same", "shared"] = "same",
    rerun: Selector | None = None,
    seed: int = 0,
) -> Comparison:
    """Compare a candidate with a baseline, case by case.

    Cases scored on both sides are paired; trials are averaged per case. If both sides share models (agents, versions),
    pairs are made within each and averaged per case.

    Parameters
    ----------
    evals
        The collection with both sides.
    baseline, candidate
        A run, an agent_version or a model by name, or a dict of columns of `runs`, e.g.
        ``{"agent_version": "v1", "model": "demo-large"}``. Without both: the last two versions, if start times or numbers
        in their names order them.
    rule, grader, rubric
        As for `evalkit.grade`; `rubric="any"` compares across rubric versions.
    by
        Split by "criterion", a column of cases (`severity`, `domain`, `tags`, `cluster`) or a column of runs that
        both sides share (`model`, ...). Several make a grid.
    margin
        Largest acceptable loss per metric: ``{"pass_rate": 0.05, "mean_score": 0.25}``. Declare it before looking at
        the data. Without it, no verdict is "no worse".
    level
        Confidence level; 0.95 by default.
    adjust
        Over the scopes of `by`: "holm" for a gate (default for one column), "bh" for exploration (default for a
        grid), or "none".
    weights
        Weight per severity. Adds a scope "weighted".
    judge
        "same" refuses sides scored by different judge models or prompts; "any" compares them.
    criteria
        "same" refuses sides scored on different criteria; "shared" uses the criteria of both.
    rerun
        Another run of the baseline's version (an A/A run). Its flips against the baseline are counted (W19).
    seed
        Seed of the sign-flip permutation, used if cases have several trials.

    Raises
    ------
    SelectorError
        A side is unknown or ambiguous, the sides share a run, or they were not scored alike.
    ColumnError
        `by`, `margin` or `weights` has an unknown name.

    Notes
    -----
    Pass rates: Tango's (1998) score interval for a paired difference, on the effective number of cases if they have
    several trials; p from McNemar's mid-p, or a sign-flip permutation. Mean scores: paired t on case means. The verdict
    of a `by` row also needs its adjusted p.

    Examples
    --------
    >>> import evalkit as ek
    >>> change = ek.compare(ek.demo.make(), "v2", "v3")
    >>> print(change.sentence)
    v3 against v2: inconclusive overall; critical case 02 fails (0/6, was 6/6). Pass rate 96.3% to 87.0%, ...
    >>> change.verdict, change.flips["case"].to_list()
    ('inconclusive', ['02'])
    """
    expect(compare, locals(), judged=True)
    by = as_names(by)
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric, weights=weights, level=level)
    options = CompareOptions(by, margin, adjust, judge, criteria, rerun, seed)
    baseline, candidate = default_sides(evals, baseline, candidate)
    return compare_sides(evals, baseline, candidate, scoring, options)[0]


def compare_sides(
    evals: Evals, baseline: Selector, candidate: Selector, scoring: Scoring, options: CompareOptions
) -> tuple[Comparison, list[Row]]:
    """Compare two sides under a scoring; return also the rows of estimates."""
    options.check_margin()
    labels, runs = find_sides(evals, baseline, candidate)
    evals, left_out = share_criteria(
        evals, {labels[side]: runs[side] for side in SIDES}, scoring, criteria=options.criteria
    )
    evals, conflicts = leave_out_conflicts(evals, runs.values())
    pairs = make_pairs(evals, labels, runs, scoring)
    if options.judge == "same":
        _require_same_judges(evals, pairs, scoring)
    units, level = pairs.units(), scoring.level
    scale = find_scale(evals)
    rows = estimate_scope("overall", units, level, options, scale=scale)
    unscored = find_unscored(pairs)
    rows[0]["decidable"] = not unscored.is_decisive
    if scoring.weights:
        rows += estimate_weighted(units, scoring.weights, level, scale=scale)
    scopes = find_scopes(evals, pairs, options.by, scoring)
    split = [
        row
        for scope, part, is_lower in scopes
        for row in estimate_scope(scope, part, level, options, scale=scale, is_lower=is_lower)
    ]
    rows += adjust_scopes(split, options.adjust or ("holm" if len(options.by) < 2 else "bh"), level)
    estimates = to_estimates(rows)
    cases = _cases(units)
    flips = _flips(cases)
    churn = find_churn(units, flips.height, _rerun_units(evals, pairs, scoring, options))
    warnings = [
        *find_warnings(evals, pairs, units, cases, estimates, scoring, options, churn),
        *warn_left_out(left_out),
        *warn_of_unscored(unscored),
        *warn_of_missing(evals, pairs, scoring),
        *warn_of_directions(evals, pairs),
        *conflicts,
        *warn_of_sources(evals, pairs.all_runs),
    ]
    comparison = Comparison(
        **labels,
        verdict=estimates["verdict"][0],
        sentence=describe_change(labels, estimates, flips, churn),
        estimates=estimates,
        flips=flips,
        cases=cases,
        unpaired=pairs.unpaired,
        cautions=tuple(sorted(warnings, key=lambda warning: warning.id)),
        rule=scoring.rule,
        margin=dict(options.margin) if options.margin else None,
        level=level,
        by=options.by,
        churn=churn,
    )
    return comparison, rows[: len(SIDES)]


def _rerun_units(
    evals: Evals, pairs: Pairs, scoring: Scoring, options: CompareOptions
) -> pl.DataFrame | None:
    if options.rerun is None:
        return None
    label, runs = find_runs(evals, options.rerun)
    if set(runs) & set(pairs.runs["candidate"]):
        raise SelectorError(
            Sentence("{option} names the candidate.", option=Option("rerun")),
            argument="rerun",
            expected="another run of the baseline's version",
        )
    labels = {**pairs.labels, "candidate": label}
    return make_pairs(evals, labels, {**pairs.runs, "candidate": runs}, scoring).units()


def _require_same_judges(evals: Evals, pairs: Pairs, scoring: Scoring) -> None:
    columns = some_of(evals.scores, "judge_model", "prompt_hash")
    known = [column.name for column in columns if column.null_count() < columns.height]
    if not known:
        return
    scores = evals.scores.lazy().filter(pl.col("run").is_in(pairs.all_runs))
    counted = scores_for(scoring, scores)
    judged = counted.filter(pl.col("grader_kind").fill_null("judge") == "judge")
    for column in known:
        used = judged.select("run", column).unique().drop_nulls().collect()
        old, new = (
            sorted(used.filter(pl.col("run").is_in(pairs.runs[side]))[column].unique()) for side in SIDES
        )
        if old and new and old != new:
            raise SelectorError(
                f"Different judges scored the sides: {column} is {join_words(old)} for {pairs.labels['baseline']!r} "
                f"and {join_words(new)} for {pairs.labels['candidate']!r}.",
                argument="judge",
                fix=Sentence("Score both with one judge, or pass {option}.", option=Option("judge", "any")),
            )


def _cases(units: pl.DataFrame) -> pl.DataFrame:
    numbers = [
        pl.col(f"{name}_{side}").alias(f"{side}_{name}")
        for name in ("rate", "passes", "trials", "mean")
        for side in SIDES
    ]
    verdicts = [majority(f"passes_{side}", f"trials_{side}").alias(f"{side}_verdict") for side in SIDES]
    names = pl.col("case").cast(pl.String)
    # Names of one length (c001, c002) are in natural order as they are, and sort ten times faster.
    is_plain = units.select(names.str.len_bytes().n_unique()).item() <= 1
    return units.select("case", pl.col("severity").cast(Severity), *numbers, *verdicts, "suite").sort(
        "severity", names if is_plain else natural_order("case"), descending=[True, False], nulls_last=True
    )


def _flips(cases: pl.DataFrame) -> pl.DataFrame:
    from evalkit import stats

    counts = [f"{side}_{name}" for side in SIDES for name in ("passes", "trials")]
    rows = cases.select(counts).rows()
    p_values = stats.flip_p_values((new, k_new, old, k_old) for old, k_old, new, k_new in rows)
    tested = cases.with_columns(pl.Series("p_value", p_values, dtype=pl.Float64))
    flipped = tested.filter(pl.col("baseline_verdict") != pl.col("candidate_verdict"))
    has_failed = pl.col("candidate_verdict") == "fail"
    kind = pl.when(has_failed).then(pl.lit("regression")).otherwise(pl.lit("improvement"))
    return flipped.select(
        "case",
        "severity",
        *(pl.col(f"{side}_verdict").cast(Verdict).alias(side) for side in SIDES),
        kind.cast(pl.Enum(["regression", "improvement"])).alias("kind"),
        *counts,
        (pl.col("candidate_rate") - pl.col("baseline_rate")).alias("difference"),
        "p_value",
        "suite",
    ).sort(
        "kind",
        "severity",
        "difference",
        descending=[False, True, False],
        nulls_last=True,
        maintain_order=True,
    )
