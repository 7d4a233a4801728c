"""Verdicts to rates: what share of the cases passes, how sure that is, and how the scores are spread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast

import polars as pl

from evalkit.data.schema import Verdict
from evalkit.grading.grade import as_given, grade, grade_criteria
from evalkit.grading.pass_rule import DEFAULT_RULE, TOLERANCE, PassRule
from evalkit.grading.version_order import natural_key, start_order
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalkit.stats import Estimate

_GROUPS: Final = (
    *("suite", "run", "agent", "agent_version", "model", "provider"),
    *("case", "severity", "domain", "tags", "cluster", "epoch", "criterion"),
)
_NUMBERS: Final = {
    "pass_rate": pl.Float64(),
    "low": pl.Float64(),
    "high": pl.Float64(),
    "n": pl.Int64(),
    "n_eff": pl.Float64(),
    "k": pl.Float64(),
    "trials": pl.Int64(),
    "passed": pl.Int64(),
    "failed": pl.Int64(),
    "unscored": pl.Int64(),
    "mean_score": pl.Float64(),
    "mean_low": pl.Float64(),
    "mean_high": pl.Float64(),
    "method": pl.String(),
    "level": pl.Float64(),
}


def summarize(
    data: Any,
    by: str | Sequence[str] = ("agent_version",),
    rule: PassRule = DEFAULT_RULE,
    *,
    missing: Literal["exclude", "fail"] = "exclude",
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    level: float = 0.95,
) -> Any:
    """Say how many cases pass, with an interval, for each group.

    The case is the unit: the rule is applied to each trial, the verdicts and means of a case's trials are
    averaged inside the case, and the interval is over the cases.

    Parameters
    ----------
    data
        An `Evals`, or a frame of scores as for `grade`.
    by
        Columns that name the groups: `suite`, `run`, `agent`, `agent_version`, `model`, `provider`, `case`,
        `severity`, `domain`, `tags` (a case counts in each of its tags), `cluster`, `epoch`, `criterion`.
        `[]` is one group of all.
    rule, grader, rubric
        As for `grade`.
    missing
        What an unscored trial counts as: "exclude" leaves it out (and counts it), "fail" makes it a fail.
    level
        Confidence of the intervals.

    Returns
    -------
    frame
        Of the kind that was given (polars for an `Evals`), one row a group, the worst severity first and
        everything else in natural order ("v2" before "v10"): the columns of `by`; `pass_rate`, `low`, `high`
        (0 to 1, null where nothing was scored); `n`, the cases they rest on, `n_eff`, the cases that they are
        worth, `k`, trials a case (harmonic mean); `trials`, `passed`, `failed`, `unscored`, counts of trials;
        `mean_score`, `mean_low`, `mean_high` in the scores' units (t over case means, cut at the ends of the scale); `method`, `level`.

        With "criterion" in `by` a row's pass rate is that of the single criterion (a score that reaches
        `rule.mean`), and there are also `lowest`, the lowest case mean, and `verdict`: the suite's sentence
        read criterion by criterion, "pass" when the mean of the case means reaches `rule.mean` and none of
        them is below `rule.floor`, "unscored" when a case without a score leaves that open. With "case" in `by`
        the trials of that case are the units.

    Raises
    ------
    ColumnError
        There is no such column to group by.

    Notes
    -----
    The interval is Wilson's (1927), on the effective number of cases where cases were tried several times or
    are clustered; see `evalkit.stats.wilson_n_eff`.

    Examples
    --------
    >>> import evalkit as ek
    >>> rates = ek.summarize(ek.demo.make())
    >>> rates.select("agent_version", "pass_rate", "low", "high", "n", "trials").row(1)
    ('v2', 0.96..., 0.80..., 0.99..., 9, 54)

    Scores alone do too, where the rule says on what scale they are:

    >>> scores = pl.DataFrame({"case": ["01", "02"], "criterion": ["a", "a"], "score": [5, 2]})
    >>> summarize(scores, by=[], rule=PassRule(scale=(1, 5))).select("pass_rate", "n", "method").row(0)
    (0.5, 2, 'Wilson')
    """
    expect(summarize, locals())
    by = [by] if isinstance(by, str) else list(by)
    each = grade_criteria if "criterion" in by else grade
    graded = each(data, rule, grader=grader, rubric=rubric)
    trials = _as_polars(graded)
    for column in by:
        if column not in trials.columns or column not in _GROUPS:
            raise ColumnError.missing(
                column, table="grades", have=[c for c in _GROUPS if c in trials.columns]
            )
    places = {column: start_order(data, column) for column in by}
    made = summarize_verdicts(trials, by, rule, missing=missing, level=level, places=places)
    return as_given(made, data)


def distribution(
    data: Any,
    by: str = "agent_version",
    *,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    rule: PassRule = DEFAULT_RULE,
) -> pl.DataFrame:
    """Count the answers at each score, for each criterion and each value of `by`.

    An answer is one trial judged by one criterion; the judge's samples of it are averaged first.

    Parameters
    ----------
    data, grader, rubric, rule
        As for `grade`.
    by
        A column as for `summarize`.

    Returns
    -------
    polars.DataFrame
        `criterion`, the column `by`, `score` (f64: whole scores where the scale ends on whole numbers at most 20
        apart, else the middles of ten equal bins), `count`, `share` (of the group's answers with a score),
        `mean` (f64, of the case means, as `summarize` has it), `n` (answers with a score), `unscored`, `scale_min`, `scale_max`. Every
        score of the scale has a row, also with `count` 0.

    Raises
    ------
    ColumnError
        There is no such column to group by.

    Examples
    --------
    >>> import evalkit as ek
    >>> counts = ek.distribution(ek.demo.make(), "agent_version")
    >>> counts.filter(criterion="Groq", agent_version="v3").select("score", "count").rows()
    [(1.0, 0), (2.0, 1), (3.0, 9), (4.0, 31), (5.0, 13)]
    """
    expect(distribution, locals())
    answers = _as_polars(grade_criteria(data, rule, grader=grader, rubric=rubric))
    if by not in answers.columns or by == "criterion":
        raise ColumnError.missing(by, table="grades", have=[c for c in _GROUPS if c in answers.columns])
    if by == "tags":
        answers = answers.explode("tags", empty_as_null=True, keep_nulls=True)
    rows: list[dict[str, Any]] = []
    groups = answers.partition_by("criterion", by, as_dict=True, maintain_order=True)
    sort_key = _sort_key(["criterion", by], {by: start_order(data, by)})
    for (criterion, group), part in sorted(groups.items(), key=sort_key):
        low, high = part["scale_min"][0], part["scale_max"][0]
        scores = part["score"].drop_nulls()
        # The case is the unit here too: the same mean as `summarize` gives.
        unit = [c for c in ("suite", "case") if c in part.columns]
        mean = part.group_by(unit).agg(pl.col("score").mean())["score"].sort().mean()
        centres, width = _bins(low, high, scores)
        index = ((scores - centres[0]) / width).round(0).clip(0, len(centres) - 1).cast(pl.Int64)
        counts = dict(index.value_counts().iter_rows())
        rows += [
            {
                "criterion": criterion,
                by: group,
                "score": centre,
                "count": counts.get(at, 0),
                "share": counts.get(at, 0) / len(scores) if len(scores) else None,
                "mean": mean,
                "n": len(scores),
                "unscored": part.height - len(scores),
                "scale_min": low,
                "scale_max": high,
            }
            for at, centre in enumerate(centres)
        ]
    names = {"criterion": answers.schema["criterion"], by: answers.schema[by]}
    floats = dict.fromkeys(("share", "mean", "scale_min", "scale_max"), pl.Float64())
    schema = {
        **names,
        "score": pl.Float64(),
        "count": pl.Int64(),
        "share": floats["share"],
        "mean": floats["mean"],
    }
    schema |= {"n": pl.Int64(), "unscored": pl.Int64(), "scale_min": pl.Float64(), "scale_max": pl.Float64()}
    return pl.DataFrame(rows, schema=cast("Any", schema))


def _sort_key(by: Sequence[str], places: Mapping[str, Mapping[str, int]]) -> Callable[[Any], Any]:
    """Return the key to sort groups by, whose names are the values of the columns `by`."""
    known = [places.get(column, {}) for column in by]
    return lambda item: [
        (place.get(str(name), len(place)), natural_key([name]))
        for place, name in zip(known, item[0], strict=True)
    ]


def _as_polars(graded: Any) -> pl.DataFrame:
    import narwhals as nw

    native = nw.from_native(graded)
    frame = cast(
        "pl.DataFrame", (native.collect() if isinstance(native, nw.LazyFrame) else native).to_polars()
    )
    if "reason" in frame.columns:
        frame = frame.drop("reason").rename({"mean": "score"})
    return frame.with_columns(pl.col("verdict").cast(pl.String).cast(Verdict))


def summarize_verdicts(
    trials: pl.DataFrame,
    by: Sequence[str],
    rule: PassRule,
    *,
    missing: str = "exclude",
    level: float = 0.95,
    places: Mapping[str, Mapping[str, int]] | None = None,
) -> pl.DataFrame:
    """Do what `summarize` does with verdicts that are there already.

    Parameters
    ----------
    trials
        A row a trial (or a trial and criterion): the columns of `Evals.attempts`, `score` and `verdict`.
    by, rule, missing, level
        As for `summarize`.
    places
        Column -> value -> its place, for columns whose values are in another order than that of their names.
    """
    by = list(by)
    if "tags" in by:
        trials = trials.explode("tags", empty_as_null=True, keep_nulls=True)
    verdict = pl.col("verdict")
    if missing == "fail":
        trials = trials.with_columns(verdict.replace({"unscored": "fail"}))
    suite = ["suite"] if "suite" in trials.columns else []
    unit = [*suite, "case", *(["run", "epoch"] if "case" in by else [])]
    cluster = ["cluster"] if "cluster" in trials.columns and "case" not in by else []
    within = [*by, *(c for c in [*unit, *cluster] if c not in by)]
    units = trials.group_by(within, maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("trials"),
        (verdict == "pass").sum().cast(pl.Int64).alias("passed"),
        (verdict == "fail").sum().cast(pl.Int64).alias("failed"),
        pl.col("score").mean(),
    )
    groups = units.partition_by(by, as_dict=True, maintain_order=True) if by else {(): units}
    scale = _scale(trials, rule)
    tops = _binary_tops(trials, rule) if "criterion" in by else {}
    at = by.index("criterion") if "criterion" in by else 0
    made = [
        [
            *name,
            *_row(part, by, level, scale),
            *(_reading(part, rule, tops.get(name[at])) if "criterion" in by else ()),
        ]
        for name, part in sorted(groups.items(), key=_sort_key(by, places or {}))
        if part.height
    ]
    schema: dict[str, Any] = {c: units.schema[c] for c in by} | _NUMBERS
    if "criterion" in by:
        schema |= {"lowest": pl.Float64(), "verdict": Verdict}
    return pl.DataFrame(made, schema=schema, orient="row")


def _row(units: pl.DataFrame, by: list[str], level: float, scale: tuple[float, float] | None) -> list[Any]:
    """Return the numbers of one group, in the order of `_NUMBERS`."""
    from evalkit import stats
    from evalkit.stats.basics import harmonic_mean

    scored = units.filter(pl.col("passed") + pl.col("failed") > 0)
    k = (scored["passed"] + scored["failed"]).to_numpy()
    fractions = scored["passed"].to_numpy() / k
    graded = units.filter(pl.col("score").is_not_null())
    clusters = find_clusters(scored)
    if clusters is not None:
        rate = stats.wilson_clustered(fractions, clusters, k=k, level=level)
    else:
        rate = stats.wilson_n_eff(fractions, k, level=level)
    mean = stats.t_mean(graded["score"].to_numpy(), clusters=find_clusters(graded), level=level)
    method = f"{rate.method} over trials" if "case" in by else rate.method
    trials, passed, failed = (int(units[column].sum()) for column in ("trials", "passed", "failed"))
    cases = 1 if "case" in by and scored.height else scored.height
    return [
        *(rate.estimate, rate.low, rate.high),
        cases,
        float(rate.n if rate.n_eff is None else rate.n_eff),
        None if not len(k) else float(len(k)) if "case" in by else harmonic_mean(k),
        *(trials, passed, failed, trials - passed - failed),
        *_mean_of(mean, scale),
        method,
        level,
    ]


def _scale(trials: pl.DataFrame, rule: PassRule) -> tuple[float, float] | None:
    """Return the scale that a mean cannot leave, where all that is graded shares one."""
    if "scale_min" in trials.columns:
        scales = trials.select("scale_min", "scale_max").unique()
        return scales.row(0) if scales.height == 1 else None
    if rule.scale or (rule.mean, rule.floor) != (DEFAULT_RULE.mean, DEFAULT_RULE.floor):
        return rule.scale
    # The default rule grades scores from 1 to 5, and those that pass or fail: 0 or 1.
    lowest = trials["score"].min()
    return (0.0, 1.0) if isinstance(lowest, float) and lowest < 1 else (1.0, 5.0)


def _mean_of(
    mean: Estimate, scale: tuple[float, float] | None
) -> tuple[float | None, float | None, float | None]:
    """Return the mean and its interval, cut where the scale ends: no mean lies beyond it."""
    low, high = mean.low, mean.high
    if scale and mean.estimate is not None and low is not None and high is not None:
        low, high = max(low, min(scale[0], mean.estimate)), min(high, max(scale[1], mean.estimate))
    return mean.estimate, low, high


def find_clusters(units: pl.DataFrame) -> list[str] | None:
    """Return each unit's cluster where some cluster holds several; a unit without one is its own."""
    if "cluster" not in units.columns or units["cluster"].drop_nulls().is_unique().all():
        return None
    return [f"\0{at}" if name is None else str(name) for at, name in enumerate(units["cluster"].to_list())]


def _binary_tops(trials: pl.DataFrame, rule: PassRule) -> dict[object, float]:
    """Return what each binary criterion has to reach: its maximum, and no mean is asked of it.

    Of all scales on which the rule's mean does not lie, only theirs are let through to here.
    """
    if "scale_max" not in trials.columns:
        return {}
    rows = trials.filter(pl.col("scale_max") < rule.mean).select("criterion", "scale_max").unique()
    return dict(rows.iter_rows())


def _reading(units: pl.DataFrame, rule: PassRule, top: float | None) -> tuple[float | None, str]:
    """Read the rule over the case means of one criterion; `top`: what a binary one has to reach in each."""
    means = units["score"].drop_nulls()
    lowest = cast("float | None", means.min())
    floor, mean = (rule.floor, rule.mean) if top is None else (top, top)
    if lowest is not None and lowest < floor - TOLERANCE:
        return lowest, "fail"
    if len(means) < units.height:
        return lowest, "unscored"
    return lowest, "pass" if means.sum() >= mean * len(means) - TOLERANCE * len(means) else "fail"


def _bins(low: float, high: float, scores: pl.Series) -> tuple[list[float], float]:
    """Return the centres and the width of a scale's bins."""
    if (low, high) == (0, 1) and scores.is_in([0.0, 1.0]).all():
        return [0.0, 1.0], 1.0
    if low == int(low) and high == int(high) and 1 < high - low <= 20:
        return [float(at) for at in range(int(low), int(high) + 1)], 1.0
    if (low, high) == (0, 1):
        return [at / 10 for at in range(11)], 0.1
    width = (high - low) / 10
    return [low + width * (at + 0.5) for at in range(10)], width
