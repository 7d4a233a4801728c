"""The sections that describe: differences, criteria, severity, trend and cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit import charts
from evalkit.charts.tables import LOWER_WORDS, mark_lower
from evalkit.charts.trend import is_ordered
from evalkit.compare.sentences import summary_cells
from evalkit.grading.summarize import distribution, summarize
from evalkit.grading.version_order import natural_key, places_of
from evalkit.report.blocks import BulletList, Cell, Figure, ReportTable, Section, Text, if_known
from evalkit.report.chart_script import draw
from evalkit.util import format as fmt
from evalkit.util.words import NOT_GIVEN, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.compare.compare import Comparison
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.report.blocks import Block, Tone

_CASE_LIMIT: Final = 2_000
_GROUP_LIMIT: Final = 12
_FEWER_LIMIT: Final = 12

TONES: Final[dict[str, Tone]] = {
    "regressed": "error",
    "regressed within margin": "warn",
    "improved": "success",
    "no worse than margin": "success",
    "inconclusive": "muted",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What a report is about: the data, the scoring, the grades, the comparison."""

    evals: Evals
    scoring: Scoring
    by: str
    graded: pl.DataFrame
    rates: pl.DataFrame
    change: Comparison | None = None
    by_criterion: pl.DataFrame | None = None
    by_severity: pl.DataFrame | None = None
    fewer: tuple[str, ...] = ()

    @property
    def has_severity(self) -> bool:
        """Whether a case has a severity."""
        return bool(self.graded["severity"].is_not_null().any())

    @property
    def is_judged(self) -> bool:
        """Whether there is any score, or nothing that could have one."""
        return self.graded.is_empty() or bool(self.evals.scores.lazy().select("run").head(1).collect().height)

    @property
    def unscored(self) -> pl.DataFrame:
        """The unscored trials."""
        return self.graded.filter(pl.col("verdict") == "unscored")

    @property
    def lower(self) -> frozenset[str]:
        """The lower-is-better criteria."""
        return frozenset(self.evals.criteria.filter(direction="lower")["criterion"].cast(pl.String))

    def criterion(self, name: str) -> str:
        """Return the name of a criterion, marked where lower is better."""
        return mark_lower(name) if name in self.lower else name

    @property
    def rule_words(self) -> str:
        """The pass rule in words."""
        words: str = self.scoring.rule.words_for(self.evals.criteria.iter_rows(named=True))
        return words

    @property
    def group(self) -> str:
        """The column that the charts go by, as a word."""
        return {"agent_version": "version"}.get(self.by, self.by)

    def name(self, row: dict[str, Any]) -> str:
        """Return the group of a row as text."""
        return str(row[self.by] or NOT_GIVEN)

    def warnings(self) -> tuple[Text, ...]:
        """Return a paragraph per group scored on fewer criteria than another."""
        return tuple(Text(words, "warn") for words in self.fewer)


def changes(subject: Subject) -> Section | None:
    """Return every difference of the comparison in one chart; None without a comparison."""
    change = subject.change
    if change is None:
        return None
    overall = change.table.filter(pl.col("scope") == "overall")
    parts = [part for part in (overall, subject.by_severity, subject.by_criterion) if part is not None]
    scopes = "by severity and by criterion" if subject.by_severity is not None else "by criterion"
    figure = Figure(
        "chart-changes",
        f"Difference of pass rates, {change.candidate} minus {change.baseline}: overall, then {scopes}.",
        draw(charts.forest(pl.concat(parts), margin=change.margin)),
    )
    return Section("differences", "Differences", (figure,))


