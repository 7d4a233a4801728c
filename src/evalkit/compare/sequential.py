"""Test sequentially: the evidence after each look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit import stats
from evalkit.compare.pairs import shared_columns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from evalkit.compare.estimates import Row
    from evalkit.data.evals import Evals

LOOKS: Final[dict[str, Any]] = {
    "candidate": pl.String(),
    **dict.fromkeys(("look", "n", "up", "down"), pl.Int64()),
    **dict.fromkeys(("e_value", "p_value"), pl.Float64()),
    "stop": pl.Boolean(),
}


def find_looks(
    evals: Evals, graded: pl.DataFrame, sides: Mapping[str, list[str]], *, alpha: float
) -> pl.DataFrame:
    """Return each candidate's e-value after each of its runs."""
    first, *others = sides
    started = evals.runs.select(pl.col("run").cast(pl.String), "started_at")
    trials = (
        graded.filter(pl.col("verdict") != "unscored")
        .with_columns(pl.col("run", "model", "agent").cast(pl.String).fill_null(""))
        .join(started, on="run", how="left", maintain_order="left")
        .sort("started_at", "run", "epoch", nulls_last=True, maintain_order=True)
    )
    rows: list[tuple[Any, ...]] = []
    for name in others:
        both = [trials.filter(pl.col("run").is_in(sides[side])) for side in (first, name)]
        flips = _flips(*both)
        path = stats.e_path(flips["flip"].to_numpy())
        p_value = 1.0
        # The last pair of each look.
        ends = flips.with_row_index("at").group_by("look", maintain_order=True).agg(pl.col("at").last())
        for look, at in ends.iter_rows():
            so_far, e_value = flips["flip"].head(at + 1), float(path[at])
            p_value = min(p_value, 1 / e_value)
            up, down = int((so_far > 0).sum()), int((so_far < 0).sum())
            rows.append((name, look, len(so_far), up, down, e_value, p_value, p_value <= alpha + 1e-12))
    return pl.DataFrame(rows, schema=LOOKS, orient="row")


def _flips(old: pl.DataFrame, new: pl.DataFrame) -> pl.DataFrame:
    """Pair the trials of two sides in order; return `look` and `flip` (1 up, 0, -1 down)."""
    keys = ["suite", "case", *shared_columns((old, new), ("agent", "model"))]
    attempt = pl.int_range(pl.len()).over(keys).alias("attempt")
    passed = (pl.col("verdict") == "pass").cast(pl.Int64).alias("passed")
    old, new = (side.select(*keys, attempt, "started_at", passed) for side in (old, new))
    pairs = new.join(old, on=[*keys, "attempt"], suffix="_old", maintain_order="left")
    is_timed = pairs["started_at"].null_count() + pairs["started_at_old"].null_count() == 0
    # Without times the number of looks is unknown: all pairs are one look.
    complete = pl.max_horizontal("started_at", "started_at_old").rank("dense").cast(pl.Int64)
    look = complete if is_timed else pl.lit(1, dtype=pl.Int64)
    flips = pairs.select(look=look, flip=pl.col("passed") - pl.col("passed_old"))
    return flips.sort("look", maintain_order=True)


def apply_evidence(row: Row, looks: pl.DataFrame) -> Row:
    """Decide a row by the e-values."""
    if row["metric"] != "pass_rate" or looks.is_empty():
        reason = row["reason"] or "no verdict while runs come in: e-values are for pass rates"
        return {**row, "evidence": "inconclusive", "p_value": None, "reason": reason}
    evidence, decided = "inconclusive", looks.filter("stop")
    if decided.height:
        evidence = "improved" if decided["up"][0] > decided["down"][0] else "regressed"
    method = f"{row['method']}, e-value"
    return {
        **row,
        "evidence": evidence,
        "p_value": float(looks["p_value"][-1]),
        "method": method,
        "margin": None,
        "decidable": True,
    }
