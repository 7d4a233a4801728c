"""Several noisy judges and no truth: Dawid & Skene's model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from evalkit.stats.basics import Floats
    from evalkit.stats.estimates import Status


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """What the judges' answers say about the truth and about the judges.

    ``posterior[i, k]`` is P(item i is truly labels[k]), ``prior`` the share of each label,
    ``judges[j, k, l]`` P(judge j says labels[l] | truth labels[k]); ``majority`` the plain vote (None for a tie).
    """

    labels: tuple[Any, ...]
    posterior: Floats
    prior: Floats
    judges: Floats
    majority: tuple[Any, ...]
    iterations: int
    converged: bool
    n: int
    status: Status = "ok"
    reason: str = ""

    @property
    def decided(self) -> tuple[Any, ...]:
        """The most probable label of each item; None without any answer."""
        rows = (None if np.isnan(row).any() else int(np.argmax(row)) for row in self.posterior)
        return tuple(None if best is None else self.labels[best] for best in rows)


def dawid_skene(
    answers: ArrayLike,
    *,
    labels: Sequence[Any] | None = None,
    pseudo_count: float = 1.0,
    iterations: int = 500,
    tolerance: float = 1e-8,
) -> DawidSkene:
    """Weigh judges by how well each seems to know the truth, and say what the truth seems to be.

    Assumes that judges err independently given the truth: judges of one model family do not. Wants three judges and
    fifty items; with less it is "not_estimable" but still returned. Show the majority beside it.

    Parameters
    ----------
    answers
        One row a judge, one column an item, numbers; nan where a judge gave none.
    labels
        The answers there can be, in order; those seen by default.
    pseudo_count
        Added to the confusion counts and the prior's, spread over the labels: raw EM runs to 0 and 1.
    iterations, tolerance
        When EM stops.

    Notes
    -----
    EM over class prior and per-judge confusion, started from the vote shares. Dawid & Skene (1979) Appl Stat 28:20-28.

    Examples
    --------
    >>> truth = [1, 0, 1, 1, 0, 1]
    >>> result = dawid_skene([truth, truth, [0, 0, 1, 0, 0, 1]])
    >>> result.decided
    (1.0, 0.0, 1.0, 1.0, 0.0, 1.0)
    """
    table = np.atleast_2d(np.asarray(answers, dtype=float))
    there = np.isfinite(table)
    scale = np.unique(table[there]) if labels is None else np.asarray(labels, dtype=float)
    judges, items, q = table.shape[0], table.shape[1], scale.size
    said = (table[:, :, None] == scale).astype(float)  # judge x item x label
    votes = said.sum(axis=0)
    rated = votes.sum(axis=1) > 0
    if q == 0 or not rated.any():
        empty = np.full((items, q), np.nan)
        nothing = (None,) * items
        return DawidSkene(
            tuple(scale), empty, np.full(q, np.nan), np.full((judges, q, q), np.nan), nothing, 0, False, 0,
            "not_estimable", "no answers",
        )  # fmt: skip
    posterior = np.where(rated[:, None], votes / np.maximum(1.0, votes.sum(axis=1))[:, None], 1 / q)
    prior, confusion, done, steps = np.full(q, 1 / q), np.full((judges, q, q), 1 / q), False, 0
    while not done and steps < iterations:
        steps += 1
        counted = posterior[rated].sum(axis=0) + pseudo_count / q
        prior = counted / counted.sum()
        confusion = np.einsum("ik,jil->jkl", posterior, said) + pseudo_count / q
        confusion /= confusion.sum(axis=2, keepdims=True)
        logs = np.log(np.maximum(prior, 1e-300)) + np.einsum(
            "jil,jkl->ik", said, np.log(np.maximum(confusion, 1e-300))
        )
        logs -= logs.max(axis=1, keepdims=True)
        updated = np.exp(logs)
        updated /= updated.sum(axis=1, keepdims=True)
        done = bool(np.max(np.abs(updated - posterior)) < tolerance)
        posterior = updated
    shown = np.where(rated[:, None], posterior, np.nan)
    few = judges < 3 or int(rated.sum()) < 50
    reason = (
        f"{judges} judges and {int(rated.sum())} items: three judges and fifty items are needed"
        if few
        else ""
    )
    return DawidSkene(
        tuple(scale.tolist()), shown, prior, confusion, _majority(votes, scale), steps, done, int(rated.sum()),
        "not_estimable" if few else "ok", reason,
    )  # fmt: skip


def _majority(votes: Floats, scale: Floats) -> tuple[Any, ...]:
    top = votes.max(axis=1)
    alone = (votes == top[:, None]).sum(axis=1) == 1
    best = np.argmax(votes, axis=1)
    return tuple(
        float(scale[k]) if one and t > 0 else None for k, one, t in zip(best, alone, top, strict=True)
    )
