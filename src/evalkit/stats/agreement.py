"""Agreement of two raters from tables of their ratings: `table[i, j]` counts items rated i and j.

`disagreement` of `disagreement_weights` is the scale: "nominal" for kinds without an order (unweighted kappa, AC1).
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from evalkit.stats.bootstrap import RESAMPLES, fisher_z_interval, resampled_counts, sum_counted
from evalkit.stats.estimates import not_estimable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from evalkit.stats.basics import ArrayLike, Floats
    from evalkit.stats.estimates import Estimate

Weights = Literal["nominal", "linear", "quadratic"]
BLOCK = 2_000_000  # cells of tables held at once


def resampled_tables(
    judge: np.ndarray,
    reference: np.ndarray,
    q: int,
    *,
    units: np.ndarray | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Iterator[Floats]:
    """Yield stacks of tables: that of the data, then those of resampled units.

    Ratings are integers from 0 to q - 1. `units` has the unit of each item from 0; by default each item is a
    unit.
    """
    units = np.arange(judge.size) if units is None else units
    cells, cell_of = np.unique(reference * q + judge, return_inverse=True)
    member = np.zeros((int(units.max()) + 1, cells.size))
    np.add.at(member, (units, cell_of), 1.0)

    def tables(rows: Floats) -> Floats:
        stack = np.zeros((rows.shape[0], q * q))
        stack[:, cells] = rows
        return stack.reshape(-1, q, q)

    yield tables(member.sum(axis=0)[None])
    for counts in resampled_counts(member.shape[0], resamples=resamples, seed=seed):
        rows = sum_counted(counts, member)
        for part in np.array_split(rows, max(1, rows.shape[0] * q * q // BLOCK)):
            yield tables(part)


def disagreement_weights(labels: ArrayLike, weights: Weights = "quadratic") -> Floats:
    """Return the disagreement of each pair of ratings: 0/1, distance or squared distance.

    Examples
    --------
    >>> disagreement_weights([1, 2, 5], "linear").tolist()
    [[0.0, 1.0, 4.0], [1.0, 0.0, 3.0], [4.0, 3.0, 0.0]]
    """
    scale = np.asarray(labels, dtype=float)
    gap = np.abs(scale[:, None] - scale[None, :])
    return np.where(gap > 0, 1.0, 0.0) if weights == "nominal" else gap if weights == "linear" else gap**2


def kappa_of_tables(tables: ArrayLike, disagreement: ArrayLike) -> Floats:
    """Return weighted kappa of each table; nan if undefined.

    1 - sum w O / sum w E. Cohen (1968) Psychol Bull 70:213-220.
    """
    t, w = np.asarray(tables, dtype=float), np.asarray(disagreement, dtype=float)
    total = t.sum(axis=(-2, -1))
    seen = (t * w).sum(axis=(-2, -1)) * total
    by_chance = ((t.sum(axis=-1) @ w) * t.sum(axis=-2)).sum(axis=-1)
    return _ratio(seen, by_chance, by_chance > 1e-12 * np.maximum(1.0, total), complement=True)


def gwet_of_tables(tables: ArrayLike, disagreement: ArrayLike) -> Floats:
    """Return Gwet's AC1 (0/1 weights) or AC2 of each table; nan for an empty table.

    (pa - pe) / (1 - pe), pe = T_w / (q(q-1)) sum pi_k (1 - pi_k). Gwet (2008) Br J Math Stat Psychol
    61:29-48.
    """
    t, w = np.asarray(tables, dtype=float), np.asarray(disagreement, dtype=float)
    top, q = float(w.max()), w.shape[0]
    agree = 1 - w / top if top > 0 else np.ones_like(w)
    total = t.sum(axis=(-2, -1))
    safe = np.where(total > 0, total, 1.0)
    pa = (t * agree).sum(axis=(-2, -1)) / safe
    pi = (t.sum(axis=-1) + t.sum(axis=-2)) / (2 * safe[..., None])
    pe = float(agree.sum()) / (q * (q - 1)) * (pi * (1 - pi)).sum(axis=-1) if q > 1 else np.ones_like(pa)
    return _ratio(pa - pe, 1 - pe, (total > 0) & (pe < 1 - 1e-12))


def alpha_of_tables(tables: Floats, disagreement: ArrayLike | None = None) -> Floats:
    """Return Krippendorff's alpha of each table of two raters; as `alpha_of_coincidences`."""
    return alpha_of_coincidences(tables + np.swapaxes(tables, -1, -2), disagreement)


