"""Grade trials of any frame of scores; a tolerance absorbs float error (`statistics.md` 2.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import IS_HUMAN, SCORES, TRIAL_KEY, Verdict
from evalkit.grading.pass_rule import TOLERANCE, PassRule, RuledCriterion, apply_rule
from evalkit.grading.reduce import COMPLETE, FAILED, Carried, Codes, reduce_samples, reduce_trials
from evalkit.grading.select_scores import choose_scores, choose_scoring, constants_of, distinct
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError, RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from evalkit.data.scoring import Scoring

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
}
_CRITERION_VERDICT: Final = {
    "score": pl.Float64(),
    "samples": pl.UInt32(),
    "scale_min": pl.Float64(),
    "scale_max": pl.Float64(),
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
        as `scale_min` and `scale_max` (or `rule.scale`), and optionally `run`, `epoch`, `grader`, `rubric_hash` and
        `sample`.
    rule
        See `PassRule`. None: that of `evals.with_scoring`, else the default rule. The same holds for `grader`
        and `rubric`.
    grader
        Grader whose scores count: a name, several (averaged), "judge", "human", "code", or "any". None: judges and
        code, with one grader per criterion.
    rubric
        `rubric_hash` that counts: one, several, or "any". None: there must be one per case and criterion.

    Returns
    -------
    frame
        The kind of frame given (polars for an `Evals`), one row per trial: `suite`, `run`, `agent`,
        `agent_version`, `model`, `provider`, `case`, `severity`, `domain`, `tags`, `cluster`, `epoch`; `mean`
        (null if a score is missing) and `lowest`, in score units; `scored` and `expected`, counts of criteria with a
        score and of all criteria of the run; `verdict` "pass", "fail" or "unscored"; `reason`, null for a pass.

    Raises
    ------
    RuleError
        The rule is for another scale, or has an unknown criterion.
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
    >>> grade(scores, PassRule(scale=(1, 5))).select("mean", "lowest", "verdict").row(0)
    (4.0, 3.0, 'pass')
    """
    expect(grade, locals())
    return grade_trials(data, choose_scoring(data, rule=rule, grader=grader, rubric=rubric))


def grade_trials(data: Any, scoring: Scoring) -> Any:
    """Grade trials under a scoring."""
    rule: PassRule = scoring.rule
    if not isinstance(data, Evals):
        part, labels = _read_frame(data, scoring)
        return part.reduce([*TRIAL_KEY, *labels], rule).drop(FAILED, COMPLETE).to_native()
    reduced = [
        _collect(part.reduce(TRIAL_KEY, rule).drop(FAILED, COMPLETE)) for part in _parts(data, scoring)
    ]
    empty = pl.DataFrame(schema={**{c: SCORES.schema[c] for c in TRIAL_KEY}, **_VERDICT})
    trials = data.attempts().join(
        pl.concat([empty, *reduced]), on=TRIAL_KEY, how="left", maintain_order="left"
    )
    crashed = pl.when(pl.col("error").is_not_null()).then(pl.lit("the trial crashed"))
    is_unscored = pl.col("verdict").is_null()
    return trials.with_columns(
        pl.col("scored", "expected").fill_null(0),
        pl.col("verdict").fill_null(rule.missing).cast(Verdict),
        reason=pl.when(is_unscored)
        .then(crashed.otherwise(pl.lit("the trial has no scores")))
        .otherwise("reason"),
    ).drop("error")


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
        and `verdict` ("pass": the score reaches `rule.mean`, the maximum of a binary criterion, or the criterion's
        gate). A trial without scores has one row per criterion of its run.
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
        keys = _collect(part.scores.select(*TRIAL_KEY, *labels).unique())
        parts = [part]
    empty = {name: pl.lit(None, dtype=dtype) for name, dtype in _CRITERION_VERDICT.items()}
    none = keys.clear().with_columns(criterion=pl.lit("", dtype=keys.schema["case"]), **empty)
    tables = [_criterion_verdicts(part, keys, scoring.rule) for part in parts]
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
        flags = [_flags(data, part, codes, scoring.rule) for part in _parts(data, scoring)]
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


