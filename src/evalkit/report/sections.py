"""The sections that describe: criteria, severity, trend, the map of cases, and the table of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit import charts
from evalkit.charts.trend import follow
from evalkit.grading.summarize import distribution, summarize
from evalkit.grading.version_order import natural_key, start_order
from evalkit.report.blocks import (
    NOTHING,
    Cell,
    Figure,
    Items,
    Section,
    Table,
    Text,
    interval,
    number,
    percent,
    signed,
)
from evalkit.report.chart_script import draw
from evalkit.util.words import NOT_GIVEN, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.compare.compare import Comparison
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.report.blocks import Block, Tone

# A table of more cases than this says how many it leaves out.
_MOST_CASES = 2_000
_MOST_GROUPS = 12

TONES: Final[dict[str, Tone]] = {
    "regressed": "bad",
    "regressed within margin": "warn",
    "improved": "good",
    "no worse than margin": "good",
    "inconclusive": "muted",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about, reckoned once: the data, the rule, the grades, the comparison."""

    evals: Evals
    rule: PassRule
    by: str
    graded: pl.DataFrame
    chosen: dict[str, Any]
    change: Comparison | None = None
    by_criterion: pl.DataFrame | None = None
    by_severity: pl.DataFrame | None = None
    fewer: tuple[str, ...] = ()


def changes(subject: Subject) -> Section | None:
    """Return every difference of the comparison in one picture; None where there is none."""
    change = subject.change
    if change is None:
        return None
    parts = (change.summary.filter(pl.col("scope") == "overall"), subject.by_severity, subject.by_criterion)
    scopes = [part for part in parts if part is not None]
    figure = Figure(
        "chart-changes",
        f"Difference of pass rates, {change.candidate} minus {change.baseline}: overall, then {'by severity and ' if subject.by_severity is not None else ''}by criterion.",
        draw(charts.forest(pl.concat(scopes), metric="pass_rate", margin=change.margin)),
    )
    return Section("differences", "Differences", (figure,))


def criteria(subject: Subject) -> Section:
    """Return the distribution of scores per criterion, and the numbers beside it."""
    table = distribution(subject.evals, subject.by, rule=subject.rule, **subject.chosen)
    rates = summarize(subject.evals, ["criterion", subject.by], subject.rule, **subject.chosen)
    blocks: list[Block] = [
        Figure(
            "chart-criteria",
            f"How often each score was given, per criterion and {_words(subject.by)}. Drag across a cell to select scores.",
            draw(charts.criteria(table, by=subject.by, rule=subject.rule)),
        ),
        *warned(subject),
    ]
    if subject.by_criterion is not None:
        blocks.append(differences(subject.by_criterion, key="table-criteria-change", scope="Criterion"))
    rows = tuple(
        (
            Cell(str(row["criterion"])),
            Cell(_value(row[subject.by]), "nowrap"),
            Cell(number(row["mean_score"]), "num"),
            Cell(_level(row["mean_low"], row["mean_high"]), "num"),
            Cell(number(row["lowest"]), "num"),
            Cell(percent(row["pass_rate"]), "num"),
            Cell(str(row["n"]), "num"),
            Cell(str(row["unscored"]), "num"),
            Cell(row["verdict"], row["verdict"]),
        )
        for row in rates.to_dicts()
    )
    columns = ("Criterion", _words(subject.by).capitalize(), "Mean score", f"{_percent_level(rates)} interval", "Lowest case", "Answers passing", "Cases", "Unscored", "Criterion verdict")  # fmt: skip
    blocks.append(
        Table(
            "Each criterion by itself",
            _heads(columns, right=range(2, 8)),
            rows,
            key="table-criteria",
            note=_when_a_criterion_passes(subject),
        )
    )
    return Section("criteria", "By criterion", tuple(blocks))


def _when_a_criterion_passes(subject: Subject) -> str:
    """Return the rule for a single criterion; what is pass or fail has no mean of 4."""
    binary = "it passes in every trial of every case"
    other = f"the mean of its case means is at least {subject.rule.mean:g} and none of them is below {subject.rule.floor:g}"
    kinds = set(subject.evals.criteria["kind"])
    if kinds == {"binary"}:
        return f"A criterion passes when {binary}."
    also = f"; one that is pass or fail, when {binary}" if "binary" in kinds else ""
    return f"A criterion passes when {other}{also}."


