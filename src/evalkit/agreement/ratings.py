"""Pair ratings of the same answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import GRADER_KINDS, SCORES, TRIAL_KEY
from evalkit.grading.grade import grade
from evalkit.grading.pass_rule import DEFAULT_RULE, PassRule
from evalkit.grading.select_scores import choose_scores
from evalkit.grading.version_order import natural_key
from evalkit.util.errors import ColumnError, RuleError, SelectorError
from evalkit.util.words import NOT_GIVEN, join_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evalkit.data.scoring import Scoring

ANSWER: Final = ["suite", *TRIAL_KEY]
"""The key of an answer."""
ITEM: Final = [*ANSWER, "criterion"]
GROUPS: Final = (
    *("suite", "run", "agent", "agent_version", "model", "provider"),
    *("case", "severity", "domain", "tags", "cluster"),
)
_FACTS: Final = [column for column in GROUPS if column not in ANSWER]
_WORDS: Final = ["run", "case", "criterion", "grader", "rubric_hash", "grader_kind"]
_TEXTS: Final = ("rationale", "evidence", "answer", "error", "metadata")
_SEPARATOR: Final = "\x1f"  # no name has it


@dataclass(frozen=True, slots=True)
class Ratings:
    """Two sides' ratings of the same answers.

    `pairs` has a row for each answer and criterion (and later sample of a retest) rated by both sides: `judge`,
    `reference` (null: no score), `pair` and the columns of `AnswerFacts`. `verdicts` is the same without `criterion`:
    1 pass, 0 fail, null unscored. `judged` has every answer rated by the judge. `raters` and `rater_verdicts` are as
    `pairs` and `verdicts`, for each two people; `single` and `single_verdicts` have a row for each `rater`, with `score`. `rows` are the rows of `scores` with their `side`. `people` rated the
    reference.

    `refused` is why there are no verdicts. `incomplete` counts answers that the reference rated on some of the judge's
    criteria only, `other_rubric` those it rated under another wording of the rubric.
    """

    judge: str
    reference: str
    pairs: pl.DataFrame
    verdicts: pl.DataFrame
    judged: pl.DataFrame
    raters: pl.DataFrame
    rater_verdicts: pl.DataFrame
    single: pl.DataFrame
    single_verdicts: pl.DataFrame
    rows: pl.DataFrame
    people: tuple[str, ...]
    refused: str
    incomplete: int
    other_rubric: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AnswerFacts:
    """Facts of each answer and its case (`answers`), and of each criterion (`criteria`).

    `criteria.grid` is 1 if every rating is a whole number, 0.5 if it is a half, else null.
    """

    answers: pl.DataFrame
    criteria: pl.DataFrame

    @classmethod
    def collect(
        cls, evals: Evals, rows: pl.DataFrame, rule: PassRule, *, nominal: Sequence[str] = ()
    ) -> AnswerFacts:
        """Collect the facts of all scored answers; `rows` are single ratings, `nominal` criteria without order."""
        texts = [column for column in (*_FACTS, *ANSWER) if column not in ("tags", "severity", "epoch")]
        answers = evals.attempts().select(*ANSWER, *_FACTS).with_columns(pl.col(texts).cast(pl.String))
        key = ["suite", "criterion"]
        criteria = _declared_scales(evals, rule).join(_grids(rows), on=key, how="left")
        for name in nominal:
            if name not in criteria["criterion"]:
                have = sorted(set(criteria["criterion"]))
                raise SelectorError.unknown(name, kind="criterion", have=have)
        kind = pl.when(pl.col("criterion").is_in(nominal)).then(pl.lit("nominal")).otherwise("kind")
        criteria = criteria.with_columns(kind=kind)
        return cls(answers, criteria)

    @property
    def nominal(self) -> pl.DataFrame:
        """The `suite` and `criterion` of criteria without order."""
        return self.criteria.filter(kind="nominal").select("suite", "criterion")

    def describe(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Add the facts and `unit` (the case or its cluster) to ratings."""
        described = frame.join(self.answers, on=ANSWER, how="left", maintain_order="left")
        case = pl.concat_str(["suite", "case"], separator=_SEPARATOR)
        cluster = pl.when(pl.col("cluster").fill_null("") != "").then(_SEPARATOR + pl.col("cluster"))
        described = described.with_columns(unit=pl.coalesce(cluster, case))
        if "criterion" not in frame.columns:
            return described
        return described.join(self.criteria, on=["suite", "criterion"], how="left", maintain_order="left")


