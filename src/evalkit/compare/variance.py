"""Where the noise of a score comes from: cases, epochs, judge samples, criteria; and where a dollar helps most."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit import stats
from evalkit.compare.pairs import RUN_COLUMNS
from evalkit.data.evals import some_of
from evalkit.grading.grade import grade, grade_criteria
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.version_order import natural_key
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError
from evalkit.util.words import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from evalkit.compare.estimates import Metric
    from evalkit.data.evals import Evals

COMPONENTS: Final[dict[str, Any]] = {
    "version": pl.String(),
    "component": pl.Enum(["case", "epoch", "sample", "criterion"]),
    "variance": pl.Float64(),
    "share": pl.Float64(),
    "df": pl.Int64(),
    "n": pl.Int64(),
    "status": pl.String(),
    "reason": pl.String(),
}
ADVICE: Final[dict[str, Any]] = {
    "version": pl.String(),
    "more": pl.String(),
    "gain": pl.Float64(),
    "most": pl.Float64(),
    "reason": pl.String(),
}
_WORDS: Final = {"case": "cases", "epoch": "epochs", "sample": "judge samples"}
_UNKNOWN: Final = {
    "epoch": "each case was tried once: what a second trial would change is inside the cases' part",
    "sample": "each answer was judged once: the judge's own noise is inside the part above",
    "criterion": "one criterion has no spread between criteria",
}


@dataclass(frozen=True, eq=False, repr=False)
class Variance:
    """What `variance` found.

    Attributes
    ----------
    metric
        "mean_score" or "pass_rate".
    components
        polars frame, a row for each version and source: `version`, `component` (case, epoch, sample: the judge asked
        again, criterion), `variance` (in squared units of the metric; null where the data cannot tell it), `share` (of
        the version's known variance), `df` (degrees of freedom behind it), `n` (cases), `status`, `reason`.
    advice
        polars frame, a row for each version and thing to have more of, the best first: `version`, `more`, `gain` (fall
        of the squared standard error for each dollar, or for each trial where prices are unknown), `most` (share of
        the standard error that any number of them could take away), `reason` (why a gain is null).
    agent_cost, judge_cost
        Dollars a trial and a judgement (all criteria); None where no record says.
    notes
        Sentences: what was taken for granted.
    sentence
        The largest source and what to have more of.
    """

    metric: Metric
    components: pl.DataFrame
    advice: pl.DataFrame
    agent_cost: float | None
    judge_cost: float | None
    notes: tuple[str, ...]
    sentence: str

    def to_frame(self) -> pl.DataFrame:
        """Return `components`."""
        return self.components

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, ready for JSON."""
        return {
            "metric": self.metric,
            "sentence": self.sentence,
            "components": self.components.to_dicts(),
            "advice": self.advice.to_dicts(),
            "agent_cost": self.agent_cost,
            "judge_cost": self.judge_cost,
            "notes": list(self.notes),
        }

    def explain(self) -> str:
        """Return a paragraph for somebody who does not read tables."""
        return printable(" ".join([self.sentence, *self.notes]))

    def chart(self, version: str | None = None) -> alt.TopLevelMixin:
        """Draw the parts of one version's variance, or their mean over all versions."""
        from evalkit import charts

        frame = self.components if version is None else self.components.filter(version=version)
        mean = frame.group_by("component", maintain_order=True).agg(pl.col("variance").mean())
        return charts.variance(mean)

    def __repr__(self) -> str:
        return printable("\n".join([self.sentence, *(f"  {note}" for note in self.notes)]))

    def _repr_html_(self) -> str:
        heads = ("version", "source", "variance", "share", "df", "cases")
        lines = [
            (
                row["version"],
                row["component"],
                row["reason"] if row["variance"] is None else f"{row['variance']:.3g}",
                "" if row["share"] is None else f"{row['share']:.0%}",
                "" if row["df"] is None else str(row["df"]),
                str(row["n"]),
            )
            for row in self.components.iter_rows(named=True)
        ]
        head = "".join(f"<th scope='col' style='text-align:left'>{text}</th>" for text in heads)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{html.escape(t)}</td>" for t in line) + "</tr>"
            for line in lines
        )
        notes = "".join(f"<li>{html.escape(note)}</li>" for note in self.notes)
        return (
            f"<p><strong>{html.escape(self.sentence)}</strong></p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            + (f"<ul>{notes}</ul>" if notes else "")
        )


