"""Warnings of comparisons; `docs/statistics.md` lists them."""

from __future__ import annotations

from dataclasses import replace
from math import sqrt
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from evalkit.compare.data_warnings import describe_lookalikes
from evalkit.compare.pairs import SIDES
from evalkit.compare.sentences import FlipCount
from evalkit.data.schema import IS_HUMAN, SCORES
from evalkit.grading.grade import grade_trials
from evalkit.grading.select_scores import choose_scores, counted_scores, has_people_alone
from evalkit.util.format import difference_of, number, percent, points
from evalkit.util.notes import Warning
from evalkit.util.words import Option, Sentence, join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from evalkit.compare.estimates import CompareOptions, Metric
    from evalkit.compare.pairs import Pairs
    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring

# Cases that are enough to estimate W21.
_SAMPLE: Final = 2000
_FEW_CASES: Final = 30
_FEW_CLUSTERS: Final = 10
MOST_UNSCORED: Final = 0.05
"""Share of unscored trials above which a rate depends on them."""
_ADJUSTMENTS: Final = {"holm": "Holm", "bh": "Benjamini-Hochberg"}


def remark(warning: Warning) -> Sentence:
    """Return a warning as a line of text."""
    scope = "" if warning.scope in ("overall", "by") else f"{warning.scope}: "
    template = "{id} {scope}{text} {fix}" if warning.fix else "{id} {scope}{text}"
    return Sentence(template, id=warning.id, scope=scope, text=warning.text, fix=warning.fix)


class Unscored(NamedTuple):
    """Unscored trials and all trials per side; the difference if they fail, worst and best case."""

    counts: Mapping[str, int]
    trials: Mapping[str, int]
    as_fails: float
    lowest: float
    highest: float

    @property
    def share(self) -> float:
        """The share of all trials."""
        return sum(self.counts.values()) / max(1, sum(self.trials.values()))

    @property
    def is_decisive(self) -> bool:
        """Whether they forbid a verdict: many, and able to decide the sign."""
        return self.share > MOST_UNSCORED and self.lowest < 0 < self.highest


def find_unscored(pairs: Pairs) -> Unscored:
    """Return the unscored trials of both sides."""
    sides = {side: pairs.sides.filter(side=side) for side in SIDES}
    counts = {side: int(frame["unscored"].sum()) for side, frame in sides.items()}
    trials = {side: int(frame["trials"].sum()) + counts[side] for side, frame in sides.items()}
    if not sum(counts.values()):
        return Unscored(counts, trials, 0.0, 0.0, 0.0)
    differences = (_difference_if(pairs, passing) for passing in ((), ("baseline",), ("candidate",)))
    return Unscored(counts, trials, *differences)


def _difference_if(pairs: Pairs, passing: Sequence[str]) -> float:
    """Return the difference of pass rates if unscored trials pass on the given sides only."""
    added = pl.when(pl.col("side").is_in(passing)).then(pl.col("unscored")).otherwise(0)
    rate = (pl.col("passes") + added) / (pl.col("trials") + pl.col("unscored"))
    rates = pairs.sides.group_by("suite", "case", "side").agg(rate=rate.mean())
    wide = rates.pivot("side", index=["suite", "case"], values="rate")
    return _mean(wide["candidate"] - wide["baseline"]) if set(SIDES) <= set(wide.columns) else 0.0


def find_warnings(
    evals: Evals,
    pairs: Pairs,
    units: pl.DataFrame,
    cases: pl.DataFrame,
    estimates: pl.DataFrame,
    scoring: Scoring,
    options: CompareOptions,
    churn: FlipCount | None,
) -> list[Warning]:
    """Return the warnings except those of unscored trials and left-out criteria."""
    return [
        *_few_cases(estimates, units, scoring.level),
        *_all_pass(units, scoring.level),
        *_repeats(units),
        *_unpaired(pairs, cases),
        *_several_scopes(estimates),
        *_judges(evals, pairs, scoring, options),
        *_mixes(pairs, units),
        *_few_clusters(estimates),
        *_flips(churn),
        *_no_margin(options.margin),
        *_averaged_scores(evals, pairs, units, scoring),
    ]