def pair_ratings(
    evals: Evals, scoring: Scoring, *, reference: str = "human", nominal: Sequence[str] = ()
) -> Ratings:
    """Pair the ratings of a judge and a reference; raise SelectorError or RuleError."""
    rule = scoring.rule or DEFAULT_RULE
    scores = with_suites(evals)
    if reference == "itself":
        judge_rows, reference_rows = _judge_rows(scores, scoring), scores.clear()
    else:
        reference_rows = _reference_rows(scores, reference)
        others = scores.filter(~pl.col("_row").is_in(reference_rows["_row"].implode()))
        judge_rows = _judge_rows(others, scoring)
    reference_rows, other_rubric = _under_the_judges_rubric(reference_rows, judge_rows)
    facts = AnswerFacts.collect(evals, pl.concat([judge_rows, reference_rows]), rule, nominal=nominal)
    each = rate_answers(reference_rows, "grader", facts=facts)
    if reference == "itself":
        samples = rate_answers(judge_rows, "sample", facts=facts).with_columns(
            _sample=pl.col("rater").cast(pl.Int64)
        )
        is_first = pl.col("_sample") == pl.col("_sample").min().over(ITEM)
        judge_side, reference_side = (samples.filter(kept).drop("_sample") for kept in (~is_first, is_first))
    else:
        judge_side = merge_raters(rate_answers(judge_rows, facts=facts))
        reference_side = merge_raters(each, facts)
    sides = {"judge": judge_side, "reference": reference_side, "rater": each}
    # A kind without order is no better or worse than another: it takes no part in a verdict.
    unordered = {name: _without(frame, facts.nominal) for name, frame in sides.items()}
    graded, refused = grade_sides(evals, unordered, _without(judge_rows, facts.nominal), rule)
    complete = pl.when("complete").then(pl.col("verdict", "mean"))
    verdicts = meet(
        graded["judge"], graded["reference"].with_columns(complete), ANSWER, "verdict", also="mean"
    )
    people = tuple(sorted(reference_rows["grader"].unique(), key=lambda name: natural_key((name,))))
    rows = [
        judge_rows.with_columns(side=pl.lit("judge")),
        reference_rows.with_columns(side=pl.lit("reference")),
    ]
    by_rater = graded["rater"].filter("complete")
    return Ratings(
        judge=_names(judge_rows) or "the judge",
        reference=_reference_name(reference, people),
        pairs=facts.describe(meet(judge_side, reference_side, ITEM, "score")),
        verdicts=facts.describe(verdicts),
        judged=facts.describe(graded["judge"].select(*ANSWER, judge="verdict", judge_mean="mean")),
        raters=facts.describe(_pairs_of_raters(each, ITEM, "score")),
        rater_verdicts=facts.describe(_pairs_of_raters(by_rater, ANSWER, "verdict")),
        single=facts.describe(each),
        single_verdicts=facts.describe(by_rater.select("rater", *ANSWER, score="verdict")),
        rows=pl.concat(rows).drop("_row"),
        people=people,
        refused=refused,
        incomplete=graded["reference"].filter(~pl.col("complete")).height,
        other_rubric=other_rubric,
        notes=tuple(_notes(judge_rows, people)),
    )


def split_by(frame: pl.DataFrame, by: Sequence[str]) -> list[tuple[str, pl.DataFrame]]:
    """Return ("all", frame), then each group of `by`; raise ColumnError for an unknown column."""
    for column in by:
        if column not in GROUPS:
            raise ColumnError(
                f"Cannot split answers by {column!r}.", argument="by", value=column, choices=GROUPS
            )
    if not by:
        return [("all", frame)]
    rows = frame.explode("tags", empty_as_null=True, keep_nulls=True) if "tags" in by else frame
    groups = rows.partition_by(by, as_dict=True, maintain_order=True)
    named = sorted(groups.items(), key=lambda item: natural_key(item[0]))
    labels = [
        " · ".join(NOT_GIVEN if value in (None, "") else str(value) for value in key) for key, _ in named
    ]
    return [("all", frame), *zip(labels, (group for _, group in named), strict=True)]


