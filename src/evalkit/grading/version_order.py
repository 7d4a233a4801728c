"""Order versions by start time, numbers or appearance; sort other names naturally."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from evalkit.data.evals import Evals
from evalkit.data.schema import SEVERITIES
from evalkit.util.arguments import expect
from evalkit.util.errors import ColumnError
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_RUN_COLUMNS: Final = ("run", "agent", "agent_version", "model", "provider")
Basis = Literal["time", "numbers", "appearance"]
"""What an order of versions goes by: start times, numbers in the names, or the order in the data."""

# 12, 1.10.2 and 2026-01-31 are one number; alpha, beta and candidates come before their release.
_NUMBER: Final = re.compile(r"\d+(?:[._-]\d+)*")
_EARLY: Final = re.compile(r"[._-]?(dev|a|alpha|b|beta|pre|rc)[._-]?(\d*)$", re.IGNORECASE)
_STAGES: Final = ("dev", "a", "alpha", "b", "beta", "pre", "rc")


@dataclass(frozen=True, slots=True)
class VersionOrder:
    """The names of versions, the first one first, and what their order goes by.

    Attributes
    ----------
    column
        The column of `runs` that holds the names.
    names
        The names.
    basis
        "time": when their runs started. "numbers": the numbers in their names. "appearance": neither is known, and the
        order is that of the data.
    """

    column: str
    names: tuple[str, ...]
    basis: Basis

    @property
    def is_known(self) -> bool:
        """Whether time or numbers give the order."""
        return self.basis != "appearance"

    @property
    def note(self) -> str:
        """Why there is no comparison by default; "" if there is one."""
        if len(self.names) < 2:
            return f"A comparison needs two versions; the data have {plural(len(self.names), 'version')}."
        if self.is_known:
            return ""
        return (
            f"The order of the versions is unknown ({join_words(self.names)}): no start times, no numbers in their names. "
            "Name the baseline and the candidate."
        )

    def sides(self, baseline: Any = None, candidate: Any = None) -> tuple[Any, Any]:
        """Return the sides given, else the last two versions; a baseline of None if there is no order to go by."""
        if baseline is not None or candidate is not None or self.note:
            last = self.names[-1] if self.names else None
            return baseline, last if candidate is None else candidate
        return self.names[-2], self.names[-1]


def order_versions(evals: Evals, column: str | None = None) -> VersionOrder:
    """Return the versions in order: by start time, else by the numbers in their names, else as they appear.

    Parameters
    ----------
    evals
        The evaluations.
    column
        run, agent, agent_version, model or provider. None: agent_version if any run has one, else run.

    Raises
    ------
    ColumnError
        `column` is none of these.

    Examples
    --------
    >>> import evalkit as ek
    >>> ek.order_versions(ek.demo.make())
    VersionOrder(column='agent_version', names=('v1', 'v2', 'v3'), basis='time')
    >>> order_versions(Evals.from_tables(runs=pl.DataFrame({"run": ["1.10.0", "1.2.0", "1.10.0-rc1"]}))).names
    ('1.2.0', '1.10.0-rc1', '1.10.0')
    """
    expect(order_versions, locals())
    column = column or version_column(evals)
    if column not in _RUN_COLUMNS:
        raise ColumnError.missing(column, table="runs", have=_RUN_COLUMNS)
    runs = evals.runs.select(pl.col(column).cast(pl.String).alias("name"), "started_at").drop_nulls("name")
    runs = runs.filter(pl.col("name") != "")
    names = runs["name"].unique(maintain_order=True).to_list()
    if len(names) < 2:
        return VersionOrder(column, tuple(names), "appearance")
    spans = (
        runs.group_by("name", maintain_order=True)
        .agg(
            pl.col("started_at").min().alias("first"),
            pl.col("started_at").max().alias("last"),
            pl.col("started_at").is_null().any().alias("unknown"),
        )
        .sort("first", maintain_order=True)
    )
    pairs = pairwise(spans.to_dicts())
    is_timed = not spans["unknown"].any() and all(old["last"] < new["first"] for old, new in pairs)
    if is_timed:
        return VersionOrder(column, tuple(spans["name"]), "time")
    if differ_by_number(names):
        return VersionOrder(column, tuple(sorted(names, key=_number_key)), "numbers")
    return VersionOrder(column, tuple(names), "appearance")


def places_of(data: Any, column: str) -> dict[str, int]:
    """Return the place of each value of a column of `runs` in the order of versions; {} for other columns."""
    if not isinstance(data, Evals) or column not in _RUN_COLUMNS:
        return {}
    return {name: place for place, name in enumerate(order_versions(data, column).names)}


def differ_by_number(names: Sequence[object]) -> bool:
    """Return whether names differ by their numbers only.

    >>> differ_by_number(["v1", "v2", "v10", "v10-rc1"]), differ_by_number(["base", "tuned"])
    (True, False)
    """
    stems = {_NUMBER.sub("#", _EARLY.sub("", str(name))) for name in names}
    return len(stems) == 1 and "#" in next(iter(stems))


def _number_key(name: str) -> tuple[object, ...]:
    early = _EARLY.search(name)
    numbers = [int(digits) for digits in re.findall(r"\d+", _EARLY.sub("", name))]
    stage = (_STAGES.index(early[1].lower()), int(early[2] or 0)) if early else (len(_STAGES), 0)
    return (numbers, stage, name)


def version_column(evals: Evals) -> str:
    """Return the column of `runs` to group by: the version if any run has one, else the run."""
    return "agent_version" if evals.runs["agent_version"].drop_nulls().len() else "run"


def natural_key(values: Iterable[object]) -> list[tuple[object, ...]]:
    """Return a key for natural order: severity, "v2" before "v10", null last."""
    return [_natural_key(value) for value in values]


def _natural_key(value: object) -> tuple[object, ...]:
    if value is None:
        return (3,)
    if value in SEVERITIES:
        return (0, -SEVERITIES.index(str(value)))
    if isinstance(value, int | float):
        return (1, value)
    parts = re.split(r"(\d+)", str(value))
    return (2, [(part, 0) if at % 2 == 0 else ("", int(part)) for at, part in enumerate(parts)], str(value))


def natural_order(column: str) -> pl.Expr:
    """Return the expression to sort a column by in natural order.

    >>> pl.DataFrame({"case": ["10", "a2", "9", "a10"]}).sort(natural_order("case"))["case"].to_list()
    ['9', '10', 'a2', 'a10']
    """
    # Pad every number to twelve digits.
    padded = pl.col(column).cast(pl.String).str.replace_all(r"(\d+)", "000000000000${1}")
    return padded.str.replace_all(r"\d*(\d{12})", "${1}")
