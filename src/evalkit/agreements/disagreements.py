"""Where a judge and its reference differ, the widest gap first, with what each of them said."""

from __future__ import annotations

import polars as pl

from evalkit.agreements.ratings import ANSWER, Ratings
from evalkit.schema import Severity


def find_disagreements(ratings: Ratings, reference: str) -> pl.DataFrame:
    """Return the ratings that differ; see `evalkit.agreements.Agreement`."""
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
