"""Measure the statistics against their peers in the same run: ratios, medians of interleaved repetitions.

python benchmarks/stats.py           # all of it: the ten million rows take about 3 GB of memory
python benchmarks/stats.py --small   # a tenth of the rows, two repetitions
"""

from __future__ import annotations

import sys
import time
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.stats import bootstrap

import evalkit as ek
from evalkit import stats
from evalkit.stats.bootstrap import resampled_counts, sum_counted

if TYPE_CHECKING:
    from collections.abc import Callable

CRITERIA = ("accuracy", "helpfulness", "safety", "style", "tools")


def race(runners: dict[str, Callable[[], object]], *, times: int) -> dict[str, float]:
    """Run each in turn, `times` rounds after a warm one; return the medians in seconds."""
    for run in runners.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in runners}
    for _ in range(times):
        for name, run in runners.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    return {name: median(values) for name, values in seconds.items()}


def race_bootstrap(times: int) -> float:
    """10,000 resamples of 1,000 cases x 5 criteria x 6 versions: the resampling of ranks and agreement against scipy."""
    table = np.random.default_rng(1).integers(1, 6, (1000, 30)).astype(float)

    def ours() -> np.ndarray:
        blocks = resampled_counts(len(table), resamples=10_000)
        means = np.concatenate([sum_counted(counts, table) for counts in blocks]) / len(table)
        return np.quantile(means, [0.025, 0.975], axis=0).T

    def theirs() -> object:
        return bootstrap(
            (table,),
            np.mean,
            axis=0,
            n_resamples=10_000,
            method="percentile",
            vectorized=True,
            batch=100,
            rng=1,
        )

    interval = bootstrap(
        (table,), np.mean, axis=0, n_resamples=2000, method="percentile", vectorized=True, batch=100, rng=1
    ).confidence_interval
    assert np.allclose(ours(), np.stack(interval, axis=1), atol=0.02)
    found = race({"ours": ours, "scipy": theirs}, times=times)
    ratio = found["scipy"] / found["ours"]
    print(
        f"bootstrap: ours {found['ours']:.2f} s, scipy {found['scipy']:.2f} s: {ratio:.1f} times faster (4 asked)"
    )
    return ratio


def make_evals(cases: int, epochs: int = 10) -> ek.Evals:
    """Make two versions of scores in memory: cases x epochs x 5 criteria x 2."""
    rng = np.random.default_rng(2)
    runs, q = ("v1", "v2"), len(CRITERIA)
    rows = 2 * cases * epochs * q
    names = pl.Series([f"c{at:06}" for at in range(cases)]).cast(pl.Categorical)
    each = epochs * q
    index = np.tile(np.repeat(np.arange(cases, dtype=np.uint32), each), 2)
    base = np.repeat(rng.normal(4.2, 0.6, cases), each)
    noise = rng.normal(0, 0.6, rows)
    scores = pl.DataFrame(
        {
            "run": pl.Series(np.repeat([0, 1], cases * each)).replace_strict(
                {0: runs[0], 1: runs[1]}, return_dtype=pl.Categorical
            ),
            "case": names.gather(index),
            "epoch": pl.Series(np.tile(np.repeat(np.arange(1, epochs + 1, dtype=np.int32), q), 2 * cases)),
            "criterion": pl.Series(CRITERIA).cast(pl.Categorical).gather(np.tile(np.arange(q), rows // q)),
            "grader_kind": pl.Series(["judge"])
            .cast(ek.schema.SCORES.schema["grader_kind"])
            .new_from_index(0, rows),
            "score": np.clip(np.rint(np.tile(base, 2) + noise), 1, 5),
        }
    )
    return ek.Evals(
        cases=ek.schema.CASES.check(pl.DataFrame({"suite": "s", "case": names.cast(pl.String)})),
        criteria=ek.schema.CRITERIA.check(
            pl.DataFrame(
                {"suite": "s", "criterion": CRITERIA, "scale_min": 1.0, "scale_max": 5.0, "kind": "ordinal"}
            )
        ),
        runs=ek.schema.RUNS.check(pl.DataFrame({"run": runs, "suite": "s", "agent_version": runs})),
        trials=ek.schema.TRIALS.empty(),
        turns=ek.schema.TURNS.empty(),
        # The rows are unique by construction; what checking ten million costs is loading's affair.
        scores=fill(ek.schema.SCORES, scores),
    )


def fill(table: ek.schema.Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Return the frame with every column of the table."""
    return table.complete(frame).cast(dict(table.schema))


def enum_keyed(scores: pl.DataFrame) -> pl.DataFrame:
    """Return what the bare group-by reads: keys as Enums, the score."""
    keys = {c: pl.Enum(scores[c].cast(pl.String).unique().sort()) for c in ("run", "case", "criterion")}
    return scores.select(*(pl.col(c).cast(pl.String).cast(t) for c, t in keys.items()), "epoch", "score")


def group_by(frame: pl.DataFrame) -> pl.DataFrame:
    """Reduce scores to a verdict a trial and a pass rate a case and run, with nothing but polars."""
    trials = (
        frame.lazy()
        .group_by("run", "case", "epoch")
        .agg(pl.col("score").sum().alias("sum"), pl.col("score").min().alias("min"), pl.len())
        .with_columns(passed=(pl.col("sum") >= 4 * pl.col("len") - 1e-9) & (pl.col("min") >= 3 - 1e-9))
    )
    return (
        trials.group_by("run", "case")
        .agg(pl.col("passed").mean())
        .group_by("run")
        .agg(pl.col("passed").mean())
        .collect()
    )


def race_compare(times: int, cases: int) -> float:
    """`compare` on cases x 10 epochs x 5 criteria x 2 versions against the bare group-by of the same rows."""
    evals = make_evals(cases)
    bare = enum_keyed(evals.scores)

    def ours() -> object:
        return ek.compare(evals, baseline="v1", candidate="v2")

    rates = dict(group_by(bare).iter_rows())
    row = ek.compare(evals, baseline="v1", candidate="v2").summary.row(0, named=True)
    assert abs(row["baseline"] - rates["v1"]) < 1e-9
    assert abs(row["candidate"] - rates["v2"]) < 1e-9
    found = race({"ours": ours, "bare": lambda: group_by(bare)}, times=times)
    ratio = found["ours"] / found["bare"]
    print(
        f"compare, {evals.scores.height:,} rows: {found['ours']:.2f} s, bare group-by {found['bare']:.2f} s: {ratio:.2f} times (1.5 allowed)"
    )
    return ratio


def race_permutation(times: int) -> float:
    """Time the sign-flip test on 15 pairs: it counts all 2^15 patterns."""
    d = np.random.default_rng(3).normal(size=15)
    slowest = race({"ours": lambda: stats.sign_flip(d)}, times=max(20, times))["ours"] * 1000
    print(f"permutation of 15 pairs: {slowest:.2f} ms (50 allowed)")
    return slowest


def main(small: bool) -> int:
    times = 2 if small else 5
    kept = [
        race_bootstrap(times) >= 4,
        race_permutation(times) < 50,
        race_compare(times, 10_000 if small else 100_000) <= 1.5,
    ]
    print("Every promise is kept." if all(kept) else "Not every promise is kept.")
    return 0 if all(kept) else 1


if __name__ == "__main__":
    sys.exit(main("--small" in sys.argv))