def _few_cases(estimates: pl.DataFrame, units: pl.DataFrame, confidence: float) -> Iterator[Warning]:
    n = estimates["n"][0]
    if 0 < n < _FEW_CASES:
        text = f"Only {plural(n, 'case')}, so the interval is wide."
        spread = float((units["rate_candidate"] - units["rate_baseline"]).std() or 0.0)  # type: ignore[arg-type]
        if spread:
            # 2.8 = 1.96 + 0.84: power .8 at .05 two-sided (Miller 2024).
            least = number(2.8016 * spread / sqrt(n) * 100, 0)
            text += f" A true change below {least} points is missed more than one time in five."
        yield Warning("W01", "overall", text)
    rates = estimates.filter((pl.col("metric") == "pass_rate") & (pl.col("scope") != "weighted"))
    rows = [row for row in rates.to_dicts() if row["n"] and _least_p(row) >= 1 - confidence]
    if rows:
        names = join_words(f"{row['scope']} ({row['up'] + row['down']} of {row['n']})" for row in rows)
        text = f"Too few cases changed in {names}: no result there can reach p < {1 - confidence:.2g}."
        yield Warning("W02", rows[0]["scope"], text)


def _least_p(row: dict[str, Any]) -> float:
    """Return the p-value if all changed cases had changed the same way."""
    changed = int(row["up"] + row["down"])
    # McNemar's mid-p counts half of the likeliest outcome; a permutation of several trials counts all of it.
    return float(min(1.0, 0.5**changed * (1 if row["method"] == "Tango" else 2)))


def _all_pass(units: pl.DataFrame, confidence: float) -> Iterator[Warning]:
    from evalkit import stats

    n = units.height
    for side in SIDES:
        if n and (units[f"rate_{side}"] >= 1).all():
            low = percent(stats.lower_bound_exact(n, n, level=confidence).low, 0)
            cases = f"All {plural(n, 'case')} pass" if n > 1 else "The only case passes"
            text = f"{cases} on the {side} side, which is compatible with a true rate of {low}."
            yield Warning("W03", "overall", text)


def _repeats(units: pl.DataFrame) -> Iterator[Warning]:
    if units.is_empty():
        return
    counts = {side: units[f"trials_{side}"].unique().sort().to_list() for side in SIDES}
    most = max(numbers[-1] for numbers in counts.values())
    if most > 1:
        yield Warning(
            "W04",
            "overall",
            f"Each case ran up to {most} times per version. Trials are averaged per case. "
            f"Counting trials as cases would make the interval up to {number(sqrt(most), 1)} times narrower.",
        )
    if any(len(numbers) > 1 for numbers in counts.values()):
        spans = {s: f"{c[0]} to {c[-1]}" if len(c) > 1 else f"{c[0]}" for s, c in counts.items()}
        text = f"Scored trials per case vary ({', '.join(f'{side} {span}' for side, span in spans.items())})."
        text += " Every case counts once."
        tied = [units.select(pl.corr(f"trials_{side}", f"rate_{side}")).item() for side in SIDES]
        if any(value is not None and value < -0.3 for value in tied):
            text += " Failing cases have more trials: if failures were retried, compare first attempts only."
        yield Warning("W05", "overall", text)


def warn_of_unscored(unscored: Unscored) -> Iterator[Warning]:
    """Yield W06 if trials are unscored."""
    if not sum(unscored.counts.values()):
        return
    counts = " and ".join(f"{plural(unscored.counts[s], f'{s} trial')}" for s in SIDES)
    text = (
        f"{counts} are unscored and left out ({percent(unscored.share)}). "
        f"If they failed, the difference would be {points(unscored.as_fails)}. "
        f"In the worst and best case it is between {points(unscored.lowest)} and {points(unscored.highest)}."
    )
    if unscored.is_decisive:
        text += f" More than {percent(MOST_UNSCORED, 0)} are unscored and could decide the sign: no verdict."
    yield Warning("W06", "overall", text)