def alpha_of_coincidences(coincidences: Floats, disagreement: ArrayLike | None = None) -> Floats:
    """Return Krippendorff's alpha of each coincidence matrix: ordinal without a `disagreement`.

    1 - Do / De; ordinal delta = (sum n_c..n_k - (n_c + n_k) / 2)^2. Krippendorff (2011) "Computing Krippendorff's
    Alpha".
    """
    margins = coincidences.sum(axis=-1)
    if disagreement is None:
        # Rank distances depend on frequencies, so each resample has its own.
        middle = np.cumsum(margins, axis=-1) - margins / 2
        delta = (middle[..., :, None] - middle[..., None, :]) ** 2
    else:
        delta = np.asarray(disagreement, dtype=float)
    seen = (coincidences * delta).sum(axis=(-2, -1)) * (margins.sum(axis=-1) - 1)
    by_chance = (margins[..., :, None] * margins[..., None, :] * delta).sum(axis=(-2, -1))
    return _ratio(seen, by_chance, by_chance > 1e-12, complement=True)


def rating_counts(ratings: ArrayLike, labels: ArrayLike) -> Floats:
    """Return how many raters gave each label to each item.

    `ratings` has one row per rater and one column per item, nan where a rating is missing.
    """
    r = np.atleast_2d(np.asarray(ratings, dtype=float))
    counts = (np.abs(r[:, :, None] - np.asarray(labels, dtype=float)) < 1e-9).sum(axis=0)
    return np.asarray(counts, dtype=np.float64)


def coincidences_of(counts: Floats) -> Floats:
    """Return Krippendorff's coincidence matrix of `rating_counts`, of items with two ratings or more."""
    counts = counts[counts.sum(axis=1) > 1]
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(counts.shape[1])
    return np.asarray((pairs / (counts.sum(axis=1) - 1)[:, None, None]).sum(axis=0), dtype=np.float64)


