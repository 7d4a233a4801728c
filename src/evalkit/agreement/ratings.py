"""Ratings of the same answers side by side: a judge's and a person's, two judges', one judge's twice."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import GRADER_KINDS, SCORES
from evalkit.grading.grade import grade
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.select_scores import choose_scores
from evalkit.grading.version_order import natural_key
from evalkit.util.errors import ColumnError, RuleError, SelectorError
from evalkit.util.words import NOT_GIVEN, did_you_mean, join_words

if TYPE_CHECKING:
    from collections.abc import Sequence

ANSWER: Final = ["suite", "run", "case", "epoch"]
"""What names an answer."""
GROUPS: Final = (
    *("suite", "run", "agent", "agent_version", "model", "provider"),
    *("case", "severity", "domain", "tags", "cluster"),
)
_FACTS: Final = [column for column in GROUPS if column not in ANSWER]
_ITEM: Final = [*ANSWER, "criterion"]
_WORDS: Final = ["run", "case", "criterion", "grader", "rubric_hash", "grader_kind"]
_TEXTS: Final = ("rationale", "evidence", "answer", "error", "metadata")
# A name that no grader has: it keeps the raters of a run apart while they are graded.
_MARK: Final = "\x1f"


@dataclass(frozen=True, slots=True)
class Ratings:
    """Two sides' ratings of the same answers.

    Attributes
    ----------
    judge, reference
        What the two sides are called.
    pairs
        polars frame, a row for each answer, criterion (and later sample, where a judge is compared with itself) that
        both sides rated: the columns of the answer and its case, `unit` (its cluster, or its case), `criterion`,
        `pair`, `judge`, `reference` (f64, null: no score), `scale_min`, `scale_max`, `kind`, `grid` (1: every single
        rating is a whole number; 0.5: or a half; null: neither).
    verdicts
        The same without `criterion`: 1 pass, 0 fail under the rule, null unscored; also `judge_mean`, `reference_mean`
        (null while a score is missing).
    judged
        Every answer that the judge's side rated, labelled or not: `judge`, `judge_mean`.
    raters, rater_verdicts
        As `pairs` and `verdicts`, for each two people who rated the same answer.
    rows
        The judge's and the reference's rows of `scores`, with `side`.
    people
        The raters of the reference.
    refused
        Why there are no verdicts, where the rule is not for these scores.
    partly
        Answers that the reference rated on some of the judge's criteria only: they have no verdict of it.
    other_rubric
        Answers and criteria that the reference rated under another wording of the rubric than the judge.
    notes
        Sentences: what was taken for what.
    """

    judge: str
    reference: str
    pairs: pl.DataFrame
    verdicts: pl.DataFrame
    judged: pl.DataFrame
    raters: pl.DataFrame
    rater_verdicts: pl.DataFrame
    rows: pl.DataFrame
    people: tuple[str, ...]
    refused: str = ""
    partly: int = 0
    other_rubric: int = 0
    notes: tuple[str, ...] = field(default=())


def pair_ratings(
    evals: Evals,
    *,
    reference: str = "human",
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    rule: PassRule = DEFAULT_RULE,
) -> Ratings:
    """Put the ratings of a judge beside those of a reference.

    Parameters
    ----------
    evals
        The collection.
    reference
        "human" (all people: their mean, or their majority on a binary criterion), the name of a grader, "code", or
        "itself": the judge's first sample against each later one.
    grader, rubric
        Which judge, as for `evalkit.grade`.
    rule
        When an answer passes.

    Raises
    ------
    SelectorError
        There is no such grader, or several judged and nothing chooses.
    RuleError
        A rule other than the default does not fit the scores.
    """
    scores = with_suites(evals)
    mine = _reference_rows(scores, reference)
    if reference == "itself":
        judged, mine = _judge_rows(scores, grader, rubric), scores.clear()
    else:
        others = scores.filter(~pl.col("_row").is_in(mine["_row"].implode()))
        judged = _judge_rows(others, grader, rubric)
    facts = declared_scales(evals, rule)
    # A judge without a name is a grader without one: "".
    notes = []
    if judged.filter(pl.col("grader_kind").is_null()).height:
        notes.append("Rows that do not say what kind of grader made them were taken for a judge's.")
    mine, elsewhere = _same_rubric(mine, judged)
    people = tuple(sorted(mine["grader"].unique(), key=lambda name: natural_key((name,))))
    each = rate_answers(mine, "grader")
    if reference == "itself":
        retests = rate_answers(judged, "sample")
        first = pl.col("rater").cast(pl.Int64) == pl.col("rater").cast(pl.Int64).min().over(_ITEM)
        told = retests.filter(~first)
        truth = retests.filter(first)
    else:
        told, truth = merge_raters(rate_answers(judged, None)), merge_raters(each, facts)
    if len(people) > 1:
        notes.append(
            f"The reference is the mean of {len(people)} raters ({join_words(people)}) for each answer, on a binary "
            "criterion their majority (a tie counts as no score); the rule is applied to that."
        )
    graded, refused = grade_sides(evals, {"judge": told, "reference": truth, "rater": each}, judged, rule)
    partly = graded["reference"].filter(~pl.col("complete")).height
    grids = rating_grids(pl.concat([judged, mine]))
    context = (evals, facts, grids)
    pairs = describe(meet(told, truth, _ITEM, value="score"), *context)
    whole = graded["reference"].with_columns(
        pl.when("complete").then("verdict").alias("verdict"), pl.when("complete").then("mean").alias("mean")
    )
    verdicts = describe(meet(graded["judge"], whole, ANSWER, value="verdict", also="mean"), *context)
    alone = graded["judge"].select(*ANSWER, judge="verdict", judge_mean="mean")
    raters = describe(_two_of(each, _ITEM, value="score"), *context)
    complete = graded["rater"].filter("complete")
    rows = pl.concat([judged.with_columns(side=pl.lit("judge")), mine.with_columns(side=pl.lit("reference"))])
    return Ratings(
        judge=join_words(sorted(judged["grader"].unique())) or "the judge",
        reference=_name(reference, people),
        pairs=pairs,
        verdicts=verdicts,
        judged=describe(alone, *context),
        raters=raters,
        rater_verdicts=describe(_two_of(complete, ANSWER, value="verdict"), *context),
        rows=rows.drop("_row"),
        people=people,
        refused=refused,
        partly=partly,
        other_rubric=elsewhere,
        notes=tuple(notes),
    )


def split_by(frame: pl.DataFrame, by: Sequence[str]) -> list[tuple[str, pl.DataFrame]]:
    """Return ("all", frame), then each group of `by` with its name.

    Raises
    ------
    ColumnError
        Answers have no such column.
    """
    parts = [("all", frame)]
    for column in by:
        if column not in GROUPS:
            raise ColumnError(
                f"Answers cannot be split by {column!r}; they can by {', '.join(GROUPS)}.{did_you_mean(column, GROUPS)}"
            )
    if not by:
        return parts
    if "tags" in by:
        frame = frame.explode("tags", empty_as_null=True, keep_nulls=True)
    groups = frame.partition_by(by, as_dict=True, maintain_order=True)
    named = sorted(groups.items(), key=lambda item: natural_key(item[0]))
    return parts + [
        (" · ".join(NOT_GIVEN if v in (None, "") else str(v) for v in key), g) for key, g in named
    ]


def with_suites(evals: Evals, *texts: str) -> pl.DataFrame:
    """Return the scores with their suite, keys as plain text, and `_row`; of scanned ones no texts but those named."""
    gone = [name for name in _TEXTS if name not in texts] if evals.is_scanned else []
    plain = evals.scores.lazy().with_columns(
        pl.col(_WORDS).cast(pl.String), *(pl.lit(None, dtype=pl.String).alias(name) for name in gone)
    )
    joined = plain.collect().join(_suites(evals), on="run", how="left", maintain_order="left")
    return joined.with_row_index("_row")


def _suites(evals: Evals) -> pl.DataFrame:
    return evals.runs.select(
        pl.col("run").cast(pl.String), pl.col("suite").cast(pl.String).fill_null("").alias("suite")
    )


def with_rationales(ratings: Ratings, evals: Evals) -> Ratings:
    """Return the ratings; of scanned ones with what was written where the two sides differ, which alone is shown."""
    if not evals.is_scanned:
        return ratings
    rows = ratings.rows
    on = [name for name in _ITEM if name != "suite"]
    differ = ratings.pairs.filter((pl.col("judge") - pl.col("reference")).abs() > 1e-9).select(on).unique()
    plain = evals.scores.lazy().with_columns(pl.col(_WORDS).cast(pl.String))
    key = list(SCORES.key)
    said = plain.join(differ.lazy(), on=on, how="semi").select(*key, "rationale").collect()
    whole = rows.drop("rationale").join(said, on=key, how="left", maintain_order="left")
    return replace(ratings, rows=whole.select(rows.columns))


def _reference_rows(scores: pl.DataFrame, reference: str) -> pl.DataFrame:
    if reference in ("human", "itself"):
        return scores.filter(pl.col("grader_kind") == "human")
    column = "grader_kind" if reference in GRADER_KINDS else "grader"
    found = scores.filter(pl.col(column) == reference)
    if found.is_empty():
        have = ["human", "itself", *sorted(set(scores["grader"]) - {""})]
        raise SelectorError.unknown(reference, kind="reference", have=have)
    return found


def _judge_rows(
    scores: pl.DataFrame, grader: str | Sequence[str] | None, rubric: str | Sequence[str] | None
) -> pl.DataFrame:
    """Return the rows of the judge's side, chosen suite by suite as `grade` does."""
    parts: list[pl.DataFrame] = [
        choose_scores(part, grader=grader, rubric=rubric).to_native()
        for part in scores.partition_by("suite", maintain_order=True)
    ]
    return pl.concat([scores.clear(), *parts])


