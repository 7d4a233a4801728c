"""What moves a judge besides the answer: its length, a favourite score, leniency, a new rubric, the order shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from evalkit import stats
from evalkit.agreement.estimates import estimate_agreement, scale_points, share
from evalkit.agreement.finding import Finding, finding, number, reach, warnings_frame
from evalkit.agreement.length_bias import correlate_ranks, regress
from evalkit.agreement.position_bias import find_position
from evalkit.agreement.ratings import (
    ANSWER,
    declared_scales,
    describe,
    meet,
    merge_raters,
    rate_answers,
    rating_grids,
    with_suites,
)
from evalkit.agreement.rubric_drift import find_drift
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.version_order import natural_key
from evalkit.util.arguments import expect
from evalkit.util.errors import SelectorError
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    import altair as alt

    from evalkit.data.evals import Evals
    from evalkit.stats import Estimate

_ITEM: Final = [*ANSWER, "criterion"]
Row = dict[str, Any]
Dresser = Callable[[pl.DataFrame], pl.DataFrame]

SUMMARY: Final[dict[str, Any]] = {
    "finding": pl.String(),
    "scope": pl.String(),
    **{name: pl.Float64() for name in ("value", "low", "high")},
    "n": pl.Int64(),
    "cases": pl.Int64(),
    "method": pl.String(),
    "level": pl.Float64(),
    "p_value": pl.Float64(),
    "p_adjusted": pl.Float64(),
    "text": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
}


@dataclass(frozen=True, eq=False, repr=False)
class Forensics(Finding):
    """What `judge_forensics` found.

    Attributes
    ----------
    sentence
        The findings that stand after adjustment, in words.
    summary
        polars frame: `finding` ("length correlation", "length effect", "heaping", "entropy", "mean", "leniency",
        "judges differ", "drift", "drift flips", "drift kappa", "position", "position shift"), `scope` (judge and
        criterion), `value`, `low`, `high`, `n` (answers), `cases`, `method`, `level`, `p_value`, `p_adjusted`
        (Benjamini-Hochberg over all of them), `text`, `status`, `reason`.
    warnings
        polars frame `id`, `scope`, `text`.
    level
        Confidence of the intervals.
    """

    level: float

    def chart(self) -> alt.TopLevelMixin:
        """Draw a panel for each finding, with what stands after adjustment; see `evalkit.charts.habits`."""
        from evalkit import charts

        return charts.habits(self.summary)

    def _cells(self) -> tuple[Sequence[str], list[list[str]]]:
        heads = ["finding", "scope", "value", "p (adjusted)", "n", "method", "text"]
        rows = [
            [
                *(row["finding"], row["scope"], reach(row["value"], row["low"], row["high"])),
                *(number(row["p_adjusted"], 3), str(row["n"]), row["method"], row["text"]),
            ]
            for row in self.summary.iter_rows(named=True)
        ]
        return heads, rows


def judge_forensics(
    evals: Evals,
    *,
    grader: str | Sequence[str] | None = None,
    rule: PassRule = DEFAULT_RULE,
    level: float = 0.95,
    seed: int = 0,
) -> Forensics:
    """Look for what moves a judge besides the quality of the answer.

    Parameters
    ----------
    evals
        The collection.
    grader
        Which judges; None: all of them, each by itself.
    rule
        When an answer passes: for verdicts that flip between two versions of a rubric.
    level, seed
        Of the intervals.

    Returns
    -------
    Forensics

    Raises
    ------
    SelectorError
        There is no such judge.

    Notes
    -----
    Length: judge minus people, regressed on log2 of the answer's length, CR1 standard errors by case with t of G - 1
    degrees of freedom; without labels only the rank correlation of score and length, which good long answers explain
    too. Heaping: the share of the most frequent score (Wilson by case) and the entropy of the scores. Leniency: paired t
    on case means. Drift: the same answers judged under two versions of a rubric or prompt. Position: McNemar's mid-p on
    pairs that were judged in both orders. These are looks at data, not experiments: p_adjusted is Benjamini-Hochberg's.

    Examples
    --------
    >>> import evalkit as ek
    >>> found = ek.judge_forensics(ek.demo.make())
    >>> print(found.sentence)
    Nothing stands out beyond chance in 6 looks; that is no proof that nothing is there.
    >>> "heaping" in found.summary["finding"].to_list()
    True
    """
    expect(judge_forensics, locals())
    scores = with_suites(evals, "metadata")
    kind = pl.col("grader_kind").fill_null("judge")
    judged = _wanted(scores.filter(kind == "judge"), grader)
    people = scores.filter(kind == "human")
    facts = declared_scales(evals, rule)
    grids = rating_grids(scores)

    def dressed(frame: pl.DataFrame) -> pl.DataFrame:
        return describe(frame, evals, facts, grids)

    truth = merge_raters(rate_answers(people, "grader"), facts)
    lengths = _lengths(evals)
    rows: list[Row] = []
    names = sorted(judged["grader"].unique(), key=lambda name: natural_key((name,)))
    means = {}
    for name in names:
        mine = judged.filter(pl.col("grader") == name)
        label = name or "the judge"
        means[label] = merge_raters(rate_answers(mine, None))
        both = dressed(meet(means[label], truth, _ITEM, value="score"))
        alone = dressed(means[label].rename({"score": "judge"}))
        single = dressed(
            mine.select(*_ITEM, judge="score", reference="score").filter(pl.col("judge").is_not_null())
        )
        for scope, criterion in _criteria(alone, label):
            told = alone.filter(criterion).filter(pl.col("judge").is_not_null())
            pairs = both.filter(criterion).drop_nulls(["judge", "reference"])
            rows += _length(scope, told, pairs, lengths, level, seed)
            rows += _heaping(scope, single.filter(criterion), people, level)
            rows += _leniency(scope, told, pairs, level)
    rows += _between(means, dressed, level)
    rows += find_drift(evals, judged, rule, dressed, level=level, seed=seed)
    rows += find_position(judged, dressed, level=level)
    for row, p in zip(rows, stats.benjamini_hochberg([row.get("p_value") for row in rows]), strict=True):
        row["p_adjusted"] = p
    summary = pl.DataFrame(
        [{n: row.get(n) for n in SUMMARY} | {"level": level} for row in rows], schema=SUMMARY
    )
    return Forensics(
        sentence=_sentence(summary, names, level),
        summary=summary,
        warnings=warnings_frame(list(_caveats(people, summary))),
        notes=(),
        level=level,
    )


def _wanted(judged: pl.DataFrame, grader: str | Sequence[str] | None) -> pl.DataFrame:
    if grader is None or grader == "judge":
        return judged
    wanted = [grader] if isinstance(grader, str) else list(grader)
    have = set(judged["grader"])
    for name in wanted:
        if name not in have:
            raise SelectorError.unknown(name, kind="judge", have=sorted(have))
    return judged.filter(pl.col("grader").is_in(wanted))


def _criteria(frame: pl.DataFrame, label: str) -> list[tuple[str, pl.Expr]]:
    known = sorted(frame.select("suite", "criterion").unique().iter_rows(), key=natural_key)
    several = len({suite for suite, _ in known}) > 1
    return [
        (
            f"{label} · {f'{suite} · ' if several else ''}{name}",
            (pl.col("suite") == suite) & (pl.col("criterion") == name),
        )
        for suite, name in known
    ]


def _lengths(evals: Evals) -> pl.DataFrame:
    """Return log2 of the length of each answer: of its output, or of the last thing the agent said."""
    key = ["run", "case", "epoch"]
    last = (
        evals.turns.lazy()
        .filter((pl.col("role") == "assistant") & (pl.col("content").fill_null("") != ""))
        .sort("turn")
        .group_by(key, maintain_order=True)
        .agg(pl.col("content").last().str.len_chars())
    )
    told = evals.outputs.with_columns(pl.col("output").str.len_chars())
    text = told.join(last, on=key, how="full", coalesce=True)
    size = pl.coalesce("output", "content")
    return (
        text.select(pl.col("run", "case").cast(pl.String), "epoch", size=size.cast(pl.Float64))
        .filter(pl.col("size") > 0)
        .with_columns(length=pl.col("size").log(2))
        .collect()
    )


def _length(
    scope: str, told: pl.DataFrame, pairs: pl.DataFrame, lengths: pl.DataFrame, level: float, seed: int
) -> Iterator[Row]:
    key = ["run", "case", "epoch"]
    known = told.join(lengths, on=key, maintain_order="left")
    score, length, units = (known[name].to_numpy() for name in ("judge", "length", "unit"))
    e = correlate_ranks(score, length, units, level=level, seed=seed)
    text = f"Rank correlation of score and length {reach(e.estimate, e.low, e.high)}; longer answers may also be better, so this alone is no bias."
    yield finding("length correlation", scope, e, known.height, known["unit"].n_unique(), text)
    if pairs.is_empty():
        return
    labelled = pairs.join(lengths, on=key, maintain_order="left")
    gap = (labelled["judge"] - labelled["reference"]).to_numpy()
    e = regress(gap, labelled["length"].to_numpy(), labelled["unit"].to_numpy(), level=level)
    text = f"With each doubling of the answer's length the judge moves by {reach(e.estimate, e.low, e.high)} against people."
    yield finding("length effect", scope, e, labelled.height, labelled["unit"].n_unique(), text)


def _heaping(scope: str, single: pl.DataFrame, people: pl.DataFrame, level: float) -> Iterator[Row]:
    if single.is_empty():
        return
    codes = np.unique(single["unit"].to_numpy(), return_inverse=True)[1]
    counts = _counted(single["judge"])
    mode = counts["judge"][0]
    e = share(single["judge"].to_numpy() == mode, codes, level)
    text = f"{e.estimate:.0%} of its scores are {mode:g}"
    mine = (pl.col("suite") == single["suite"][0]) & (pl.col("criterion") == single["criterion"][0])
    same = people.filter(mine)["score"].drop_nulls()
    if len(same):
        top = _counted(same).row(0)
        text += f"; people's most frequent one is {top[0]:g} ({top[1] / len(same):.0%} of {len(same)})"
    n, cases = single.height, single["unit"].n_unique()
    yield finding("heaping", scope, e, n, cases, f"{text}.")
    shares = counts["count"].to_numpy() / n
    bits = abs(float(-(shares * np.log2(shares)).sum()))
    points, _, _ = scale_points(single)
    most = (
        f" of the {np.log2(points.size):.2f} that its {points.size} points allow"
        if points is not None
        else ""
    )
    yield {
        "finding": "entropy",
        "scope": scope,
        "value": bits,
        "n": n,
        "cases": cases,
        "method": "Shannon, bits",
        "text": f"Its scores carry {bits:.2f} bits{most}.",
        "status": "ok",
        "reason": "",
    }


def _counted(scores: pl.Series) -> pl.DataFrame:
    """Return how often each score was given, the most frequent first; of equally many the highest."""
    return scores.value_counts().sort("count", scores.name, descending=True)


def _leniency(scope: str, told: pl.DataFrame, pairs: pl.DataFrame, level: float) -> Iterator[Row]:
    cases = told.group_by("unit", maintain_order=True).agg(pl.col("judge").mean())
    e = replace(stats.t_mean(cases["judge"].to_numpy(), level=level), method="t on case means")
    yield finding(
        "mean", scope, e, told.height, cases.height, f"Its mean score is {reach(e.estimate, e.low, e.high)}."
    )
    if pairs.is_empty():
        return
    e = _shift(pairs, level)
    word = "not told apart from people's mean"
    if e.low is not None and e.high is not None and not e.low <= 0 <= e.high:
        word = "kinder than people" if e.low > 0 else "stricter than people"
    text = f"Judge minus people {reach(e.estimate, e.low, e.high)}: {word}."
    yield finding("leniency", scope, e, pairs.height, pairs["unit"].n_unique(), text)


def _between(means: dict[str, pl.DataFrame], dressed: Dresser, level: float) -> Iterator[Row]:
    labels = list(means)
    for at, first in enumerate(labels):
        for second in labels[at + 1 :]:
            pairs = dressed(meet(means[second], means[first], _ITEM, value="score"))
            pairs = pairs.drop_nulls(["judge", "reference"])
            for scope, criterion in _criteria(pairs, f"{second} against {first}"):
                part = pairs.filter(criterion)
                e = _shift(part, level)
                text = f"On the same answers {second} gives {reach(e.estimate, e.low, e.high)} more than {first}."
                yield finding("judges differ", scope, e, part.height, part["unit"].n_unique(), text)


def _shift(pairs: pl.DataFrame, level: float) -> Estimate:
    judge, reference, units = (pairs[name].to_numpy() for name in ("judge", "reference", "unit"))
    made, _ = estimate_agreement(judge, reference, units, points=None, level=level, seed=0)
    return made["bias"]


def _sentence(summary: pl.DataFrame, names: list[str], level: float) -> str:
    if not names:
        return "No judge scored any answer."
    tested = summary.filter(pl.col("p_value").is_not_null())
    found = tested.filter(pl.col("p_adjusted") < 1 - level).sort("p_adjusted")
    if found.is_empty():
        if tested.is_empty():
            return "No look was possible: the data holds too little to test any of the judge's habits."
        return f"Nothing stands out beyond chance in {plural(tested.height, 'look')}; that is no proof that nothing is there."
    said = "; ".join(
        f"{row['scope']}: {row['text'].rstrip('.')}" for row in found.head(3).iter_rows(named=True)
    )
    more = f" And {found.height - 3} more." if found.height > 3 else ""
    return f"{found.height} of {plural(tested.height, 'look')} stood out after adjustment. {said}.{more}"


def _caveats(people: pl.DataFrame, summary: pl.DataFrame) -> Iterator[tuple[str, str, str]]:
    if people.is_empty():
        yield (
            "W12",
            "overall",
            "No person has labelled any of these: a judge's leaning cannot be told from the answers' quality.",
        )
    tested = summary["p_value"].drop_nulls().len()
    if tested > 1:
        yield (
            "W08",
            "overall",
            f"{plural(tested, 'look was', plural='looks were')} taken; p_adjusted is Benjamini-Hochberg's over all of them.",
        )
