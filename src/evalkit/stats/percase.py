"""Test of one case with several runs under two versions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from evalkit.stats.basics import Floats, check_counts, log_choose
from evalkit.stats.multiplicity import holm

if TYPE_CHECKING:
    from collections.abc import Iterable

LEAST_RUNS = 4  # per version: with fewer no flip reaches .05


def boschloo(passes_new: int, k_new: int, passes_old: int, k_old: int) -> float:
    """Test whether one case changed, with Boschloo's exact two-sided test.

    Return twice the smaller one-sided p, at most 1, as scipy does; 1 if a version has no runs. Use from K = 4
    runs per version; over many cases adjust the p-values. Boschloo (1970) Stat Neerl 24:1-35.

    Parameters
    ----------
    passes_new, k_new, passes_old, k_old
        Passed runs and runs of the case under each version.

    Examples
    --------
    >>> round(boschloo(0, 5, 5, 5), 4), round(boschloo(1, 5, 5, 5), 3)
    (0.002, 0.021)
    """
    check_counts(passes_new, k_new)
    check_counts(passes_old, k_old)
    if k_new == 0 or k_old == 0:
        return 1.0
    new, old = np.meshgrid(np.arange(k_new + 1), np.arange(k_old + 1), indexing="ij")
    lower = _one_sided_fisher(k_new, k_old)
    ways = log_choose(k_new, new) + log_choose(k_old, old)
    p_values = []
    for statistic in (lower, lower[::-1, ::-1]):
        extreme = statistic <= statistic[passes_new, passes_old] * (1 + 1e-7) + 1e-13
        p_values.append(_largest_chance(ways[extreme], (new + old)[extreme], k_new + k_old))
    return min(1.0, 2 * min(p_values))


def flip_p_values(counts: Iterable[tuple[int, int, int, int]]) -> list[float | None]:
    """Return for each case the p of `boschloo`, adjusted by Holm's method over all cases of 4 runs or more per version.

    The flipped cases are the worst of many: pass every compared case, not only those. None below 4 runs.

    Parameters
    ----------
    counts
        (passes_new, k_new, passes_old, k_old) of each case.

    Examples
    --------
    >>> [p and round(p, 3) for p in flip_p_values([(0, 5, 5, 5), (5, 5, 5, 5), (0, 1, 1, 1)])]
    [0.004, 1.0, None]
    """
    rows = list(counts)
    tested = {row: boschloo(*row) for row in set(rows) if min(row[1], row[3]) >= LEAST_RUNS}
    return holm([tested.get(row) for row in rows])


def _largest_chance(log_ways: Floats, passes: Floats, runs: int) -> float:
    """Return the largest probability of a set of tables over the common pass probability."""

    def chance(p: Floats) -> Floats:
        terms = log_ways[:, None] + passes[:, None] * np.log(p) + (runs - passes)[:, None] * np.log1p(-p)
        return np.asarray(np.exp(terms).sum(axis=0), dtype=np.float64)

    grid = np.linspace(0, 1, 257)[1:-1]
    for _ in range(4):
        values = chance(grid)
        best = int(np.argmax(values))
        step = grid[1] - grid[0]
        grid = np.clip(np.linspace(grid[best] - step, grid[best] + step, 65), 1e-12, 1 - 1e-12)
    # A table set with all-fail (all-pass) has probability 1 at p = 0 (1).
    edge = 1.0 if np.any(passes == 0) or np.any(passes == runs) else 0.0
    return max(edge, float(np.max(chance(grid))))


@lru_cache(maxsize=16)
def _one_sided_fisher(k_new: int, k_old: int) -> Floats:
    """Return P(X <= x) given the margin, as a (k_new+1, k_old+1) array."""
    p_values = np.ones((k_new + 1, k_old + 1))
    for total in range(k_new + k_old + 1):
        tables = np.arange(max(0, total - k_old), min(k_new, total) + 1)
        log = log_choose(k_new, tables) + log_choose(k_old, total - tables)
        chances = np.exp(log - log_choose(k_new + k_old, np.asarray(total)))
        p_values[tables, total - tables] = np.cumsum(chances)
    return p_values
