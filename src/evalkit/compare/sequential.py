"""Looking while the runs come in: the evidence after each of them, and what may be said of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

from evalkit import stats
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from evalkit.data.evals import Evals

LOOKS: Final[dict[str, Any]] = {
    "candidate": pl.String(),
    "look": pl.Int64(),
    "n": pl.Int64(),
    "up": pl.Int64(),
    "down": pl.Int64(),
    "e_value": pl.Float64(),
    "p_value": pl.Float64(),
    "stop": pl.Boolean(),
}


def find_looks(
    evals: Evals, graded: pl.DataFrame, sides: dict[str, list[str]], *, alpha: float
) -> pl.DataFrame:
    """Return the e-value of each candidate after each of its runs, in the order they were started."""
    first, *others = sides
    begun = evals.runs.select(pl.col("run").cast(pl.String), "started_at")
    trials = (
        graded.filter(pl.col("verdict") != "unscored")
        .with_columns(pl.col("run", "model", "agent").cast(pl.String).fill_null(""))
        .join(begun, on="run", how="left", maintain_order="left")
        .sort("started_at", "run", "epoch", nulls_last=True, maintain_order=True)
    )
    rows: list[tuple[Any, ...]] = []
    for name in others:
        old, new = (trials.filter(pl.col("run").is_in(sides[side])) for side in (first, name))
        keys = ["suite", "case"]
        keys += [c for c in ("agent", "model") if set(old[c]) & set(new[c])]
        attempt = pl.int_range(pl.len()).over(keys).alias("attempt")
        old, new = (
            side.select(*keys, attempt, "started_at", (pl.col("verdict") == "pass").alias("passed"))
            for side in (old, new)
        )
        pairs = new.join(old, on=[*keys, "attempt"], suffix="_old", maintain_order="left")
        both = pl.max_horizontal("started_at", "started_at_old")
        known = pairs["started_at"].null_count() + pairs["started_at_old"].null_count() == 0
        # Without times nobody knows how often it was looked at: all of it is one look.
        look = both.rank("dense").cast(pl.Int64) if known else pl.lit(1, dtype=pl.Int64)
        flips = pairs.select(
            look=look, flip=pl.col("passed").cast(pl.Int64) - pl.col("passed_old").cast(pl.Int64)
        ).sort("look", maintain_order=True)
        path = stats.e_path(flips["flip"].to_numpy())
        smallest = 1.0
        for (number,), part in flips.with_row_index("at").partition_by("look", as_dict=True).items():
            upto = flips.head(int(part["at"][-1]) + 1)["flip"]
            value = float(path[part["at"][-1]])
            smallest = min(smallest, 1 / value)
            up, down = int((upto > 0).sum()), int((upto < 0).sum())
            rows.append((name, number, len(upto), up, down, value, smallest, smallest <= alpha + 1e-12))
    return pl.DataFrame(rows, schema=LOOKS, orient="row")


def by_evidence(row: dict[str, Any], looks: pl.DataFrame) -> dict[str, Any]:
    """Let the e-values decide what a row says: the first look at which they were strong enough."""
    if row["metric"] != "pass_rate" or looks.is_empty():
        reason = "no verdict while it runs: e-values are for pass rates"
        return {
            **row,
            "verdict": "inconclusive",
            "p_value": None,
            "p_adjusted": None,
            "reason": row["reason"] or reason,
        }
    p = float(looks["p_value"][-1])
    stopped = looks.filter("stop")
    verdict = "inconclusive"
    if stopped.height:
        verdict = "improved" if stopped["up"][0] > stopped["down"][0] else "regressed"
    return {
        **row,
        "p_value": p,
        "p_adjusted": p,
        "verdict": verdict,
        "method": f"{row['method']}, e-value",
    }


def warn_of_looks(
    evals: Evals,
    sides: dict[str, list[str]],
    seen: pl.DataFrame,
    *,
    sequential: bool,
    looks: int | None,
    level: float,
) -> list[tuple[str, str, str]]:
    """W09: how often the same pair was, or may have been, tested."""
    if sequential:
        if seen.is_empty():
            return [
                ("W09", "overall", "No pair of trials was scored on both sides: there is no evidence yet.")
            ]
        most = int(seen["look"].max())  # type: ignore[arg-type]
        text = f"{plural(most, 'look')} so far. Verdicts on pass rates rest on e-values, which hold however often one looks (20 or more decides a single pair); the intervals hold for one look only."
        if evals.runs["started_at"].null_count():
            text += " Runs without started_at cannot be put in order: all of them are one look."
        return [("W09", "overall", text + ' What is tested is "the same on these cases".')]
    if looks:
        text = f"{plural(looks, 'look was', plural='looks were')} planned, so each is made at a level of {level:.1%} (Pocock)."
        return [("W09", "overall", text)]
    again = []
    for name, runs in list(sides.items())[1:]:
        mine = evals.runs.filter(pl.col("run").cast(pl.String).is_in(runs))
        most = max(mine.group_by("suite", "agent", "model").len()["len"].to_list())
        if most > 1:
            again.append((name, most))
    if not again:
        return []
    names = join_words([f"{name} ({most} runs)" for name, most in again])
    text = f"Runs were added again: {names}. If each was looked at before the next was started, a false alarm is likelier than the level says; use sequential=True, or looks= when they were planned."
    return [("W09", "overall", text)]
