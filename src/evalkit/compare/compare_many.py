"""Compare many versions with a baseline, and rank them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.compare.compare import Comparison, compare_sides
from evalkit.compare.data_warnings import leave_out_conflicts
from evalkit.compare.estimates import CompareOptions, Metric, adjust_scopes, to_estimates
from evalkit.compare.pairs import find_runs, share_criteria
from evalkit.compare.ranks import Tied, rank_versions
from evalkit.compare.results import EstimatedResult
from evalkit.compare.sentences import metric_value, summary_table, verdict_text
from evalkit.compare.sequential import LOOKS, apply_evidence, find_looks
from evalkit.compare.warnings import (
    merge_warnings,
    remark,
    warn_left_out,
    warn_of_looks,
    warn_of_many,
    warn_of_winner,
)
from evalkit.data.result import plain_data
from evalkit.grading.grade import grade_trials
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.version_order import natural_key
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError, SelectorError
from evalkit.util.html_table import html_table
from evalkit.util.words import Option, Sentence, join_words, plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import altair as alt

    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.util.html_table import Html
    from evalkit.util.notes import Warning

# Warnings that change what a reader may conclude.
_GRAVE: Final = ("W06", "W07", "W09", "W10", "W11")
_KINDS: Final = ("agent_version", "model", "run")


@dataclass(frozen=True, eq=False, repr=False)
class VersionRanking(EstimatedResult):
    """The result of `compare_many`.

    Attributes
    ----------
    baseline, candidates
        Labels of the versions.
    sentence
        The best version, the ties, and the verdict of each candidate.
    summary
        polars frame as `Comparison.summary`, one row per candidate (as `scope`) and metric. `p_adjusted` is over the
        candidates.
    table
        `summary` with the further columns of `Comparison.table`.
    ranks
        polars frame, one row per metric and version, the best first: `metric`, `version`, `value` (mean over the
        cases scored on every version), `rank` (1 is best), `low`, `high` (of the rank), `p_best` (share of
        resampled suites in which it is first), `p_best_shrunk` (the same with differences shrunk towards the mean, near
        the chance that it is best), `tied_with_best`, `n` (cases), `method`, `level`, `status`, `reason`.
    omnibus
        polars frame, one row per metric: `statistic`, `df`, `p_value` of "all versions are alike", `n`, `versions`,
        `method`, `status`, `reason`.
    tied
        Per metric the sets of indistinguishable versions, the best set first. They may overlap.
    looks
        polars frame, with `sequential=True` one row per candidate and look: `candidate`, `look`, `n` (pairs of trials
        so far), `up`, `down` (passed on one side only), `e_value`, `p_value` (valid at every look), `stop`.
    changes
        Each candidate's own `Comparison` with the baseline, not adjusted for the others.
    warnings
        polars frame `id`, `scope`, `text`.
    level, adjust, rule, margin
        The arguments.
    """

    baseline: str
    candidates: tuple[str, ...]
    sentence: str
    estimates: pl.DataFrame
    ranks: pl.DataFrame
    omnibus: pl.DataFrame
    tied: dict[Metric, Tied]
    looks: pl.DataFrame
    changes: dict[str, Comparison]
    cautions: tuple[Warning, ...]
    level: float
    adjust: str
    rule: PassRule
    margin: dict[str, float] | None

    def explain(self) -> str:
        """Describe the result in a paragraph."""
        parts = [self.sentence]
        test = self.omnibus.row(0, named=True)
        if test["p_value"] is not None:
            alike = "could all be alike" if test["p_value"] >= 1 - self.level else "are not all alike"
            parts.append(
                f"The {test['versions']} versions {alike} "
                f"({test['method']}, {fmt.p_value(test['p_value'])}, n = {test['n']})."
            )
        order = self.ranks.filter(pl.col("p_best").is_not_null(), metric="pass_rate")
        if order.height:
            best = order.sort("p_best", descending=True, maintain_order=True).head(3)
            chances = (
                f"{row['version']} {fmt.percent(row['p_best'], 0)} ({fmt.percent(row['p_best_shrunk'], 0)})"
                for row in best.iter_rows(named=True)
            )
            parts.append(
                f"First in resampled suites: {', '.join(chances)}. In brackets: with differences shrunk towards the "
                "mean, nearer to the chance of being best."
            )
        decided = self.estimates.filter(pl.col("verdict") != "inconclusive", metric="pass_rate")
        for row in decided.head(5).iter_rows(named=True):
            difference = fmt.points(row["difference"])
            verdict = verdict_text(row["verdict"], by_looks=self.looks.height > 0)
            parts.append(f"{row['scope']} {verdict}: {difference} against {self.baseline}.")
        grave = [warning for warning in self.cautions if warning.id in _GRAVE]
        parts += [remark(warning).partition(" ")[2] for warning in grave[:3]]
        return printable(" ".join(parts))

    def chart(
        self, kind: Literal["ranks", "forest"] = "ranks", *, metric: Metric = "pass_rate"
    ) -> alt.TopLevelMixin:
        """Plot the ranks with their intervals, or the differences to the baseline."""
        from evalkit import charts

        if kind == "forest":
            return charts.forest(self.summary, metric=metric, margin=self.margin)
        return charts.ranks(self.ranks.filter(metric=metric))

    def _html_tables(self) -> Iterable[Html]:
        heads = ["Metric", "Version", "Value", "Rank", "Rank interval", "First in", "Shrunk", "n", "Method"]
        numeric = ["Value", "Rank", "Rank interval", "First in", "Shrunk", "n"]
        rows = [_rank_cells(row) for row in self.ranks.iter_rows(named=True)]
        return [
            html_table(heads, rows, numeric=numeric),
            summary_table(self.estimates, "Candidate", by_looks=self.looks.height > 0),
        ]

    def _facts(self) -> dict[str, Any]:
        names = (
            *("baseline", "candidates", "sentence", "rule", "margin", "level", "adjust", "tied"),
            *("ranks", "omnibus", "looks", "warnings"),
        )
        return dict(plain_data({"summary": self.estimates, **{name: getattr(self, name) for name in names}}))


def compare_many(
    evals: Evals,
    baseline: Selector,
    candidates: Sequence[Selector] | None = None,
    *,
    rule: PassRule | None = None,
    margin: Mapping[str, float] | None = None,
    level: float | None = None,
    adjust: Literal["holm", "bh", "none"] = "holm",
    sequential: bool = False,
    looks: int | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    judge: Literal["same", "any"] = "same",
    criteria: Literal["same", "shared"] = "same",
    seed: int = 0,
    resamples: int = 10_000,
) -> VersionRanking:
    """Compare several versions with a baseline and rank them all.

    Parameters
    ----------
    evals
        The collection with all versions.
    baseline
        A run, an agent_version or a model by name, or a dict of columns of `runs`.
    candidates
        Selectors as for `baseline`. None: all other values of the baseline's kind, such as all other versions.
    rule, margin, level, grader, rubric, judge, criteria
        As for `evalkit.compare`.
    adjust
        Over the candidates, per metric: "holm" (chance of any false alarm), "bh" (share of false ones) or "none".
    sequential
        Whether results were looked at while runs came in, in the order of `runs.started_at`. Verdicts on pass rates
        then use e-values.
    looks
        Number of looks planned before the first; each then uses a stricter level (Pocock).
    seed, resamples
        Of the joint case bootstrap behind the ranks, and of the permutation tests.

    Raises
    ------
    SelectorError
        A version is unknown, or two of them share a run.
    FormatError
        `looks` together with `sequential`.

    Notes
    -----
    Against the baseline: as `evalkit.compare`, p-values adjusted. Omnibus test: Cochran's Q if every case has one
    trial, else Friedman's. Ranks: cases are resampled for all versions together. Ties: every pair of versions is
    tested (McNemar's mid-p, a sign-flip permutation, from 50 cases on a paired t), adjusted by Holm over all pairs;
    in a tied set no pair differs. E-values: statistics.md 3.11; Pocock (1977) Biometrika 64:191-199.

    Examples
    --------
    >>> import polars as pl
    >>> import evalkit as ek
    >>> versions = {"v1": [2, 2, 2, 2, 2, 2, 2, 5], "v2": [5] * 8, "v3": [5, 5, 5, 5, 5, 5, 5, 2]}
    >>> rows = [
    ...     (v, f"{case}", "quality", s) for v, scores in versions.items() for case, s in enumerate(scores)
    ... ]
    >>> evals = ek.Evals.from_tables(
    ...     runs=pl.DataFrame({"run": list(versions), "agent_version": list(versions)}),
    ...     scores=pl.DataFrame(rows, schema=["run", "case", "criterion", "score"], orient="row"),
    ... )
    >>> ranking = ek.compare_many(evals, "v1", rule=ek.PassRule(scale=(1, 5)))
    >>> ranking.tied["pass_rate"], ranking.summary["verdict"][0]
    ((('v2', 'v3'), ('v3', 'v1')), 'improved')
    """
    expect(compare_many, locals(), judged=True)
    if looks is not None and sequential:
        raise FormatError(
            Sentence(
                "{looks} is for planned looks, {sequential} for unplanned ones.",
                looks=Option("looks", looks),
                sequential=Option("sequential", value=True),
            ),
            argument="looks",
            value=looks,
            fix="Pass one of them.",
        )
    from evalkit import stats

    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric, level=level)
    level = scoring.level
    strict_level = 1 - stats.pocock_alpha(looks, alpha=round(1 - level, 12)) if looks else level
    selectors, sides = _find_versions(evals, baseline, candidates)
    evals, left_out = share_criteria(evals, sides, scoring, criteria=criteria)
    evals, conflicts = leave_out_conflicts(evals, sides.values())
    first, *others = sides
    options = CompareOptions(margin=margin, judge=judge, criteria=criteria, seed=seed)
    strict = scoring.replace_given(level=strict_level)
    changes, rows = {}, []
    for name in others:
        changes[name], overall = compare_sides(evals, selectors[first], selectors[name], strict, options)
        rows += [{**row, "scope": name} for row in overall]
    graded = grade_trials(evals.filter(run=[run for runs in sides.values() for run in runs]), scoring)
    evidence = pl.DataFrame(schema=LOOKS)
    if sequential:
        evidence = find_looks(evals, graded, sides, alpha=1 - level)
        rows = [apply_evidence(row, evidence.filter(candidate=row["scope"])) for row in rows]
    estimates = to_estimates(adjust_scopes(rows, adjust, strict_level))
    ranks, omnibus, tied, bonus = rank_versions(graded, sides, level=level, seed=seed, resamples=resamples)
    warnings = [
        *merge_warnings({name: change.cautions for name, change in changes.items()}),
        *warn_left_out(left_out),
        *conflicts,
        *warn_of_many(len(others), adjust, margin),
        *warn_of_winner(ranks, bonus, len(sides)),
        *warn_of_looks(evals, sides, evidence, sequential=sequential, planned=looks, confidence=strict_level),
    ]
    return VersionRanking(
        baseline=first,
        candidates=tuple(others),
        sentence=_describe(first, estimates, ranks, tied["pass_rate"], by_looks=sequential),
        estimates=estimates,
        ranks=ranks,
        omnibus=omnibus,
        tied=tied,
        looks=evidence,
        changes=changes,
        cautions=tuple(warnings),
        level=level,
        adjust=adjust,
        rule=scoring.rule,
        margin=dict(margin) if margin else None,
    )


def _find_versions(
    evals: Evals, baseline: Selector, candidates: Sequence[Selector] | None
) -> tuple[dict[str, Selector], dict[str, list[str]]]:
    """Return selector and runs of each version by label, the baseline first."""
    selectors: dict[str, Selector] = {}
    sides: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for selector in [baseline, *(_find_others(evals, baseline) if candidates is None else candidates)]:
        name, runs = find_runs(evals, selector)
        if name in sides:
            raise SelectorError(f"The version {name!r} is named twice.", fix="Name each version once.")
        for run in runs:
            if run in owner:
                raise SelectorError(
                    f"The run {run!r} belongs to {owner[run]!r} and to {name!r}.", expected="one version"
                )
            owner[run] = name
        selectors[name], sides[name] = selector, runs
    if len(sides) < 2:
        raise SelectorError(
            f"There is nothing to compare {next(iter(sides))!r} with.",
            argument="candidates",
            fix=_NAME_CANDIDATES,
        )
    return selectors, sides


_NAME_CANDIDATES: Final = "Name other versions: candidates=[...]."


def _find_others(evals: Evals, baseline: Selector) -> list[Selector]:
    fixed: dict[str, Any] = {}
    runs = evals.runs
    if isinstance(baseline, str):
        _, own = find_runs(evals, baseline)
        column = next(
            c for c in _KINDS if set(runs.filter(pl.col(c).cast(pl.String) == baseline)["run"]) == set(own)
        )
        taken = {baseline}
    else:
        column = next((c for c in _KINDS if c in baseline), "")
        if not column:
            raise SelectorError(
                f"No default candidates for {dict(baseline)}.", argument="candidates", fix=_NAME_CANDIDATES
            )
        fixed = {name: value for name, value in baseline.items() if name != column}
        runs = evals.filter(**fixed).runs if fixed else runs
        value = baseline[column]
        taken = {str(name) for name in (value if isinstance(value, list | tuple | set) else [value])}
    names = {str(name) for name in runs[column].cast(pl.String).drop_nulls() if name} - taken
    ordered = sorted(names, key=lambda name: natural_key([name]))
    return [
        name if not fixed and _is_unique(evals, name, column) else {**fixed, column: name} for name in ordered
    ]


def _is_unique(evals: Evals, name: str, column: str) -> bool:
    try:
        _, runs = find_runs(evals, name)
    except SelectorError:
        return False
    return set(runs) == set(evals.runs.filter(pl.col(column).cast(pl.String) == name)["run"])


def _describe(
    baseline: str, estimates: pl.DataFrame, ranks: pl.DataFrame, tied: Tied, *, by_looks: bool
) -> str:
    order = ranks.filter(metric="pass_rate")
    text = "No case was scored on every version, so there are no ranks"
    if order["rank"].drop_nulls().len():
        best = order.filter(pl.col("rank") == order["rank"].min())["version"].to_list()
        text = (
            f"{join_words(best)} {'has' if len(best) == 1 else 'have'} the highest pass rate of "
            f"{plural(order.height, 'version')} ({fmt.percent(order['value'][0])}, n = {plural(order['n'][0], 'case')})"
        )
        if tied and len(tied[0]) == order.height:
            text += "; no two versions are distinguishable"
        else:
            text += "".join(f"; {join_words(names)} are indistinguishable" for names in tied[:3])
        if tied and set(best) - set(tied[0]):
            text += f"; {join_words(best)} stands apart"
        if not tied:
            text += "; all versions are distinguishable"
    verdicts: dict[str, list[str]] = {}
    for row in estimates.filter(metric="pass_rate").iter_rows(named=True):
        verdicts.setdefault(verdict_text(row["verdict"], by_looks=by_looks), []).append(row["scope"])
    words = "; ".join(f"{verdict}: {join_words(names)}" for verdict, names in verdicts.items())
    return printable(f"{text}. Against {baseline}: {words}.")


def _rank_cells(row: Mapping[str, Any]) -> list[str]:
    start = [row["metric"].replace("_", " "), row["version"], metric_value(row["value"], row["metric"])]
    if row["rank"] is None:
        return [*start, "", row["reason"], "", "", f"{row['n']}", ""]
    return [
        *start,
        f"{row['rank']:g}",
        f"{row['low']:g} to {row['high']:g}",
        fmt.percent(row["p_best"]),
        fmt.percent(row["p_best_shrunk"]),
        f"{row['n']}",
        f"{fmt.level(row['level'])} {row['method']}",
    ]
