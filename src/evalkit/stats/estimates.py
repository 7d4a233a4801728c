"""The result of an estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalkit.util.errors import EvalkitError

Status = Literal["ok", "not_estimable"]


class StatisticsError(EvalkitError, ValueError):
    """An impossible argument of `evalkit.stats`, such as more passes than cases."""

    @classmethod
    def invalid(cls, argument: str, value: object, expected: str) -> StatisticsError:
        """Return the error for an invalid value."""
        return cls(f"Invalid {argument} {value}.", argument=argument, value=value, expected=expected)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its interval and provenance.

    No field is nan. ``low <= estimate <= high``, with low < high.

    Parameters
    ----------
    estimate, low, high, level
        The number and its interval at a confidence (or credibility) level of 0 to 1. The number is None
        without data.
    method, n
        Name of the method; number of cases.
    n_eff
        Number of independent single-run cases with the same width, if it differs from n.
    k, clusters
        Runs per case (harmonic mean). Number of clusters, if they are the unit.
    p_value
        Two-sided p of "no difference", if the estimate is a difference.
    status, reason, seed
        "ok", or "not_estimable" and why. Seed of the random draws.
    limited
        A limit of a difference exceeds the room that the observed baseline leaves (1 - rate above, rate below), so it
        rests on the uncertainty of the baseline: "limited by the ceiling".
    """

    estimate: float | None
    low: float | None
    high: float | None
    level: float
    method: str
    n: int
    n_eff: float | None = None
    k: float | None = None
    clusters: int | None = None
    p_value: float | None = None
    status: Status = "ok"
    reason: str = ""
    seed: int | None = None
    limited: bool = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"

    def __str__(self) -> str:
        """Return the number, its interval and their provenance on one line.

        >>> print(Estimate(0.9, 0.5958, 0.9821, 0.95, "Wilson", 10))
        0.9 [0.5958, 0.9821] (95% Wilson, n = 10)
        """
        value = "" if self.estimate is None else f"{self.estimate:.4g}"
        if self.status == "not_estimable":
            value += f"{', interval ' if value else ''}not estimable: {self.reason}"
        elif self.low is not None and self.high is not None:
            value += f" [{self.low:.4g}, {self.high:.4g}]"
        return f"{value} ({', '.join(self._provenance())})"

    def _provenance(self) -> list[str]:
        parts = [f"{self.level * 100:.6g}% {self.method}", f"n = {self.n}"]
        if self.k is not None and self.k != 1:
            parts.append(f"K = {self.k:.3g}")
        if self.n_eff is not None and abs(self.n_eff - self.n) > 1e-9:
            parts.append(f"n_eff = {self.n_eff:.4g}")
        if self.clusters is not None:
            parts.append(f"{self.clusters} clusters")
        if self.p_value is not None:
            parts.append(f"p = {self.p_value:.3g}")
        return parts


def not_estimable(
    reason: str,
    *,
    n: int,
    method: str,
    level: float,
    estimate: float | None = None,
    p_value: float | None = None,
    clusters: int | None = None,
    k: float | None = None,
) -> Estimate:
    """Return an Estimate without an interval, for a reason; other arguments as in `Estimate`.

    Examples
    --------
    >>> not_estimable("one case has no spread", n=1, method="t", level=0.95, estimate=4.0).status
    'not_estimable'
    """
    return Estimate(
        estimate, None, None, level, method, n,
        k=k, clusters=clusters, p_value=p_value, status="not_estimable", reason=reason,
    )  # fmt: skip