def criteria_of(frame: pl.DataFrame) -> list[tuple[str, pl.Expr]]:
    """Return the name and filter of each criterion, per suite."""
    names = sorted(frame.select("suite", "criterion").unique().iter_rows(), key=natural_key)
    is_several = len({suite for suite, _ in names}) > 1
    return [
        (
            f"{suite} · {name}" if is_several else name,
            (pl.col("suite") == suite) & (pl.col("criterion") == name),
        )
        for suite, name in names
    ]


def with_suites(evals: Evals, *texts: str) -> pl.DataFrame:
    """Return the scores with their suite and `_row`; scans read only the named texts."""
    unread = [name for name in _TEXTS if name not in texts] if evals.is_scanned else []
    plain = evals.scores.lazy().with_columns(
        pl.col(_WORDS).cast(pl.String), *(pl.lit(None, dtype=pl.String).alias(name) for name in unread)
    )
    joined = plain.collect().join(_suites(evals), on="run", how="left", maintain_order="left")
    # Sorted: the order of rows must not change the last digit of a sum. `_row` keeps it.
    key = [pl.col(name).cast(pl.String) if name != "sample" else pl.col(name) for name in SCORES.key]
    return joined.with_row_index("_row").sort(*key, nulls_last=True, maintain_order=True)


def with_rationales(ratings: Ratings, evals: Evals) -> Ratings:
    """Add the rationales where the two sides differ, which scans lack."""
    if not evals.is_scanned:
        return ratings
    on = [name for name in ITEM if name != "suite"]
    differ = ratings.pairs.filter((pl.col("judge") - pl.col("reference")).abs() > 1e-9).select(on).unique()
    plain = evals.scores.lazy().with_columns(pl.col(_WORDS).cast(pl.String))
    key = list(SCORES.key)
    texts = plain.join(differ.lazy(), on=on, how="semi").select(*key, "rationale").collect()
    rows = ratings.rows.drop("rationale").join(texts, on=key, how="left", maintain_order="left")
    return replace(ratings, rows=rows.select(ratings.rows.columns))


def rate_answers(
    rows: pl.DataFrame, rater: str | None = None, *, facts: AnswerFacts | None = None
) -> pl.DataFrame:
    """Average the samples of each rater, answer and criterion; the most frequent kind without order (a tie: null)."""
    named = rows.with_columns(rater=pl.lit("") if rater is None else pl.col(rater).cast(pl.String))
    return _average(named, ["rater", *ITEM], facts).drop("_n")


def merge_raters(each: pl.DataFrame, facts: AnswerFacts | None = None) -> pl.DataFrame:
    """Average the raters; on a binary or nominal criterion take their majority."""
    merged = _average(each, ITEM, facts)
    if facts is not None and not merged.is_empty():
        merged = merged.join(facts.criteria, on=["suite", "criterion"], how="left", maintain_order="left")
        above = pl.col("score") - (pl.col("scale_min") + pl.col("scale_max")) / 2
        vote = pl.when(above > 1e-9).then("scale_max").when(above < -1e-9).then("scale_min")
        is_vote = (pl.col("kind") == "binary") & (pl.col("_n") > 1)
        merged = merged.with_columns(score=pl.when(is_vote).then(vote).otherwise("score"))
    return merged.select(pl.lit("").alias("rater"), *ITEM, "score")