def criteria(subject: Subject) -> Section:
    """Return the score distributions per criterion, and their numbers."""
    table = distribution(subject.evals, subject.by)
    rates = summarize(subject.evals, ["criterion", subject.by])
    bounds = _bound_heads(rates)
    figure = Figure(
        "chart-criteria",
        f"Score distribution per criterion and {subject.group}. Drag across a cell to select scores.",
        draw(charts.criteria(table, by=subject.by, rule=subject.scoring.rule)),
    )
    blocks: list[Block] = [figure, *subject.warnings()]
    if subject.by_criterion is not None:
        named = subject.by_criterion.with_columns(
            pl.col("scope").map_elements(subject.criterion, return_dtype=pl.String)
        )
        blocks.append(_differences(named, key="table-criteria-change", scope="Criterion"))
    rows = (
        (
            subject.criterion(row["criterion"]),
            Cell(subject.name(row), "nowrap"),
            *_mean(row),
            if_known(fmt.number, row["lowest"]),
            if_known(fmt.percent, row["pass_rate"]),
            row["n"],
            row["unscored"],
            Cell(row["verdict"], row["verdict"]),
            *_bounds(row, bounds),
        )
        for row in rates.to_dicts()
    )
    heads = ("Criterion", subject.group.capitalize(), "Mean score", _interval_head(rates), "Lowest case")
    blocks.append(
        ReportTable.of(
            "Each criterion by itself",
            (*heads, "Answers passing", "Cases", "Unscored", "Criterion verdict", *bounds),
            rows,
            key="table-criteria",
            numeric=[*range(2, 8), *range(9, 9 + len(bounds))],
            note=_criterion_rule(subject) + (f" {LOWER_WORDS}." if subject.lower else ""),
        )
    )
    return Section("criteria", "By criterion", tuple(blocks))


def _criterion_rule(subject: Subject) -> str:
    """Return the rule for a single criterion in words; a binary one has no mean of 4."""
    rule, rows = subject.scoring.rule, subject.evals.criteria.to_dicts()
    words, (mean, floor) = rule.words_for_criterion(rows), rule.thresholds_for(rows)
    binary = "it passes in every trial of every case"
    other = (
        f"the mean of its case means is at least {mean}" if mean else "the mean of its case means is known"
    )
    other += f" and none of them is below {floor}" if floor else ""
    other += f", and it reaches its gate ({', '.join(rule.gates)})" if rule.gates else ""
    kinds = set(subject.evals.criteria["kind"])
    if kinds == {"binary"}:
        return f"A criterion passes when {binary}."
    also = f" A binary criterion passes when {binary}." if "binary" in kinds else ""
    return f"An answer passes when it {words}. A criterion passes when {other}.{also}"


def severity(subject: Subject) -> Section | None:
    """Return the verdicts by severity; None if no case has one."""
    if not subject.has_severity:
        return None
    rates = summarize(subject.evals, ["severity", subject.by])
    bounds = _bound_heads(rates)
    blocks: list[Block] = [
        Figure(
            "chart-severity",
            f"Passed, failed and unscored trials by severity and {subject.group}.",
            draw(charts.severity(rates, by=subject.by)),
        )
    ]
    if subject.by_severity is not None:
        blocks.append(_differences(subject.by_severity, key="table-severity-change", scope="Severity"))
    rows = (
        (
            severity_cell(row["severity"]),
            Cell(subject.name(row), "nowrap"),
            *_rate(row),
            *(row[name] for name in ("n", "passed", "failed", "unscored")),
            *_bounds(row, bounds),
        )
        for row in rates.to_dicts()
    )
    heads = ("Severity", subject.group.capitalize(), "Pass rate", _interval_head(rates), "Cases")
    blocks.append(
        ReportTable.of(
            "Pass rate by severity",
            (*heads, "Trials passed", "Failed", "Unscored", *bounds),
            rows,
            key="table-severity",
            numeric=range(2, 8 + len(bounds)),
        )
    )
    return Section("severity", "By severity", tuple(blocks))


def severity_cell(severity: str | None) -> Cell:
    """Return a severity with its color."""
    return Cell(severity or NOT_GIVEN, f"severity-{severity}")


def trend(subject: Subject) -> Section | None:
    """Return the pass rate of each version; None for a single one."""
    rates = subject.rates
    if rates.height < 2:
        return None
    names = [None if name is None else str(name) for name in rates[subject.by]]
    ordered = is_ordered(names, subject.evals, by=subject.by)
    unknown = f" The order of the {subject.group}s is unknown, so no line joins them."
    figure = Figure(
        "chart-trend",
        f"Pass rate of each {subject.group} with its {_interval_head(rates)}.{'' if ordered else unknown}",
        draw(charts.trend(rates, by=subject.by, ordered=ordered)),
    )
    # Without a comparison the table stands at the top already.
    table = () if subject.change is None else (rates_table(subject, key="table-trend"),)
    return Section("trend", "Trend", (figure, *subject.warnings(), *table))


