"""Describe a comparison: its sentence, its paragraph and its table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from evalkit.util import format as fmt
from evalkit.util.html_table import html_table
from evalkit.util.words import plural, printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from evalkit.util.html_table import Html

_NAMED: Final = 3
# Warnings that change what a reader may conclude.
_GRAVE: Final = ("W01", "W06", "W07", "W11", "W17", "W20")
SUMMARY_HEADS: Final = (
    *("Scope", "Metric", "Baseline", "Candidate", "Difference", "Interval"),
    *("p (adjusted)", "n", "Method", "Verdict"),
)
_NUMERIC: Final = ("Baseline", "Candidate", "Difference", "Interval", "p (adjusted)", "n")
_OPENINGS: Final = {
    "regressed": "{candidate} is worse than {baseline}.",
    "regressed within margin": "{candidate} is worse than {baseline}, by less than the margin.",
    "improved": "{candidate} improved on {baseline}.",
    "no worse than margin": "{candidate} is no worse than {baseline}, within the margin.",
    "inconclusive": "These cases do not show whether {candidate} is better or worse than {baseline} overall.",
}


def metric_value(value: float | None, metric: str) -> str:
    """Format a pass rate as a percentage, a mean score as a number."""
    return fmt.percent(value) if metric == "pass_rate" else fmt.number(value)


def interval_text(row: Mapping[str, Any]) -> str:
    """Format the interval of a row, or why there is none."""
    if row["low"] is None:
        return f"no interval: {row['reason']}"
    return fmt.interval(row["low"], row["high"], points=row["metric"] == "pass_rate", sign=True)


class FlipCount(NamedTuple):
    """The flipped cases, and how many of `of` flip between two runs of one version (None: unknown)."""

    flips: int
    expected: float | None
    of: int
    is_rerun: bool


class ChangeParts(NamedTuple):
    """The parts of a comparison's sentence; `severity` is the first word of the regressions, or ""."""

    verdict: str
    scope: str
    worst: str | None
    severity: str
    regressions: str
    numbers: str


_MEAN_WORDS: Final = {
    "regressed": "fell",
    "regressed within margin": "fell by less than the margin",
    "improved": "rose",
}


def change_parts(estimates: pl.DataFrame, flips: pl.DataFrame, churn: FlipCount | None = None) -> ChangeParts:
    """Return the parts of the sentence: pass rate and mean score of the overall rows, read together."""
    row, mean = estimates.head(2).to_dicts()
    worst, severity, regressions = _describe_regressions(flips)
    numbers = "No case was scored on both sides."
    if row["n"]:
        trials = f", {row['k']:.3g} trials each" if row["k"] and row["k"] > 1 else ""
        numbers = (
            f"Pass rate {fmt.percent(row['baseline'])} to {fmt.percent(row['candidate'])}, "
            f"{fmt.points(row['difference'])} {interval_text(row)} "
            f"({fmt.level(row['level'])} {row['method']}, n = {plural(row['n'], 'case')}{trials}"
            f"{', limited by the ceiling' * bool(row['limited'])})."
        )
    if churn is not None and churn.expected is not None:
        more = "no more than" if churn.flips <= churn.expected else "against"
        numbers += (
            f" {plural(churn.flips, 'case')} flipped, {more} the {fmt.number(churn.expected, 1)} expected "
            "between two runs of one version."
        )
    scope = " overall" if row["verdict"] == "inconclusive" else ""
    if mean["verdict"] in _MEAN_WORDS and _MEAN_WORDS[mean["verdict"]] != _MEAN_WORDS.get(row["verdict"]):
        scope = f"{' on the pass rate' if scope else ''}, but the mean score {_MEAN_WORDS[mean['verdict']]}"
    return ChangeParts(row["verdict"], scope, worst, severity, regressions, numbers)


def describe_change(
    labels: Mapping[str, str], estimates: pl.DataFrame, flips: pl.DataFrame, churn: FlipCount | None
) -> str:
    """Describe the overall rows in one line."""
    parts = change_parts(estimates, flips, churn)
    flipped = f"; {parts.severity} {parts.regressions}" if parts.severity else f"; {parts.regressions}"
    return (
        f"{labels['candidate']} against {labels['baseline']}: {parts.verdict}{parts.scope}"
        f"{flipped if parts.regressions else ''}. {parts.numbers}"
    )