def _same_rubric(mine: pl.DataFrame, judged: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Keep, of an answer's labels, those under the judge's wording where there are any; count where there are none."""
    key = ["suite", "case", "criterion", "rubric_hash"]
    used = judged.select(key).unique().with_columns(_same=pl.lit(value=True))
    marked = mine.join(used, on=key, how="left", maintain_order="left").with_columns(
        (pl.col("_same").fill_null(value=False) | (pl.col("rubric_hash") == "")).alias("_same")
    )
    kept = marked.filter(pl.col("_same") | ~pl.col("_same").any().over(_ITEM))
    judged_items = judged.filter(pl.col("rubric_hash") != "").select(_ITEM).unique()
    elsewhere = kept.filter(~pl.col("_same")).select(_ITEM).unique().join(judged_items, on=_ITEM, how="semi")
    return kept.drop("_same"), elsewhere.height


def rate_answers(rows: pl.DataFrame, rater: str | None) -> pl.DataFrame:
    """Return a row for each rater, answer and criterion: the mean of its samples."""
    named = rows.with_columns(rater=pl.lit("") if rater is None else pl.col(rater).cast(pl.String))
    return named.group_by("rater", *_ITEM, maintain_order=True).agg(pl.col("score").mean())


def merge_raters(each: pl.DataFrame, facts: pl.DataFrame | None = None) -> pl.DataFrame:
    """Return one rating for each answer and criterion: the raters' mean, on a binary criterion their majority."""
    many = each.group_by(_ITEM, maintain_order=True).agg(
        pl.col("score").mean(), pl.col("score").count().alias("_n")
    )
    if facts is None or many.is_empty():
        return many.select(pl.lit("").alias("rater"), *_ITEM, "score")
    joined = many.join(facts, on=["suite", "criterion"], how="left", maintain_order="left")
    middle = (pl.col("scale_min") + pl.col("scale_max")) / 2
    vote = (
        pl.when((pl.col("score") - middle).abs() < 1e-9)
        .then(None)
        .otherwise(pl.when(pl.col("score") > middle).then("scale_max").otherwise("scale_min"))
    )
    score = pl.when((pl.col("kind") == "binary") & (pl.col("_n") > 1)).then(vote).otherwise("score")
    return joined.select(pl.lit("").alias("rater"), *_ITEM, score.alias("score"))


def grade_sides(
    evals: Evals, sides: dict[str, pl.DataFrame], judged: pl.DataFrame, rule: PassRule
) -> tuple[dict[str, pl.DataFrame], str]:
    """Grade each side by the judge's criteria of the run; a side that lacks one of them is not complete."""
    expected = judged.select("suite", "run", "criterion").unique(maintain_order=True)
    checks = judged.filter(pl.col("grader_kind") == "code").select(*_ITEM, code="score").unique(_ITEM)
    named = pl.concat([frame.with_columns(side=pl.lit(side)) for side, frame in sides.items()])
    who = ["side", "rater"]
    full = (
        named.select(*who, *ANSWER)
        .unique(maintain_order=True)
        .join(expected, on=["suite", "run"], maintain_order="left_right")
        .join(named, on=[*who, *_ITEM], how="left", maintain_order="left")
        # A check in code needs no second opinion: what it found holds for a person's verdict too.
        .join(checks, on=_ITEM, how="left", maintain_order="left")
        .with_columns(pl.coalesce("score", "code").alias("score"))
        .with_columns(as_run=pl.concat_str([*who, "run"], separator=_MARK))
    )
    empty = pl.DataFrame(
        schema={
            "rater": pl.String(),
            **full.select(ANSWER).schema,
            "verdict": pl.Float64(),
            "mean": pl.Float64(),
            "complete": pl.Boolean(),
        }
    )
    nothing = dict.fromkeys(sides, empty)
    if full.is_empty():
        return nothing, ""
    runs = full.select("suite", *who, was="run", run="as_run").unique(maintain_order=True)
    part = Evals.from_tables(
        criteria=evals.criteria,
        runs=runs.select("suite", "run"),
        scores=full.select("case", "epoch", "criterion", "score", run="as_run"),
    )
    try:
        graded = grade(part, rule, grader="any", rubric="any")
    except RuleError as error:
        # The default was not asked for: scores on another scale are no mistake of the user's.
        if rule != DEFAULT_RULE:
            raise
        return nothing, str(error)
    told = (
        graded.with_columns(pl.col("run", "case", "verdict").cast(pl.String))
        .join(runs.drop("suite"), on="run", maintain_order="left")
        .select(
            "side",
            "rater",
            pl.col("suite").cast(pl.String),
            pl.col("was").alias("run"),
            *("case", "epoch"),
            pl.when(pl.col("verdict") != "unscored")
            .then((pl.col("verdict") == "pass").cast(pl.Float64))
            .alias("verdict"),
            "mean",
            (pl.col("scored") == pl.col("expected")).alias("complete"),
        )
    )
    return {side: told.filter(pl.col("side") == side).drop("side") for side in sides}, ""


def meet(
    told: pl.DataFrame, truth: pl.DataFrame, key: list[str], *, value: str, also: str | None = None
) -> pl.DataFrame:
    """Join the judge's ratings with the reference's."""
    names = {"judge": value, **({"judge_mean": also} if also else {})}
    others = {"reference": value, **({"reference_mean": also} if also else {})}
    left = told.select(*key, pair="rater", **{new: pl.col(old) for new, old in names.items()})
    right = truth.select(*key, **{new: pl.col(old) for new, old in others.items()})
    return left.join(right, on=key, maintain_order="left")


def _two_of(each: pl.DataFrame, key: list[str], *, value: str) -> pl.DataFrame:
    """Return every two raters of the same answer; who comes first is the order of their names."""
    one = each.select(*key, "rater", reference=value)
    two = each.select(*key, other="rater", judge=value)
    both = one.join(two, on=key, maintain_order="left_right").filter(pl.col("rater") < pl.col("other"))
    return both.select(*key, "judge", "reference", pair=pl.concat_str(["rater", "other"], separator=" and "))


def declared_scales(evals: Evals, rule: PassRule) -> pl.DataFrame:
    """Return `suite`, `criterion`, `kind`, `scale_min`, `scale_max` of everything that was scored."""
    low, high = rule.scale or (None, None)
    judged = evals.judged.select(pl.col("run", "criterion").cast(pl.String))
    names = judged.join(_suites(evals), on="run").select("suite", "criterion").unique()
    facts = evals.criteria.select(
        pl.col("suite", "criterion", "kind").cast(pl.String), "scale_min", "scale_max"
    )
    binary = pl.col("kind") == "binary"
    return names.join(facts, on=["suite", "criterion"], how="left").with_columns(
        pl.col("scale_min").fill_null(pl.when(binary).then(0.0).otherwise(pl.lit(low, dtype=pl.Float64))),
        pl.col("scale_max").fill_null(pl.when(binary).then(1.0).otherwise(pl.lit(high, dtype=pl.Float64))),
    )


def rating_grids(rows: pl.DataFrame) -> pl.DataFrame:
    """Return how fine the single ratings of each criterion are, before anything was averaged."""
    off = {
        step: ((pl.col("score") / step) - (pl.col("score") / step).round()).abs().max() for step in (1, 0.5)
    }
    fine = [pl.when(worst.fill_null(0.0) < 1e-9).then(pl.lit(float(step))) for step, worst in off.items()]
    return rows.group_by("suite", "criterion").agg(pl.coalesce(fine).alias("grid"))


def describe(frame: pl.DataFrame, evals: Evals, facts: pl.DataFrame, grids: pl.DataFrame) -> pl.DataFrame:
    """Add what is known of the answer, its case and its criterion."""
    text = [c for c in (*_FACTS, *ANSWER) if c not in ("tags", "severity", "epoch")]
    known = evals.attempts().select(*ANSWER, *_FACTS).with_columns(pl.col(text).cast(pl.String))
    dressed = frame.join(known, on=ANSWER, how="left", maintain_order="left")
    case = pl.concat_str(["suite", "case"], separator=_MARK)
    cluster = pl.when(pl.col("cluster").fill_null("") != "").then(pl.lit(_MARK) + pl.col("cluster"))
    dressed = dressed.with_columns(unit=pl.coalesce(cluster, case))
    if "criterion" in frame.columns:
        key = ["suite", "criterion"]
        dressed = dressed.join(facts, on=key, how="left", maintain_order="left")
        dressed = dressed.join(grids, on=key, how="left", maintain_order="left")
    return dressed


def _name(reference: str, people: tuple[str, ...]) -> str:
    if reference == "itself":
        return "itself"
    if reference != "human":
        return reference
    named = [name for name in people if name]
    return f"the mean of {len(people)} people" if len(people) > 1 else (named[0] if named else "people")