def severity(subject: Subject) -> Section | None:
    """Return verdicts by severity; None where no case has one."""
    if subject.by_severity is None and not subject.graded["severity"].is_not_null().any():
        return None
    rates = summarize(subject.evals, ["severity", subject.by], subject.rule, **subject.chosen)
    blocks: list[Block] = [
        Figure(
            "chart-severity",
            f"Trials that pass, fail or are unscored, by severity and {_words(subject.by)}.",
            draw(charts.severity(rates, by=subject.by, rule=subject.rule)),
        )
    ]
    if subject.by_severity is not None:
        blocks.append(differences(subject.by_severity, key="table-severity-change", scope="Severity"))
    rows = tuple(
        (
            Cell(row["severity"] or NOT_GIVEN, f"severity-{row['severity']}"),
            Cell(_value(row[subject.by]), "nowrap"),
            Cell(percent(row["pass_rate"]), "num"),
            Cell(_rate_level(row["low"], row["high"]), "num"),
            Cell(str(row["n"]), "num"),
            Cell(str(row["passed"]), "num"),
            Cell(str(row["failed"]), "num"),
            Cell(str(row["unscored"]), "num"),
        )
        for row in rates.to_dicts()
    )
    columns = ("Severity", _words(subject.by).capitalize(), "Pass rate", f"{_percent_level(rates)} interval", "Cases", "Trials passed", "Failed", "Unscored")  # fmt: skip
    blocks.append(
        Table("Pass rate by severity", _heads(columns, right=range(2, 8)), rows, key="table-severity")
    )
    return Section("severity", "By severity", tuple(blocks))


def trend(subject: Subject) -> Section | None:
    """Return the pass rate over versions; None where there is one alone."""
    rates = summarize(subject.evals, [subject.by], subject.rule, **subject.chosen)
    if rates.height < 2:
        return None
    names = [None if name is None else str(name) for name in rates[subject.by]]
    ordered = follow(names, subject.evals, by=subject.by)
    words = f"Pass rate of each {_words(subject.by)} with its {_percent_level(rates)} interval"
    unknown = f": which {_words(subject.by)} came first is not known, so no line joins them"
    figure = Figure(
        "chart-trend",
        f"{words}{'' if ordered else unknown}.",
        draw(charts.trend(rates, by=subject.by, rule=subject.rule, ordered=ordered)),
    )
    # Without a comparison the table stands at the top already.
    table = () if subject.change is None else (rates_table(rates, by=subject.by, key="table-trend"),)
    return Section("trend", "Trend", (figure, *warned(subject), *table))


def warned(subject: Subject) -> tuple[Text, ...]:
    """Return a paragraph for each group that was scored on fewer criteria than another of its suite."""
    return tuple(Text(words, "warn") for words in subject.fewer)


def find_fewer(subject: Subject, left_out: Sequence[str] = (), *, most: int = 12) -> tuple[str, ...]:
    """Return, in words, which criteria were left out, and which groups lack some that another of their suite has."""
    rates = summarize(subject.evals, ["suite", "criterion", subject.by], subject.rule, **subject.chosen)
    scored: dict[Any, dict[str, set[str]]] = {}
    for row in rates.filter(pl.col("n") > 0).to_dicts():
        scored.setdefault(row["suite"], {}).setdefault(_value(row[subject.by]), set()).add(
            str(row["criterion"])
        )
    found: list[str] = []
    if left_out:
        names = join_words(f"'{one}'" for one in left_out)
        found.append(f"Only one side was scored on {names}: left out, so that both go by the same criteria.")
    for groups in scored.values():
        every = set[str]().union(*groups.values())
        for name, mine in groups.items():
            lacking = [f"'{one}'" for one in sorted(every - mine)]
            if lacking:
                found.append(
                    f"'{name}' was not scored on {join_words(lacking)}: its pass rate is by fewer criteria."
                )
    if len(found) > most:
        return (*found[:most], f"And {plural(len(found) - most, 'more', plural='more')}.")
    return tuple(found)