def find_fewer(subject: Subject, left_out: Sequence[str] = ()) -> tuple[str, ...]:
    """Return, in words, which criteria were left out, and which groups lack some that others have."""
    rates = summarize(subject.evals, ["suite", "criterion", subject.by]).filter(pl.col("n") > 0)
    scored: dict[Any, dict[str, set[str]]] = {}
    for row in rates.to_dicts():
        groups = scored.setdefault(row["suite"], {})
        groups.setdefault(subject.name(row), set()).add(f"'{row['criterion']}'")
    sentences: list[str] = []
    if left_out:
        names = join_words(f"'{name}'" for name in left_out)
        sentences.append(f"Only one side was scored on {names}. The report uses the other criteria.")
    for groups in scored.values():
        every = set[str]().union(*groups.values())
        sentences += [
            f"'{group}' was not scored on {join_words(sorted(every - names))}. Its pass rate uses fewer criteria."
            for group, names in groups.items()
            if every - names
        ]
    rest = len(sentences) - _FEWER_LIMIT
    return (*sentences[:_FEWER_LIMIT], *([f"And {rest:,} more."] if rest > 0 else []))


def rates_table(subject: Subject, *, key: str) -> ReportTable:
    """Return the pass rate and mean score of each group."""
    bounds = _bound_heads(subject.rates)
    rows = (
        (
            subject.name(row),
            *_rate(row),
            *_mean(row),
            row["n"],
            if_known("{:.3g}".format, row["k"]),
            row["unscored"],
            *_bounds(row, bounds),
        )
        for row in subject.rates.to_dicts()
    )
    level = _interval_head(subject.rates)
    heads = (subject.group.capitalize(), "Pass rate", level, "Mean score", level, "Cases")
    return ReportTable.of(
        f"Pass rate and mean score by {subject.group}",
        (*heads, "Trials per case", "Unscored", *bounds),
        rows,
        key=key,
        numeric=range(1, 8 + len(bounds)),
    )


def key_figures(change: Comparison) -> ReportTable:
    """Return the comparison over all cases, a row per metric."""
    rows = change.table.filter(pl.col("scope") == "overall")
    heads = ("Metric", f"Baseline {change.baseline}", f"Candidate {change.candidate}")
    cells = ((name.capitalize(), *rest) for _, name, *rest in map(_difference, rows.to_dicts()))
    caption = "Over all cases, paired by case"
    return ReportTable.of(
        caption, (*heads, *_difference_heads(rows)), cells, key="key-figures", numeric=range(1, 7)
    )


def _differences(rows: pl.DataFrame, *, key: str, scope: str) -> ReportTable:
    """Return a row per scope and metric of a comparison."""
    cells = [_difference(row) for row in rows.to_dicts()]
    if scope == "Severity":
        cells = [(severity_cell(severity), *rest) for severity, *rest in cells]
    heads = (scope, "Metric", "Baseline", "Candidate", *_difference_heads(rows))
    caption = f"Candidate against baseline by {scope.lower()}"
    return ReportTable.of(caption, heads, cells, key=key, numeric=range(2, 8))


def _difference(row: dict[str, Any]) -> tuple[Any, ...]:
    *cells, cases, _, verdict = summary_cells(row)
    return (*cells, cases, Cell(verdict, TONES.get(verdict, "")))


def _difference_heads(rows: pl.DataFrame) -> tuple[str, ...]:
    is_adjusted = (rows["p_adjusted"] != rows["p_value"]).any()
    return ("Difference", _interval_head(rows), "p, adjusted" if is_adjusted else "p", "Cases", "Verdict")


def case_map(subject: Subject) -> Section:
    """Return the map of cases and versions."""
    counts = summarize(subject.evals, ["case", "severity", subject.by])
    figure = Figure(
        "chart-cases",
        f"Passed trials of scored ones per case and {subject.group}, worst first. Click a cell to see its case alone.",
        draw(charts.cases(counts, by=subject.by)),
    )
    return Section("map", f"Cases by {subject.group}", (figure,))


