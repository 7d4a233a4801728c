"""Charts: a finished table in, an Altair chart out.

Each function takes an `Evals`, or the table that it would have computed from it (polars or pandas), and
returns an ordinary Altair chart: `chart.properties(...)`, `chart.save("x.png")` and all the rest work.
`description` says the main number in words. Nothing here changes Altair's settings; `setup_notebook` does.
"""

from __future__ import annotations

from evalkit.charts.breakdown import severity
from evalkit.charts.differences import forest, regression
from evalkit.charts.distributions import criteria
from evalkit.charts.grid import cases, flips
from evalkit.charts.judging import correction, habits
from evalkit.charts.matrices import agreement
from evalkit.charts.planning import power, variance
from evalkit.charts.rankings import ranks
from evalkit.charts.rates import trend
from evalkit.charts.render import png, setup_notebook, spec, svg
from evalkit.charts.sequential import evidence
from evalkit.charts.theme import version_colors, version_scale

__all__ = [
    "agreement",
    "cases",
    "correction",
    "criteria",
    "evidence",
    "flips",
    "forest",
    "habits",
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
