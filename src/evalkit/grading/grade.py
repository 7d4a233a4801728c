"""Grade trials of any frame of scores; a tolerance absorbs the error of floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import DIRECTIONS, SCORES, TRIAL_KEY, Verdict
from evalkit.grading.applied_rule import AppliedRule, apply_rule
from evalkit.grading.pass_rule import DEFAULT_RULE, LOOKING
from evalkit.grading.reduce import CERTAIN, COMPLETE, Carried, Codes, reduce_samples, reduce_trials
from evalkit.grading.select_scores import (
    choose_scores,
    choose_scoring,
    constants_of,
    counted_scores,
    distinct,
    has_people_alone,
)
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError, RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from evalkit.data.scoring import Scoring
    from evalkit.grading.pass_rule import PassRule

# The key of an Evals is checked: rows with one value of each of these are one per trial and criterion.
_SINGLE: Final = {"grader", "rubric_hash", "sample"}
_LABELS: Final = ("suite", "agent", "agent_version", "model", "provider", "severity", "domain", "cluster")
_VERDICT: Final = {
    "mean": pl.Float64(),
    "lowest": pl.Float64(),
    "scored": pl.Int32(),
    "expected": pl.Int32(),
    "verdict": pl.String(),
    "reason": pl.String(),
    CERTAIN: pl.Boolean(),
}
_CRITERION_VERDICT: Final = {
    "score": pl.Float64(),
    "samples": pl.UInt32(),
    "scale_min": pl.Float64(),
    "scale_max": pl.Float64(),
    "direction": pl.Enum(DIRECTIONS),
    "threshold": pl.Float64(),
    "least": pl.Float64(),
    "verdict": Verdict,
}
_FLAGS: Final = {"passed": pl.Boolean(), "unscored": pl.Boolean(), "score": pl.Float64()}


def grade(
    data: Any,
    rule: PassRule | None = None,
    *,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Any:
    """Grade each trial: pass, fail or unscored.

    Parameters
    ----------
    data
        An `Evals`, or a frame of scores (polars, pandas, DuckDB, ...) with `case`, `criterion`, `score`, the scale
        as `scale_min` and `scale_max` (or `rule.scale`), and optionally `direction`, `kind`, `weight`, `run`,
        `epoch`, `grader`, `rubric_hash` and `sample`.
    rule
        See `PassRule`. None: that of `evals.with_scoring`, else the default rule. The same holds for `grader`
        and `rubric`.
    grader
        Grader whose scores count: a name, several (averaged), "judge", "human", "code", or "any". None: judges and
        code, with one grader per criterion; people where only people scored.
    rubric
        `rubric_hash` that counts: one, several, or "any". None: there must be one per case and criterion.

    Returns
    -------
    frame
        The kind of frame given (polars for an `Evals`), one row per trial: `suite`, `run`, `agent`,
        `agent_version`, `model`, `provider`, `case`, `severity`, `domain`, `tags`, `cluster`, `epoch`; `mean`
        (null if a score is missing) and `lowest`, in score units, or as shares of the scale (0 to 1) if the criteria
        have different ones, lower-is-better criteria reversed; `scored` and `expected`, counts of criteria with a
        score and of all criteria of the run; `verdict` "pass", "fail" or "unscored" (a score is missing, whatever
        the others say); `reason`, null for a pass; `certain_fail`, whether the trial fails whatever is missing.

    Raises
    ------
    RuleError
        The rule has a number for another scale or an unknown criterion, or no scale is declared.
    SelectorError
        Several graders or rubrics scored one criterion and none is chosen, or the chosen one is unknown.
    ColumnError
        A bare frame lacks `case`, `criterion`, `score` or the scale.

    Examples
    --------
    >>> import evalkit as ek
    >>> graded = ek.grade(ek.demo.make())
    >>> graded.select("run", "case", "epoch", "mean", "lowest", "verdict").row(0)
    ('v1-demo-large', '01', 1, 2.0, 1.0, 'fail')
    >>> graded["verdict"].value_counts(sort=True).rows()
    [('pass', 110), ('fail', 50), ('unscored', 2)]

    A frame of scores needs a rule with its scale:

    >>> scores = pl.DataFrame({"case": ["01"] * 3, "criterion": ["a", "b", "c"], "score": [5, 4, 3]})
    >>> grade(scores, ek.PassRule(scale=(1, 5))).select("mean", "lowest", "verdict").row(0)
    (4.0, 3.0, 'pass')
    """
    expect(grade, locals())
    return grade_trials(data, choose_scoring(data, rule=rule, grader=grader, rubric=rubric))


def grade_trials(data: Any, scoring: Scoring) -> Any:
    """Grade trials under a scoring."""
    return grade_on_scale(data, scoring)[0]


def grade_on_scale(data: Any, scoring: Scoring) -> tuple[Any, tuple[float, float] | None]:
    """Grade trials under a scoring; return them and the scale of their means, None if suites differ in it."""
    rule: PassRule = scoring.rule
    if not isinstance(data, Evals):
        part, labels = _read_frame(data, scoring)
        graded = part.reduce([*TRIAL_KEY, *labels]).drop(COMPLETE)
        # Engines return groups in any order.
        return graded.sort(*TRIAL_KEY, nulls_last=True).to_native(), part.applied.scale
    parts = list(_parts(data, scoring))
    reduced = [_collect(part.reduce(TRIAL_KEY).drop(COMPLETE)) for part in parts]
    scales = {part.applied.scale for part in parts if part.carried}
    empty = pl.DataFrame(schema={**{c: SCORES.schema[c] for c in TRIAL_KEY}, **_VERDICT})
    trials = data.attempts().join(
        pl.concat([empty, *reduced]), on=TRIAL_KEY, how="left", maintain_order="left"
    )
    crashed = pl.when(pl.col("error").is_not_null()).then(pl.lit("the trial crashed"))
    is_unscored = pl.col("verdict").is_null()
    trials = trials.with_columns(
        pl.col("scored", "expected").fill_null(0),
        pl.col("verdict").fill_null(rule.missing).cast(Verdict),
        pl.col(CERTAIN).fill_null(value=False),
        reason=pl.when(is_unscored)
        .then(crashed.otherwise(pl.lit("the trial has no scores")))
        .otherwise("reason"),
    )
    return trials.drop("error"), next(iter(scales)) if len(scales) == 1 else None


def applied_rules(evals: Evals, scoring: Scoring) -> list[AppliedRule]:
    """Return the rule of a scoring on the criteria of each suite that has scores."""
    return [part.applied for part in _parts(evals, scoring) if part.carried]


def scoring_to_view(evals: Evals, scoring: Scoring) -> Scoring:
    """Return a scoring that can show any scores: without the default rule if no scale is declared for it."""
    if scoring.rule != DEFAULT_RULE:
        return scoring
    try:
        applied_rules(evals, scoring)
    except RuleError:
        return scoring.replace_given(rule=LOOKING)
    return scoring


def nearness(evals: Evals, scoring: Scoring) -> pl.Expr:
    """Return how far `mean` of graded trials is from the rule's mean, as a share of its scale; null if unknown."""
    distance = pl.lit(None, dtype=pl.Float64)
    for part in _parts(evals, scoring):
        applied = part.applied
        if applied.mean is not None:
            low, high = applied.scale
            gap = (pl.col("mean") - applied.mean).abs() / (high - low)
            is_here = pl.col("suite").cast(pl.String).fill_null("") == part.suite
            distance = pl.when(is_here).then(gap.round(9)).otherwise(distance)
    return distance


