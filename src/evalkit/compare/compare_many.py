"""Many versions over the same cases: each against a baseline, which may be the best, which cannot be told apart."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.compare.compare import Comparison, compare
from evalkit.compare.estimates import METRICS, MORE, SUMMARY, Metric, adjust_scopes
from evalkit.compare.pairs import find_runs, share_criteria
from evalkit.compare.ranks import rank_versions
from evalkit.compare.sentences import cells
from evalkit.compare.sequential import LOOKS, by_evidence, find_looks, warn_of_looks
from evalkit.compare.warnings import say_left_out
from evalkit.grading.grade import grade
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.version_order import natural_key
from evalkit.util.arguments import expect
from evalkit.util.errors import FormatError, SelectorError
from evalkit.util.format import number, percent, points
from evalkit.util.words import join_words, plural, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import altair as alt

    from evalkit.compare.pairs import Selector
    from evalkit.data.evals import Evals

_WARNINGS: Final = {"id": pl.String(), "scope": pl.String(), "text": pl.String()}


@dataclass(frozen=True, eq=False, repr=False)
class Comparisons:
    """What `compare_many` found.

    Attributes
    ----------
    baseline, candidates
        What the versions are called.
    sentence
        Who comes first, who cannot be told apart, and what became of each against the baseline.
    summary
        polars frame as `Comparison.summary`, a row for each candidate (as `scope`) and metric: the paired difference
        to the baseline. `p_adjusted` is over the candidates.
    ranks
        polars frame, a row for each metric and version, the best first: `metric`, `version`, `value` (mean over the
        cases that every version was scored on), `rank` (1 is best), `low`, `high` (of the rank), `p_best` (share of
        resampled suites in which it comes first), `tied_with_best`, `n` (cases), `method`, `level`, `status`,
        `reason`.
    omnibus
        polars frame, a row a metric: `statistic`, `df`, `p_value` of "all versions are alike", `n`, `versions`,
        `method`, `status`, `reason`.
    tied
        For each metric the sets of versions that cannot be told apart, the best set first. A version may be in several.
    looks
        polars frame, with `sequential=True` a row for each candidate and look: `candidate`, `look`, `n` (pairs of
        trials so far), `up`, `down` (that only one side passed), `e_value`, `p_value` (valid at any look), `stop`.
    changes
        Each candidate's own `Comparison` with the baseline: its flips, cases and warnings. Not adjusted for the others.
    warnings
        polars frame `id`, `scope`, `text`.
    level, adjust, rule, margin
        What was asked.
    """

    baseline: str
    candidates: tuple[str, ...]
    sentence: str
    summary: pl.DataFrame
    ranks: pl.DataFrame
    omnibus: pl.DataFrame
    tied: dict[Metric, tuple[tuple[str, ...], ...]]
    looks: pl.DataFrame
    changes: dict[str, Comparison]
    warnings: pl.DataFrame
    level: float
    adjust: str
    rule: PassRule
    margin: dict[str, float] | None
    estimates: pl.DataFrame

    def to_frame(self) -> pl.DataFrame:
        """Return `summary` with what else is known of each number (see `Comparison.to_frame`)."""
        return self.estimates

    def to_dict(self) -> dict[str, Any]:
        """Return everything but `changes` as plain data, ready for JSON."""
        return {
            "baseline": self.baseline,
            "candidates": list(self.candidates),
            "sentence": self.sentence,
            "rule": self.rule.to_dict(),
            "margin": self.margin,
            "level": self.level,
            "adjust": self.adjust,
            "tied": {metric: [list(names) for names in sets] for metric, sets in self.tied.items()},
            "summary": self.estimates.to_dicts(),
            **{name: getattr(self, name).to_dicts() for name in ("ranks", "omnibus", "looks", "warnings")},
        }

    def explain(self) -> str:
        """Return a paragraph for somebody who does not read tables."""
        return _explain(self)

    def chart(
        self, kind: Literal["ranks", "forest"] = "ranks", *, metric: Metric = "pass_rate"
    ) -> alt.TopLevelMixin:
        """Draw the ranks with their intervals, or the differences to the baseline."""
        from evalkit import charts

        if kind == "forest":
            return charts.forest(self.summary, metric=metric, margin=self.margin)
        return charts.ranks(self.ranks.filter(metric=metric))

    def __repr__(self) -> str:
        lines = [self.sentence]
        lines += [
            f"  {row['id']} {_where(row['scope'])}{row['text']}"
            for row in self.warnings.iter_rows(named=True)
        ]
        return printable("\n".join(lines))

    def _repr_html_(self) -> str:
        rows = [cells(row) for row in self.estimates.iter_rows(named=True)]
        ranked = [_rank_cells(row) for row in self.ranks.iter_rows(named=True)]
        items = "".join(
            f"<li>{html.escape(_where(row['scope']) + row['text'])} <small>({row['id']})</small></li>"
            for row in self.warnings.iter_rows(named=True)
        )
        return (
            f"<p><strong>{html.escape(self.sentence)}</strong></p>"
            + _table(_rank_cells(None), ranked)
            + _table(["candidate", *cells(None)[1:]], rows)
            + (f"<ul>{items}</ul>" if items else "")
        )


def compare_many(
    evals: Evals,
    *,
    baseline: Selector,
    candidates: Sequence[Selector] | None = None,
    rule: PassRule = DEFAULT_RULE,
    margin: Mapping[str, float] | None = None,
    level: float = 0.95,
    adjust: Literal["holm", "bh", "none"] = "holm",
    sequential: bool = False,
    looks: int | None = None,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    judge: Literal["same", "any"] = "same",
    criteria: Literal["same", "shared"] = "same",
    seed: int = 0,
    resamples: int = 10_000,
) -> Comparisons:
    """Compare several versions with a baseline and rank them all, with how sure the ranks are.

    Parameters
    ----------
    evals
        The collection that holds all versions.
    baseline
        A run, an agent_version or a model by name, or a dict of columns of `runs`.
    candidates
        Selectors as for `baseline`. None: everything else of the kind that the baseline names (all other versions).
    rule, margin, level, grader, rubric, judge, criteria
        As for `evalkit.compare`.
    adjust
        Over the candidates, for each metric: "holm" (chance of any false alarm), "bh" (share of false ones) or "none".
    sequential
        Whether the runs were looked at as they came in. Then the pass rates' verdicts rest on e-values, which hold
        however often one looks; the order is that of `runs.started_at`.
    looks
        How many looks were planned before the first (Pocock): each is then made at a stricter level.
    seed, resamples
        Of the joint case bootstrap behind the ranks, and of the permutation tests.

    Returns
    -------
    Comparisons

    Raises
    ------
    SelectorError
        A version is not there, or two of them share a run.
    FormatError
        `looks` together with `sequential`, or fewer than one look.

    Notes
    -----
    Against the baseline: as `evalkit.compare`, p-values adjusted by Holm. Is any different: Cochran's Q where every case
    was tried once, else Friedman's test. Ranks: cases are resampled for all versions together. Tied: every pair of
    versions is tested (McNemar's mid-p, a sign-flip permutation, from 50 cases on a paired t) and adjusted by Holm over all pairs; a set is
    tied when none of its pairs is told apart. E-values: statistics.md 3.11; Pocock (1977) Biometrika 64:191-199.

    Examples
    --------
    >>> import polars as pl
    >>> import evalkit as ek
    >>> from evalkit.compare.compare_many import compare_many
    >>> versions = {"v1": [2, 2, 2, 2, 2, 2, 2, 5], "v2": [5] * 8, "v3": [5, 5, 5, 5, 5, 5, 5, 2]}
    >>> scores = pl.DataFrame(
    ...     [
    ...         (version, f"{at}", "quality", score)
    ...         for version, column in versions.items()
    ...         for at, score in enumerate(column)
    ...     ],
    ...     schema=["run", "case", "criterion", "score"],
    ...     orient="row",
    ... )
    >>> evals = ek.Evals.from_tables(
    ...     runs=pl.DataFrame({"run": list(versions), "agent_version": list(versions)}), scores=scores
    ... )
    >>> found = compare_many(evals, baseline="v1", rule=ek.PassRule(scale=(1, 5)))
    >>> found.tied["pass_rate"], found.summary["verdict"][0]
    ((('v2', 'v3'), ('v3', 'v1')), 'improved')
    """
    expect(compare_many, locals())
    if looks is not None and (sequential or looks < 1):
        raise FormatError(
            f"looks is {looks}: a number of looks planned beforehand, 1 or more, and not together with sequential=True (looks nobody planned)."
        )
    from evalkit import stats

    strict = 1 - stats.pocock_alpha(looks, alpha=round(1 - level, 12)) if looks else level
    selectors, sides = _sides(evals, baseline, candidates)
    evals, left_out = share_criteria(evals, sides, criteria=criteria, human=grader is not None)
    first, *others = sides
    asked: dict[str, Any] = {"rule": rule, "grader": grader, "rubric": rubric}
    changes = {
        name: compare(
            evals,
            baseline=selectors[first],
            candidate=selectors[name],
            margin=margin,
            level=strict,
            judge=judge,
            seed=seed,
            **asked,
        )
        for name in others
    }
    graded = grade(evals.filter(run=[run for runs in sides.values() for run in runs]), **asked)
    rows = [{**row, "scope": name} for name in others for row in changes[name].estimates.head(2).to_dicts()]
    seen = find_looks(evals, graded, sides, alpha=1 - level) if sequential else pl.DataFrame(schema=LOOKS)
    if sequential:
        rows = [by_evidence(row, seen.filter(candidate=row["scope"])) for row in rows]
    rows = adjust_scopes(rows, adjust, level=strict, margin=None if sequential else margin)
    estimates = pl.DataFrame(rows, schema={**SUMMARY, **MORE})
    ranks, omnibus, tied, bonus = rank_versions(graded, sides, level=level, seed=seed, resamples=resamples)
    warnings = [
        *_shared(changes),
        *say_left_out(left_out),
        *_family(others, adjust, margin),
        *_best_of(ranks, bonus, len(sides)),
        *warn_of_looks(evals, sides, seen, sequential=sequential, looks=looks, level=strict),
    ]
    return Comparisons(
        baseline=first,
        candidates=tuple(others),
        sentence=_sentence(first, estimates, ranks, tied),
        summary=estimates.select(list(SUMMARY)),
        ranks=ranks,
        omnibus=omnibus,
        tied=tied,
        looks=seen,
        changes=changes,
        warnings=pl.DataFrame(warnings, schema=_WARNINGS, orient="row"),
        level=level,
        adjust=adjust,
        rule=rule,
        margin=dict(margin) if margin else None,
        estimates=estimates,
    )


def _sides(
    evals: Evals, baseline: Selector, candidates: Sequence[Selector] | None
) -> tuple[dict[str, Selector], dict[str, list[str]]]:
    """Return the selector and the runs of each version by its name, the baseline first."""
    chosen = [baseline, *(_others(evals, baseline) if candidates is None else candidates)]
    selectors: dict[str, Selector] = {}
    sides: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for selector in chosen:
        name, runs = find_runs(evals, selector)
        if name in sides:
            raise SelectorError(f"The version {name!r} is named twice; name each once.")
        for run in runs:
            if run in owner:
                raise SelectorError(
                    f"The run {run!r} belongs to {owner[run]!r} and to {name!r}; it may be in one version."
                )
            owner[run] = name
        selectors[name], sides[name] = selector, runs
    if len(sides) < 2:
        raise SelectorError(
            f"There is nothing to compare {next(iter(sides))!r} with; name other versions: candidates=[...]."
        )
    return selectors, sides


def _others(evals: Evals, baseline: Selector) -> list[Selector]:
    """Return the other values of the column of runs that the baseline is chosen by."""
    kinds = ("agent_version", "model", "run")
    if isinstance(baseline, str):
        _, mine = find_runs(evals, baseline)
        runs = evals.runs
        column = next(
            c for c in kinds if set(runs.filter(pl.col(c).cast(pl.String) == baseline)["run"]) == set(mine)
        )
        fixed, taken = {}, {baseline}
    else:
        column = next((c for c in kinds if c in baseline), "")
        if not column:
            raise SelectorError(f"Name the versions to compare with {dict(baseline)}: candidates=[...].")
        fixed = {name: value for name, value in baseline.items() if name != column}
        runs = evals.filter(**fixed).runs if fixed else evals.runs
        own = baseline[column]
        taken = {str(value) for value in (own if isinstance(own, list | tuple | set) else [own])}
    names = {str(name) for name in runs[column].cast(pl.String).drop_nulls() if name} - taken
    ordered = sorted(names, key=lambda name: natural_key([name]))
    return [name if _plain_name(evals, name, column, fixed) else {**fixed, column: name} for name in ordered]


def _plain_name(evals: Evals, name: str, column: str, fixed: dict[str, Any]) -> bool:
    """Whether the bare name means just that."""
    if fixed:
        return False
    try:
        _, runs = find_runs(evals, name)
    except SelectorError:
        return False
    return set(runs) == set(evals.runs.filter(pl.col(column).cast(pl.String) == name)["run"])


def _shared(changes: dict[str, Comparison]) -> list[tuple[str, str, str]]:
    """Return the warnings of all pairs, what is said of every one of them only once."""
    where: dict[tuple[str, str], list[str]] = {}
    for name, change in changes.items():
        for row in change.warnings.iter_rows(named=True):
            where.setdefault((row["id"], row["text"]), []).append(name)
    everybody = len(changes)
    said = [
        (number, "overall" if len(names) == everybody else ", ".join(names), text)
        for (number, text), names in where.items()
    ]
    return sorted(said, key=lambda row: row[0])


def _family(others: list[str], adjust: str, margin: Mapping[str, float] | None) -> list[tuple[str, str, str]]:
    if len(others) < 2:
        return []
    how = {"holm": "p_adjusted is Holm's", "bh": "p_adjusted is Benjamini-Hochberg's"}.get(
        adjust, "nothing is adjusted, so a false alarm is likelier than the level says"
    )
    text = f"{plural(len(others), 'version is', plural='versions are')} tested against the baseline; {how}."
    if margin:
        text += ' "No worse" is tested for each version by itself.'
    return [("W08", "overall", text)]


def _best_of(
    ranks: pl.DataFrame, bonus: dict[Metric, float | None], versions: int
) -> list[tuple[str, str, str]]:
    """W10: a version that was picked for being the best looks better than it is."""
    said = []
    for metric in METRICS:
        top = ranks.filter((pl.col("metric") == metric) & (pl.col("rank") == 1))
        extra = bonus[metric]
        if versions < 3 or top.height != 1 or extra is None or extra < 0.005:
            continue
        amount = points(extra) if metric == "pass_rate" else number(extra, sign=True)
        said.append(
            (
                "W10",
                str(top["version"][0]),
                f"Picked as the best of {versions} by {metric.replace('_', ' ')}, it looks better than it is, by about {amount.lstrip('+')}: run it again on fresh trials before quoting its number.",
            )
        )
    return said


def _sentence(
    baseline: str,
    estimates: pl.DataFrame,
    ranks: pl.DataFrame,
    tied: dict[Metric, tuple[tuple[str, ...], ...]],
) -> str:
    """Say who is first, who is tied, and what each verdict is."""
    order = ranks.filter(metric="pass_rate")
    text = "No case was scored on every version: there are no ranks"
    if order["rank"].drop_nulls().len():
        best = order.filter(pl.col("rank") == order["rank"].min())["version"].to_list()
        shown = percent(order["value"][0])
        text = f"{join_words(best)} {'has' if len(best) == 1 else 'have'} the highest pass rate of {plural(order.height, 'version')} ({shown}, n = {plural(order['n'][0], 'case')})"
        sets = tied["pass_rate"]
        everybody = bool(sets) and len(sets[0]) == order.height
        text += "".join(
            "; none of them can be told from another"
            if everybody
            else f"; {join_words(names)} cannot be told apart"
            for names in sets[:3]
        )
        if sets and set(best) - set(sets[0]):
            text += f"; {join_words(best)} stands apart"
        if not sets:
            text += "; every one can be told from every other"
    rows = estimates.filter(metric="pass_rate")
    kinds: dict[str, list[str]] = {}
    for row in rows.iter_rows(named=True):
        kinds.setdefault(row["verdict"], []).append(row["scope"])
    words = "; ".join(f"{verdict}: {join_words(names)}" for verdict, names in kinds.items())
    return printable(f"{text}. Against {baseline}: {words}.")


def _explain(found: Comparisons) -> str:
    parts = [found.sentence]
    test = found.omnibus.row(0, named=True)
    if test["p_value"] is not None:
        alike = test["p_value"] >= 1 - found.level
        shown = "p < 0.001" if test["p_value"] < 0.001 else f"p = {test['p_value']:.3f}"
        parts.append(
            f"Taken together the {test['versions']} versions {'could all be alike' if alike else 'are not all alike'} ({test['method']}, {shown}, n = {test['n']})."
        )
    order = found.ranks.filter(metric="pass_rate").filter(pl.col("p_best").is_not_null())
    if order.height:
        chances = [
            f"{row['version']} {percent(row['p_best'])}"
            for row in order.sort("p_best", descending=True, maintain_order=True)
            .head(3)
            .iter_rows(named=True)
        ]
        parts.append(f"Were the cases drawn again, the best would be: {', '.join(chances)}.")
    rows = found.estimates.filter(metric="pass_rate")
    for row in rows.filter(pl.col("verdict") != "inconclusive").head(5).iter_rows(named=True):
        parts.append(
            f"{row['scope']} {row['verdict']}: {points(row['difference'])} against {found.baseline}."
        )
    grave = found.warnings.filter(found.warnings["id"].is_in(["W06", "W07", "W09", "W10", "W11"]))
    parts += [_where(row["scope"]) + row["text"] for row in grave.head(3).iter_rows(named=True)]
    return printable(" ".join(parts))


def _where(scope: str) -> str:
    return "" if scope == "overall" else f"{scope}: "


def _rank_cells(row: dict[str, Any] | None) -> list[str]:
    """Return the cells of the table of ranks: the heads for None."""
    if row is None:
        return ["metric", "version", "value", "rank", "its interval", "best in", "n", "method"]
    rate = row["metric"] == "pass_rate"
    value = percent(row["value"]) if rate else "unknown" if row["value"] is None else f"{row['value']:.2f}"
    if row["rank"] is None:
        return [
            row["metric"].replace("_", " "),
            row["version"],
            value,
            "",
            row["reason"],
            "",
            str(row["n"]),
            "",
        ]
    return [
        row["metric"].replace("_", " "),
        row["version"],
        value,
        f"{row['rank']:g}",
        f"{row['low']:g} to {row['high']:g}",
        percent(row["p_best"]),
        str(row["n"]),
        f"{row['level']:.0%} {row['method']}",
    ]


def _table(head: list[str], rows: list[list[str]]) -> str:
    def line(texts: list[str], tag: str) -> str:
        return "".join(f"<{tag} style='text-align:left'>{html.escape(text)}</{tag[:2]}>" for text in texts)

    heads = line(head, "th scope='col'")
    body = "".join(f"<tr>{line(texts, 'td')}</tr>" for texts in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
