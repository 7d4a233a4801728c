"""Can this judge be trusted? A judge against people, against another judge, against itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from evalkit.agreement.correct_for_judge import Corrected, correct_for_judge
from evalkit.agreement.estimates import MEASURES, estimate_agreement, nearest_point, scale_points
from evalkit.agreement.finding import Finding, number, reach, warnings_frame
from evalkit.agreement.judge_bias import Forensics, judge_forensics
from evalkit.agreement.ratings import ANSWER, Ratings, pair_ratings, split_by, with_rationales
from evalkit.agreement.sentences import main_row, read_kappa, say
from evalkit.agreement.warnings import find_doubts
from evalkit.data.schema import Severity
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


__all__ = ["Agreement", "Corrected", "Forensics", "agreement", "correct_for_judge", "judge_forensics"]

_ENDS: Final = ("bias", "kappa", "sensitivity", "specificity", "human_human")
_NUMBERS: Final = [
    *("n", "cases"),
    *(
        column
        for name in (*MEASURES, "human_human")
        for column in ((name, f"{name}_low", f"{name}_high") if name in _ENDS else (name,))
    ),
    "human_human_n",
]
_WHOLE: Final = ("n", "cases", "human_human_n")
SUMMARY: Final[dict[str, Any]] = {
    "scope": pl.String(),
    "group": pl.String(),
    "kind": pl.String(),
    **{name: pl.Int64() if name in _WHOLE else pl.Float64() for name in _NUMBERS},
    "reading": pl.String(),
    "level": pl.Float64(),
    "method": pl.String(),
    "status": pl.String(),
    "reason": pl.String(),
}
ESTIMATES: Final[dict[str, Any]] = {
    **{name: pl.String() for name in ("scope", "group", "measure")},
    **{name: pl.Float64() for name in ("estimate", "low", "high")},
    **{name: pl.Int64() for name in ("n", "cases")},
    "method": pl.String(),
    "level": pl.Float64(),
    "seed": pl.Int64(),
    "status": pl.String(),
    "reason": pl.String(),
}


@dataclass(frozen=True, eq=False, repr=False)
class Agreement(Finding):
    """What `agreement` found.

    Attributes
    ----------
    judge, reference
        What the two sides are called.
    verdict
        The reading of the verdicts' kappa (of the weakest criterion's, where there are no verdicts): "reliable" (the
        interval's lower end is .80 or more), "tentative" (.667 or more), "not shown reliable", "not reliable" (its
        upper end is below .667), "no disagreement seen", or "not estimable".
    sentence
        The reading in words, with its numbers and what people reach among themselves.
    summary
        polars frame, a row for each criterion, then one for the verdicts (and again for each group of `by`): `scope`,
        `group`, `kind` (ordinal, binary, continuous, verdict), `n` (answers rated by both), `cases`, `exact` and
        `within_one` (shares), `bias` (judge minus reference, in the scores' units) with `bias_low`, `bias_high`,
        `kappa`, `kappa_low`, `kappa_high`, `alpha`, `ac2`, `icc`, `tau_b`, `spearman`, and for pass/fail `sensitivity`
        and `specificity` with their ends; `human_human` (the same kappa between two people) with its ends and
        `human_human_n`; `reading`, `level`, `method` (of kappa), `status`, `reason`.
    estimates
        polars frame, a row for each scope, group and measure: `estimate`, `low`, `high`, `n`, `cases`, `method`,
        `level`, `seed`, `status`, `reason`.
    confusion
        polars frame `scope`, `group`, `reference`, `judge` (points of the scale; verdict: 1 pass, 0 fail), `count`.
    disagreements
        polars frame, the worst first: `run`, `case`, `epoch`, `criterion`, `severity`, `reference`, `judge`,
        `difference`, `flips` (the verdicts differ too), `reference_rationale`, `judge_rationale`, `source`, `line`.
    warnings
        polars frame `id`, `scope`, `text`.
    rule, level, by
        What was asked.
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

    def to_frame(self) -> pl.DataFrame:
        """Return `estimates`: every number with its interval, method and n."""
        return self.estimates

    def explain(self) -> str:
        """Return a paragraph for somebody who does not read tables."""
        from evalkit.agreement.sentences import explain

        return explain(self)

    def chart(self, scope: str | None = None) -> alt.TopLevelMixin:
        """Draw which scores met which, for a criterion or "verdict"; see `evalkit.charts.agreement`.

        Raises
        ------
        SelectorError
            Nothing was compared under that name.
        """
        from evalkit import charts

        whole = self.summary.filter(pl.col("group") == "all")
        main = main_row(self.summary)
        name = scope or (main["scope"] if main else "verdict")
        found = whole.filter(pl.col("scope") == name)
        if found.is_empty():
            raise SelectorError.unknown(name, kind="scope", have=whole["scope"])
        row = found.row(-1, named=True)
        cells = self.confusion.filter((pl.col("scope") == name) & (pl.col("group") == "all"))
        if row["kind"] == "verdict":
            words = {1.0: "pass", 0.0: "fail"}
            cells = cells.with_columns(
                pl.col("reference", "judge").replace_strict(words, return_dtype=pl.String())
            )
        interval = None if row["kappa_low"] is None else (row["kappa_low"], row["kappa_high"])
        options: dict[str, Any] = {"kappa": row["kappa"], "interval": interval, "level": row["level"]}
        return charts.agreement(cells, method=f"{name}: {row['method'].split(',')[0]}", **options)

    def _cells(self) -> tuple[Sequence[str], list[list[str]]]:
        heads = [
            "scope",
            "n",
            "exact",
            "within one",
            "bias",
            "kappa",
            "people among themselves",
            "alpha",
            "AC2",
            "reading",
        ]
        rows = [
            [
                row["scope"] if row["group"] == "all" else f"{row['scope']} · {row['group']}",
                f"{row['n']} of {plural(row['cases'], 'case')}",
                *("" if row[share] is None else f"{row[share]:.0%}" for share in ("exact", "within_one")),
                *(reach(row[m], row[f"{m}_low"], row[f"{m}_high"]) for m in ("bias", "kappa")),
                number(row["human_human"]),
                number(row["alpha"]),
                number(row["ac2"]),
                row["reading"] + (f": {row['reason']}" if row["reason"] else ""),
            ]
            for row in self.summary.iter_rows(named=True)
        ]
        return heads, rows


def agreement(
    evals: Evals,
    *,
    reference: str = "human",
    grader: str | Sequence[str] | None = None,
    rubric: str | Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    rule: PassRule = DEFAULT_RULE,
    level: float = 0.95,
    seed: int = 0,
) -> Agreement:
    """Say how far a judge agrees with people, with another judge, or with itself.

    Answers that both sides have rated are compared, criterion by criterion and in their verdict. Several answers of a
    case are not independent: every interval is over cases (or declared clusters).

    Parameters
    ----------
    evals
        The collection.
    reference
        "human": everybody who labelled (their mean; their majority on a binary criterion). The name of a grader: that
        judge or that person. "itself": the judge's first sample against each later one of the same answer (retest).
    grader, rubric
        Which judge, as for `evalkit.grade`.
    by
        Also split by columns of runs or cases: `agent_version`, `model`, `severity`, `tags`, ...
    rule
        When an answer passes. Where the default does not fit the scores, there are no verdicts, and the reason says so.
    level, seed
        Of the intervals.

    Returns
    -------
    Agreement

    Raises
    ------
    SelectorError
        There is no such grader or reference; or several judged the same and nothing says which counts.
    ColumnError
        `by` names no column of runs or cases.
    RuleError
        A rule other than the default does not fit the scores.

    Notes
    -----
    Quadratic weighted kappa over the declared points of the scale (Cohen 1968), Cohen's kappa for pass/fail and binary
    criteria; ordinal Krippendorff alpha; Gwet's AC2 (AC1 for two points); ICC(A,1); all with a case bootstrap on
    Fisher's z. Bias: paired t on case means. Sensitivity and specificity: Wilson, widened for several answers a case.
    Means of samples or raters between two points count as the nearest one in everything but the bias.

    Examples
    --------
    >>> import evalkit as ek
    >>> found = ek.agreement(ek.demo.make())
    >>> print(found.sentence)
    demo-judge against the mean of 2 people: not shown reliable on pass/fail. Kappa 0.82 [0.20, 0.97] ...
    >>> found.summary["scope"].to_list()
    ['Ai Platform', 'Batch Api', 'Groq', 'verdict']
    """
    expect(agreement, locals())
    columns = (by,) if isinstance(by, str) else tuple(by or ())
    ratings = pair_ratings(evals, reference=reference, grader=grader, rubric=rubric, rule=rule)
    scopes = [*_criterion_scopes(ratings), ("verdict", "verdict", ratings.verdicts, ratings.rater_verdicts)]
    summary, estimates, confusion, notes = [], [], [], list(ratings.notes)
    for group_at in range(1 + bool(columns)):
        for scope, kind, pairs, raters in scopes:
            for group, part in split_by(pairs, columns if group_at else ())[group_at:]:
                row, measures, cells, note = _estimate(
                    (scope, group, kind),
                    part,
                    raters if group == "all" else raters.clear(),
                    ratings,
                    level,
                    seed,
                )
                summary.append(row)
                estimates += measures
                confusion += cells
                notes += [note] if note else []
    table = pl.DataFrame(summary, schema=SUMMARY)
    main = main_row(table)
    return Agreement(
        sentence=say(ratings, table, main, reference),
        summary=table,
        warnings=warnings_frame(list(find_doubts(ratings, table, reference))),
        notes=tuple(dict.fromkeys(notes)),
        judge=ratings.judge,
        reference=ratings.reference,
        verdict=main["reading"] if main else "not estimable",
        estimates=pl.DataFrame(estimates, schema=ESTIMATES),
        confusion=pl.DataFrame(
            confusion,
            schema={
                "scope": pl.String(),
                "group": pl.String(),
                "reference": pl.Float64(),
                "judge": pl.Float64(),
                "count": pl.Int64(),
            },
            orient="row",
        ),
        disagreements=find_disagreements(with_rationales(ratings, evals), reference),
        rule=rule,
        level=level,
        by=columns,
    )


def _criterion_scopes(ratings: Ratings) -> list[tuple[str, str, pl.DataFrame, pl.DataFrame]]:
    """Return each criterion that anybody rated; two suites may have different ones of the same name."""
    known = ratings.rows.select("suite", "criterion").unique()
    several = known["suite"].n_unique() > 1
    scopes = []
    for suite, name in sorted(known.iter_rows(), key=natural_key):
        mine = (pl.col("suite") == suite) & (pl.col("criterion") == name)
        pairs = ratings.pairs.filter(mine)
        kind = pairs["kind"].drop_nulls()
        label = f"{suite} · {name}" if several else name
        scopes.append((label, kind[0] if len(kind) else "ordinal", pairs, ratings.raters.filter(mine)))
    return scopes


def _estimate(
    names: tuple[str, str, str],
    part: pl.DataFrame,
    raters: pl.DataFrame,
    ratings: Ratings,
    level: float,
    seed: int,
) -> tuple[dict[str, Any], list[dict[str, Any]], list[tuple[Any, ...]], str]:
    scope, group, kind = names
    both = part.filter(pl.col("judge").is_not_null() & pl.col("reference").is_not_null())
    points, why, fine = (np.array([0.0, 1.0]), "", "") if kind == "verdict" else scale_points(both)
    judge, reference, units = (both[name].to_numpy() for name in ("judge", "reference", "unit"))
    made, rounded = estimate_agreement(
        judge, reference, units, points=points, why=why, level=level, seed=seed
    )
    made["human_human"], people = _ceiling(raters, kind, level, seed)
    n, cases = both.select(ANSWER).n_unique() if both.height else 0, both["unit"].n_unique()
    kappa = made["kappa"]
    method = kappa.method + (f", on {fine}" if fine else "")
    note = ""
    if rounded:
        method += ", means taken to the nearest point"
        note = "Scores that are means of samples or raters were taken to the nearest point of the scale (halfway ones down and up in turn), except for the bias."
    reason = kappa.reason
    if not n and kind == "verdict":
        reason = ratings.refused or "no answer has a verdict of both"
    row: dict[str, Any] = {"scope": scope, "group": group, "kind": kind, "n": n, "cases": cases}
    for name, e in made.items():
        row[name] = e.estimate
        row |= {f"{name}_low": e.low, f"{name}_high": e.high}
    row |= {"human_human_n": people, "reading": read_kappa(kappa), "level": level, "method": method}
    row |= {"status": kappa.status, "reason": reason}
    measures = [
        {
            "scope": scope,
            "group": group,
            "measure": name,
            "estimate": e.estimate,
            "low": e.low,
            "high": e.high,
            "n": people if name == "human_human" else n,
            "cases": cases,
            "method": e.method,
            "level": level,
            "seed": e.seed,
            "status": e.status,
            "reason": e.reason,
        }
        for name, e in made.items()
    ]
    cells: list[tuple[Any, ...]] = []
    if points is not None and n:
        seen = pl.DataFrame(
            {s: points[nearest_point(v, points)] for s, v in (("r", reference), ("j", judge))}
        )
        cells = [(scope, group, *cell) for cell in seen.group_by("r", "j").len().sort("r", "j").iter_rows()]
    return {name: row.get(name) for name in SUMMARY}, measures, cells, note


def _ceiling(raters: pl.DataFrame, kind: str, level: float, seed: int) -> tuple[Estimate, int]:
    """Return the same kappa between every two people who rated the same answer."""
    both = raters.filter(pl.col("judge").is_not_null() & pl.col("reference").is_not_null())
    points = np.array([0.0, 1.0]) if kind == "verdict" else scale_points(both)[0]
    judge, reference, units = (both[name].to_numpy() for name in ("judge", "reference", "unit"))
    why = "no two people rated the same answer"
    made, _ = estimate_agreement(judge, reference, units, points=points, why=why, level=level, seed=seed)
    return made["kappa"], both.select(ANSWER).n_unique() if both.height else 0


def __dir__() -> list[str]:
    return __all__


def find_disagreements(ratings: Ratings, reference: str) -> pl.DataFrame:
    """Return the ratings that differ; see `evalkit.agreement.agreement.Agreement`."""
    item = [*ANSWER, "criterion"]
    retest = reference == "itself"
    told = ratings.rows.filter(pl.col("side") == "judge")
    truth = ratings.rows.filter(pl.col("side") == "reference")
    if retest:
        first = pl.col("sample") == pl.col("sample").min().over(item)
        told, truth = told.filter(~first), told.filter(first)
    if retest:
        told = told.with_columns(pair=pl.col("sample").cast(pl.String))
    else:
        told = told.with_columns(pair=pl.lit(""))
    flips = (
        ratings.verdicts.filter(pl.col("judge") != pl.col("reference")).select(*ANSWER, "pair").unique()
    ).with_columns(flips=pl.lit(value=True))
    wide = pl.col("scale_max") - pl.col("scale_min")
    gap = pl.col("difference").abs() / pl.when(wide > 0).then(wide).otherwise(1.0).fill_null(1.0)
    return (
        ratings.pairs.with_columns(difference=pl.col("judge") - pl.col("reference"))
        .filter(pl.col("difference").abs() > 1e-9)
        .join(_texts(told, [*item, "pair"], "judge_rationale"), on=[*item, "pair"], how="left")
        .join(_texts(truth, item, "reference_rationale").drop("source", "line"), on=item, how="left")
        .join(flips, on=[*ANSWER, "pair"], how="left")
        .with_columns(pl.col("flips").fill_null(value=False), _gap=gap)
        .sort(
            *("_gap", "flips", "severity", "run", "case", "epoch", "criterion", "pair"),
            descending=[True, True, True, False, False, False, False, False],
            nulls_last=True,
        )
        .select(
            *("run", "case", "epoch", "criterion", pl.col("severity").cast(Severity)),
            *("reference", "judge", "difference", "flips", "reference_rationale", "judge_rationale"),
            *("source", "line"),
        )
    )


def _texts(rows: pl.DataFrame, key: list[str], name: str) -> pl.DataFrame:
    """Return each rating's rationale and where it stands; those of several samples or raters under their names."""
    who = pl.concat_str([pl.col("grader"), pl.lit(" "), pl.col("sample").cast(pl.String)])
    alone = pl.len().over(key) == 1
    said = pl.when(alone).then("rationale").otherwise(pl.concat_str([who, pl.lit(": "), "rationale"]))
    return (
        rows.with_columns(_said=said)
        .group_by(key, maintain_order=True)
        .agg(
            pl.col("_said").drop_nulls().str.join("\n").replace("", None).alias(name),
            pl.col("source").first(),
            pl.col("line").first(),
        )
    )
