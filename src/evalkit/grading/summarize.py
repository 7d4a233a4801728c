"""Summarize verdicts: pass rates with intervals per group, and the distribution of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast

import polars as pl

from evalkit.data.schema import Verdict
from evalkit.grading.grade import as_kind_of, grade_trial_criteria, grade_trials
from evalkit.grading.pass_rule import DEFAULT_RULE, TOLERANCE, PassRule
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.version_order import natural_key, start_order
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError
from evalkit.util.words import as_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_GROUPS: Final = (
    *("suite", "run", "agent", "agent_version", "model", "provider"),
    *("case", "severity", "domain", "tags", "cluster", "epoch", "criterion"),
)
_NUMBERS: Final = {
    **dict.fromkeys(("pass_rate", "low", "high"), pl.Float64()),
    "n": pl.Int64(),
    **dict.fromkeys(("n_eff", "k"), pl.Float64()),
    **dict.fromkeys(("trials", "passed", "failed", "unscored"), pl.Int64()),
    **dict.fromkeys(("mean_score", "mean_low", "mean_high"), pl.Float64()),
    "method": pl.String(),
    "level": pl.Float64(),
}
_BIN: Final = {
    "score": pl.Float64(),
    "count": pl.Int64(),
    **dict.fromkeys(("share", "mean"), pl.Float64()),
    **dict.fromkeys(("n", "unscored"), pl.Int64()),
    **dict.fromkeys(("scale_min", "scale_max"), pl.Float64()),
}


def summarize(
    data: Any,
    by: str | Sequence[str] = ("agent_version",),
    rule: PassRule | None = None,
    *,
    missing: Literal["exclude", "fail"] = "exclude",
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    level: float | None = None,
) -> Any:
    """Estimate the pass rate and mean score of each group, with intervals over cases.

    Verdicts and means are averaged over a case's trials first.

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
        "exclude" leaves unscored trials out, "fail" makes them fail.
    level
        Confidence level; 0.95 by default.

    Returns
    -------
    frame
        The kind of frame given (polars for an `Evals`), one row per group, the worst severity first, the rest in
        natural order: the columns of `by`; `pass_rate`, `low`, `high` (0 to 1, null if nothing was scored); `n`,
        cases; `n_eff`, effective number of cases; `k`, trials per case (harmonic mean); `trials`, `passed`,
        `failed`, `unscored`, counts of trials; `mean_score`, `mean_low`, `mean_high` in score units (t over case
        means, cut at the ends of the scale); `method`, `level`.

        With "criterion" in `by`, the pass rate is that of the criterion (scores that reach `rule.mean`), and
        there are also `lowest`, the lowest case mean, and `verdict`: "pass" if the mean of the case means reaches
        `rule.mean` and none is below `rule.floor`, "unscored" if a case without a score leaves that open. With
        "case" in `by`, the trials of the case are the units.

    Raises
    ------
    ColumnError
        `by` has an unknown column.

    Notes
    -----
    Wilson's (1927) interval, on the effective number of cases if cases have several trials or clusters; see
    `evalkit.stats.wilson_n_eff`.

    Examples
    --------
    >>> import evalkit as ek
    >>> rates = ek.summarize(ek.demo.make())
    >>> rates.select("agent_version", "pass_rate", "low", "high", "n", "trials").row(1)
    ('v2', 0.96..., 0.80..., 0.99..., 9, 54)

    A frame of scores needs a rule with its scale:

    >>> scores = pl.DataFrame({"case": ["01", "02"], "criterion": ["a", "a"], "score": [5, 2]})
    >>> summarize(scores, by=[], rule=PassRule(scale=(1, 5))).select("pass_rate", "n", "method").row(0)
    (0.5, 2, 'Wilson')
    """
    expect(summarize, locals())
    scoring = choose_scoring(data, rule=rule, grader=grader, rubric=rubric, level=level)
    by = list(as_names(by))
    trials = _to_polars((grade_trial_criteria if "criterion" in by else grade_trials)(data, scoring))
    groups = [column for column in _GROUPS if column in trials.columns]
    for column in by:
        if column not in groups:
            raise ColumnError.missing(column, table="grades", have=groups)
    places = {column: start_order(data, column) for column in by}
    summary = summarize_verdicts(
        trials, by, scoring.rule, missing=missing, level=scoring.level, places=places
    )
    return as_kind_of(summary, data)


def distribution(
    data: Any,
    by: str = "agent_version",
    *,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    rule: PassRule | None = None,
) -> pl.DataFrame:
    """Count the answers at each score, per criterion and value of `by`.

    An answer is one trial scored on one criterion; the judge's samples are averaged first.

    Parameters
    ----------
    data, grader, rubric, rule
        As for `grade`.
    by
        A column as for `summarize`.

    Returns
    -------
    polars.DataFrame
        `criterion`, the column `by`, `score` (whole scores if the scale ends on whole numbers at most 20 apart,
        else the middles of ten equal bins), `count`, `share` (of the group's scored answers), `mean` (of the case
        means, as in `summarize`), `n` (scored answers), `unscored`, `scale_min`, `scale_max`. Every score of the
        scale has a row.

    Raises
    ------
    ColumnError
        `by` is an unknown column.

    Examples
    --------
    >>> import evalkit as ek
    >>> counts = ek.distribution(ek.demo.make(), "agent_version")
    >>> counts.filter(criterion="Groq", agent_version="v3").select("score", "count").rows()
    [(1.0, 0), (2.0, 1), (3.0, 9), (4.0, 31), (5.0, 13)]
    """
    expect(distribution, locals())
    answers = _to_polars(
        grade_trial_criteria(data, choose_scoring(data, rule=rule, grader=grader, rubric=rubric))
    )
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
        unit = [column for column in ("suite", "case") if column in part.columns]
        mean = part.group_by(unit).agg(pl.col("score").mean())["score"].sort().mean()
        centers, width = _bins(low, high, scores)
        bins = ((scores - centers[0]) / width).round(0).clip(0, len(centers) - 1).cast(pl.Int64)
        counts = dict(bins.value_counts().iter_rows())
        n, unscored = len(scores), part.height - len(scores)
        for index, center in enumerate(centers):
            count = counts.get(index, 0)
            values = (center, count, count / n if n else None, mean, n, unscored, low, high)
            rows.append({"criterion": criterion, by: group, **dict(zip(_BIN, values, strict=True))})
    schema = {"criterion": answers.schema["criterion"], by: answers.schema[by], **_BIN}
    return pl.DataFrame(rows, schema=cast("Any", schema))


def summarize_verdicts(
    trials: pl.DataFrame,
    by: Sequence[str],
    rule: PassRule,
    *,
    missing: str = "exclude",
    level: float = 0.95,
    places: Mapping[str, Mapping[str, int]] | None = None,
) -> pl.DataFrame:
    """Summarize verdicts, one row per trial or criterion; `places` sorts columns not in natural order."""
    by = list(by)
    if "tags" in by:
        trials = trials.explode("tags", empty_as_null=True, keep_nulls=True)
    verdict = pl.col("verdict")
    if missing == "fail":
        trials = trials.with_columns(verdict.replace({"unscored": "fail"}))
    unit = [*(["suite"] if "suite" in trials.columns else []), "case"]
    if "case" in by:
        unit += ["run", "epoch"]
    elif "cluster" in trials.columns:
        unit.append("cluster")
    units = trials.group_by(*by, *(c for c in unit if c not in by), maintain_order=True).agg(
        pl.len().cast(pl.Int64).alias("trials"),
        (verdict == "pass").sum().cast(pl.Int64).alias("passed"),
        (verdict == "fail").sum().cast(pl.Int64).alias("failed"),
        pl.col("score").mean(),
    )
    groups = units.partition_by(by, as_dict=True, maintain_order=True) if by else {(): units}
    scale = _common_scale(trials, rule)
    schema: dict[str, Any] = {c: units.schema[c] for c in by} | _NUMBERS
    thresholds: dict[object, float] = {}
    if "criterion" in by:
        schema |= {"lowest": pl.Float64(), "verdict": Verdict}
        if "scale_max" in trials.columns:
            # Only binary criteria may lie below the rule's mean; each must reach its maximum.
            binary = trials.filter(pl.col("scale_max") < rule.mean)
            thresholds = dict(binary.select("criterion", "scale_max").unique().iter_rows())
    rows = []
    for name, group in sorted(groups.items(), key=_sort_key(by, places or {})):
        if group.height:
            row = [*name, *_estimate_group(group, by, level, scale)]
            if "criterion" in by:
                row += _read_rule(group, rule, thresholds.get(name[by.index("criterion")]))
            rows.append(row)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _estimate_group(
    units: pl.DataFrame, by: list[str], level: float, scale: tuple[float, float] | None
) -> list[Any]:
    """Return the numbers of one group, in the order of `_NUMBERS`."""
    from evalkit import stats
    from evalkit.stats.basics import harmonic_mean

    scored = units.filter(pl.col("passed") + pl.col("failed") > 0)
    k = (scored["passed"] + scored["failed"]).to_numpy()
    fractions = scored["passed"].to_numpy() / k
    clusters = find_clusters(scored)
    if clusters is None:
        rate = stats.wilson_n_eff(fractions, k, level=level)
    else:
        rate = stats.wilson_clustered(fractions, clusters, k=k, level=level)
    with_mean = units.filter(pl.col("score").is_not_null())
    mean = stats.t_mean(with_mean["score"].to_numpy(), clusters=find_clusters(with_mean), level=level)
    mean_low, mean_high = mean.low, mean.high
    if scale and mean.estimate is not None and mean_low is not None and mean_high is not None:
        mean_low = max(mean_low, min(scale[0], mean.estimate))
        mean_high = min(mean_high, max(scale[1], mean.estimate))
    trials, passed, failed = (int(units[column].sum()) for column in ("trials", "passed", "failed"))
    by_case = "case" in by
    return [
        *(rate.estimate, rate.low, rate.high),
        1 if by_case and scored.height else scored.height,
        float(rate.n if rate.n_eff is None else rate.n_eff),
        None if not len(k) else float(len(k)) if by_case else harmonic_mean(k),
        *(trials, passed, failed, trials - passed - failed),
        *(mean.estimate, mean_low, mean_high),
        f"{rate.method} over trials" if by_case else rate.method,
        level,
    ]


def _common_scale(trials: pl.DataFrame, rule: PassRule) -> tuple[float, float] | None:
    if "scale_min" in trials.columns:
        scales = trials.select("scale_min", "scale_max").unique()
        return scales.row(0) if scales.height == 1 else None
    if rule.scale or (rule.mean, rule.floor) != (DEFAULT_RULE.mean, DEFAULT_RULE.floor):
        return rule.scale
    # The default rule grades scores from 1 to 5, and binary ones: 0 or 1.
    lowest = trials["score"].min()
    return (0.0, 1.0) if isinstance(lowest, float) and lowest < 1 else (1.0, 5.0)


def find_clusters(units: pl.DataFrame) -> list[str] | None:
    """Return each unit's cluster; None if no cluster has several units."""
    if "cluster" not in units.columns or units["cluster"].drop_nulls().is_unique().all():
        return None
    return [f"\0{at}" if name is None else str(name) for at, name in enumerate(units["cluster"].to_list())]


