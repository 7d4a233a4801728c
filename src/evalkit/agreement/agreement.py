"""Agreement of a judge with people, with another judge, or with itself."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import polars as pl

from evalkit.agreement.estimates import (
    MEASURES,
    estimate_pairs,
    estimate_raters,
    nearest_point,
)
from evalkit.agreement.ratings import (
    ANSWER,
    ITEM,
    Ratings,
    criteria_of,
    pair_ratings,
    split_by,
    with_rationales,
)
from evalkit.agreement.results import HTML_ROWS, JudgeResult, with_interval
from evalkit.agreement.sentences import agreement_sentence, explanation, main_row, read_kappa
from evalkit.agreement.warnings import agreement_warnings
from evalkit.data.conflicts import conflicting_outputs
from evalkit.data.result import warnings_frame
from evalkit.data.schema import TRIAL_KEY, Severity
from evalkit.grading.select_scores import choose_scoring, has_people_alone
from evalkit.util.arguments import expect
from evalkit.util.errors import SelectorError
from evalkit.util.format import number, percent
from evalkit.util.html_table import html_table
from evalkit.util.words import Option, Sentence, as_names, plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import altair as alt

    from evalkit.data.evals import Evals
    from evalkit.data.scoring import Scoring
    from evalkit.grading.pass_rule import PassRule
    from evalkit.util.html_table import Html

_WITH_ENDS: Final = ("bias", "kappa", "sensitivity", "specificity", "human_human", "human_ac")
SUMMARY: Final[dict[str, Any]] = {
    **dict.fromkeys(("scope", "group", "kind"), pl.String()),
    **dict.fromkeys(("n", "cases"), pl.Int64()),
    **{
        f"{name}{end}": pl.Float64()
        for name in (*MEASURES, "human_human", "human_ac")
        for end in (("", "_low", "_high") if name in _WITH_ENDS else ("",))
    },
    **dict.fromkeys(("human_human_n", "human_raters"), pl.Int64()),
    "reading": pl.String(),
    "level": pl.Float64(),
    **dict.fromkeys(("method", "status", "reason"), pl.String()),
}
ESTIMATES: Final[dict[str, Any]] = {
    **dict.fromkeys(("scope", "group", "measure"), pl.String()),
    **dict.fromkeys(("estimate", "low", "high"), pl.Float64()),
    **dict.fromkeys(("n", "cases"), pl.Int64()),
    "method": pl.String(),
    "level": pl.Float64(),
    "seed": pl.Int64(),
    **dict.fromkeys(("status", "reason"), pl.String()),
}
CONFUSION: Final[dict[str, Any]] = {
    **dict.fromkeys(("scope", "group"), pl.String()),
    **dict.fromkeys(("reference", "judge"), pl.Float64()),
    "count": pl.Int64(),
}


@dataclass(frozen=True, eq=False, repr=False)
class Agreement(JudgeResult):
    """The result of `agreement`.

    Attributes
    ----------
    judge, reference
        Names of the two sides.
    verdict
        The reading of the verdicts' kappa (without verdicts, of the weakest criterion's): "reliable" (the interval's
        lower end is .80 or more), "tentative" (.667 or more), "not shown reliable", "not reliable" (its upper end is
        below .667), "no disagreement seen", or "not estimable".
    summary
        polars frame, a row for each criterion, then one for the verdicts (and again for each group of `by`): `scope`,
        `group`, `kind` (ordinal, binary, nominal, continuous, verdict), `n` (answers rated by both), `cases`, `exact` and
        `within_one` (shares), `bias` (judge minus reference, in the scores' units) with `bias_low`, `bias_high`,
        `kappa`, `kappa_low`, `kappa_high`, `alpha`, `ac2`, `icc`, `tau_b`, `spearman`, `pearson`, and for
        pass/fail `sensitivity` and `specificity` with their ends; `human_human` (the same kappa between two people) with
        its ends and `human_human_n`; `human_ac` (Gwet's AC2, or AC1, of all people at once) with its ends and
        `human_raters`; `reading`, `level`, `method` (of kappa), `status`, `reason`.
    estimates
        polars frame, a row for each scope, group and measure: `estimate`, `low`, `high`, `n`, `cases`, `method`,
        `level`, `seed`, `status`, `reason`.
    confusion
        polars frame `scope`, `group`, `reference`, `judge` (points of the scale; verdict: 1 pass, 0 fail), `count`.
    disagreements
        polars frame, the worst first: `run`, `case`, `epoch`, `criterion`, `severity`, `reference`, `judge`,
        `difference`, `flips` (the verdicts differ too), `reference_rationale`, `judge_rationale`, `source`, `line`.
    rule, level, by
        The arguments.
    """

    judge: str
    reference: str
    verdict: str
    estimates: pl.DataFrame
    confusion: pl.DataFrame
    disagreements: pl.DataFrame
    rule: PassRule
    level: float
    by: tuple[str, ...]

    @property
    def table(self) -> pl.DataFrame:
        """The estimates."""
        return self.estimates

    def explain(self) -> str:
        """Describe the result in a paragraph."""
        return printable(explanation(self.sentence, self.summary, self.disagreements, self.warnings))

    def chart(self, scope: str | None = None) -> alt.TopLevelMixin:
        """Plot the confusion of a criterion or "verdict"; raise SelectorError for an unknown scope."""
        from evalkit import charts

        rows = self.summary.filter(pl.col("group") == "all")
        main = main_row(self.summary)
        name = scope or (main["scope"] if main else "verdict")
        if name not in rows["scope"]:
            raise SelectorError.unknown(name, kind="scope", have=rows["scope"])
        row = rows.filter(pl.col("scope") == name).row(-1, named=True)
        cells = self.confusion.filter((pl.col("scope") == name) & (pl.col("group") == "all"))
        if row["kind"] == "verdict":
            names = {1.0: "pass", 0.0: "fail"}
            cells = cells.with_columns(
                pl.col("reference", "judge").replace_strict(names, return_dtype=pl.String())
            )
        return charts.agreement(
            cells,
            kappa=row["kappa"],
            interval=None if row["kappa_low"] is None else (row["kappa_low"], row["kappa_high"]),
            level=row["level"],
            method=f"{name}: {row['method'].split(',')[0]}",
        )

    def _html_tables(self) -> Iterator[Html]:
        head = (
            "scope",
            "n",
            "exact",
            "within one",
            "bias",
            "kappa",
            "two people",
            "alpha",
            "AC2",
            "Pearson r",
            "reading",
        )
        yield html_table(head, map(_cells, self.summary.iter_rows(named=True)), limit=HTML_ROWS)


def _cells(row: dict[str, Any]) -> list[str | None]:
    def shown(text: Callable[..., str], *names: str) -> list[str | None]:
        return [None if row[name] is None else text(row[name]) for name in names]

    return [
        row["scope"] if row["group"] == "all" else f"{row['scope']} · {row['group']}",
        f"{row['n']} of {plural(row['cases'], 'case')}",
        *shown(partial(percent, digits=0), "exact", "within_one"),
        *(with_interval(row[name], row[f"{name}_low"], row[f"{name}_high"]) for name in ("bias", "kappa")),
        *shown(number, "human_human", "alpha", "ac2", "pearson"),
        row["reading"] + (f": {row['reason']}" if row["reason"] else ""),
    ]


def agreement(
    evals: Evals,
    *,
    reference: str = "human",
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    nominal: str | Sequence[str] = (),
    rule: PassRule | None = None,
    level: float | None = None,
    seed: int = 0,
) -> Agreement:
    """Measure how far a judge agrees with people, with another judge, or with itself.

    Answers rated by both sides are compared, by criterion and by verdict. Every interval is over cases (or declared
    clusters).

    Parameters
    ----------
    evals
        The collection.
    reference
        "human": all human labels (their mean; their majority on a binary criterion); where two people scored and no
        judge, the one against the other. The name of a grader: that judge or that person. "itself": the judge's first
        sample against each later one of the same answer (retest).
    grader, rubric
        The judge, as for `evalkit.grade`.
    by
        Also split by columns of runs or cases: `agent_version`, `model`, `severity`, `tags`, ...
    nominal
        Criteria whose scores are kinds without an order, such as the winner of a pair: 1, 2 or tie. They get kappa,
        alpha and AC1 for nominal scales, and take no part in the verdicts.
    rule
        When an answer passes. If the default rule does not fit the scores, there are no verdicts, with a reason.
    level, seed
        Of the intervals.

    Raises
    ------
    SelectorError
        The grader, reference or nominal criterion is unknown, or several scored the same answers and none is chosen.
    ColumnError
        `by` has an unknown column of runs or cases.
    RuleError
        A rule other than the default does not fit the scores.

    Notes
    -----
    Quadratic weighted kappa over the declared points of the scale (Cohen 1968), Cohen's kappa for pass/fail, binary and
    nominal criteria; ordinal Krippendorff alpha (nominal there); Gwet's AC2 (AC1 there); ICC(A,1); Pearson's r; all with
    a case bootstrap on Fisher's z. Bias: paired t on case means. Sensitivity and specificity: Wilson, widened for several answers a case.
    Means of samples or raters between two points count as the nearest one in everything but the bias.

    Examples
    --------
    >>> import evalkit as ek
    >>> result = ek.agreement(ek.demo.make())
    >>> print(result.sentence)
    demo-judge against the mean of 2 people: not shown reliable on pass/fail. Kappa 0.82 [0.20, 0.97] ...
    >>> result.summary["scope"].to_list()
    ['Ai Platform', 'Batch Api', 'Groq', 'verdict']
    """
    expect(agreement, locals(), judged=True)
    scoring = choose_scoring(evals, rule=rule, grader=grader, rubric=rubric, level=level)
    by = as_names(by)
    if reference == "human" and scoring.grader is None and has_people_alone(evals.judged):
        scoring, reference = _two_people(evals, scoring)
    conflicts = conflicting_outputs(evals.notes)
    if not conflicts.is_empty():
        key = pl.concat_str(pl.col(TRIAL_KEY).cast(pl.String), separator="\x1f")
        evals = evals.filter(~key.is_in(conflicts.select(key).to_series().implode()))
    ratings = pair_ratings(evals, scoring, reference=reference, nominal=as_names(nominal))
    options: dict[str, Any] = {"refused": ratings.refused, "level": scoring.level, "seed": seed}
    scopes = [_ScopeEstimates(scope, **options) for scope in _scopes(ratings, by)]
    summary = pl.DataFrame([scope.summary_row() for scope in scopes], schema=SUMMARY)
    main = main_row(summary)
    warnings = dict.fromkeys(agreement_warnings(ratings, summary, reference, conflicts=conflicts.height))
    return Agreement(
        sentence=agreement_sentence(ratings, summary, reference),
        summary=summary,
        warnings=warnings_frame(warnings),
        notes=(*ratings.notes, *([_ROUNDED] if any(scope.is_rounded for scope in scopes) else [])),
        judge=ratings.judge,
        reference=ratings.reference,
        verdict=main["reading"] if main else "not estimable",
        estimates=pl.DataFrame([row for scope in scopes for row in scope.estimate_rows()], schema=ESTIMATES),
        confusion=pl.DataFrame(
            [row for scope in scopes for row in scope.confusion_rows()], schema=CONFUSION, orient="row"
        ),
        disagreements=find_disagreements(with_rationales(ratings, evals), reference),
        rule=scoring.rule,
        level=scoring.level,
        by=by,
    )


def _two_people(evals: Evals, scoring: Scoring) -> tuple[Scoring, str]:
    """Return the scoring and the reference for people alone: the second against the first of two."""
    people = sorted(str(name) for name in evals.scores.lazy().select("grader").unique().collect()["grader"])
    if len(people) > 2:
        raise SelectorError(
            f"{len(people)} people scored the answers, and no judge.",
            argument="reference",
            choices=people,
            fix=Sentence(
                "Choose two: {one} and {other}.",
                one=Option("grader", people[1]),
                other=Option("reference", people[0]),
            ),
        )
    return (scoring.replace_given(grader=people[1]), people[0]) if len(people) == 2 else (scoring, "human")


_ROUNDED: Final = (
    "Scores that are means of samples or raters count as the nearest point of the scale (halfway scores go down and up "
    "in turn), except for the bias."
)


class _Scope(NamedTuple):
    name: str
    group: str
    kind: str
    pairs: pl.DataFrame
    people: pl.DataFrame
    single: pl.DataFrame


def _scopes(ratings: Ratings, by: tuple[str, ...]) -> Iterator[_Scope]:
    """Yield each criterion and the verdicts, then the same by group."""
    scopes, people = [], (ratings.raters, ratings.single)
    for name, is_criterion in criteria_of(ratings.rows):
        pairs = ratings.pairs.filter(is_criterion)
        kind = next(iter(pairs["kind"].drop_nulls()), "ordinal")
        scopes.append(_Scope(name, "all", kind, pairs, *(frame.filter(is_criterion) for frame in people)))
    people = (ratings.rater_verdicts, ratings.single_verdicts)
    scopes.append(_Scope("verdict", "all", "verdict", ratings.verdicts, *people))
    yield from scopes
    for scope in scopes if by else []:
        for group, rows in split_by(scope.pairs, by)[1:]:
            yield scope._replace(
                group=group, pairs=rows, people=scope.people.clear(), single=scope.single.clear()
            )


class _ScopeEstimates:
    def __init__(self, scope: _Scope, *, refused: str, level: float, seed: int) -> None:
        self.scope, self.level = scope, level
        self.both, labels = (
            frame.drop_nulls(["judge", "reference"]) for frame in (scope.pairs, scope.people)
        )
        options: dict[str, Any] = {"is_verdict": scope.kind == "verdict", "level": level, "seed": seed}
        self.measures, self.points, note, self.is_rounded = estimate_pairs(self.both, **options)
        people = estimate_pairs(labels, unrated="no two people rated the same answer", **options)
        self.measures["human_human"] = people.measures["kappa"]
        single = scope.single.drop_nulls("score").with_columns(answer=pl.struct(ANSWER).rank("dense"))
        self.measures["human_ac"] = estimate_raters(single, people.points, level=level, seed=seed)
        self.raters = single["rater"].n_unique()
        self.n, self.people_n = (
            frame.n_unique(ANSWER) if frame.height else 0 for frame in (self.both, labels)
        )
        self.names = {"scope": scope.name, "group": scope.group}
        self.counts = {"n": self.n, "cases": self.both["unit"].n_unique()}
        kappa = self.measures["kappa"]
        rounding = ", means taken to the nearest point" if self.is_rounded else ""
        self.method = kappa.method + (f", on {note}" if note else "") + rounding
        self.reason = kappa.reason
        if not self.n and scope.kind == "verdict":
            self.reason = refused or "no answer has a verdict of both"

    def summary_row(self) -> dict[str, Any]:
        kappa = self.measures["kappa"]
        row: dict[str, Any] = {**self.names, "kind": self.scope.kind, **self.counts}
        for name, e in self.measures.items():
            row |= {name: e.estimate, f"{name}_low": e.low, f"{name}_high": e.high}
        row |= {
            "human_human_n": self.people_n,
            "human_raters": self.raters,
            "reading": read_kappa(kappa),
            "level": self.level,
        }
        row |= {"method": self.method, "status": kappa.status, "reason": self.reason}
        return {name: row[name] for name in SUMMARY}

    def estimate_rows(self) -> Iterator[dict[str, Any]]:
        for name, e in self.measures.items():
            row = {**self.names, "measure": name, **self.counts, "level": self.level}
            row |= {"n": self.people_n} if name in ("human_human", "human_ac") else {}
            facts = ("estimate", "low", "high", "method", "seed", "status", "reason")
            yield row | {fact: getattr(e, fact) for fact in facts}

    def confusion_rows(self) -> Iterator[tuple[Any, ...]]:
        if self.points is None or not self.n:
            return
        points = {
            side: self.points[nearest_point(self.both[side].to_numpy(), self.points)]
            for side in ("reference", "judge")
        }
        counts = pl.DataFrame(points).group_by("reference", "judge").len().sort("reference", "judge")
        yield from ((*self.names.values(), *cell) for cell in counts.iter_rows())


def find_disagreements(ratings: Ratings, reference: str) -> pl.DataFrame:
    """Return the ratings that differ, as in `Agreement.disagreements`."""
    judge_rows, reference_rows = (
        ratings.rows.filter(pl.col("side") == side) for side in ("judge", "reference")
    )
    pair = pl.lit("")
    if reference == "itself":
        is_first = pl.col("sample") == pl.col("sample").min().over(ITEM)
        judge_rows, reference_rows = judge_rows.filter(~is_first), judge_rows.filter(is_first)
        pair = pl.col("sample").cast(pl.String)
    key = [*ITEM, "pair"]
    flips = ratings.verdicts.filter(pl.col("judge") != pl.col("reference")).select(*ANSWER, "pair").unique()
    width = pl.col("scale_max") - pl.col("scale_min")
    share_of_scale = pl.col("difference").abs() / pl.when(width > 0).then(width).otherwise(1.0).fill_null(1.0)
    return (
        ratings.pairs.with_columns(difference=pl.col("judge") - pl.col("reference"))
        .filter(pl.col("difference").abs() > 1e-9)
        .join(_rationales(judge_rows.with_columns(pair=pair), key, "judge_rationale"), on=key, how="left")
        .join(
            _rationales(reference_rows, ITEM, "reference_rationale").drop("source", "line"),
            on=ITEM,
            how="left",
        )
        .join(flips.with_columns(flips=pl.lit(value=True)), on=[*ANSWER, "pair"], how="left")
        .with_columns(pl.col("flips").fill_null(value=False), _share=share_of_scale)
        .sort(
            *("_share", "flips", "severity", "run", "case", "epoch", "criterion", "pair"),
            descending=[True, True, True, False, False, False, False, False],
            nulls_last=True,
        )
        .select(
            *("run", "case", "epoch", "criterion", pl.col("severity").cast(Severity)),
            *("reference", "judge", "difference", "flips", "reference_rationale", "judge_rationale"),
            *("source", "line"),
        )
    )


def _rationales(rows: pl.DataFrame, key: list[str], name: str) -> pl.DataFrame:
    rater = pl.concat_str([pl.col("grader"), pl.lit(" "), pl.col("sample").cast(pl.String)])
    is_alone = pl.len().over(key) == 1
    named = pl.when(is_alone).then("rationale").otherwise(pl.concat_str([rater, pl.lit(": "), "rationale"]))
    texts = pl.col("_text").drop_nulls().str.join("\n").replace("", None).alias(name)
    grouped = rows.with_columns(_text=named).group_by(key, maintain_order=True)
    return grouped.agg(texts, pl.col("source").first(), pl.col("line").first())
