"""Only a fact on a run makes a report say that its data is made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

import evalkit as ek
from evalkit.data.evals import Evals

if TYPE_CHECKING:
    from pathlib import Path


def test_a_criterion_called_made_up_facts_does_not_make_the_data_made_up(tmp_path: Path) -> None:
    scores = [
        {"run": run, "case": f"{case}", "criterion": "made up facts", "score": 4.0 + case % 2}
        for run in ("v1", "v2")
        for case in range(6)
    ]
    criteria = pl.DataFrame({"criterion": ["made up facts"], "scale_min": [1.0], "scale_max": [5.0]})
    evals = Evals.from_tables(
        scores=pl.DataFrame(scores), criteria=criteria, notes=["No scale for made up facts."]
    )

    real = ek.report(evals, tmp_path / "real.md").read_text()
    fake = ek.report(evals.mark_made_up(), tmp_path / "fake.md").read_text()

    assert "made up facts" in real
    assert "Synthetic data" not in real
    assert "Synthetic data" in fake
