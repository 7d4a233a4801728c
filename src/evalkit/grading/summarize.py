"""Summarize verdicts: pass rates with intervals per group, and the distribution of scores."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import polars as pl

from evalkit.data.schema import DIRECTIONS, Verdict
from evalkit.grading.applied_rule import tolerance_of
from evalkit.grading.grade import as_kind_of, grade_on_scale, grade_trial_criteria
from evalkit.grading.pass_rule import LOOKING
from evalkit.grading.select_scores import choose_scoring
from evalkit.grading.version_order import natural_key, places_of
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError
from evalkit.util.words import as_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from evalkit.grading.pass_rule import PassRule

_GROUPS: Final = (
    *("suite", "run", "agent", "agent_version", "model", "provider"),
    *("case", "severity", "domain", "tags", "cluster", "epoch", "criterion"),
)
_NUMBERS: Final = {
    **dict.fromkeys(("pass_rate", "low", "high", "if_all_fail", "if_all_pass"), pl.Float64()),
    "n": pl.Int64(),
    **dict.fromkeys(("n_eff", "k"), pl.Float64()),
    **dict.fromkeys(("trials", "passed", "failed", "unscored"), pl.Int64()),
    **dict.fromkeys(("mean_score", "mean_low", "mean_high"), pl.Float64()),
    "method": pl.String(),
    "level": pl.Float64(),
}
_FACTS: Final = ("scale_min", "scale_max", "direction", "threshold", "least")
_BIN: Final = {
    "score": pl.Float64(),
    "count": pl.Int64(),
    **dict.fromkeys(("share", "mean"), pl.Float64()),
    **dict.fromkeys(("n", "unscored"), pl.Int64()),
    **dict.fromkeys(("scale_min", "scale_max"), pl.Float64()),
    "direction": pl.Enum(DIRECTIONS),
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
        natural order: the columns of `by`; `pass_rate`, `low`, `high` (0 to 1, null if nothing was scored);
        `if_all_fail`, `if_all_pass`, the pass rate if all unscored trials failed or passed; `n`, cases; `n_eff`, effective number of cases; `k`, trials per case (harmonic mean); `trials`, `passed`,
        `failed`, `unscored`, counts of trials; `mean_score`, `mean_low`, `mean_high` on the scale of `mean` in
        `grade` (t over case means, cut at the ends of the scale); `method`, `level`.

        With "criterion" in `by`, scores are on the criterion's own scale, the pass rate is that of the criterion
        (scores that reach its `threshold`, see `grade_criteria`), and there are also `lowest`, the worst case mean
        (the highest where lower is better), and `verdict`: "pass" if the mean of the case means reaches `threshold`
        and none is worse than `least`, "unscored" if a case without a score leaves that open. With "case" in `by`,
        the trials of the case are the units.

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
    ('v2', 0.96..., 0.65..., 0.99..., 9, 54)

    A frame of scores needs a rule with its scale:

    >>> scores = pl.DataFrame({"case": ["01", "02"], "criterion": ["a", "a"], "score": [5, 2]})
    >>> summarize(scores, by=[], rule=ek.PassRule(scale=(1, 5))).select("pass_rate", "n", "method").row(0)
    (0.5, 2, 'Wilson')
    """
    expect(summarize, locals())
    scoring = choose_scoring(data, rule=rule, grader=grader, rubric=rubric, level=level)
    by = list(as_names(by))
    if "criterion" in by:
        graded, scale = grade_trial_criteria(data, scoring), None
    else:
        graded, scale = grade_on_scale(data, scoring)
    trials = _to_polars(graded)
    groups = [column for column in _GROUPS if column in trials.columns]
    for column in by:
        if column not in groups:
            raise ColumnError.missing(column, table="grades", have=groups)
    places = {column: places_of(data, column) for column in by}
    summary = summarize_verdicts(trials, by, missing=missing, level=scoring.level, places=places, scale=scale)
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

    An answer is one trial scored on one criterion; the judge's samples are averaged first. No pass rule is needed.

    Parameters
    ----------
    data, grader, rubric
        As for `grade`.
    rule
        Only its `scale` counts, for criteria without a declared one.
    by
        A column as for `summarize`.

    Returns
    -------
    polars.DataFrame
        `criterion`, the column `by`, `score` (whole scores if the scale ends on whole numbers at most 20 apart,
        else the middles of ten equal bins), `count`, `share` (of the group's scored answers), `mean` (of the case
        means, as in `summarize`), `n` (scored answers), `unscored`, `scale_min`, `scale_max` (the observed range if no
        scale is declared), `direction`. Every score of the scale has a row.

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
    scoring = choose_scoring(data, rule=rule, grader=grader, rubric=rubric)
    scoring = scoring.replace_given(rule=replace(LOOKING, scale=scoring.rule.scale))
    answers = _to_polars(grade_trial_criteria(data, scoring))
    seen = (pl.col("score").min().over("criterion"), pl.col("score").max().over("criterion"))
    answers = answers.with_columns(
        pl.col("scale_min").fill_null(seen[0]).fill_null(0.0),
        pl.col("scale_max").fill_null(seen[1]).fill_null(1.0),
    )
    if by not in answers.columns or by == "criterion":
        raise ColumnError.missing(by, table="grades", have=[c for c in _GROUPS if c in answers.columns])
    if by == "tags":
        answers = answers.explode("tags", empty_as_null=True, keep_nulls=True)
    rows: list[dict[str, Any]] = []
    groups = answers.partition_by("criterion", by, as_dict=True, maintain_order=True)
    sort_key = _sort_key(["criterion", by], {by: places_of(data, by)})
    for (criterion, group), part in sorted(groups.items(), key=sort_key):
        low, high, direction = (part[name][0] for name in ("scale_min", "scale_max", "direction"))
        scores = part["score"].drop_nulls()
        unit = [column for column in ("suite", "case") if column in part.columns]
        mean = part.group_by(unit).agg(pl.col("score").mean())["score"].sort().mean()
        centers, width = _bins(low, high, scores)
        bins = ((scores - centers[0]) / width).round(0).clip(0, len(centers) - 1).cast(pl.Int64)
        counts = dict(bins.value_counts().iter_rows())
        n, unscored = len(scores), part.height - len(scores)
        for index, center in enumerate(centers):
            count = counts.get(index, 0)
            values = (center, count, count / n if n else None, mean, n, unscored, low, high, direction)
            rows.append({"criterion": criterion, by: group, **dict(zip(_BIN, values, strict=True))})
    schema = {"criterion": answers.schema["criterion"], by: answers.schema[by], **_BIN}
    return pl.DataFrame(rows, schema=cast("Any", schema))