def _flags(evals: Evals, part: _Part, codes: Codes, rule: PassRule) -> pl.LazyFrame:
    """Return one row per trial: `cell` (code of case and run) and `_FLAGS`."""
    import narwhals as nw

    coded = nw.from_native(part.scores.to_native().with_columns(codes.trial().alias("trial")))
    key = ["trial"] if part.is_uniform() else ["trial", "run"]
    verdicts = part.reduce(key, rule, scores=coded).to_native()
    failed, complete = pl.col(FAILED), pl.col(COMPLETE)
    may_lack = rule.missing != "fail"
    unscored = ~failed & ~complete if may_lack else pl.lit(value=False)
    flags: pl.LazyFrame = verdicts.select(
        "trial", passed=~failed & complete, unscored=unscored, score=pl.col("mean")
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


def _criterion_verdicts(part: _Part, keys: pl.DataFrame, rule: PassRule) -> pl.DataFrame:
    answers = _collect(reduce_samples(part.scores, TRIAL_KEY))
    needed = pl.DataFrame(
        [
            (name, rule.mean if c.gate is None else c.gate, c.scale_min, c.scale_max)
            for name, c in part.criteria.items()
        ],
        schema={
            "criterion": answers.schema["criterion"],
            **dict.fromkeys(("needed", "scale_min", "scale_max"), pl.Float64),
        },
        orient="row",
    )
    expected = answers.select("run", "criterion").unique(maintain_order=True)
    has_reached = pl.col("score") >= pl.col("needed") - TOLERANCE
    return (
        keys.join(expected, on="run", maintain_order="left_right")
        .join(answers, on=[*TRIAL_KEY, "criterion"], how="left", maintain_order="left")
        .join(needed, on="criterion", how="left", maintain_order="left")
        .with_columns(
            pl.col("samples").fill_null(0).cast(pl.UInt32),
            pl.when(pl.col("score").is_null())
            .then(pl.lit(rule.missing))
            .otherwise(pl.when(has_reached).then(pl.lit("pass")).otherwise(pl.lit("fail")))
            .cast(Verdict)
            .alias("verdict"),
        )
        .select(*keys.columns, "criterion", *_CRITERION_VERDICT)
    )


@dataclass(frozen=True, slots=True)
class _Part:
    runs: Sequence[str]
    scores: Any
    carried: Carried
    criteria: Mapping[str, RuledCriterion]
    single: bool

    def reduce(self, key: Sequence[str], rule: PassRule, *, scores: Any = None) -> Any:
        rows = self.scores if scores is None else scores
        return reduce_trials(rows, key, self.criteria, rule, carried=self.carried, single=self.single)

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
    constants = constants_of(evals)
    grader, rubric = scoring.grader, scoring.rubric
    for suite, runs in suites.items():
        scores = evals.scores.lazy()
        if len(runs) < evals.runs.height:
            scores = scores.filter(pl.col("run").is_in(runs))
        chosen = choose_scores(scores, grader=grader, rubric=rubric, constants=constants)
        if grader is None and rubric in (None, "any"):
            # The Evals keeps this; no scan of all scores.
            known = pl.col("run").is_in(runs) & ~IS_HUMAN
            rows = evals.judged.filter(known).select("run", "criterion").unique(maintain_order=True).rows()
        else:
            rows = distinct(chosen, ["run", "criterion"])
        carried = [(str(run), str(criterion)) for run, criterion in rows]
        criteria = _criteria(evals, suite, chosen, carried, scoring.rule)
        yield _Part(runs, chosen, carried, criteria, single=set(constants) >= _SINGLE)


def _criteria(
    evals: Evals, suite: str, scores: Any, carried: Carried, rule: PassRule
) -> dict[str, RuledCriterion]:
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
    facts = [c for c in ("scale_min", "scale_max", "kind", "weight") if c in columns]
    declared: dict[str, dict[str, Any]] = {}
    for name, *values in distinct(native, ["criterion", *facts]):
        # pandas marks nulls by NaN, which differs from itself.
        known = {fact: value if value == value else None for fact, value in zip(facts, values, strict=True)}
        if declared.setdefault(str(name), known) != known:
            raise RuleError(
                f"The criterion {name!r} has several scales or weights.", fix="Grade each scale by itself."
            )
    if declared and not ({"scale_min", "scale_max"} <= set(columns) or scoring.rule.scale):
        raise RuleError(
            "The frame has no scale.",
            fix="Add the columns scale_min and scale_max, or pass PassRule(scale=(1, 5)).",
        )
    chosen = choose_scores(native, grader=scoring.grader, rubric=scoring.rubric)
    carried = [(str(run), str(criterion)) for run, criterion in distinct(chosen, ["run", "criterion"])]
    criteria = apply_rule(declared, scoring.rule)
    return _Part((), chosen, carried, criteria, single=False), [c for c in _LABELS if c in columns]


def _collect(frame: Any) -> pl.DataFrame:
    import narwhals as nw

    eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    return cast("pl.DataFrame", eager.to_polars())
