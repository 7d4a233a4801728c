"""Charts: a table in, an Altair chart out.

Each function takes an `Evals`, or the table that it would have computed from it (polars or pandas), and
returns an ordinary Altair chart: `chart.properties(...)`, `chart.save("x.png")` and all the rest work.
`description` says the main number in words. Nothing here changes Altair's settings; `setup_notebook` does.
"""

from __future__ import annotations

from typing import Any

from evalkit.charts.agreement import agreement
from evalkit.charts.cases import cases, flips
from evalkit.charts.criteria import criteria
from evalkit.charts.evidence import evidence
from evalkit.charts.forest import forest, regression
from evalkit.charts.judge import correction, judge_bias
from evalkit.charts.power import power, variance
from evalkit.charts.ranks import ranks
from evalkit.charts.render import png, setup_notebook, spec, svg
from evalkit.charts.severity import severity
from evalkit.charts.theme import version_colors, version_scale
from evalkit.charts.trend import trend

__all__ = [
    "agreement",
    "cases",
    "correction",
    "criteria",
    "evidence",
    "flips",
    "forest",
    "judge_bias",
    "png",
    "power",
    "ranks",
    "regression",
    "setup_notebook",
    "severity",
    "spec",
    "svg",
    "trend",
    "variance",
    "version_colors",
    "version_scale",
]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name == "habits":
        raise AttributeError("charts.habits is now charts.judge_bias.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