def summarize_verdicts(
    trials: pl.DataFrame,
    by: Sequence[str],
    *,
    missing: str = "exclude",
    level: float = 0.95,
    places: Mapping[str, Mapping[str, int]] | None = None,
    scale: tuple[float, float] | None = None,
) -> pl.DataFrame:
    """Summarize verdicts, one row per trial or criterion.

    `places` sorts columns not in natural order. Intervals of means are cut at the ends of `scale`.
    """
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
        # Rounded and sorted: the order of rows must not change the last digit of a sum.
        pl.col("score").mean().round(12),
    )
    units = units.sort(
        [pl.col(column).cast(pl.String) for column in unit if column not in by], maintain_order=True
    )
    groups = units.partition_by(by, as_dict=True, maintain_order=True) if by else {(): units}
    schema: dict[str, Any] = {c: units.schema[c] for c in by} | _NUMBERS
    facts: dict[object, dict[str, Any]] = {}
    if "criterion" in by:
        schema |= {"lowest": pl.Float64(), "verdict": Verdict}
        declared = trials.select("criterion", *_FACTS).unique("criterion", keep="first", maintain_order=True)
        facts = {row.pop("criterion"): row for row in declared.iter_rows(named=True)}
    rows = []
    for name, group in sorted(groups.items(), key=_sort_key(by, places or {})):
        if group.height:
            known = facts[name[by.index("criterion")]] if facts else {}
            ends = (known.get("scale_min"), known.get("scale_max")) if known else scale
            row = [*name, *_estimate_group(group, by, level, ends)]
            rows.append([*row, *_read_rule(group, known)] if known else row)
    return pl.DataFrame(rows, schema=schema, orient="row")


def _estimate_group(
    units: pl.DataFrame, by: list[str], level: float, scale: tuple[float | None, float | None] | None
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
    low, high = scale or (None, None)
    if low is not None and mean.estimate is not None and mean_low is not None:
        mean_low = max(mean_low, min(low, mean.estimate))
    if high is not None and mean.estimate is not None and mean_high is not None:
        mean_high = min(mean_high, max(high, mean.estimate))
    trials, passed, failed = (int(units[column].sum()) for column in ("trials", "passed", "failed"))
    by_case = "case" in by
    every, known = units["trials"].to_numpy(), units["passed"].to_numpy()
    open_ended = every - units["failed"].to_numpy()
    return [
        *(rate.estimate, rate.low, rate.high),
        *(math.fsum(part / every) / len(every) for part in (known, open_ended)),
        1 if by_case and scored.height else scored.height,
        float(rate.n if rate.n_eff is None else rate.n_eff),
        None if not len(k) else float(len(k)) if by_case else harmonic_mean(k),
        *(trials, passed, failed, trials - passed - failed),
        *(mean.estimate, mean_low, mean_high),
        f"{rate.method} over trials" if by_case else rate.method,
        level,
    ]


def find_clusters(units: pl.DataFrame) -> list[str] | None:
    """Return each unit's cluster; None if no cluster has several units."""
    if "cluster" not in units.columns or units["cluster"].drop_nulls().is_unique().all():
        return None
    return [f"\0{at}" if name is None else str(name) for at, name in enumerate(units["cluster"].to_list())]


def _read_rule(units: pl.DataFrame, criterion: Mapping[str, Any]) -> tuple[float | None, str]:
    """Return the worst case mean and the verdict of a criterion."""
    sign = -1 if criterion["direction"] == "lower" else 1
    means = [sign * mean for mean in units["score"].drop_nulls()]
    worst = min(means) if means else None
    shown = None if worst is None else sign * worst
    exact = tolerance_of(*(criterion[name] for name in ("scale_min", "scale_max", "threshold")))
    if worst is not None and criterion["least"] is not None and worst < sign * criterion["least"] - exact:
        return shown, "fail"
    if len(means) < units.height:
        return shown, "unscored"
    threshold = criterion["threshold"]
    if threshold is None:
        return shown, "unscored"
    has_reached = math.fsum(means) >= (sign * threshold - exact) * len(means)
    return shown, "pass" if has_reached else "fail"


def _bins(low: float, high: float, scores: pl.Series) -> tuple[list[float], float]:
    if (low, high) == (0, 1):
        if scores.is_in([0.0, 1.0]).all():
            return [0.0, 1.0], 1.0
        return [index / 10 for index in range(11)], 0.1
    if low == int(low) and high == int(high) and 1 < high - low <= 20:
        return [float(score) for score in range(int(low), int(high) + 1)], 1.0
    if low == high:
        return [low], 1.0
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
