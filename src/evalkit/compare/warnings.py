"""What to beware of in a comparison: the warnings of `docs/statistics.md`, each with its number.

W09 (looks), W10 (best of many) belong to comparisons of many versions, W13 to W16 to agreement with people.
"""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit.data.schema import SCORES
from evalkit.grading.grade import grade
from evalkit.util.format import points
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalkit.compare.pairs import Pairs
    from evalkit.data.evals import Evals
    from evalkit.grading.pass_rule import PassRule

_MANY: Final = 2000
Caveat = tuple[str, str, str]
SCHEMA: Final = {"id": pl.String(), "scope": pl.String(), "text": pl.String()}
_SIDES: Final = ("baseline", "candidate")


def find_caveats(
    evals: Evals,
    pairs: Pairs,
    units: pl.DataFrame,
    cases: pl.DataFrame,
    estimates: pl.DataFrame,
    *,
    rule: PassRule,
    margin: dict[str, float] | None,
    grader: str | Sequence[str] | None,
    rubric: str | Sequence[str] | None,
    judge: str,
    rerun: pl.DataFrame | None,
    left_out: Sequence[str],
    level: float,
) -> tuple[pl.DataFrame, bool]:
    """Return the warnings (`id`, `scope`, `text`) and whether they forbid a verdict on the pass rate."""
    unscored, blocked = _unscored(pairs)
    found: list[Caveat] = [
        *_small(estimates, units, level),
        *_all_pass(units, level),
        *_repeats(units),
        *unscored,
        *_unmatched(pairs, cases),
        *say_left_out(left_out),
        *_family(estimates),
        *_judges(evals, pairs, rubric, judge),
        *_simpson(pairs, units),
        *_few_clusters(estimates),
        *_churn(units, cases, rerun),
        *(
            []
            if margin
            else [
                (
                    "W20",
                    "overall",
                    "No margin was declared, so nothing here can say \"no regression\"; declare one, e.g. margin={'pass_rate': 0.05}.",
                )
            ]
        ),
        *_rule_order(evals, pairs, units, rule, {"grader": grader, "rubric": rubric}),
    ]
    return pl.DataFrame(found, schema=SCHEMA, orient="row"), blocked


def _small(estimates: pl.DataFrame, units: pl.DataFrame, level: float) -> Iterator[Caveat]:
    row = estimates.row(0, named=True)
    if 0 < row["n"] < 30:
        d = units["rate_candidate"] - units["rate_baseline"]
        spread = float(d.std() or 0.0)  # type: ignore[arg-type]
        text = f"{plural(row['n'], 'case is', plural='cases are')} few: the interval is wide."
        if spread:
            # 2.8 = 1.96 + 0.84: power .8 at .05 two-sided (Miller 2024).
            text += f" A true change of less than about {2.8016 * spread / sqrt(row['n']) * 100:.0f} points would be missed more than one time in five."
        yield "W01", "overall", text
    rates = estimates.filter((pl.col("metric") == "pass_rate") & (pl.col("scope") != "weighted"))
    still = [row for row in rates.iter_rows(named=True) if row["n"] and _least_p(row) >= 1 - level]
    if still:
        names = join_words([f"{row['scope']} ({row['up'] + row['down']} of {row['n']})" for row in still])
        text = f"Too few cases changed in: {names}. No result there can reach p < {1 - level:.2g}, whatever is true."
        yield "W02", still[0]["scope"], text


def _least_p(row: dict[str, Any]) -> float:
    """Return the p-value if all cases that changed had changed the same way."""
    changed = int(row["up"] + row["down"])
    # McNemar's mid-p counts half of the likeliest outcome; a permutation of several trials a case counts all of it.
    return float(min(1.0, 0.5**changed * (1 if row["method"] == "Tango" else 2)))


def _all_pass(units: pl.DataFrame, level: float) -> Iterator[Caveat]:
    from evalkit import stats

    for side in _SIDES:
        if units.height and (units[f"rate_{side}"] >= 1).all():
            low = stats.lower_bound_exact(units.height, units.height, level=level).low
            yield (
                "W03",
                "overall",
                f"{'All ' if units.height > 1 else ''}{plural(units.height, 'case')} pass{'' if units.height > 1 else 'es'} on the {side} side; that is compatible with a true rate of {low:.0%}.",
            )


def _repeats(units: pl.DataFrame) -> Iterator[Caveat]:
    if units.is_empty():
        return
    ranges = {side: units[f"trials_{side}"].unique().sort().to_list() for side in _SIDES}
    most = max(counts[-1] for counts in ranges.values())
    if most > 1:
        yield (
            "W04",
            "overall",
            f"Cases were tried up to {most} times a side; trials are averaged inside the case. Counting rows would make the interval look up to {sqrt(most):.1f} times narrower.",
        )
    if any(len(counts) > 1 for counts in ranges.values()):
        spans = {side: f"{c[0]} to {c[-1]}" if len(c) > 1 else f"{c[0]}" for side, c in ranges.items()}
        words = ", ".join(f"{span} on the {side} side" for side, span in spans.items())
        text = f"Cases have unequal numbers of scored trials ({words}); every case still counts once."
        tied = [units.select(pl.corr(f"trials_{side}", f"rate_{side}")).item() for side in _SIDES]
        if any(value is not None and value < -0.3 for value in tied):
            text += " Cases that fail were tried more often: if failures were retried, compare first attempts only."
        yield "W05", "overall", text


