"""Synthetic tables, one per family, with the columns that summary and comparison give."""

from __future__ import annotations

from types import SimpleNamespace

import polars as pl
import pytest

from evalkit import charts
from evalkit.data.schema import Severity

SUMMARY = {
    "pass_rate": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "n_eff": pl.Float64,
    "k": pl.Float64,
    "trials": pl.Int64,
    "passed": pl.Int64,
    "failed": pl.Int64,
    "unscored": pl.Int64,
    "method": pl.String,
    "level": pl.Float64,
}


def summary(groups, *, by, n=3):
    """Return a summary: a row for each (group values, passed, failed, unscored)."""
    rows = []
    for values, passed, failed, unscored in groups:
        scored = passed + failed
        rate = passed / scored if scored else None
        low, high = (None, None) if rate is None else (max(0.0, rate - 0.2), min(1.0, rate + 0.2))
        counts = (float(n), 3.0, scored + unscored, passed, failed, unscored)
        rows.append([*values, rate, low, high, n if scored else 0, *counts, "Wilson", 0.95])
    schema = {name: Severity if name == "severity" else pl.Categorical() for name in by} | SUMMARY
    return pl.DataFrame(rows, schema=schema, orient="row")


def scores(versions=("v1", "v2"), criteria=("Groq", "Batch Api")):
    """Return a distribution: each cell has 1, 2, 0, 4, 3 answers at the scores 1 to 5, mean 3.6."""
    counts = [1, 2, 0, 4, 3]
    return pl.DataFrame(
        [
            {
                "criterion": criterion,
                "agent_version": version,
                "score": float(score),
                "count": count,
                "share": count / 10,
                "mean": 3.6,
                "n": 10,
                "unscored": 1,
                "scale_min": 1.0,
                "scale_max": 5.0,
            }
            for criterion in criteria
            for version in versions
            for score, count in enumerate(counts, 1)
        ]
    ).with_columns(pl.col("criterion", "agent_version").cast(pl.Categorical))


def severities(versions=("v1", "v2")):
    groups = [((s, v), 6, 2, 1) for s in ("critical", "high", None) for v in versions]
    return summary(groups, by=("severity", "agent_version"))


def versions(names=("v1", "v2", "v10")):
    groups = [((name,), 4 + at % 5, 4 - at % 4, at % 2) for at, name in enumerate(names)]
    return summary(groups, by=("agent_version",))


def case_counts(number=4, names=("v1", "v2"), label="{:02d}"):
    levels = ("critical", "high", "medium", "low")
    groups = [
        ((label.format(at), levels[at % 4], name), (at + column) % 4, 3 - (at + column) % 4, 0)
        for at in range(number)
        for column, name in enumerate(names)
    ]
    return summary(groups, by=("case", "severity", "agent_version"))


def differences():
    made = [
        ("overall", "pass_rate", -0.1, -0.3, 0.05, "inconclusive"),
        ("Groq", "pass_rate", 0.2, 0.05, 0.35, "improved"),
        ("Batch Api", "pass_rate", -0.4, -0.6, -0.2, "regressed"),
        ("overall", "mean_score", -0.25, -0.5, 0.0, "inconclusive"),
    ]
    return pl.DataFrame(
        [
            {
                "scope": scope,
                "metric": metric,
                "baseline": 0.7,
                "candidate": 0.7 + difference,
                "difference": difference,
                "low": low,
                "high": high,
                "p_value": 0.2,
                "p_adjusted": 0.4,
                "n": 9,
                "n_eff": 9.0,
                "method": "Tango",
                "level": 0.95,
                "verdict": verdict,
            }
            for scope, metric, difference, low, high, verdict in made
        ]
    )


def flipped():
    return pl.DataFrame(
        {
            "case": ["02", "07"],
            "severity": ["critical", "low"],
            "baseline": ["pass", "fail"],
            "candidate": ["fail", "pass"],
            "kind": ["regression", "improvement"],
            "baseline_passes": [3, 1],
            "baseline_trials": [3, 3],
            "candidate_passes": [0, 2],
            "candidate_trials": [3, 3],
            "difference": [-1.0, 1 / 3],
        },
        schema_overrides={"severity": Severity},
    )


