"""Versions stand in the order of time, else of their numbers, else of appearance; nothing goes by alphabet."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

import evalkit as ek
from evalkit.data.evals import Evals
from evalkit.util.errors import SelectorError


def _day(number):
    return datetime(2026, 1, number, tzinfo=UTC)


def _runs(names, started=()):
    frame = pl.DataFrame({"run": [f"r{n}" for n in range(len(names))], "agent_version": names, "suite": "s"})
    if started:
        frame = frame.with_columns(
            started_at=pl.Series([s and _day(s) for s in started], dtype=pl.Datetime("us", "UTC"))
        )
    return Evals.from_tables(runs=frame)


@pytest.mark.parametrize(
    ("names", "started", "order", "basis"),
    [
        (["v9", "v10"], (), ["v9", "v10"], "numbers"),
        (["v10", "v9"], (), ["v9", "v10"], "numbers"),
        (["1.10.0", "1.2.0"], (), ["1.2.0", "1.10.0"], "numbers"),
        (["2.0", "2.0-rc2", "2.0-rc1", "1.9"], (), ["1.9", "2.0-rc1", "2.0-rc2", "2.0"], "numbers"),
        (["2026-02-01", "2026-01-31"], (), ["2026-01-31", "2026-02-01"], "numbers"),
        (["main", "feature/x"], (), ["main", "feature/x"], "appearance"),
        (["feature/x", "main"], (), ["feature/x", "main"], "appearance"),
        (["main", "feature/x"], (5, 2), ["feature/x", "main"], "time"),
        (["v1", "v2"], (5, 2), ["v2", "v1"], "time"),
        (["v1", "v2", "v1"], (1, 2, 3), ["v1", "v2"], "numbers"),
        (["main", "x"], (1, None), ["main", "x"], "appearance"),
        (["only"], (), ["only"], "appearance"),
        ([None, "a", ""], (), ["a"], "appearance"),
    ],
)
def test_the_order_of_versions_and_what_it_goes_by(names, started, order, basis):
    found = ek.order_versions(_runs(names, started))

    expected = order if any(names) else [f"r{n}" for n in range(len(names))]
    assert (list(found.names), found.basis) == (expected, basis)


def _branches(names, started=()):
    """The first branch passes every case, the second half of them."""
    rows = [
        (f"r{place}", f"c{case:02}", "Tone", 5 if place == 0 or case % 2 else 1)
        for place in range(len(names))
        for case in range(20)
    ]
    scores = pl.DataFrame(rows, schema=["run", "case", "criterion", "score"], orient="row")
    runs = _runs(names, started).runs
    criteria = pl.DataFrame({"suite": "s", "criterion": ["Tone"], "scale_min": 1.0, "scale_max": 5.0})
    return Evals.from_tables(criteria=criteria, runs=runs, scores=scores)


def test_a_comparison_never_picks_its_sides_by_alphabet():
    with pytest.raises(SelectorError, match="main, feature/x"):
        ek.compare(_branches(["main", "feature/x"]))


def test_the_last_two_versions_are_compared_where_time_or_numbers_give_the_order():
    by_time = ek.compare(_branches(["main", "feature/x"], (1, 2)))
    by_number = ek.compare(_branches(["v9", "v10"]))

    assert (by_time.baseline, by_time.candidate, by_time.verdict) == ("main", "feature/x", "regressed")
    assert (by_number.baseline, by_number.candidate, by_number.verdict) == ("v9", "v10", "regressed")


@pytest.mark.parametrize("sides", [{"baseline": "main"}, {"candidate": "main"}])
def test_one_side_alone_is_refused(sides):
    with pytest.raises(SelectorError) as refused:
        ek.compare(_branches(["main", "feature/x"]), **sides)

    assert refused.value.argument in {"baseline", "candidate"} - set(sides)


def test_sides_for_a_notebook():
    known, unknown = ek.order_versions(_runs(["v1", "v3", "v2"])), ek.order_versions(_runs(["main", "x"]))

    assert known.sides() == ("v2", "v3")
    assert known.note == ""
    assert known.sides("v1", "v3") == ("v1", "v3")
    assert unknown.sides() == (None, "x")
    assert "main" in unknown.note
    assert ek.order_versions(_runs([])).sides() == (None, None)


def test_rows_of_a_summary_stand_in_that_order():
    assert ek.summarize(_branches(["main", "feature/x"]))["agent_version"].to_list() == ["main", "feature/x"]
    assert ek.summarize(_branches(["main", "feature/x"], (4, 2)))["agent_version"].to_list() == [
        "feature/x",
        "main",
    ]