def _read_rule(units: pl.DataFrame, rule: PassRule, threshold: float | None) -> tuple[float | None, str]:
    """Return the lowest case mean and the verdict of a criterion; `threshold`: of a binary one."""
    means = units["score"].drop_nulls()
    lowest = cast("float | None", means.min())
    floor, mean = (rule.floor, rule.mean) if threshold is None else (threshold, threshold)
    if lowest is not None and lowest < floor - TOLERANCE:
        return lowest, "fail"
    if len(means) < units.height:
        return lowest, "unscored"
    return lowest, "pass" if means.sum() >= (mean - TOLERANCE) * len(means) else "fail"


def _bins(low: float, high: float, scores: pl.Series) -> tuple[list[float], float]:
    if (low, high) == (0, 1):
        if scores.is_in([0.0, 1.0]).all():
            return [0.0, 1.0], 1.0
        return [index / 10 for index in range(11)], 0.1
    if low == int(low) and high == int(high) and 1 < high - low <= 20:
        return [float(score) for score in range(int(low), int(high) + 1)], 1.0
    width = (high - low) / 10
    return [low + width * (index + 0.5) for index in range(10)], width


def _sort_key(by: Sequence[str], places: Mapping[str, Mapping[str, int]]) -> Callable[[Any], Any]:
    known = [places.get(column, {}) for column in by]
    return lambda item: [
        (place.get(str(name), len(place)), natural_key([name]))
        for place, name in zip(known, item[0], strict=True)
    ]


def _to_polars(graded: Any) -> pl.DataFrame:
    import narwhals as nw

    native = nw.from_native(graded)
    frame: pl.DataFrame = (native.collect() if isinstance(native, nw.LazyFrame) else native).to_polars()
    if "reason" in frame.columns:
        frame = frame.drop("reason").rename({"mean": "score"})
    return frame.with_columns(pl.col("verdict").cast(pl.String).cast(Verdict))