RANKS = pl.DataFrame(
    {
        "version": ["v1", "v3", "v2"],
        "rank": [3.0, 1.0, 2.0],
        "low": [3.0, 1.0, 1.0],
        "high": [3.0, 2.0, 2.0],
        "p_best": [0.0, 0.8, 0.2],
    }
)
CONFUSION = pl.DataFrame({"reference": [1, 1, 2, 3], "judge": [1, 2, 2, 1], "count": [5, 3, 10, 2]})
POWER = pl.DataFrame({"n": [10, 20, 30], "difference": [0.1] * 3, "power": [0.5, 0.81, 0.9]})
VARIANCE = pl.DataFrame({"component": ["epoch", "case", "sample"], "variance": [0.25, 0.75, None]})
LOOKS = pl.DataFrame({"look": [1, 2, 3], "e_value": [0.5, 4.0, 25.0]})

CORRECTION = pl.DataFrame(
    {
        "scope": ["all", "v1"],
        "metric": ["pass_rate"] * 2,
        "judged": [0.7, 0.5],
        "judged_low": [0.6, 0.3],
        "judged_high": [0.8, 0.7],
        "corrected": [0.6, None],
        "low": [0.4, None],
        "high": [0.75, None],
        "method": ["post-stratified"] * 2,
        "level": [0.95] * 2,
        "n": [60, 3],
    }
)
BIAS = pl.DataFrame(
    {
        "finding": ["leniency", "leniency", "entropy", "drift"],
        "scope": ["judge · Groq", "judge · Batch Api", "judge · Groq", "all"],
        "value": [0.5, -0.25, 2.0, None],
        "low": [0.25, -0.75, None, None],
        "high": [0.75, 0.25, None, None],
        "n": [40, 40, 90, 0],
        "method": ["paired t"] * 4,
        "level": [0.95] * 4,
        "p_adjusted": [0.01, 0.4, None, None],
    }
)

# Family -> how to draw it, its table, a column it needs, and the main number its description must say.
FAMILIES = {
    "criteria": (charts.criteria, scores(), "score", "3.60"),
    "severity": (charts.severity, severities(), "passed", "6 of 9"),
    "trend": (charts.trend, versions(), "pass_rate", "50.0%"),
    "regression": (charts.regression, differences(), "difference", "−10.0"),
    "forest": (charts.forest, differences(), "low", "−40.0 points [−60.0, −20.0]"),
    "cases": (charts.cases, case_counts(), "severity", "1 of 4 cases never passes, 1 always passes"),
    "flips": (charts.flips, flipped(), "kind", "1 regression, 1 improvement"),
    "ranks": (charts.ranks, RANKS, "p_best", "80.0%"),
    "agreement": (charts.agreement, CONFUSION, "judge", "75%"),
    "correction": (charts.correction, CORRECTION, "judged", "judge passes 70.0%, people would pass 60.0%"),
    "judge_bias": (charts.judge_bias, BIAS, "finding", "1 of 2 tested findings is significant"),
    "power": (charts.power, POWER, "power", "20 cases"),
    "variance": (charts.variance, VARIANCE, "variance", "75%"),
    "evidence": (charts.evidence, LOOKS, "e_value", "look 3: e-value 25"),
}


@pytest.fixture(params=FAMILIES)
def family(request):
    """Each family in turn."""
    draw, table, column, number = FAMILIES[request.param]
    return SimpleNamespace(name=request.param, draw=draw, table=table, column=column, number=number)


@pytest.fixture
def families():
    """Return all of them by name: how to draw it, its table, a column, its main number."""
    return FAMILIES


@pytest.fixture
def made():
    """The makers of tables."""
    return SimpleNamespace(
        summary=summary,
        scores=scores,
        severities=severities,
        versions=versions,
        cases=case_counts,
        differences=differences,
        flips=flipped,
    )


@pytest.fixture
def drawn():
    """Return the inline rows of a chart that have a column."""

    def rows(chart, column):
        sets = charts.spec(chart)["datasets"].values()
        return [row for data in sets for row in data if column in row]

    return rows
