"""Agreement of two raters from tables of their ratings: `table[i, j]` counts items rated i and j."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from evalkit.stats.bootstrap import RESAMPLES, resampled_counts, sum_counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evalkit.stats.basics import ArrayLike, Floats

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


def alpha_of_tables(tables: Floats) -> Floats:
    """Return ordinal Krippendorff alpha of each table of two raters."""
    return alpha_of_coincidences(tables + np.swapaxes(tables, -1, -2))


def alpha_of_coincidences(coincidences: Floats) -> Floats:
    """Return ordinal Krippendorff alpha of each coincidence matrix.

    1 - Do / De, delta = (sum n_c..n_k - (n_c + n_k) / 2)^2. Krippendorff (2011) "Computing Krippendorff's
    Alpha".
    """
    margins = coincidences.sum(axis=-1)
    # Rank distances depend on frequencies, so each resample has its own.
    middle = np.cumsum(margins, axis=-1) - margins / 2
    delta = (middle[..., :, None] - middle[..., None, :]) ** 2
    seen = (coincidences * delta).sum(axis=(-2, -1)) * (margins.sum(axis=-1) - 1)
    by_chance = (margins[..., :, None] * margins[..., None, :] * delta).sum(axis=(-2, -1))
    return _ratio(seen, by_chance, by_chance > 1e-12, complement=True)


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