def rates_table(rates: pl.DataFrame, *, by: str, key: str) -> Table:
    """Return what `summarize` made of one column as a table."""
    rows = tuple(
        (
            Cell(_value(row[by])),
            Cell(percent(row["pass_rate"]), "num"),
            Cell(_rate_level(row["low"], row["high"]), "num"),
            Cell(number(row["mean_score"]), "num"),
            Cell(_level(row["mean_low"], row["mean_high"]), "num"),
            Cell(str(row["n"]), "num"),
            Cell(number(row["k"], 0 if row["k"] is None or row["k"] == round(row["k"]) else 1), "num"),
            Cell(str(row["unscored"]), "num"),
        )
        for row in rates.to_dicts()
    )
    level = _percent_level(rates)
    columns = (_words(by).capitalize(), "Pass rate", f"{level} interval", "Mean score", f"{level} interval", "Cases", "Trials a case", "Unscored")  # fmt: skip
    return Table(
        f"Pass rate and mean score by {_words(by)}", _heads(columns, right=range(1, 8)), rows, key=key
    )


def differences(summary: pl.DataFrame, *, key: str, scope: str) -> Table:
    """Return a comparison's summary as a table, a row a scope and metric."""
    rows = tuple(
        (
            Cell(str(row["scope"]), f"severity-{row['scope']}" if scope == "Severity" else ""),
            *_difference(row),
        )
        for row in summary.to_dicts()
    )
    names = (scope, "Metric", *_difference_heads(summary, "Baseline", "Candidate"))
    caption = f"Candidate against baseline by {scope.lower()}"
    return Table(caption, _heads(names, right=range(2, 8)), rows, key=key)


def key_figures(change: Comparison) -> Table:
    """Return the comparison over all cases: a row a metric."""
    overall = change.summary.filter(pl.col("scope") == "overall")
    rows = tuple(
        (Cell(metric.text[0].upper() + metric.text[1:]), *cells)
        for metric, *cells in (_difference(row) for row in overall.to_dicts())
    )
    sides = f"Baseline {change.baseline}", f"Candidate {change.candidate}"
    names = ("Metric", *_difference_heads(overall, *sides))
    return Table("Over all cases, paired by case", _heads(names, right=range(1, 7)), rows, key="key-figures")


def _difference(row: dict[str, Any]) -> tuple[Cell, ...]:
    """Return the cells of one row of a summary, from its metric on."""
    rate = row["metric"] == "pass_rate"
    factor, digits = (100, 1) if rate else (1, 2)
    change = signed(None if row["difference"] is None else row["difference"] * factor, digits)
    p = row["p_value"] if row["p_adjusted"] is None else row["p_adjusted"]
    return (
        Cell("pass rate" if rate else "mean score", "nowrap"),
        Cell(percent(row["baseline"]) if rate else number(row["baseline"]), "num"),
        Cell(percent(row["candidate"]) if rate else number(row["candidate"]), "num"),
        Cell(f"{change} points" if rate and change != NOTHING else change, "num"),
        Cell(interval(row["low"], row["high"], metric=row["metric"]), "num"),
        Cell(NOTHING if p is None else "<0.001" if p < 0.001 else number(p, 3), "num"),
        Cell(str(row["n"]), "num"),
        Cell(str(row["verdict"]), TONES.get(row["verdict"], "")),
    )


def _difference_heads(summary: pl.DataFrame, *sides: str) -> tuple[str, ...]:
    adjusted = summary.filter(pl.col("p_value").is_not_null(), pl.col("p_adjusted") != pl.col("p_value"))
    p = "p, adjusted" if adjusted.height else "p"
    return (*sides, "Difference", f"{_percent_level(summary)} interval", p, "Cases", "Verdict")


def case_map(subject: Subject) -> Section:
    """Return the map of cases and versions."""
    figure = Figure(
        "chart-cases",
        f"Trials passed of those scored, per case and {_words(subject.by)}, the worst first. Click a cell to see its case alone.",
        draw(charts.cases(subject.evals, by=subject.by, rule=subject.rule)),
    )
    return Section("map", f"Cases by {_words(subject.by)}", (figure,))