def explain_change(
    labels: Mapping[str, str], estimates: pl.DataFrame, flips: pl.DataFrame, warnings: pl.DataFrame
) -> str:
    """Describe a comparison in a paragraph."""
    rate, mean = estimates.head(2).to_dicts()
    parts = [_OPENINGS[rate["verdict"]].format(**labels)]
    if not rate["n"]:
        return f"{parts[0]} No case was scored on both sides."
    parts.append(
        f"Of {plural(rate['n'], 'case')}, {fmt.percent(rate['baseline'])} passed before and "
        f"{fmt.percent(rate['candidate'])} pass now, a difference of {fmt.points(rate['difference'])} "
        f"({fmt.level(rate['level'])} interval {interval_text(rate)})."
    )
    if mean["difference"] is not None:
        old, new = fmt.number(mean["baseline"]), fmt.number(mean["candidate"])
        parts.append(
            f"The mean score went from {old} to {new} ({fmt.number(mean['difference'], sign=True)})."
        )
    down, up = (flips.filter(kind=kind) for kind in ("regression", "improvement"))
    if down.height:
        parts.append(f"{_name_cases(down)} passed before and {'fails' if down.height == 1 else 'fail'} now.")
    if up.height:
        parts.append(f"{_name_cases(up)} failed before and {'passes' if up.height == 1 else 'pass'} now.")
    if flips.is_empty():
        parts.append("No case changed its verdict.")
    grave = warnings.filter(warnings["id"].is_in(_GRAVE))
    return printable(" ".join([*parts, *grave["text"].to_list()[:_NAMED]]))


def summary_cells(row: Mapping[str, Any]) -> list[str]:
    """Return the cells of a row of estimates under `SUMMARY_HEADS`."""
    metric, p = row["metric"], row["p_adjusted"]
    return [
        row["scope"],
        metric.replace("_", " "),
        metric_value(row["baseline"], metric),
        metric_value(row["candidate"], metric),
        fmt.difference_of(row["difference"], metric),
        interval_text(row),
        "" if p is None else fmt.p_value(p, label=False),
        f"{row['n']}",
        f"{fmt.level(row['level'])} {row['method']}",
        row["verdict"],
    ]


def verdict_text(verdict: str, *, by_looks: bool) -> str:
    """Return a verdict in words: one by e-values holds for these cases, not for others like them."""
    return f"{verdict} on these cases" if by_looks and verdict != "inconclusive" else verdict


def summary_table(estimates: pl.DataFrame, scope: str = "Scope", *, by_looks: bool = False) -> Html:
    """Return the estimates as an HTML table; `scope` heads the first column, `by_looks` is for e-values."""
    rows = [
        summary_cells({**row, "verdict": verdict_text(row["verdict"], by_looks=by_looks)})
        for row in estimates.iter_rows(named=True)
    ]
    return html_table([scope, *SUMMARY_HEADS[1:]], rows, numeric=_NUMERIC)


def _describe_regressions(flips: pl.DataFrame) -> tuple[str | None, str, str]:
    """Name the regressions of the worst severity if they are few, else count them.

    Returns the worst severity, the severity that the text begins with, and the text after it.
    """
    down = flips.filter(kind="regression")
    if down.is_empty():
        return None, "", ""
    severity: str | None = down["severity"][0]
    worst = down.filter(severity=severity) if severity is not None else down
    if worst.height > _NAMED:
        grave = f" ({worst.height} {severity})" if severity is not None else ""
        return (
            severity,
            "",
            f"{down.height:,} cases regressed{grave}, {flips.height - down.height:,} improved",
        )
    named = [
        f"case {row['case']} {_failing(row['candidate_passes'], row['candidate_trials'])} "
        f"({row['candidate_passes']}/{row['candidate_trials']}, was {row['baseline_passes']}/{row['baseline_trials']})"
        for row in worst.iter_rows(named=True)
    ]
    separator = f", {severity} " if severity else ", "
    return severity, severity or "", separator.join(named) + _and_more(down.height - worst.height)


def _failing(passes: int, trials: int) -> str:
    if not passes:
        return "fails"
    return "mostly fails" if 2 * passes < trials else "fails half of its trials"


def _name_cases(flips: pl.DataFrame) -> str:
    names = ", ".join(_case_name(row) for row in flips.head(_NAMED).iter_rows(named=True))
    return names[0].upper() + names[1:] + _and_more(flips.height - _NAMED)


def _case_name(row: Mapping[str, Any]) -> str:
    return f"{row['severity'] + ' ' if row['severity'] else ''}case {row['case']}"


def _and_more(count: int) -> str:
    return f" and {count} more" if count > 0 else ""
