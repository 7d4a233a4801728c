"""Rows of the table of `judge_forensics`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import polars as pl

if TYPE_CHECKING:
    from evalkit.stats import Estimate

Row = dict[str, Any]

SUMMARY: Final[dict[str, Any]] = {
    **dict.fromkeys(("finding", "scope"), pl.String()),
    **dict.fromkeys(("value", "low", "high"), pl.Float64()),
    **dict.fromkeys(("n", "cases"), pl.Int64()),
    "method": pl.String(),
    **dict.fromkeys(("level", "p_value", "p_adjusted"), pl.Float64()),
    **dict.fromkeys(("text", "status", "reason"), pl.String()),
}


def bias_row(finding: str, scope: str, e: Estimate, answers: pl.DataFrame, text: str) -> Row:
    """Return the row of an estimate over answers; without an interval the text gives the reason."""
    return {
        "finding": finding,
        "scope": scope,
        "value": e.estimate,
        "low": e.low,
        "high": e.high,
        "n": answers.height,
        "cases": answers["unit"].n_unique(),
        "method": e.method,
        "p_value": e.p_value,
        "text": text if e.status == "ok" else f"Not estimable: {e.reason}.",
        "status": e.status,
        "reason": e.reason,
    }


def missing_row(finding: str, text: str) -> Row:
    """Return the row of a finding without data; the text says what it needs."""
    return {
        "finding": finding,
        "scope": "all",
        "n": 0,
        "cases": 0,
        "method": "",
        "text": text,
        "status": "not_estimable",
        "reason": "no such data",
    }
