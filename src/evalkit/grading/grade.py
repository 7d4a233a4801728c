"""The pass rule: scores in, one verdict a trial out; any frame in, the same kind out.

The reduction is written in narwhals expressions, so that it runs where the data lives: polars (eager and
lazy), pandas, DuckDB, Spark. Judge samples are averaged inside a criterion first, then the rule is applied
to each trial. Sums are compared with a tolerance (`statistics.md` 2.3): a mean that is exactly 4 passes
also where floats make it 3.9999999999999996.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import SCORES, Verdict
from evalkit.grading.pass_rule import DEFAULT_RULE, TOLERANCE, PassRule, RuledCriterion, apply_rule
from evalkit.grading.reduce import COMPLETE, FAILED, Carried, Codes, reduce_answers, reduce_trials
from evalkit.grading.select_scores import choose_scores, constants_of, distinct
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError, RuleError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


_TRIAL: Final = ["run", "case", "epoch"]
# Of rows whose key was checked (an Evals), one of each of these leaves one row an answer already.
_SINGLE: Final = {"grader", "rubric_hash", "sample"}
_IDS: Final = ["suite", "agent", "agent_version", "model", "provider", "severity", "domain", "cluster"]


def grade(
    data: Any,
    rule: PassRule = DEFAULT_RULE,
    *,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Any:
    """Give each trial one verdict.

    Parameters
    ----------
    data
        An `Evals`, or a frame of scores (polars eager or lazy, pandas, DuckDB, ...) with `case`, `criterion`,
        `score`, the scale as `scale_min` and `scale_max` (or `rule.scale`), and `run`, `epoch`, `grader`,
        `rubric_hash`, `sample` where there are any.
    rule
        See `PassRule`.
    grader
        Whose scores count: a grader's name, several (averaged), or "judge", "human", "code". None: judges and
        code, which must then be one grader a criterion.
    rubric
        Which `rubric_hash` counts: one, several, or "any". None: there must be one a case and criterion.

    Returns
    -------
    frame
        Of the kind that was given (polars for an `Evals`), one row a trial: `suite`, `run`, `agent`,
        `agent_version`, `model`, `provider`, `case`, `severity`, `domain`, `tags`, `cluster`, `epoch`; `mean`
        (f64, null while a score is missing) and `lowest` (f64) in the scores' units; `scored` and `expected`,
        the criteria with a score and those that the run's records carry; `verdict` "pass", "fail" or
        "unscored"; `reason`, why not "pass". A bare frame's result has those of these columns that it can.

    Raises
    ------
    RuleError
        The rule is for another scale, or names a criterion that is not there.
    SelectorError
        Several graders or rubrics for a criterion and nothing that chooses, or one that is not there.
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

    Scores alone do too, where the rule says on what scale they are:

    >>> scores = pl.DataFrame({"case": ["01"] * 3, "criterion": ["a", "b", "c"], "score": [5, 4, 3]})
    >>> grade(scores, PassRule(scale=(1, 5))).select("mean", "lowest", "verdict").row(0)
    (4.0, 3.0, 'pass')
    """
    expect(grade, locals())
    if not isinstance(data, Evals):
        return _grade_frame(data, rule, grader=grader, rubric=rubric)
    parts = []
    one = constants_of(data)
    for suite, runs in _suites(data):
        scores = choose_scores(_runs_of(data, runs), grader=grader, rubric=rubric, one=one)
        carried = _carried(scores, data if grader is None and rubric in (None, "any") else None, runs)
        info = _criteria(data, suite, rule, carried)
        single = set(one) >= _SINGLE
        verdicts = reduce_trials(scores, _TRIAL, info, rule, carried=carried, single=single)
        parts.append(_collect(verdicts.drop(FAILED, COMPLETE)))
    empty = pl.DataFrame(schema={**{c: SCORES.schema[c] for c in _TRIAL}, **_RESULT})
    verdicts = pl.concat([empty, *parts])
    attempts = data.attempts()
    graded = attempts.join(verdicts, on=_TRIAL, how="left", maintain_order="left")
    missing = "fail" if rule.missing == "fail" else "unscored"
    why = (
        pl.when(pl.col("error").is_not_null())
        .then(pl.lit("the trial crashed"))
        .otherwise(pl.lit("nothing was judged"))
    )
    return graded.with_columns(
        pl.col("scored", "expected").fill_null(0),
        pl.col("verdict").fill_null(missing).cast(Verdict),
        pl.when(pl.col("verdict").is_null()).then(why).otherwise(pl.col("reason")).alias("reason"),
    ).drop("error")


def grade_criteria(
    data: Any,
    rule: PassRule = DEFAULT_RULE,
    *,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> Any:
    """Give each criterion of each trial its score and its verdict.

    Parameters
    ----------
    data, rule, grader, rubric
        As for `grade`.

    Returns
    -------
    frame
        Of the kind that was given (polars for an `Evals`): the columns of `Evals.attempts` without `error`, then
        `criterion`; `score` (f64, the mean of the judge's samples, null when there is none), `samples` (u32),
        `scale_min`, `scale_max`, and `verdict` (pass: the score reaches `rule.mean`, or the maximum of a binary
        criterion, or the criterion's gate; unscored: no score). A trial that nobody judged has a row for each
        criterion of its run.
    """
    chosen: dict[str, Any] = {"grader": grader, "rubric": rubric}
    expect(grade_criteria, locals())
    if isinstance(data, Evals):
        keys = data.attempts().drop("error")
        suites = [(suite, choose_scores(_runs_of(data, runs), **chosen)) for suite, runs in _suites(data)]
        pairs = [(scores, _criteria(data, suite, rule, _carried(scores))) for suite, scores in suites]
    else:
        frame, info, ids = _prepare(data, rule)
        keys = _collect(frame.select(*_TRIAL, *ids).unique())
        pairs = [(choose_scores(frame, **chosen), info)]
    parts = [_answered(_collect(reduce_answers(scores, _TRIAL)), keys, info, rule) for scores, info in pairs]
    empty = {n: pl.lit(None, dtype=t) for n, t in _ANSWER.items()}
    none = keys.clear().with_columns(criterion=pl.lit("", dtype=keys.schema["case"]), **empty)
    return as_given(pl.concat(parts) if parts else none, data)


def as_given(table: pl.DataFrame, data: Any) -> Any:
    """Return a polars table in the kind of frame that `data` is: lazy, pandas, or as it is."""
    if isinstance(data, pl.LazyFrame):
        return table.lazy()
    return table.to_pandas() if type(data).__module__.startswith("pandas") else table


def count_cases(
    data: Evals,
    rule: PassRule = DEFAULT_RULE,
    *,
    criteria: bool = False,
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
) -> pl.DataFrame:
    """Grade, and count the verdicts of each case of each run: what a comparison needs, and no row a trial.

    Parameters
    ----------
    data, rule, grader, rubric
        As for `grade`.
    criteria
        Count each criterion by itself.

    Returns
    -------
    polars.DataFrame
        `run`, `case` (and `criterion`); `passes`, `trials` (with a verdict), `unscored` (i64); `score` (f64, the
        sum of the trials' means) and `means` (i64, how many have one). In order of case and run.
    """
    if criteria:
        word = pl.col("verdict")
        answers = grade_criteria(data, rule, grader=grader, rubric=rubric)
        keys = ["case", "run", "criterion"]
        flags = answers.lazy().select(*keys, "score", passed=word == "pass", unscored=word == "unscored")
        counts = _count(flags, keys).collect()
    else:
        keys = ["case", "run"]
        codes = Codes.of(data)
        parts = [pl.LazyFrame(schema={"cell": pl.Int64(), **_FLAGS})]
        parts += _flags(data, rule, codes, grader=grader, rubric=rubric)
        flags = parts[-1] if len(parts) == 2 else pl.concat(parts, how="vertical_relaxed")
        counts = codes.name(_count(flags, ["cell"]).collect(), data)
    return counts.select("run", "case", *keys[2:], *_COUNTS).sort(keys)


def _count(flags: pl.LazyFrame, keys: Sequence[str]) -> pl.LazyFrame:
    """Count rows of `_FLAGS` within some keys."""
    return flags.group_by(keys).agg(
        pl.col("passed").sum().cast(pl.Int64).alias("passes"),
        (pl.len() - pl.col("unscored").sum()).cast(pl.Int64).alias("trials"),
        pl.col("unscored").sum().cast(pl.Int64),
        # Engines return groups in any order; what that does to a sum of floats is cut off.
        pl.col("score").sum().round(9),
        pl.col("score").count().cast(pl.Int64).alias("means"),
    )


def _flags(
    data: Evals,
    rule: PassRule,
    codes: Codes,
    *,
    grader: str | Sequence[str] | None,
    rubric: str | Sequence[str] | None,
) -> Iterator[pl.LazyFrame]:
    """Yield a row a trial: the `cell` it is of, whether it passes, whether it is unscored, its mean."""
    import narwhals as nw

    lacks = rule.missing != "fail"
    one = constants_of(data)
    for suite, runs in _suites(data):
        scores = choose_scores(_runs_of(data, runs), grader=grader, rubric=rubric, one=one)
        carried = _carried(scores, data if grader is None and rubric in (None, "any") else None, runs)
        info = _criteria(data, suite, rule, carried)
        coded = nw.from_native(scores.to_native().with_columns(codes.trial().alias("trial")))
        key = ["trial"] if _alike(carried) else ["trial", "run"]
        single = set(one) >= _SINGLE
        verdicts = reduce_trials(coded, key, info, rule, carried=carried, single=single).to_native()
        failed, complete = pl.col(FAILED), pl.col(COMPLETE)
        lacking = ~failed & ~complete if lacks else pl.lit(value=False)
        flags = verdicts.select("trial", passed=~failed & complete, unscored=lacking, score=pl.col("mean"))
        if not data.trials.is_empty():
            flags = flags.collect().lazy()
            alone = data.trials.lazy().filter(pl.col("run").is_in(runs)).select(codes.trial().alias("trial"))
            alone = alone.join(flags.select("trial"), on="trial", how="anti")
            nothing = pl.lit(None, dtype=pl.Float64)
            flags = pl.concat(
                [flags, alone.with_columns(passed=pl.lit(value=False), unscored=pl.lit(lacks), score=nothing)]
            )
        yield flags.select(codes.cell("trial").alias("cell"), *_FLAGS)


def _answered(
    answers: pl.DataFrame, keys: pl.DataFrame, info: Mapping[str, RuledCriterion], rule: PassRule
) -> pl.DataFrame:
    """Give every attempt of a run every criterion of the run, with its verdict."""
    facts = pl.DataFrame(
        [
            (name, rule.mean if c.gate is None else c.gate, c.scale_min, c.scale_max)
            for name, c in info.items()
        ],
        schema={
            "criterion": answers.schema["criterion"],
            "needed": pl.Float64,
            "scale_min": pl.Float64,
            "scale_max": pl.Float64,
        },
        orient="row",
    )
    expected = answers.select("run", "criterion").unique(maintain_order=True)
    missing = "fail" if rule.missing == "fail" else "unscored"
    reached = pl.col("score") >= pl.col("needed") - TOLERANCE
    return (
        keys.join(expected, on="run", maintain_order="left_right")
        .join(answers, on=[*_TRIAL, "criterion"], how="left", maintain_order="left")
        .join(facts, on="criterion", how="left", maintain_order="left")
        .with_columns(
            pl.col("samples").fill_null(0).cast(pl.UInt32),
            pl.when(pl.col("score").is_null())
            .then(pl.lit(missing))
            .otherwise(pl.when(reached).then(pl.lit("pass")).otherwise(pl.lit("fail")))
            .cast(Verdict)
            .alias("verdict"),
        )
        .select(*keys.columns, "criterion", *_ANSWER)
    )


_ANSWER: Final = {
    "score": pl.Float64(),
    "samples": pl.UInt32(),
    "scale_min": pl.Float64(),
    "scale_max": pl.Float64(),
    "verdict": Verdict,
}
_FLAGS: Final = {"passed": pl.Boolean(), "unscored": pl.Boolean(), "score": pl.Float64()}
_COUNTS: Final = ["passes", "trials", "unscored", "score", "means"]
_RESULT: Final = {
    "mean": pl.Float64(),
    "lowest": pl.Float64(),
    "scored": pl.Int32(),
    "expected": pl.Int32(),
    "verdict": pl.String(),
    "reason": pl.String(),
}


def _suites(evals: Evals) -> list[tuple[str, list[str]]]:
    """Return each suite with its runs: criteria of the same name may differ between suites."""
    suites: dict[str, list[str]] = {}
    for run, suite in evals.runs.select("run", "suite").iter_rows():
        suites.setdefault(suite or "", []).append(run)
    return list(suites.items())


def _criteria(evals: Evals, suite: str, rule: PassRule, carried: Carried) -> dict[str, RuledCriterion]:
    """Return what the rule makes of the criteria of the chosen scores."""
    used = sorted({criterion for _, criterion in carried})
    declared = evals.criteria.filter(pl.col("suite") == suite)
    known = {row["criterion"]: row for row in declared.iter_rows(named=True)}
    facts = {name: dict(known.get(name, {})) for name in used}
    lacking = [
        name for name, one in facts.items() if one.get("scale_min") is None and one.get("kind") != "binary"
    ]
    if lacking and rule.scale is None:
        of_them = evals.scores.lazy().filter(pl.col("criterion").cast(pl.String).is_in(lacking))
        ends = of_them.select(low=pl.col("score").min(), high=pl.col("score").max()).collect().row(0)
        for name in lacking:
            facts[name]["seen"] = ends
    return apply_rule(facts, rule)


def _grade_frame(
    frame: Any, rule: PassRule, *, grader: str | Sequence[str] | None, rubric: str | Sequence[str] | None
) -> Any:
    native, info, ids = _prepare(frame, rule)
    scores = choose_scores(native, grader=grader, rubric=rubric)
    verdicts = reduce_trials(scores, [*_TRIAL, *ids], info, rule, carried=_carried(scores))
    return verdicts.drop(FAILED, COMPLETE).to_native()


def _prepare(frame: Any, rule: PassRule) -> tuple[Any, dict[str, RuledCriterion], list[str]]:
    """Return a bare frame of scores with what the rule makes of its criteria, and the columns that name its rows."""
    import narwhals as nw

    try:
        native = nw.from_native(frame)
    except TypeError:
        raise ColumnError(
            f"An Evals (what ek.load(path) returns) or a frame of scores was expected, not {type(frame).__name__}."
        ) from None
    have = native.collect_schema().names()
    for column in ("case", "criterion", "score"):
        if column not in have:
            raise ColumnError.missing(column, table="scores", have=have)
    fill: dict[str, Any] = {"run": "", "epoch": 1}
    native = native.with_columns(
        nw.lit(value).alias(name) for name, value in fill.items() if name not in have
    )
    facts = [c for c in ("scale_min", "scale_max", "kind", "weight") if c in have]
    declared: dict[str, dict[str, Any]] = {}
    for name, *values in distinct(native, ["criterion", *facts]):
        known = {fact: _none(value) for fact, value in zip(facts, values, strict=True)}
        if declared.setdefault(str(name), known) != known:
            raise RuleError(
                f"The criterion {name!r} is declared with several scales or weights; grade each apart."
            )
    if declared and not ({"scale_min", "scale_max"} <= set(have) or rule.scale):
        raise RuleError(
            "The frame does not carry its scale; add the columns scale_min and scale_max, or say PassRule(scale=(1, 5))."
        )
    return native, apply_rule(declared, rule), [c for c in _IDS if c in have]


def _runs_of(evals: Evals, runs: list[str]) -> pl.LazyFrame:
    if len(runs) == evals.runs.height:
        return evals.scores.lazy()
    return evals.scores.lazy().filter(pl.col("run").is_in(runs))


def _collect(frame: Any) -> pl.DataFrame:
    """Return a narwhals frame as polars, in the order of its keys (engines return groups in any order)."""
    import narwhals as nw

    eager = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    return cast("pl.DataFrame", eager.to_polars())


def _none(value: Any) -> Any:
    """None for the NaN by which pandas says null."""
    return None if value is None or value != value else value


def _alike(carried: Carried) -> bool:
    """Whether all runs carry the same criteria."""
    runs: dict[str, set[str]] = {}
    for run, criterion in carried:
        runs.setdefault(run, set()).add(criterion)
    return len({frozenset(criteria) for criteria in runs.values()}) == 1


def _carried(scores: Any, whole: Evals | None = None, runs: Sequence[str] = ()) -> Carried:
    """Return which criteria the chosen records of each run carry; from what an Evals knows already where it does."""
    if whole is not None:
        mine = pl.col("run").is_in(runs) & pl.col("grader_kind").ne_missing("human")
        rows = whole.judged.filter(mine).select("run", "criterion").unique(maintain_order=True).rows()
    else:
        rows = distinct(scores, ["run", "criterion"])
    return [(str(run), str(criterion)) for run, criterion in rows]
