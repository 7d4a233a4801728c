"""The theme of the charts, two palettes for any color vision, and scales made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import altair as alt

from evalkit.util.colors import ERROR, FONT, GRID, MUTED, SUCCESS, TEXT, UNKNOWN, WARN, WARN_TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "evalkit"
"""The name of the theme and the renderer in Altair."""

WIDTH: Final = 860
"""The largest width of a chart in pixels; it fits a printed page."""

CATEGORIES: Final = ("#0072B2", "#D55E00", "#000000", "#CC79A7", "#332288", "#994455")
"""Colors for names without an order, at least 3:1 on white."""

RAMP: Final = ("#6C93C7", "#0072B2", "#332288", "#000000")
"""From light to dark, for more names than there are categories."""

VERDICT_COLORS: Final = {"pass": SUCCESS, "unscored": UNKNOWN, "fail": ERROR}
CHANGE_COLORS: Final = {
    "regressed": ERROR,
    "regressed within margin": WARN,
    "inconclusive": UNKNOWN,
    "no worse than margin": "#332288",
    "improved": SUCCESS,
}
"""A color per verdict of a comparison; the word always stands beside it."""

CHANGE_TEXTS: Final = {**CHANGE_COLORS, "regressed within margin": WARN_TEXT, "inconclusive": MUTED}
"""Colors of the verdicts as text, at least 4.5:1 on white."""

CHANGE_SHAPES: Final = {
    "regressed": "triangle-down",
    "regressed within margin": "triangle-down",
    "inconclusive": "circle",
    "no worse than margin": "square",
    "improved": "triangle-up",
}


def theme() -> alt.theme.ThemeConfig:
    """Return the theme: 13 px labels, a hairline grid, titles at the left."""
    labels = {"labelFontSize": 13, "labelColor": TEXT, "labelLimit": 240}
    titles = {"titleFontSize": 13, "titleFontWeight": "normal", "titleColor": MUTED}
    config: Any = {
        "font": FONT,
        "view": {"stroke": None, "continuousWidth": 560, "continuousHeight": 260},
        "title": {
            "anchor": "start",
            "frame": "group",
            "align": "left",
            "offset": 14,
            "fontSize": 16,
            "fontWeight": 600,
            "color": TEXT,
            "subtitleFontSize": 13,
            "subtitleColor": MUTED,
            "subtitlePadding": 5,
            "subtitleLineHeight": 17,
        },
        "axis": {
            **labels,
            **titles,
            "grid": True,
            "gridColor": GRID,
            "gridWidth": 1,
            "domain": False,
            "ticks": False,
            "labelPadding": 6,
            "titlePadding": 8,
        },
        "axisBand": {"grid": False},
        "header": {**labels, **titles, "labelFontWeight": 600},
        "legend": {
            **labels,
            **titles,
            "labelLimit": 260,
            "titleLimit": 420,
            "orient": "top",
            "direction": "horizontal",
            "symbolSize": 110,
            "columnPadding": 14,
            "offset": 8,
        },
        "text": {"fontSize": 13, "color": TEXT},
        "range": {"category": list(CATEGORIES), "ramp": list(RAMP), "ordinal": list(RAMP)},
        "point": {"filled": True, "size": 90, "color": TEXT},
        "bar": {"color": SUCCESS},
        "rule": {"color": TEXT},
        "line": {"color": MUTED, "strokeWidth": 1.5},
    }
    return alt.theme.ThemeConfig({"background": "white", "padding": 8, "config": config})


def register() -> None:
    """Register the theme with Altair without enabling it."""
    if NAME not in alt.theme.names():
        alt.theme.register(NAME, enable=False)(theme)


def version_colors(names: Sequence[str]) -> list[str]:
    """Return a hex color per version, oldest first: six categories, or steps of one ramp for more.

    Examples
    --------
    >>> version_colors(["v1", "v2"])
    ['#0072B2', '#D55E00']
    >>> len(set(version_colors([f"v{number}" for number in range(12)])))
    12
    """
    if len(names) <= len(CATEGORIES):
        return list(CATEGORIES[: len(names)])
    steps = (len(RAMP) - 1) / (len(names) - 1)
    return [_mix(position * steps) for position in range(len(names))]


def version_scale(names: Sequence[str]) -> alt.Scale:
    """Return an Altair color scale of versions in the order given.

    Examples
    --------
    >>> version_scale(["v2", "v10"]).to_dict()["domain"]
    ['v2', 'v10']
    """
    return alt.Scale(domain=list(names), range=version_colors(names))


def _mix(position: float) -> str:
    """Return the color at a position of the ramp; whole positions are its stops."""
    at = min(int(position), len(RAMP) - 2)
    share = position - at
    pairs = ((int(RAMP[at][i : i + 2], 16), int(RAMP[at + 1][i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(low + (high - low) * share):02X}" for low, high in pairs)
