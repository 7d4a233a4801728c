"""Split the variance of scores by source: cases, epochs, judge samples, criteria."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from evalkit import stats
from evalkit.compare.pairs import RUN_COLUMNS
from evalkit.compare.results import DescribedResult
from evalkit.data.schema import TRIAL_KEY
from evalkit.data.scoring import Scoring
from evalkit.grading.grade import grade_trial_criteria, grade_trials
from evalkit.grading.select_scores import choose_scoring, scores_for
from evalkit.grading.version_order import natural_key
from evalkit.util import format as fmt
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError
from evalkit.util.html_table import html_table
from evalkit.util.words import as_names, join_words, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import altair as alt

    from evalkit.compare.estimates import Metric
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule
    from evalkit.util.html_table import Html

COMPONENTS: Final[dict[str, Any]] = {
    "version": pl.String(),
    "component": pl.Enum(["case", "epoch", "sample", "criterion"]),
    **dict.fromkeys(("variance", "share"), pl.Float64()),
    **dict.fromkeys(("df", "n"), pl.Int64()),
    **dict.fromkeys(("status", "reason"), pl.String()),
}
ADVICE: Final[dict[str, Any]] = {
    **dict.fromkeys(("version", "more"), pl.String()),
    **dict.fromkeys(("gain", "most"), pl.Float64()),
    "reason": pl.String(),
}
_NAMES: Final = {"case": "cases", "epoch": "epochs", "sample": "judge samples"}
_UNKNOWN: Final = {
    "epoch": "each case has one trial, so noise between trials is part of the case component",
    "sample": "each answer has one judgement, so the judge's noise is part of the component above",
    "criterion": "one criterion has no spread between criteria",
}
_VERSION: Final = ("suite", "run", "agent", "agent_version", "model", "provider", "case")
_TEXTS: Final = ("rationale", "evidence", "metadata")
_JUDGEMENT: Final = {
    **dict.fromkeys(_VERSION, pl.String()),
    **dict.fromkeys(("epoch", "sample"), pl.Int32()),
    "criterion": pl.String(),
    "value": pl.Float64(),
}


@dataclass(frozen=True, eq=False, repr=False)
class Variance(DescribedResult):
    """The result of `variance`.

    Attributes
    ----------
    metric
        "mean_score" or "pass_rate".
    components
        polars frame, one row per version and source: `version`, `component` (case, epoch, sample: the judge again,
        criterion), `variance` (squared units of the metric; null if not estimable), `share` (of the
        version's known variance), `df` (degrees of freedom), `n` (cases), `status`, `reason`.
    advice
        polars frame, one row per version and source to increase, the best first: `version`, `more`, `gain` (fall of
        the squared standard error per dollar, or per trial without prices), `most` (share of the standard error that
        any number of them removes), `reason` (why a gain is null).
    agent_cost, judge_cost
        Dollars per trial and per judgement (all criteria); None if unknown.
    notes
        Assumptions.
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

    @property
    def table(self) -> pl.DataFrame:
        """The components."""
        return self.components

    def chart(self, version: str | None = None) -> alt.TopLevelMixin:
        """Plot the components of one version, or their mean over all versions."""
        from evalkit import charts

        frame = self.components if version is None else self.components.filter(version=version)
        return charts.variance(
            frame.group_by("component", maintain_order=True).agg(pl.col("variance").mean())
        )

    def _html_tables(self) -> Iterable[Html]:
        rows = [
            (
                row["version"],
                row["component"],
                row["reason"] if row["variance"] is None else f"{row['variance']:.3g}",
                "" if row["share"] is None else fmt.percent(row["share"], 0),
                row["df"],
                row["n"],
            )
            for row in self.components.iter_rows(named=True)
        ]
        return [
            html_table(("Version", "Source", "Variance", "Share", "df", "Cases"), rows, numeric=(3, 4, 5))
        ]


def variance(
    evals: Evals,
    *,
    by: str | Sequence[str] | None = None,
    metric: Metric = "mean_score",
    rule: PassRule | None = None,
    case_cost: float = 0.0,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Variance:
    """Split the variance of the scores by source, and find where the next dollar helps most.

    Parameters
    ----------
    evals
        The collection. Costs come from `trials.cost_usd` and `scores.cost_usd`.
    by
        Columns of runs that make a version. None: agent_version, and model if a version has several.
    metric
        "mean_score" (criteria on their scale) or "pass_rate" (verdicts; no criterion component).
    rule, grader, rubric
        As for `evalkit.grade`.
    case_cost
        Dollars to write one more case.

    Returns
    -------
    Variance
        A component that is not estimable is null, with the reason.

    Raises
    ------
    ColumnError
        `by` has an unknown column of runs.

    Notes
    -----
    Nested analysis of variance by the method of moments (Searle 1971), see `evalkit.stats.variance_components`. The
    squared standard error of a version's mean is case/n + epoch/(n K) + sample/(n K S). For pass rates, each judge
    sample counts as a verdict of its own: an approximation.

    Examples
    --------
    >>> import evalkit as ek
    >>> print(ek.variance(ek.demo.make()).sentence)
    Of the noise in the mean score, 56% is between cases, 34% is between epochs, 10% is between judge samples. ...
    """
    expect(variance, locals(), judged=True)
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric)
    columns = _version_columns(evals, by, metric)
    judgements = find_judgements(evals, metric, scoring, each="criterion" in columns)
    costs = find_costs(evals, scoring)
    parts = judgements.partition_by(columns, as_dict=True, maintain_order=True)
    rows: list[dict[str, Any]] = []
    advice: list[dict[str, Any]] = []
    for name, part in sorted(parts.items(), key=lambda item: natural_key(item[0])):
        version = " · ".join(str(value) for value in name if value) or "all"
        split = split_variance(part)
        rows += _component_rows(version, split, part)
        advice += _advise(version, split, costs, case_cost)
    components, gains = pl.DataFrame(rows, schema=COMPONENTS), pl.DataFrame(advice, schema=ADVICE)
    return Variance(
        metric,
        components,
        gains,
        costs.agent,
        costs.judge,
        (costs.note,) if costs.note else (),
        _describe(components, gains, metric, costs),
    )


def find_judgements(evals: Evals, metric: Metric, scoring: Scoring, *, each: bool = False) -> pl.DataFrame:
    """Return the scored judgements of each trial; `criterion` is "" for pass rates.

    Scores of criteria with different scales are shares of their scale, except with `each` (criterion by itself).
    """
    scores = scores_for(scoring, evals.scores.lazy())
    # A scan must not read the long texts.
    chosen = scores.with_columns(pl.lit(None, pl.String).alias(name) for name in _TEXTS).collect()
    # Chosen above: each sample by itself may lack a grader or a rubric.
    chosen_scoring = Scoring(rule=scoring.rule, grader="any", rubric="any")
    parts = []
    for sample in chosen["sample"].unique().sort():
        part = replace(evals, scores=chosen.filter(sample=sample))
        if metric == "pass_rate":
            graded = grade_trials(part, chosen_scoring).filter(pl.col("verdict") != "unscored")
            value = (pl.col("verdict") == "pass").cast(pl.Float64)
            rows = graded.with_columns(value=value, criterion=pl.lit(""))
        else:
            rows = grade_trial_criteria(part, chosen_scoring).filter(pl.col("score").is_not_null())
            scales = rows.select("scale_min", "scale_max").n_unique()
            if scales > 1 and not each:
                # A binary criterion is a gate, not part of the mean.
                binary = evals.criteria.filter(kind="binary")["criterion"].implode()
                rows = rows.filter(~pl.col("criterion").is_in(binary))
                scales = rows.select("scale_min", "scale_max").n_unique()
            span = pl.col("scale_max") - pl.col("scale_min")
            share = (pl.col("score") - pl.col("scale_min")) / span
            rows = rows.with_columns(value=share if scales > 1 and not each else pl.col("score"))
        names = pl.col(*_VERSION, "criterion").cast(pl.String).fill_null("")
        parts.append(rows.with_columns(names, sample=pl.lit(int(sample), pl.Int32)).select(list(_JUDGEMENT)))
    judgements: pl.DataFrame = pl.concat([pl.DataFrame(schema=_JUDGEMENT), *parts], how="vertical_relaxed")
    return judgements.sort(pl.all())


def split_variance(judgements: pl.DataFrame) -> stats.VarianceComponents:
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


class Costs(NamedTuple):
    """Mean cost of a trial and of a judgement of it, in dollars; None if unknown."""

    agent: float | None
    judge: float | None

    @property
    def is_known(self) -> bool:
        """Whether either is known."""
        return self.agent is not None or self.judge is not None

    @property
    def note(self) -> str:
        """The assumption made for a missing price."""
        if not self.is_known:
            return "No costs are known: a trial and its judgement are assumed to cost the same."
        if self.agent is None:
            return "No trial has a cost (trials.cost_usd): prices are the judge's alone."
        return (
            "No score has a cost (scores.cost_usd): prices are the agent's alone."
            if self.judge is None
            else ""
        )

    @property
    def prices(self) -> tuple[float, float]:
        """Prices to weigh designs by."""
        return (self.agent or 0.0, self.judge or 0.0) if self.is_known else (1.0, 1.0)


def find_costs(evals: Evals, scoring: Scoring) -> Costs:
    """Return the mean cost of a trial and of a judgement."""
    keys = [*TRIAL_KEY, "grader", "rubric_hash", "sample"]
    chosen = scores_for(scoring, evals.scores.lazy())
    priced = chosen.filter(pl.col("cost_usd").is_not_null()).group_by(keys).agg(pl.col("cost_usd").sum())
    return Costs(_mean_cost(evals.trials["cost_usd"]), _mean_cost(priced.collect()["cost_usd"]))


def _mean_cost(costs: pl.Series) -> float | None:
    """Return the mean of the costs above 0: cached answers cost nothing, new ones will."""
    paid = costs.filter(costs > 0)
    return _mean(costs if paid.is_empty() else paid)


def _version_columns(evals: Evals, by: str | Sequence[str] | None, metric: Metric) -> list[str]:
    if by is None:
        models = evals.runs.group_by("agent_version").agg(pl.col("model").n_unique())["model"].max()
        return ["agent_version", "model"] if isinstance(models, int) and models > 1 else ["agent_version"]
    columns = list(as_names(by))
    choices = (*RUN_COLUMNS, *(["criterion"] if metric == "mean_score" else []))
    for column in columns:
        if column not in choices:
            raise ColumnError.missing(column, table="runs", have=choices)
    return columns or ["suite"]


def _component_rows(
    version: str, split: stats.VarianceComponents, judgements: pl.DataFrame
) -> list[dict[str, Any]]:
    trials = judgements.select("suite", "case", "run", "epoch").n_unique()
    samples = judgements.select("suite", "case", "run", "epoch", "sample").n_unique()
    df = {
        "case": split.cases - 1,
        "epoch": trials - split.cases,
        "sample": samples - trials,
        "criterion": split.criteria - 1,
    }
    shares = split.shares()
    rows = []
    for component, freedom in df.items():
        value = getattr(split, component)
        is_known = value is not None
        rows.append(
            {
                "version": version,
                "component": component,
                "variance": value,
                "share": shares.get(component),
                "df": freedom if is_known else None,
                "n": split.cases,
                "status": "ok" if is_known else "not_estimable",
                "reason": split.reason or ("" if is_known else _UNKNOWN.get(component, "")),
            }
        )
    return rows


def _advise(
    version: str, split: stats.VarianceComponents, costs: Costs, case_cost: float
) -> list[dict[str, Any]]:
    """Return what one more case, epoch or sample removes from the squared standard error, per dollar."""
    if split.status != "ok" or split.case is None:
        return []

    def squared_error(cases: float, epochs: float, samples: float) -> float:
        return split.standard_error(cases=cases, epochs=epochs, samples=samples) ** 2

    agent, judge = costs.prices
    n, k, s = float(split.cases), split.epochs, split.samples
    now = squared_error(n, k, s)
    trial = agent + s * judge
    # One more of each, its price, and endlessly many of it.
    designs = {
        "case": ((n + 1, k, s), k * trial + case_cost, None),
        "epoch": ((n, k + 1, s), n * trial, (n, 1e12, s)),
        "sample": ((n, k, s + 1), n * k * judge, (n, k, 1e12)),
    }
    rows: list[dict[str, Any]] = []
    for source, (design, price, limit) in designs.items():
        row: dict[str, Any] = {
            "version": version,
            "more": _NAMES[source],
            "gain": None,
            "most": None,
            "reason": "",
        }
        if getattr(split, source) is None:
            row["reason"] = _UNKNOWN[source]
        elif now <= 0 or price <= 0:
            row["reason"] = "the scores do not vary" if now <= 0 else "no price"
        else:
            row["gain"] = (1 - squared_error(*design) / now) / price
            row["most"] = 1.0 if limit is None else 1 - (squared_error(*limit) / now) ** 0.5
        rows.append(row)
    return sorted(rows, key=lambda row: (row["gain"] is None, -(row["gain"] or 0.0)))


def _describe(components: pl.DataFrame, advice: pl.DataFrame, metric: Metric, costs: Costs) -> str:
    noise = components.filter((pl.col("component") != "criterion") & pl.col("variance").is_not_null())
    total, what = noise["variance"].sum(), metric.replace("_", " ")
    if noise.is_empty():
        reason = components["reason"][0] if components.height else "nothing was scored"
        return f"The sources of noise in the {what} are unknown: {reason}."
    if not total > 0:
        return f"The {what} does not vary: there is no noise to split."
    parts = noise.group_by("component", maintain_order=True).agg(pl.col("variance").sum())
    parts = parts.sort("variance", descending=True, maintain_order=True)
    shares = ", ".join(
        f"{fmt.percent(v / total, 0)} is between {_NAMES[name]}" for name, v in parts.iter_rows()
    )
    text = f"Of the noise in the {what}, {shares}."
    gains = advice.filter(pl.col("gain").is_not_null())
    if gains.height:
        best: dict[str, list[str]] = {}
        for row in gains.group_by("version", maintain_order=True).first().iter_rows(named=True):
            best.setdefault(row["more"], []).append(row["version"])
        unit = "dollar" if costs.is_known else "trial"
        if len(best) == 1:
            text += f" The next {unit} helps most when it buys more {next(iter(best))}."
        else:
            each = "; ".join(f"more {more} for {join_words(names)}" for more, names in best.items())
            text += f" The next {unit} helps most when it buys {each}."
        limits = gains.filter(more="epochs")["most"].drop_nulls()
        if len(limits) and "cases" in best:
            most = fmt.percent(_mean(limits) or 0.0, 0)
            text += (
                f" Without new cases, any number of epochs removes only about {most} of the standard error."
            )
    gaps = components.filter((pl.col("status") != "ok") & pl.col("component").is_in(["epoch", "sample"]))
    text += "".join(f" Unknown: {reason}." for reason in gaps["reason"].unique(maintain_order=True))
    return printable(text)


def _mean(series: pl.Series) -> float | None:
    value = series.cast(pl.Float64).mean()
    return value if isinstance(value, float) else None