def _unpaired(pairs: Pairs, cases: pl.DataFrame) -> Iterator[Warning]:
    if pairs.unpaired.is_empty():
        return
    counts = {side: part for side in SIDES if (part := pairs.unpaired.filter(side=side)).height}
    each = ", ".join(f"{part.height} only on the {side} side" for side, part in counts.items())
    names = join_words(sorted(pairs.unpaired["case"].cast(pl.String)), limit=6)
    text = f"{plural(cases.height, 'case is', plural='cases are')} compared. Left out: {each} ({names})."
    for side, part in counts.items():
        rate, compared = _mean(part["verdict"] == "pass"), _mean(cases[f"{side}_rate"])
        if cases.height and abs(rate - compared) > 0.1:
            text += (
                f" Left-out cases on the {side} side pass {percent(rate, 0)} of the time, "
                f"compared ones {percent(compared, 0)}: they are not alike."
            )
    alike, fix = describe_lookalikes(pairs.unpaired)
    yield Warning("W07", "overall", text + alike, fix)


def warn_left_out(criteria: Sequence[str]) -> Iterator[Warning]:
    """Yield W07 if criteria were left out."""
    if criteria:
        text = f"Only one side was scored on {join_words(criteria)}. The comparison uses the other criteria."
        yield Warning("W07", "overall", text)


def _several_scopes(estimates: pl.DataFrame) -> Iterator[Warning]:
    split = estimates.filter((pl.col("adjustment") != "none") & (pl.col("metric") == "pass_rate"))
    if split.height > 1:
        name = _ADJUSTMENTS[split["adjustment"][0]]
        scopes = plural(split.height, "scope is", plural="scopes are")
        text = f"{scopes} tested per metric. p_adjusted is {name}'s, and the verdict of a scope needs it."
        yield Warning("W08", "by", text)


def warn_of_many(count: int, adjust: str, margin: Mapping[str, float] | None) -> Iterator[Warning]:
    """Yield W08 if several candidates are tested against one baseline."""
    if count < 2:
        return
    text = f"{plural(count, 'version is', plural='versions are')} tested against the baseline. "
    if adjust in _ADJUSTMENTS:
        text += f"p_adjusted is {_ADJUSTMENTS[adjust]}'s."
    else:
        text += "Nothing is adjusted, so a false alarm is likelier than the level suggests."
    if margin:
        text += ' "No worse" is tested for each version by itself.'
    yield Warning("W08", "overall", text)


def warn_of_looks(
    evals: Evals,
    sides: Mapping[str, list[str]],
    looks: pl.DataFrame,
    *,
    sequential: bool,
    planned: int | None,
    confidence: float,
) -> Iterator[Warning]:
    """Yield W09 if one pair was tested repeatedly, or may have been."""
    if sequential and looks.is_empty():
        yield Warning(
            "W09", "overall", "No pair of trials was scored on both sides: there is no evidence yet."
        )
    elif sequential:
        count = int(looks["look"].max())  # type: ignore[arg-type]
        text = (
            f"{plural(count, 'look')} so far. Verdicts on pass rates use e-values, which stay valid at every look "
            "(20 or more decides a single pair). Intervals are valid at one look only."
        )
        if evals.runs["started_at"].null_count():
            text += " Some runs have no started_at, so all runs count as one look."
        yield Warning("W09", "overall", f'{text} The hypothesis tested is "the same on these cases".')
    elif planned:
        planned_looks = plural(planned, "look was", plural="looks were")
        text = f"{planned_looks} planned, so each uses a level of {percent(confidence)} (Pocock)."
        yield Warning("W09", "overall", text)
    else:
        repeated = {}
        for name, runs in list(sides.items())[1:]:
            own = evals.runs.filter(pl.col("run").cast(pl.String).is_in(runs))
            repeated[name] = max(own.group_by("suite", "agent", "model").len()["len"].to_list())
        names = [f"{name} ({count} runs)" for name, count in repeated.items() if count > 1]
        if names:
            yield Warning(
                "W09",
                "overall",
                f"Some versions have several runs: {join_words(names)}. If each was compared before the next "
                "started, a false alarm is likelier than the level suggests.",
                Sentence(
                    "Pass {sequential}, or {looks} if the looks were planned.",
                    sequential=Option("sequential", value=True),
                    looks=Option("looks"),
                ),
            )