def raters_agreement(
    ratings: ArrayLike,
    labels: ArrayLike,
    *,
    statistic: Literal["gwet", "alpha"] = "gwet",
    weights: Weights | Literal["ordinal"] = "nominal",
    units: np.ndarray | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Estimate the agreement of two or more raters with gaps: Gwet's AC1 or AC2, or Krippendorff's alpha.

    Gwet: pa = mean of sum_k r_k (r*_k - 1) / (r (r - 1)), r*_k = sum_l w_kl r_l, pe as in `gwet_of_tables`. Gwet
    (2008) Br J Math Stat Psychol 61:29-48.

    Parameters
    ----------
    ratings
        One row per rater, one column per item; nan is a gap. Items with one rating count for the margins of Gwet's coefficients only.
    labels
        All possible ratings; "nominal" for kinds without an order.
    units
        The case of each item, by default the item: it is resampled.

    Examples
    --------
    >>> round(raters_agreement([[1, 1, 2, 2], [1, 1, 2, 1], [1, 1, 2, 2]], [1, 2]).estimate, 4)
    0.6757
    """
    name = "alpha" if statistic == "alpha" else "AC1" if weights == "nominal" else "AC2"
    method = f"{weights} {name}, Fisher-z case bootstrap"
    counts = rating_counts(ratings, labels)
    rated = counts.sum(axis=1) > 0
    if not np.any(counts.sum(axis=1) > 1):
        return not_estimable("no item has two ratings", n=0, method=method, level=level)
    unit_of = np.unique(np.arange(rated.size)[rated] if units is None else units[rated], return_inverse=True)[
        1
    ]
    counts = counts[rated]
    order = np.lexsort((*counts.T, unit_of))
    counts, unit_of = counts[order], unit_of[order]
    disagree = None if weights == "ordinal" else disagreement_weights(labels, weights)
    if statistic == "gwet":
        gap = disagreement_weights(labels, "linear") if disagree is None else disagree
        parts, of_sums = _gwet_parts(counts, gap)
    else:
        parts = np.stack([coincidences_of(counts[[at]]).ravel() for at in range(len(counts))])

        def of_sums(sums: Floats) -> Floats:
            q = counts.shape[1]
            return alpha_of_coincidences(sums.reshape(-1, q, q), disagree)

    by_unit = np.zeros((int(unit_of.max()) + 1, parts.shape[1]))
    np.add.at(by_unit, unit_of, parts)
    blocks = resampled_counts(len(by_unit), resamples=resamples, seed=seed)
    sums = [by_unit.sum(axis=0)[None], *(sum_counted(block, by_unit) for block in blocks)]
    return fisher_z_interval(
        of_sums(np.concatenate(sums)),
        n=len(by_unit),
        level=level,
        method=method,
        seed=seed,
        undefined="undefined: no variation in the ratings",
        bound=one_sided_bound(
            coincidences_of(counts),
            partial(alpha_of_coincidences, disagreement=disagree),
            len(by_unit),
            level,
        ),
    )


def _gwet_parts(counts: Floats, disagreement: Floats) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Return what each item adds to pa, pi and n, and the coefficient of their sums."""
    q, top = counts.shape[1], float(disagreement.max())
    agree = 1 - disagreement / top if top > 0 else np.ones_like(disagreement)
    raters = counts.sum(axis=1)
    twice = raters > 1
    pa = (counts * (counts @ agree - 1)).sum(axis=1) / np.where(twice, raters * (raters - 1), 1)
    parts = np.column_stack([np.where(twice, pa, 0), twice, counts / raters[:, None]])

    def of_sums(sums: Floats) -> Floats:
        pi = sums[:, 2:] / sums[:, 2:].sum(axis=1, keepdims=True)
        pe = float(agree.sum()) / (q * (q - 1)) * (pi * (1 - pi)).sum(axis=1) if q > 1 else np.ones(len(sums))
        seen = sums[:, 0] / np.maximum(sums[:, 1], 1)
        return _ratio(seen - pe, 1 - pe, (pe < 1 - 1e-12) & (sums[:, 1] > 0))

    return parts, of_sums


def one_sided_bound(
    table: Floats, of_tables: Callable[[Floats], Floats], n: int, level: float
) -> float | None:
    """Return the one-sided lower limit of a statistic of n units that all agree; None if it is undefined.

    The exact lower limit of the share that agrees is (1 - level)^(1/n) (the "rule of three"). The rest of the table
    disagrees as two raters with these margins would by chance.
    """
    total = float(table.sum())
    rest = np.where(table > 0, 0.0, np.outer(table.sum(axis=1), table.sum(axis=0)))
    if total <= 0 or rest.sum() <= 0:
        return None
    share = (1 - level) ** (1 / n)
    mixed = share * table + (1 - share) * total * rest / rest.sum()
    value = float(of_tables(mixed[None])[0])
    return max(-1.0, value) if np.isfinite(value) else None


def icc_of_tables(tables: Floats, points: Floats) -> Floats:
    """Return ICC(A,1), absolute agreement of single ratings, of each table.

    (MSR - MSE) / (MSR + MSE + 2 (MSC - MSE) / n). McGraw & Wong (1996) Psychol Methods 1:30-46.
    """
    n = tables.sum(axis=(-2, -1))
    first, second = points[:, None], points[None, :]
    grand = (tables * (first + second) / 2).sum(axis=(-2, -1)) / n
    between_rows = 2 * ((tables * ((first + second) / 2) ** 2).sum(axis=(-2, -1)) - n * grand**2)
    shift = (tables * (first - second)).sum(axis=(-2, -1)) / n
    msc = n * shift**2 / 2
    rest = np.maximum((tables * (first - second) ** 2).sum(axis=(-2, -1)) / 2 - msc, 0.0)
    msr, mse = (part / np.maximum(n - 1, 1) for part in (between_rows, rest))
    below = msr + mse + 2 * (msc - mse) / n
    return _ratio(msr - mse, below, (below > 1e-12) & (between_rows + rest > 1e-12) & (n > 1))


def pearson_of_tables(tables: Floats, points: Floats) -> Floats:
    """Return Pearson's r of each table of ratings at these points."""
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    total = rows.sum(axis=-1)
    safe = np.where(total > 0, total, 1.0)[..., None]
    u, v = (points - (side @ points)[..., None] / safe for side in (rows, columns))
    top = ((tables * u[..., :, None]).sum(axis=-2) * v).sum(axis=-1)
    below = np.sqrt((rows * u**2).sum(axis=-1) * (columns * v**2).sum(axis=-1))
    return _ratio(top, below, below > 1e-12)


def spearman_of_tables(tables: Floats) -> Floats:
    """Return the correlation of mid-ranks of each table."""
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    total = rows.sum(axis=-1)[..., None]
    u = np.cumsum(rows, axis=-1) - rows / 2 - total / 2  # mid-ranks about their mean
    v = np.cumsum(columns, axis=-1) - columns / 2 - total / 2
    top = ((tables * u[..., :, None]).sum(axis=-2) * v).sum(axis=-1)
    below = np.sqrt((rows * u**2).sum(axis=-1) * (columns * v**2).sum(axis=-1))
    return _ratio(top, below, below > 1e-12)


def tau_of_tables(tables: Floats) -> Floats:
    """Return Kendall's tau-b of each table: (C - D) / sqrt((n0 - n1)(n0 - n2))."""
    rows, columns = tables.sum(axis=-1), tables.sum(axis=-2)
    total = rows.sum(axis=-1)
    upto = np.cumsum(np.cumsum(tables, axis=-2), axis=-1)
    before = np.zeros_like(tables)
    before[..., 1:, 1:] = upto[..., :-1, :-1]
    concordant = (tables * before).sum(axis=(-2, -1))
    pairs = total * (total - 1) / 2
    ties_rows, ties_columns = ((side * (side - 1)).sum(axis=-1) / 2 for side in (rows, columns))
    ties_both = (tables * (tables - 1)).sum(axis=(-2, -1)) / 2
    discordant = pairs - ties_rows - ties_columns + ties_both - concordant
    below = np.sqrt(np.maximum(0.0, (pairs - ties_rows) * (pairs - ties_columns)))
    return _ratio(concordant - discordant, below, below > 1e-12)


def _ratio(top: Floats, below: Floats, defined: np.ndarray, *, complement: bool = False) -> Floats:
    ratio = top / np.where(defined, below, 1.0)
    return np.where(defined, 1 - ratio if complement else ratio, np.nan)