def variance(
    evals: Evals,
    *,
    by: str | Sequence[str] | None = None,
    metric: Metric = "mean_score",
    rule: PassRule = DEFAULT_RULE,
    case_cost: float = 0.0,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Variance:
    """Split the variance of the scores by source, and say where the next dollar helps most.

    Parameters
    ----------
    evals
        The collection. Costs are taken from `trials.cost_usd` and `scores.cost_usd`.
    by
        Columns of runs that make a version. None: agent_version, and model where a version has several.
    metric
        "mean_score" (the criteria on their scale) or "pass_rate" (verdicts; no criterion part).
    rule, grader, rubric
        As for `evalkit.grade`.
    case_cost
        Dollars to write one more case.

    Returns
    -------
    Variance
        A source that the data cannot tell from another is null, with the reason.

    Raises
    ------
    ColumnError
        `by` names no column of runs.

    Notes
    -----
    Nested analysis of variance by the method of moments (Searle 1971), see `evalkit.stats.variance_components`. The
    squared standard error of a version's mean is case/n + epoch/(n K) + sample/(n K S). With pass rates each of the
    judge's samples counts as a verdict by itself, which is an approximation.

    Examples
    --------
    >>> import evalkit as ek
    >>> print(ek.variance(ek.demo.make()).sentence)
    Of the noise in the mean score, 56% is between cases, 34% is between epochs, 10% is between judge samples. ...
    """
    expect(variance, locals())
    columns = _columns(evals, by)
    rows = find_judgements(evals, metric, rule, grader=grader, rubric=rubric)
    agent_cost, judge_cost, notes = find_costs(evals)
    prices = _prices(agent_cost, judge_cost)
    parts = rows.partition_by(columns, as_dict=True, maintain_order=True)
    components: list[dict[str, Any]] = []
    advice: list[dict[str, Any]] = []
    for name, part in sorted(parts.items(), key=lambda item: natural_key(item[0])):
        version = " · ".join(str(value) for value in name if value) or "all"
        found = split(part)
        components += _parts(version, found, part)
        advice += _advise(version, found, *prices, case_cost)
    frame = pl.DataFrame(components, schema=COMPONENTS)
    gains = pl.DataFrame(advice, schema=ADVICE)
    return Variance(
        metric, frame, gains, agent_cost, judge_cost, tuple(notes), _sentence(frame, gains, metric, notes)
    )


def find_judgements(
    evals: Evals,
    metric: Metric,
    rule: PassRule,
    *,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> pl.DataFrame:
    """Return a row for each judgement of each trial: `value`, of each criterion for mean scores.

    Returns
    -------
    polars.DataFrame
        `suite`, the columns of runs, `case`, `epoch`, `sample`, `criterion` ("" for pass rates), `value`. Nothing
        unscored.
    """
    keep = ["suite", "run", "agent", "agent_version", "model", "provider", "case", "epoch"]
    made = []
    for sample in sorted(some_of(evals.scores, "sample")["sample"].unique()):
        part = replace(evals, scores=evals.scores.filter(pl.col("sample") == sample))
        number = pl.lit(int(sample)).alias("sample")
        if metric == "pass_rate":
            graded = grade(part, rule, grader=grader, rubric=rubric).filter(pl.col("verdict") != "unscored")
            passed = (pl.col("verdict") == "pass").cast(pl.Float64).alias("value")
            made.append(graded.select(*_strings(keep), number, pl.lit("").alias("criterion"), passed))
            continue
        answers = grade_criteria(part, rule, grader=grader, rubric=rubric).filter(
            pl.col("score").is_not_null()
        )
        scales = answers.select("scale_min", "scale_max").unique()
        if scales.height > 1:
            # A yes-or-no criterion is a gate: it does not enter the mean.
            answers = answers.filter((pl.col("scale_min") != 0) | (pl.col("scale_max") != 1))
        made.append(
            answers.select(
                *_strings(keep), number, pl.col("criterion").cast(pl.String), pl.col("score").alias("value")
            )
        )
    empty = pl.DataFrame(
        schema={
            **dict.fromkeys(keep, pl.String),
            "epoch": pl.Int32,
            "sample": pl.Int32,
            "criterion": pl.String,
            "value": pl.Float64,
        }
    )
    rows: pl.DataFrame = pl.concat([empty, *made], how="vertical_relaxed")
    return rows


def split(judgements: pl.DataFrame) -> stats.VarianceComponents:
    """Return the variance components of one version's judgements."""
    case, epoch = (
        judgements.select(pl.struct(names).rank("dense")).to_series().to_numpy()
        for names in (["suite", "case"], ["run", "epoch"])
    )
    return stats.variance_components(
        judgements["value"].to_numpy(),
        case,
        epochs=epoch,
        samples=judgements["sample"].to_numpy(),
        criteria=judgements["criterion"].rank("dense").to_numpy(),
    )


def find_costs(evals: Evals) -> tuple[float | None, float | None, list[str]]:
    """Return what a trial and a judgement of it cost on average in dollars, and what is not known."""
    agent = _mean(_paid(evals.trials["cost_usd"]))
    keys = ["run", "case", "epoch", "grader", "rubric_hash", "sample"]
    priced = evals.scores.lazy().filter(pl.col("cost_usd").is_not_null())
    judge = _mean(_paid(priced.group_by(keys).agg(pl.col("cost_usd").sum()).collect()["cost_usd"]))
    notes = []
    if agent is None and judge is None:
        notes.append("No record has a price: an agent's trial and its judgement are taken as equally dear.")
    elif agent is None:
        notes.append("No trial has a price (trials.cost_usd): prices are those of the judge alone.")
    elif judge is None:
        notes.append("No score has a price (scores.cost_usd): prices are those of the agent alone.")
    return agent, judge, notes


def _paid(costs: pl.Series) -> pl.Series:
    """Return the costs of what was paid for: answers out of a cache cost nothing, new ones will."""
    paid = costs.filter(costs > 0)
    return costs if paid.is_empty() else paid


def _columns(evals: Evals, by: str | Sequence[str] | None) -> list[str]:
    if by is not None:
        columns = [by] if isinstance(by, str) else list(by)
        for column in columns:
            if column not in RUN_COLUMNS:
                raise ColumnError.missing(column, table="runs", have=RUN_COLUMNS)
        return columns or ["suite"]
    models = evals.runs.group_by("agent_version").agg(pl.col("model").n_unique())["model"].max()
    return ["agent_version", "model"] if isinstance(models, int) and models > 1 else ["agent_version"]


def _strings(columns: list[str]) -> list[pl.Expr]:
    return [
        pl.col(column) if column == "epoch" else pl.col(column).cast(pl.String).fill_null("")
        for column in columns
    ]


def _parts(version: str, found: stats.VarianceComponents, judgements: pl.DataFrame) -> list[dict[str, Any]]:
    trials = judgements.select("suite", "case", "run", "epoch").n_unique()
    judged = judgements.select("suite", "case", "run", "epoch", "sample").n_unique()
    df = {
        "case": found.cases - 1,
        "epoch": trials - found.cases,
        "sample": judged - trials,
        "criterion": found.criteria - 1,
    }
    shares = found.shares()
    rows = []
    for component in ("case", "epoch", "sample", "criterion"):
        value = getattr(found, component)
        reason = found.reason or ("" if value is not None else _UNKNOWN.get(component, ""))
        rows.append(
            {
                "version": version,
                "component": component,
                "variance": value,
                "share": shares.get(component),
                "df": None if value is None else df[component],
                "n": found.cases,
                "status": "ok" if value is not None else "not_estimable",
                "reason": reason,
            }
        )
    return rows


def _advise(
    version: str, found: stats.VarianceComponents, agent: float, judge: float, writing: float
) -> list[dict[str, Any]]:
    """Return what one more case, epoch or sample takes off the squared standard error, for each unit of money."""
    if found.status != "ok" or found.case is None:
        return []
    n, k, s = float(found.cases), found.epochs, found.samples
    now = found.standard_error(cases=n, epochs=k, samples=s) ** 2
    trial = agent + s * judge
    designs = {
        "case": ((n + 1, k, s), k * trial + writing, None),
        "epoch": ((n, k + 1, s), n * trial, (n, 1e12, s)),
        "sample": ((n, k, s + 1), n * k * judge, (n, k, 1e12)),
    }
    rows: list[dict[str, Any]] = []
    for source, (design, price, limit) in designs.items():
        row: dict[str, Any] = {
            "version": version,
            "more": _WORDS[source],
            "gain": None,
            "most": None,
            "reason": "",
        }
        known = getattr(found, source) is not None
        if not known or now <= 0 or price <= 0:
            row["reason"] = (
                _UNKNOWN[source] if not known else "the scores do not vary" if now <= 0 else "no price"
            )
        else:
            row["gain"] = (1 - _squared(found, design) / now) / price
            row["most"] = 1.0 if limit is None else 1 - (_squared(found, limit) / now) ** 0.5
        rows.append(row)
    return sorted(rows, key=lambda row: (row["gain"] is None, -(row["gain"] or 0.0)))


def _squared(found: stats.VarianceComponents, design: tuple[float, float, float]) -> float:
    cases, epochs, samples = design
    return found.standard_error(cases=cases, epochs=epochs, samples=samples) ** 2


def _prices(agent: float | None, judge: float | None) -> tuple[float, float]:
    if agent is None and judge is None:
        return 1.0, 1.0
    return agent or 0.0, judge or 0.0


def _sentence(frame: pl.DataFrame, advice: pl.DataFrame, metric: Metric, notes: list[str]) -> str:
    noise = frame.filter((pl.col("component") != "criterion") & pl.col("variance").is_not_null())
    total = noise["variance"].sum()
    what = metric.replace("_", " ")
    if noise.is_empty():
        reason = frame["reason"][0] if frame.height else "nothing was scored"
        return f"Where the noise of the {what} comes from cannot be told: {reason}."
    if not total > 0:
        return f"The {what} does not vary: there is no noise to split."
    parts = noise.group_by("component", maintain_order=True).agg(pl.col("variance").sum())
    parts = parts.sort("variance", descending=True, maintain_order=True)
    words = {"case": "between cases", "epoch": "between epochs", "sample": "between judge samples"}
    said = ", ".join(f"{value / total:.0%} is {words[name]}" for name, value in parts.iter_rows())
    text = f"Of the noise in the {what}, {said}."
    known = advice.filter(pl.col("gain").is_not_null())
    if known.height:
        first = known.group_by("version", maintain_order=True).first()
        money = "The next trial" if any("equally dear" in note for note in notes) else "The next dollar"
        kinds: dict[str, list[str]] = {}
        for row in first.iter_rows(named=True):
            kinds.setdefault(row["more"], []).append(row["version"])
        if len(kinds) == 1:
            text += f" {money} helps most when it buys more {next(iter(kinds))}."
        else:
            named = "; ".join(f"more {more} for {', '.join(names)}" for more, names in kinds.items())
            text += f" {money} helps most when it buys {named}."
        limits = known.filter(pl.col("more") == "epochs")["most"].drop_nulls()
        if len(limits) and "cases" in kinds:
            text += f" Without new cases, even endless epochs would take only about {_mean(limits) or 0.0:.0%} off the standard error."
    gaps = frame.filter((pl.col("status") != "ok") & pl.col("component").is_in(["epoch", "sample"]))
    text += "".join(f" Not known: {reason}." for reason in gaps["reason"].unique(maintain_order=True))
    return printable(text)


def _mean(series: pl.Series) -> float | None:
    value = series.cast(pl.Float64).mean()
    return value if isinstance(value, float) else None