def _average(rows: pl.DataFrame, key: list[str], facts: AnswerFacts | None) -> pl.DataFrame:
    score = pl.col("score")
    merged = rows.group_by(key, maintain_order=True).agg(score.mean(), score.count().alias("_n"))
    nominal = None if facts is None else facts.nominal
    if nominal is None or nominal.is_empty():
        return merged
    modes = score.drop_nulls().mode()
    vote = pl.when(modes.len() == 1).then(modes.first()).alias("_vote")
    on = ["suite", "criterion"]
    votes = rows.join(nominal, on=on, how="semi").group_by(key).agg(vote).with_columns(_kind=True)
    merged = merged.join(votes, on=key, how="left", maintain_order="left")
    chosen = pl.when("_kind").then("_vote").otherwise("score")
    return merged.with_columns(score=chosen).drop("_vote", "_kind")


def _without(frame: pl.DataFrame, nominal: pl.DataFrame) -> pl.DataFrame:
    return frame.join(nominal, on=["suite", "criterion"], how="anti", maintain_order="left")


def meet(
    judge: pl.DataFrame, reference: pl.DataFrame, key: list[str], value: str, *, also: str = ""
) -> pl.DataFrame:
    """Join the judge's and the reference's ratings as `judge` and `reference`; `also` as `judge_mean`, ..."""

    def columns(side: str) -> dict[str, str]:
        return {side: value} | ({f"{side}_mean": also} if also else {})

    left = judge.select(*key, pair="rater", **columns("judge"))
    return left.join(
        reference.select(*key, **columns("reference")), on=key, how="inner", maintain_order="left"
    )


def grade_sides(
    evals: Evals, sides: dict[str, pl.DataFrame], judge_rows: pl.DataFrame, rule: PassRule
) -> tuple[dict[str, pl.DataFrame], str]:
    """Grade each side by the judge's criteria; return why that is refused, if it is.

    `complete` is whether a side rated all of these criteria. Scores by code count for every side.
    """
    expected = judge_rows.select("suite", "run", "criterion").unique(maintain_order=True)
    checks = judge_rows.filter(pl.col("grader_kind") == "code").select(*ITEM, code="score").unique(ITEM)
    named = pl.concat([frame.with_columns(side=pl.lit(side)) for side, frame in sides.items()])
    rater = ["side", "rater"]
    full = (
        named.select(*rater, *ANSWER)
        .unique(maintain_order=True)
        .join(expected, on=["suite", "run"], maintain_order="left_right")
        .join(named, on=[*rater, *ITEM], how="left", maintain_order="left")
        .join(checks, on=ITEM, how="left", maintain_order="left")
        .with_columns(pl.coalesce("score", "code").alias("score"))
        .with_columns(as_run=pl.concat_str([*rater, "run"], separator=_SEPARATOR))
    )
    values = {"verdict": pl.Float64(), "mean": pl.Float64(), "complete": pl.Boolean()}
    empty = pl.DataFrame(schema={"rater": pl.String(), **full.select(ANSWER).schema, **values})
    nothing = dict.fromkeys(sides, empty)
    if full.is_empty():
        return nothing, ""
    # Each rater's ratings of a run are graded as a run of their own.
    runs = full.select("suite", *rater, original="run", run="as_run").unique(maintain_order=True)
    as_runs = Evals.from_tables(
        criteria=evals.criteria,
        runs=runs.select("suite", "run"),
        scores=full.select("case", "epoch", "criterion", "score", run="as_run"),
    )
    try:
        graded = grade(as_runs, rule, grader="any", rubric="any")
    except RuleError as error:
        if rule != DEFAULT_RULE:
            raise
        return nothing, str(error)
    graded = (
        graded.with_columns(pl.col("run", "case", "suite", "verdict").cast(pl.String))
        .join(runs.drop("suite"), on="run", maintain_order="left")
        .with_columns(
            run="original",
            verdict=pl.when(pl.col("verdict") != "unscored").then(
                (pl.col("verdict") == "pass").cast(pl.Float64)
            ),
            complete=pl.col("scored") == pl.col("expected"),
        )
    )
    return {side: graded.filter(pl.col("side") == side).select(empty.columns) for side in sides}, ""


def _reference_rows(scores: pl.DataFrame, reference: str) -> pl.DataFrame:
    rows = scores.filter(pl.col("grader_kind" if reference in GRADER_KINDS else "grader") == reference)
    if rows.is_empty() and reference != "human":
        have = ["human", "itself", *sorted(set(scores["grader"]) - {""})]
        raise SelectorError.unknown(reference, kind="reference", have=have)
    return rows