def _unscored(pairs: Pairs) -> tuple[list[Caveat], bool]:
    lost = {side: int(pairs.sides.filter(side=side)["unscored"].sum()) for side in _SIDES}
    total = int(pairs.sides["trials"].sum()) + sum(lost.values())
    if not sum(lost.values()) or not total:
        return [], False
    bounds = [
        _bound(pairs, fill_baseline, fill_candidate)
        for fill_baseline, fill_candidate in (("pass", "fail"), ("fail", "pass"))
    ]
    as_fail = _bound(pairs, "fail", "fail")
    text = f"{plural(lost['baseline'], 'baseline trial')} and {plural(lost['candidate'], 'candidate trial')} without a verdict are left out. Counted as fails, the difference is {points(as_fail)}; at the extremes it lies between {points(bounds[0])} and {points(bounds[1])}."
    blocked = sum(lost.values()) / total > 0.05 and bounds[0] < 0 < bounds[1]
    if blocked:
        text += " More than 5% are missing and they could decide the sign: no verdict."
    return [("W06", "overall", text)], blocked


def _bound(pairs: Pairs, fill_baseline: str, fill_candidate: str) -> float:
    """Return the difference of pass rates if every unscored trial were what is given."""
    fill = pl.when(pl.col("side") == "baseline").then(pl.lit(fill_baseline)).otherwise(pl.lit(fill_candidate))
    given = pl.when(fill == "pass").then(pl.col("unscored")).otherwise(0)
    rate = (pl.col("passes") + given) / (pl.col("trials") + pl.col("unscored"))
    rates = (
        pairs.sides.group_by("suite", "case", "side")
        .agg(rate.mean().alias("rate"))
        .pivot("side", index=["suite", "case"], values="rate")
    )
    if not set(_SIDES) <= set(rates.columns):
        return 0.0
    return _mean(rates["candidate"] - rates["baseline"])


def _unmatched(pairs: Pairs, cases: pl.DataFrame) -> Iterator[Caveat]:
    alone = pairs.unpaired
    if alone.is_empty():
        return
    found = dict(alone["side"].value_counts().iter_rows())
    counts = {side: found[side] for side in _SIDES if side in found}
    each = ", ".join(f"{count} only on the {side} side" for side, count in counts.items())
    names = join_words(sorted(alone["case"].cast(pl.String)), limit=6)
    text = f"{plural(cases.height, 'case is', plural='cases are')} on both sides and compared; left out: {each} ({names})."
    for side in counts:
        rate = _mean(alone.filter(side=side)["verdict"] == "pass")
        there = _mean(cases[f"{side}_rate"])
        if cases.height and abs(rate - there) > 0.1:
            text += f" Those on the {side} side pass {rate:.0%} of the time, the compared ones {there:.0%}: they are not alike."
    yield "W07", "overall", text


def say_left_out(names: Sequence[str]) -> Iterator[Caveat]:
    """Yield W07 where criteria that not every side was scored on were left out."""
    if names:
        text = f"Only one side was scored on {join_words(names)}; the comparison is by the other criteria."
        yield "W07", "overall", text


def _family(estimates: pl.DataFrame) -> Iterator[Caveat]:
    split = estimates.filter((pl.col("adjustment") != "none") & (pl.col("metric") == "pass_rate"))
    if split.height > 1:
        name = {"holm": "Holm", "bh": "Benjamini-Hochberg"}[split["adjustment"][0]]
        yield (
            "W08",
            "by",
            f"{plural(split.height, 'scope is', plural='scopes are')} tested for each metric; p_adjusted is {name}'s, and a scope is called regressed or improved only where it allows that.",
        )


def _judges(evals: Evals, pairs: Pairs, rubric: str | Sequence[str] | None, judge: str) -> Iterator[Caveat]:
    both = pl.col("run").is_in([*pairs.runs["baseline"], *pairs.runs["candidate"]])
    scores = evals.scores.lazy().filter(both)
    if rubric == "any":
        worded = scores.group_by("case", "criterion").agg(pl.col("rubric_hash").n_unique()).collect()
        if (worded["rubric_hash"] > 1).any():
            yield (
                "W11",
                "overall",
                "The sides were judged by different versions of the rubric: a change of the rubric looks like a change of the agent.",
            )
    if judge == "any":
        used = scores.select(pl.col("judge_model", "prompt_hash").drop_nulls().n_unique()).collect()
        if max(used.row(0)) > 1:
            yield (
                "W11",
                "overall",
                "The sides were judged by different models or prompts: a change of the judge looks like a change of the agent.",
            )
    kinds = set(evals.judged.filter(both)["grader_kind"].cast(pl.String).drop_nulls())
    if "human" not in kinds and kinds <= {"judge"}:
        yield (
            "W12",
            "overall",
            "No person has labelled any of these: every rate is what the judge says, not what people would say.",
        )