def cases(subject: Subject) -> Section:
    """Return every case with its counts for each group, and those that only one side has."""
    graded = subject.graded.with_columns(pl.col("case", subject.by).cast(pl.String))
    known = graded["severity"].is_not_null().any()
    table = (
        graded.group_by("case", subject.by)
        .agg(
            pl.col("severity").first(),
            (pl.col("verdict") == "pass").sum().alias("passed"),
            (pl.col("verdict") != "unscored").sum().alias("scored"),
            pl.len().alias("trials"),
            pl.col("mean").mean(),
        )
        .to_dicts()
    )
    places = start_order(subject.evals, subject.by)
    groups = sorted(
        {row[subject.by] for row in table},
        key=lambda name: (places.get(name, len(places)), natural_key([name])),
    )
    shown = groups[-_MOST_GROUPS:]
    of_case: dict[tuple[str | None, str], dict[str | None, dict[str, Any]]] = {}
    for row in table:
        of_case.setdefault((row["severity"], row["case"]), {})[row[subject.by]] = row
    keys = sorted(of_case, key=natural_key)
    rows = tuple(
        (
            Cell(case),
            *([Cell(level or NOT_GIVEN, f"severity-{level}")] if known else []),
            *(_counts(of_case[level, case].get(group)) for group in shown),
        )
        for level, case in keys[:_MOST_CASES]
    )
    left = [f"{plural(len(groups) - len(shown), 'earlier column')}" if len(groups) > len(shown) else ""]
    left += [f"{plural(len(keys) - _MOST_CASES, 'case')}" if len(keys) > _MOST_CASES else ""]
    note = "Trials passed of trials scored, then the mean score."
    note += "".join(f" Not shown: {what}." for what in left if what)
    blocks: list[Block] = [
        Table(
            "Every case",
            _heads(
                ("Case", *(["Severity"] if known else []), *(_value(group) for group in shown)),
                right=range(1 + known, len(shown) + 2),
            ),
            rows,
            key="table-cases",
            note=note,
            filterable=True,
        )
    ]
    if subject.change is not None and subject.change.unpaired.height:
        lines = tuple(
            f"Case {row['case']} ({row['severity'] or 'severity not given'}): on the {row['side']} side only, {row['verdict']}"
            for row in subject.change.unpaired.to_dicts()
        )
        blocks += [Text("Cases that only one side has; they are in no difference:"), Items(lines)]
    return Section(
        "cases", f"All {plural(len(keys), 'case')}" if len(keys) != 1 else "The one case", tuple(blocks)
    )


def _counts(row: dict[str, Any] | None) -> Cell:
    if row is None:
        return Cell(NOTHING, "num muted")
    if not row["scored"]:
        return Cell(f"{plural(row['trials'], 'trial')} unscored", "num unscored")
    unscored = row["trials"] - row["scored"]
    text = f"{row['passed']}/{row['scored']}" + (f" +{unscored} unscored" if unscored else "")
    tone = "" if row["passed"] else "fail"
    return Cell(f"{text} · {number(row['mean'])}", f"num {tone}".strip())


def _heads(names: Sequence[str], *, right: range) -> tuple[Cell, ...]:
    return tuple(Cell(name, "num" if at in right else "") for at, name in enumerate(names))


def _words(column: str) -> str:
    return {"agent_version": "version"}.get(column, column)


def _value(value: Any) -> str:
    return NOT_GIVEN if value is None or value == "" else str(value)


def _percent_level(frame: pl.DataFrame) -> str:
    levels = frame["level"].drop_nulls().unique().to_list()
    return f"{levels[0] * 100:g}%" if levels else "95%"


def _rate_level(low: float | None, high: float | None) -> str:
    return NOTHING if low is None or high is None else f"{low * 100:.1f} to {high * 100:.1f}%"


def _level(low: float | None, high: float | None) -> str:
    return NOTHING if low is None or high is None else f"{number(low)} to {number(high)}"