def _judge_rows(scores: pl.DataFrame, scoring: Scoring) -> pl.DataFrame:
    """Return the judge's rows, chosen per suite as `grade` does."""
    parts: list[pl.DataFrame] = [
        choose_scores(part, grader=scoring.grader, rubric=scoring.rubric).to_native()
        for part in scores.partition_by("suite", maintain_order=True)
    ]
    return pl.concat([scores.clear(), *parts])


def _under_the_judges_rubric(labels: pl.DataFrame, judge_rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Keep an answer's labels under the judge's wording, if any; count the answers without."""
    key = ["suite", "case", "criterion", "rubric_hash"]
    used = judge_rows.select(key).unique().with_columns(_same=pl.lit(value=True))
    marked = labels.join(used, on=key, how="left", maintain_order="left").with_columns(
        (pl.col("_same").fill_null(value=False) | (pl.col("rubric_hash") == "")).alias("_same")
    )
    kept = marked.filter(pl.col("_same") | ~pl.col("_same").any().over(ITEM))
    hashed = judge_rows.filter(pl.col("rubric_hash") != "").select(ITEM).unique()
    elsewhere = kept.filter(~pl.col("_same")).select(ITEM).unique().join(hashed, on=ITEM, how="semi")
    return kept.drop("_same"), elsewhere.height


def _pairs_of_raters(each: pl.DataFrame, key: list[str], value: str) -> pl.DataFrame:
    first = each.select(*key, "rater", reference=value)
    second = each.select(*key, other="rater", judge=value)
    both = first.join(second, on=key, maintain_order="left_right").filter(pl.col("rater") < pl.col("other"))
    return both.select(*key, "judge", "reference", pair=pl.concat_str(["rater", "other"], separator=" and "))


def _suites(evals: Evals) -> pl.DataFrame:
    return evals.runs.select(
        pl.col("run").cast(pl.String), pl.col("suite").cast(pl.String).fill_null("").alias("suite")
    )


def _declared_scales(evals: Evals, rule: PassRule) -> pl.DataFrame:
    low, high = (pl.lit(end, dtype=pl.Float64) for end in rule.scale or (None, None))
    judged = evals.judged.select(pl.col("run", "criterion").cast(pl.String))
    names = judged.join(_suites(evals), on="run").select("suite", "criterion").unique()
    declared = evals.criteria.select(
        pl.col("suite", "criterion", "kind").cast(pl.String), "scale_min", "scale_max"
    )
    binary = pl.col("kind") == "binary"
    return names.join(declared, on=["suite", "criterion"], how="left").with_columns(
        pl.col("scale_min").fill_null(pl.when(binary).then(0.0).otherwise(low)),
        pl.col("scale_max").fill_null(pl.when(binary).then(1.0).otherwise(high)),
    )


def _grids(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the step of the ratings of each criterion: 1, 0.5 or null."""
    steps = []
    for step in (1.0, 0.5):
        off = ((pl.col("score") / step) - (pl.col("score") / step).round()).abs().max()
        steps.append(pl.when(off.fill_null(0.0) < 1e-9).then(pl.lit(step)))
    return rows.group_by("suite", "criterion").agg(pl.coalesce(steps).alias("grid"))


def _notes(judge_rows: pl.DataFrame, people: tuple[str, ...]) -> list[str]:
    notes = []
    if judge_rows["grader_kind"].null_count():
        notes.append("Rows without a grader kind count as a judge's.")
    if len(people) > 1:
        notes.append(
            f"The reference is the mean of {len(people)} raters ({join_words(people)}) per answer. On a binary "
            "criterion it is their majority; a tie is no score. The rule is applied to that."
        )
    return notes


def _names(rows: pl.DataFrame) -> str:
    names = sorted(set(rows["grader"]) - {""})
    return join_words(names) if names else ""


def _reference_name(reference: str, people: tuple[str, ...]) -> str:
    if reference != "human":
        return reference
    if len(people) > 1:
        return f"the mean of {len(people)} people"
    return next((name for name in people if name), "people")