def grade_criteria(
    data: Any,
    rule: PassRule | None = None,
    *,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Any:
    """Grade each criterion of each trial.

    Parameters
    ----------
    data, rule, grader, rubric
        As for `grade`.

    Returns
    -------
    frame
        The kind of frame given (polars for an `Evals`): the columns of `Evals.attempts` without `error`, then
        `criterion`; `score` (mean over the judge's samples, null if missing), `samples`, `scale_min`, `scale_max`,
        `direction`; `threshold`, the score that passes: the gate of the criterion, else the rule's mean (null: no
        condition, so no verdict); `least`, the worst score that does not fail the trial; and `verdict`. A trial without scores
        has one row per criterion of its run.
    """
    expect(grade_criteria, locals())
    return grade_trial_criteria(data, choose_scoring(data, rule=rule, grader=grader, rubric=rubric))


def grade_trial_criteria(data: Any, scoring: Scoring) -> Any:
    """Grade the criteria of trials under a scoring."""
    if isinstance(data, Evals):
        keys = data.attempts().drop("error")
        parts = list(_parts(data, scoring))
    else:
        part, labels = _read_frame(data, scoring)
        keys = _collect(part.scores.select(*TRIAL_KEY, *labels).unique()).sort(TRIAL_KEY)
        parts = [part]
    empty = {name: pl.lit(None, dtype=dtype) for name, dtype in _CRITERION_VERDICT.items()}
    none = keys.clear().with_columns(criterion=pl.lit("", dtype=keys.schema["case"]), **empty)
    tables = [_criterion_verdicts(part, keys) for part in parts]
    return as_kind_of(pl.concat(tables) if tables else none, data)


def as_kind_of(table: pl.DataFrame, data: Any) -> Any:
    """Return a polars table in the kind of frame that `data` is."""
    if isinstance(data, pl.LazyFrame):
        return table.lazy()
    return table.to_pandas() if type(data).__module__.startswith("pandas") else table


def count_cases(data: Evals, scoring: Scoring, *, criteria: bool = False) -> pl.DataFrame:
    """Count the verdicts per case and run, sorted.

    `trials` have a verdict; `score` is the sum of the trials' means, `means` their number.
    """
    keys = ["case", "run"]
    if criteria:
        keys.append("criterion")
        verdict = pl.col("verdict")
        flags = grade_trial_criteria(data, scoring).lazy()
        flags = flags.select(*keys, "score", passed=verdict == "pass", unscored=verdict == "unscored")
        counts = _count(flags, keys).collect()
    else:
        codes = Codes.of(data)
        flags = [_flags(data, part, codes) for part in _parts(data, scoring)]
        empty = pl.LazyFrame(schema={"cell": pl.Int64(), **_FLAGS})
        every = flags[0] if len(flags) == 1 else pl.concat([empty, *flags], how="vertical_relaxed")
        counts = codes.name(_count(every, ["cell"]).collect(), data)
    return counts.select("run", "case", *keys[2:], "passes", "trials", "unscored", "score", "means").sort(
        keys
    )


def _count(flags: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    return flags.group_by(keys).agg(
        pl.col("passed").sum().cast(pl.Int64).alias("passes"),
        (pl.len() - pl.col("unscored").sum()).cast(pl.Int64).alias("trials"),
        pl.col("unscored").sum().cast(pl.Int64),
        # Groups come in any order; rounding removes what that does to a sum of floats.
        pl.col("score").sum().round(9),
        pl.col("score").count().cast(pl.Int64).alias("means"),
    )


def _flags(evals: Evals, part: _Part, codes: Codes) -> pl.LazyFrame:
    """Return one row per trial: `cell` (code of case and run) and `_FLAGS`."""
    import narwhals as nw

    coded = nw.from_native(part.scores.to_native().with_columns(codes.trial().alias("trial")))
    key = ["trial"] if part.is_uniform() else ["trial", "run"]
    verdicts = part.reduce(key, scores=coded).to_native()
    may_lack = part.applied.rule.missing != "fail"
    complete = pl.col(COMPLETE) if part.applied.has_condition else pl.lit(value=False)
    unscored = ~complete if may_lack or not part.applied.has_condition else pl.lit(value=False)
    flags: pl.LazyFrame = verdicts.select(
        "trial", passed=~pl.col(CERTAIN) & complete, unscored=unscored, score=pl.col("mean")
    )
    if not evals.trials.is_empty():
        flags = flags.collect().lazy()
        trials = (
            evals.trials.lazy().filter(pl.col("run").is_in(part.runs)).select(codes.trial().alias("trial"))
        )
        without = trials.join(flags.select("trial"), on="trial", how="anti").with_columns(
            passed=pl.lit(value=False), unscored=pl.lit(may_lack), score=pl.lit(None, dtype=pl.Float64)
        )
        flags = pl.concat([flags, without])
    return flags.select(codes.cell("trial").alias("cell"), *_FLAGS)


def _criterion_verdicts(part: _Part, keys: pl.DataFrame) -> pl.DataFrame:
    answers = _collect(reduce_samples(part.scores, TRIAL_KEY)).sort(*TRIAL_KEY, "criterion")
    facts = ("scale_min", "scale_max", "threshold", "least", "tolerance")
    ruled = pl.DataFrame(
        [
            (name, c.direction, c.sign, *(getattr(c, fact) for fact in facts))
            for name, c in part.applied.criteria.items()
        ],
        schema={
            "criterion": answers.schema["criterion"],
            "direction": _CRITERION_VERDICT["direction"],
            "sign": pl.Float64(),
            **dict.fromkeys(facts, pl.Float64()),
        },
        orient="row",
    )
    expected = answers.select("run", "criterion").unique(maintain_order=True)
    sign = pl.col("sign")
    is_short = pl.col("score") * sign < pl.col("threshold") * sign - pl.col("tolerance")
    missing = part.applied.rule.missing
    return (
        keys.join(expected, on="run", maintain_order="left_right")
        .join(answers, on=[*TRIAL_KEY, "criterion"], how="left", maintain_order="left")
        .join(ruled, on="criterion", how="left", maintain_order="left")
        .with_columns(
            pl.col("samples").fill_null(0).cast(pl.UInt32),
            pl.when(pl.col("score").is_null())
            .then(pl.lit(missing))
            .when(pl.col("threshold").is_null())
            .then(pl.lit("unscored"))
            .otherwise(pl.when(is_short).then(pl.lit("fail")).otherwise(pl.lit("pass")))
            .cast(Verdict)
            .alias("verdict"),
        )
        .select(*keys.columns, "criterion", *_CRITERION_VERDICT)
    )


@dataclass(frozen=True, slots=True)
class _Part:
    suite: str
    runs: Sequence[str]
    scores: Any
    carried: Carried
    applied: AppliedRule
    single: bool

    def reduce(self, key: Sequence[str], *, scores: Any = None) -> Any:
        import narwhals as nw

        rows, carried = (self.scores if scores is None else scores), self.carried
        undirected = [name for name, one in self.applied.criteria.items() if not one.has_direction]
        if undirected:
            rows = rows.filter(~nw.col("criterion").cast(nw.String).is_in(undirected))
            carried = [(run, name) for run, name in carried if name not in undirected]
        return reduce_trials(rows, key, self.applied, carried=carried, single=self.single)

    def is_uniform(self) -> bool:
        """Whether all runs carry the same criteria."""
        runs: dict[str, set[str]] = {}
        for run, criterion in self.carried:
            runs.setdefault(run, set()).add(criterion)
        return len({frozenset(criteria) for criteria in runs.values()}) == 1


def _parts(evals: Evals, scoring: Scoring) -> Iterator[_Part]:
    """Yield each suite by itself: criteria of one name may differ between suites."""
    suites: dict[str, list[str]] = {}
    for run, suite in evals.runs.select("run", "suite").iter_rows():
        suites.setdefault(suite or "", []).append(run)
    constants, counted = constants_of(evals), counted_scores(evals)
    grader, rubric = scoring.grader, scoring.rubric
    for suite, runs in suites.items():
        scores = evals.scores.lazy()
        if len(runs) < evals.runs.height:
            scores = scores.filter(pl.col("run").is_in(runs))
        own = counted.filter(pl.col("run").is_in(runs))
        people = has_people_alone(own)
        chosen = choose_scores(scores, grader=grader, rubric=rubric, constants=constants, people_alone=people)
        if grader is None and rubric in (None, "any"):
            # The Evals keeps this; no scan of all scores.
            rows = own.select("run", "criterion").unique(maintain_order=True).rows()
        else:
            rows = distinct(chosen, ["run", "criterion"])
        carried = [(str(run), str(criterion)) for run, criterion in rows]
        applied = _apply(evals, suite, chosen, carried, scoring.rule)
        yield _Part(suite, runs, chosen, carried, applied, single=set(constants) >= _SINGLE)


def _apply(evals: Evals, suite: str, scores: Any, carried: Carried, rule: PassRule) -> AppliedRule:
    declared = {row["criterion"]: row for row in evals.criteria.filter(suite=suite).iter_rows(named=True)}
    criteria = {name: dict(declared.get(name, {})) for name in sorted({name for _, name in carried})}
    if rule.scale is None:
        lacking = [
            name for name, c in criteria.items() if c.get("scale_min") is None and c.get("kind") != "binary"
        ]
        rows = scores.to_native().filter(pl.col("criterion").cast(pl.String).is_in(lacking))
        limits = (
            rows.select(low=pl.col("score").min(), high=pl.col("score").max()).collect().row(0)
            if lacking
            else ()
        )
        for name in lacking:
            criteria[name]["score_range"] = limits
    return apply_rule(criteria, rule)


def _read_frame(frame: Any, scoring: Scoring) -> tuple[_Part, list[str]]:
    """Return a bare frame as one part, with its columns of `_LABELS`."""
    import narwhals as nw

    try:
        native = nw.from_native(frame)
    except TypeError:
        raise ColumnError(
            f"Cannot grade {type(frame).__name__}.", expected="an Evals (from ek.load) or a frame of scores"
        ) from None
    columns = native.collect_schema().names()
    for column in ("case", "criterion", "score"):
        if column not in columns:
            raise ColumnError.missing(column, table="scores", have=columns)
    defaults: dict[str, Any] = {"run": "", "epoch": 1}
    native = native.with_columns(
        nw.lit(value).alias(name) for name, value in defaults.items() if name not in columns
    )
    facts = [c for c in ("scale_min", "scale_max", "kind", "weight", "direction") if c in columns]
    declared: dict[str, dict[str, Any]] = {}
    for name, *values in distinct(native, ["criterion", *facts]):
        # pandas marks nulls by NaN, which differs from itself.
        known = {fact: value if value == value else None for fact, value in zip(facts, values, strict=True)}
        if declared.setdefault(str(name), known) != known:
            raise RuleError(
                f"The criterion {name!r} has several scales or weights.", fix="Grade each scale by itself."
            )
    chosen = choose_scores(native, grader=scoring.grader, rubric=scoring.rubric)
    carried = [(str(run), str(criterion)) for run, criterion in distinct(chosen, ["run", "criterion"])]
    applied = apply_rule(declared, scoring.rule)
    return _Part("", (), chosen, carried, applied, single=False), [c for c in _LABELS if c in columns]


def _collect(frame: Any) -> pl.DataFrame:
    import narwhals as nw

    eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    return cast("pl.DataFrame", eager.to_polars())