def warn_of_winner(
    ranks: pl.DataFrame, bonus: Mapping[Metric, float | None], versions: int
) -> Iterator[Warning]:
    """Yield W10: the best of several looks better than it is."""
    for metric, extra in bonus.items():
        best = ranks.filter((pl.col("metric") == metric) & (pl.col("rank") == 1))
        if versions < 3 or best.height != 1 or extra is None or extra < 0.005:
            continue
        amount = difference_of(extra, metric, sign=False)
        yield Warning(
            "W10",
            str(best["version"][0]),
            f"Picked as the best of {versions} by {metric.replace('_', ' ')}, it looks better than it is, by about "
            f"{amount}. Run it again on fresh trials before quoting its number.",
        )


def _judges(evals: Evals, pairs: Pairs, scoring: Scoring, options: CompareOptions) -> Iterator[Warning]:
    both = pl.col("run").is_in(pairs.all_runs)
    scores = evals.scores.lazy().filter(both)
    if scoring.grader is not None:
        scores = choose_scores(scores, grader=scoring.grader, rubric=scoring.rubric or "any").to_native()
    if scoring.rubric == "any":
        rubrics = scores.group_by("case", "criterion").agg(pl.col("rubric_hash").n_unique()).collect()
        if (rubrics["rubric_hash"] > 1).any():
            text = (
                "Different rubric versions scored the sides, so a rubric change looks like an agent change."
            )
            yield Warning("W11", "overall", text)
    if options.judge == "any":
        judges = scores.select(pl.col("judge_model", "prompt_hash").drop_nulls().n_unique()).collect()
        if max(judges.row(0)) > 1:
            text = "Different judge models or prompts scored the sides, so a judge change looks like an agent change."
            yield Warning("W11", "overall", text)
    counted = counted_scores(evals).filter(both)
    by_people = counted.filter(IS_HUMAN)
    if scoring.grader is None and by_people.height:
        suites = join_words(sorted({f"{suite!r}" for suite in by_people["suite"]}))
        what, rates = (
            ("these trials", "every rate is")
            if has_people_alone(counted)
            else (f"the trials of suite {suites}", "their rates are")
        )
        text = f"Only people scored {what}: {rates} by their scores, the mean where several scored an answer."
        yield Warning("W12", "overall", text)
    kinds = set(evals.judged.filter(both)["grader_kind"].cast(pl.String).drop_nulls())
    if "human" not in kinds and kinds <= {"judge"}:
        yield Warning("W12", "overall", "No human labels: every rate is the judge's, unchecked by people.")


def _mixes(pairs: Pairs, units: pl.DataFrame) -> Iterator[Warning]:
    overall = _mean(units["rate_candidate"] - units["rate_baseline"])
    rows = pairs.sides.group_by("side").agg(pl.col("passes").sum() / pl.col("trials").sum())
    pooled = dict(rows.iter_rows())
    if set(SIDES) <= set(pooled) and units.height:
        raw = pooled["candidate"] - pooled["baseline"]
        if raw * overall < 0 and min(abs(raw), abs(overall)) > 0.005:
            yield Warning(
                "W17",
                "overall",
                f"Pooled over trials the difference is {points(raw)}, paired by case it is {points(overall)}. "
                "The sides hold different mixes of cases, so only the paired figure compares them.",
            )
    for (severity,), part in units.partition_by("severity", as_dict=True, maintain_order=True).items():
        difference = _mean(part["rate_candidate"] - part["rate_baseline"])
        if part.height >= 10 and difference * overall < 0 and abs(difference) > 0.005:
            cases = f"{part.height:,} {severity or 'other'} cases"
            text = f"The {cases} moved the other way ({points(difference)}). Exploratory."
            yield Warning("W17", str(severity), text)


def _few_clusters(estimates: pl.DataFrame) -> Iterator[Warning]:
    clusters = estimates["clusters"][0]
    if clusters is not None and clusters < _FEW_CLUSTERS:
        text = f"Only {plural(clusters, 'cluster')} (t, df = {clusters - 1}), so the interval is unreliable."
        yield Warning("W18", "overall", text)