def _simpson(pairs: Pairs, units: pl.DataFrame) -> Iterator[Caveat]:
    overall = _mean(units["rate_candidate"] - units["rate_baseline"])
    rows = pairs.sides.group_by("side").agg(pl.col("passes").sum() / pl.col("trials").sum())
    pooled = dict(rows.iter_rows())
    if set(_SIDES) <= set(pooled) and units.height:
        raw = pooled["candidate"] - pooled["baseline"]
        if raw * overall < 0 and abs(raw) > 0.005 and abs(overall) > 0.005:
            yield (
                "W17",
                "overall",
                f"Pooled over all trials the difference is {points(raw)}, paired by case it is {points(overall)}: the sides hold different mixes of cases, and only the paired figure is a comparison.",
            )
    for (severity,), part in units.partition_by("severity", as_dict=True, maintain_order=True).items():
        d = _mean(part["rate_candidate"] - part["rate_baseline"])
        if part.height >= 10 and d * overall < 0 and abs(d) > 0.005:
            yield (
                "W17",
                str(severity),
                f"The {part.height:,} {severity or 'other'} cases moved the other way ({points(d)}); exploratory.",
            )


def _few_clusters(estimates: pl.DataFrame) -> Iterator[Caveat]:
    groups = estimates["clusters"][0]
    if groups is not None and groups < 10:
        yield (
            "W18",
            "overall",
            f"Only {plural(groups, 'cluster stands', plural='clusters stand')} behind the interval (t, df = {groups - 1}): trust it little.",
        )


def _churn(units: pl.DataFrame, cases: pl.DataFrame, rerun: pl.DataFrame | None) -> Iterator[Caveat]:
    from evalkit import stats

    flips = cases.filter(pl.col("baseline_verdict") != pl.col("candidate_verdict")).height
    if not flips:
        return
    text = f"{plural(flips, 'case')} flipped"
    if rerun is not None and rerun.height:
        churn = stats.observed_churn(rerun["rate_baseline"].to_numpy(), rerun["rate_candidate"].to_numpy())
        text += (
            f". Between two runs of the same version {churn.flips:.1f} of {rerun.height} did (the A/A run)."
        )
    elif (units["trials_baseline"] > 1).any():
        churn = stats.expected_churn(units["rate_baseline"].to_numpy(), units["trials_baseline"].to_numpy())
        text += f". Judging by the baseline's own repeats, about {churn.flips:.1f} of {units.height} would flip between two single runs of the same version."
    else:
        text += ", but nothing says how many flip between two runs of the same version: run the baseline twice (rerun=), or several epochs."
    yield "W19", "overall", text


def _rule_order(
    evals: Evals, pairs: Pairs, units: pl.DataFrame, rule: PassRule, chosen: dict[str, Any]
) -> Iterator[Caveat]:
    """W21: the rule on a case's averaged scores is another estimand; say so where it gives another answer."""
    if units.is_empty() or max(int(units[f"trials_{side}"].max()) for side in _SIDES) < 2:  # type: ignore[arg-type]
        return
    runs = [*pairs.runs["baseline"], *pairs.runs["candidate"]]
    part = evals if len(runs) == evals.runs.height else evals.filter(run=runs)
    scores = part.scores.lazy()
    if units.height > _MANY:
        # A warning of five points needs no more than a sample.
        units = units.sample(_MANY, seed=0)
        scores = scores.filter(pl.col("case").is_in(units["case"].implode()))
    keep = ["run", "case", "criterion", "grader", "grader_kind", "rubric_hash"]
    averaged = scores.group_by(keep, maintain_order=True).agg(pl.col("score").mean()).collect()
    whole = replace(part, trials=part.trials.clear(), turns=part.turns.clear(), scores=SCORES.check(averaged))
    verdicts = grade(whole, rule, **chosen).filter(pl.col("verdict") != "unscored")
    shifts = {}
    for side in _SIDES:
        mine = verdicts.filter(pl.col("run").is_in(pairs.runs[side]))
        rates = mine.group_by("suite", "case").agg((pl.col("verdict") == "pass").mean().alias("rate"))
        if rates.height:
            shifts[side] = _mean(rates["rate"]) - _mean(units[f"rate_{side}"])
    if any(abs(shift) >= 0.05 for shift in shifts.values()):
        words = " and ".join(f"the {side} by {points(shift)}" for side, shift in shifts.items())
        text = f"The rule is applied to each trial. Applied to each case's averaged scores it would move {words}."
        yield "W21", "overall", text


def _mean(series: pl.Series) -> float:
    """Return the mean of numbers or truth values; 0 for none."""
    value = series.cast(pl.Float64).mean()
    return value if isinstance(value, float) else 0.0