def cases(subject: Subject) -> Section:
    """Return every case with its counts per group, and the cases that only one side has."""
    names = pl.col("case", subject.by).cast(pl.String)
    counts = (
        subject.graded.with_columns(names)
        .group_by("case", subject.by)
        .agg(
            pl.col("severity").first(),
            (pl.col("verdict") == "pass").sum().alias("passed"),
            (pl.col("verdict") != "unscored").sum().alias("scored"),
            pl.len().alias("trials"),
            pl.col("mean").mean(),
        )
    )
    places = places_of(subject.evals, subject.by)
    groups = sorted(
        counts[subject.by].unique(), key=lambda name: (places.get(name, len(places)), natural_key([name]))
    )
    shown = groups[-_GROUP_LIMIT:]
    of_case: dict[tuple[str | None, str], dict[str | None, dict[str, Any]]] = {}
    for row in counts.to_dicts():
        of_case.setdefault((row["severity"], row["case"]), {})[row[subject.by]] = row
    keys = sorted(of_case, key=natural_key)
    known = subject.has_severity
    rows = (
        (
            case,
            *([severity_cell(level)] if known else []),
            *(_counts(of_case[level, case].get(group)) for group in shown),
        )
        for level, case in keys[:_CASE_LIMIT]
    )
    note = "Passed/scored trials, then the mean score."
    for total, limit, word in (
        (len(groups), _GROUP_LIMIT, "earlier column"),
        (len(keys), _CASE_LIMIT, "case"),
    ):
        note += f" Not shown: {plural(total - limit, word)}." if total > limit else ""
    heads = ("Case", *(["Severity"] if known else []), *(str(group or NOT_GIVEN) for group in shown))
    numeric = range(1 + known, len(heads))
    options: dict[str, Any] = {"key": "table-cases", "numeric": numeric, "note": note, "filterable": True}
    blocks: list[Block] = [ReportTable.of("Every case", heads, rows, **options)]
    if subject.change is not None and subject.change.unpaired.height:
        lines = tuple(
            f"Case {row['case']} ({row['severity'] or 'no severity'}): {row['side']} only, {row['verdict']}"
            for row in subject.change.unpaired.to_dicts()
        )
        blocks += [Text("Cases of one side only. No difference includes them."), BulletList(lines)]
    return Section("cases", f"All {plural(len(keys), 'case')}" if len(keys) != 1 else "Case", tuple(blocks))


def _counts(row: dict[str, Any] | None) -> Cell | None:
    if row is None:
        return None
    if not row["scored"]:
        return Cell(f"{plural(row['trials'], 'trial')} unscored", "unscored")
    unscored = row["trials"] - row["scored"]
    text = f"{row['passed']}/{row['scored']}" + (f" +{unscored} unscored" if unscored else "")
    mean = if_known(fmt.number, row["mean"])
    return Cell(f"{text} · {mean}" if mean else text, "" if row["passed"] else "fail")


def _rate(row: dict[str, Any]) -> tuple[str | None, str | None]:
    interval = if_known(fmt.interval, row["low"], row["high"], percent=True)
    return if_known(fmt.percent, row["pass_rate"]), interval


def _bound_heads(rates: pl.DataFrame) -> tuple[str, ...]:
    """Return the heads of the two bounds of a rate with unscored trials; none without such trials."""
    return ("If unscored fail", "If unscored pass") if rates["unscored"].sum() else ()


def _bounds(row: dict[str, Any], heads: Sequence[str]) -> tuple[str | None, ...]:
    known = row["unscored"] > 0
    both = (row["if_all_fail"], row["if_all_pass"])
    return tuple(if_known(fmt.percent, value if known else None) for value in both)[: len(heads)]


def _mean(row: dict[str, Any]) -> tuple[str | None, str | None]:
    return if_known(fmt.number, row["mean_score"]), if_known(fmt.interval, row["mean_low"], row["mean_high"])


def _interval_head(frame: pl.DataFrame) -> str:
    levels = frame["level"].drop_nulls()
    return f"{fmt.level(levels[0]) if levels.len() else '95%'} interval"