def find_churn(units: pl.DataFrame, flips: int, rerun: pl.DataFrame | None) -> FlipCount | None:
    """Return the flips beside those between two runs of one version; None without flips."""
    from evalkit import stats

    if not flips:
        return None
    if rerun is not None and rerun.height:
        churn = stats.observed_churn(rerun["rate_baseline"].to_numpy(), rerun["rate_candidate"].to_numpy())
        return FlipCount(flips, churn.flips, rerun.height, is_rerun=True)
    if (units["trials_baseline"] > 1).any():
        churn = stats.expected_churn(units["rate_baseline"].to_numpy(), units["trials_baseline"].to_numpy())
        return FlipCount(flips, churn.flips, units.height, is_rerun=False)
    return FlipCount(flips, None, units.height, is_rerun=False)


def _flips(churn: FlipCount | None) -> Iterator[Warning]:
    if churn is None:
        return
    text, fix = f"{plural(churn.flips, 'case')} flipped.", ""
    if churn.expected is not None and churn.is_rerun:
        text += (
            f" Between two runs of one version {number(churn.expected, 1)} of {churn.of} flipped (A/A run)."
        )
    elif churn.expected is not None:
        text += (
            f" By the baseline's own repeats, about {number(churn.expected, 1)} of {churn.of} flip "
            "between two single runs of one version."
        )
    else:
        text += " How many flip between two runs of one version is unknown."
        fix = Sentence("Run the baseline twice ({rerun}) or with several epochs.", rerun=Option("rerun"))
    yield Warning("W19", "overall", text, fix)


def _no_margin(margin: Mapping[str, float] | None) -> Iterator[Warning]:
    if not margin:
        text = 'No margin set, so "no regression" cannot be concluded.'
        yield Warning("W20", "overall", text, MARGIN_FIX)


MARGIN_FIX: Final = Sentence(
    "Pass a margin, for example {margin}.", margin=Option("margin", {"pass_rate": 0.05})
)


def _averaged_scores(evals: Evals, pairs: Pairs, units: pl.DataFrame, scoring: Scoring) -> Iterator[Warning]:
    """Yield W21 if the rule on averaged scores gives another pass rate."""
    if units.is_empty() or max(int(units[f"trials_{side}"].max()) for side in SIDES) < 2:  # type: ignore[arg-type]
        return
    both = pairs.all_runs
    part = evals if len(both) == evals.runs.height else evals.filter(run=both)
    scores = part.scores.lazy()
    if units.height > _SAMPLE:
        units = units.sample(_SAMPLE, seed=0)
        scores = scores.filter(pl.col("case").is_in(units["case"].implode()))
    keys = ["run", "case", "criterion", "grader", "grader_kind", "rubric_hash"]
    averaged = SCORES.check(scores.group_by(keys, maintain_order=True).agg(pl.col("score").mean()).collect())
    part = replace(part, trials=part.trials.clear(), turns=part.turns.clear(), scores=averaged)
    verdicts = grade_trials(part, scoring).filter(pl.col("verdict") != "unscored")
    shifts = {}
    for side in SIDES:
        own = verdicts.filter(pl.col("run").is_in(pairs.runs[side]))
        rates = own.group_by("suite", "case").agg((pl.col("verdict") == "pass").mean().alias("rate"))
        if rates.height:
            shifts[side] = _mean(rates["rate"]) - _mean(units[f"rate_{side}"])
    if any(abs(shift) >= 0.05 for shift in shifts.values()):
        moves = " and ".join(f"the {side} by {points(shift)}" for side, shift in shifts.items())
        text = f"The rule is applied to each trial. Applied to each case's averaged scores, it would move {moves}."
        yield Warning("W21", "overall", text)


def merge_warnings(warnings: Mapping[str, Iterable[Warning]]) -> list[Warning]:
    """Merge the warnings of several comparisons; list shared ones once."""
    owners: dict[Warning, list[str]] = {}
    for name, own in warnings.items():
        for warning in own:
            owners.setdefault(replace(warning, scope=""), []).append(name)
    merged = [
        replace(warning, scope="overall" if len(names) == len(warnings) else ", ".join(names))
        for warning, names in owners.items()
    ]
    return sorted(merged, key=lambda warning: warning.id)


def _mean(series: pl.Series) -> float:
    value = series.cast(pl.Float64).mean()
    return value if isinstance(value, float) else 0.0
