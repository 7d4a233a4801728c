"""How evalkit's charts look: one theme, two palettes that everybody can tell apart, and scales made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import altair as alt

from evalkit.util.colors import ERROR, FONT, GRID, MUTED, SUCCESS, TEXT, UNKNOWN, WARN, WARN_TEXT

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME: Final = "evalkit"
"""The theme's and the renderer's name in Altair."""

WIDTH: Final = 860
"""No chart is wider than this, in pixels: it fits a laptop at 100% and a printed page."""

CATEGORIES: Final = ("#0072B2", "#D55E00", "#000000", "#CC79A7", "#332288", "#994455")
"""Colours for names without an order: at least 3:1 on white, told apart with any colour vision."""

RAMP: Final = ("#6C93C7", "#0072B2", "#332288", "#000000")
"""From light to dark, for more versions than there are categories."""

VERDICT_COLORS: Final = {"pass": SUCCESS, "unscored": UNKNOWN, "fail": ERROR}
CHANGE_COLORS: Final = {
    "regressed": ERROR,
    "regressed within margin": WARN,
    "inconclusive": UNKNOWN,
    "no worse than margin": "#332288",
    "improved": SUCCESS,
}
"""A colour for each verdict of a comparison; the word always stands beside it."""

CHANGE_TEXTS: Final = {**CHANGE_COLORS, "regressed within margin": WARN_TEXT, "inconclusive": MUTED}
"""The same verdicts as text: at least 4.5:1 on white."""

CHANGE_SHAPES: Final = {
    "regressed": "triangle-down",
    "regressed within margin": "triangle-down",
    "inconclusive": "circle",
    "no worse than margin": "square",
    "improved": "triangle-up",
}


def theme() -> alt.theme.ThemeConfig:
    """Return the theme: calm and dense, 13 px labels, a hairline grid, titles at the left."""
    return alt.theme.ThemeConfig(
        {
            "background": "white",
            "padding": 8,
            "config": {
                "font": FONT,
                "view": {"stroke": None, "continuousWidth": 560, "continuousHeight": 260},
                "title": {
                    "anchor": "start",
                    "frame": "group",
                    "align": "left",
                    "fontSize": 16,
                    "fontWeight": 600,
                    "color": TEXT,
                    "subtitleFontSize": 13,
                    "subtitleColor": MUTED,
                    "subtitlePadding": 5,
                    "subtitleLineHeight": 17,
                    "offset": 14,
                },
                "axis": {
                    "labelFontSize": 13,
                    "labelColor": TEXT,
                    "labelLimit": 240,
                    "titleFontSize": 13,
                    "titleFontWeight": "normal",
                    "titleColor": MUTED,
                    "grid": True,
                    "gridColor": GRID,
                    "gridWidth": 1,
                    "domain": False,
                    "ticks": False,
                    "labelPadding": 6,
                    "titlePadding": 8,
                },
                "axisBand": {"grid": False},
                "header": {
                    "labelFontSize": 13,
                    "labelFontWeight": 600,
                    "labelColor": TEXT,
                    "labelLimit": 240,
                    "titleFontSize": 13,
                    "titleColor": MUTED,
                    "titleFontWeight": "normal",
                },
                "legend": {
                    "labelFontSize": 13,
                    "labelColor": TEXT,
                    "labelLimit": 260,
                    "titleFontSize": 13,
                    "titleFontWeight": "normal",
                    "titleColor": MUTED,
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
            },
        }
    )


def register() -> None:
    """Make the theme known to Altair under the name "evalkit", without switching to it."""
    if NAME not in alt.theme.names():
        alt.theme.register(NAME, enable=False)(theme)


def version_colors(names: Sequence[str]) -> list[str]:
    """Return a colour for each version, in the order given.

    Up to six get the categories; more get steps of one ramp from light to dark, because more than six
    hues cannot be told apart, and the order of versions can.

    Parameters
    ----------
    names
        The versions, oldest first.

    Returns
    -------
    list of str
        Hex colours, as many as names, each at least 3:1 on white.

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
    """Return a colour scale of versions: the domain in the order given, `version_colors` as its range.

    Examples
    --------
    >>> version_scale(["v2", "v10"]).to_dict()["domain"]
    ['v2', 'v10']
    """
    return alt.Scale(domain=list(names), range=version_colors(names))


def _mix(position: float) -> str:
    """Return the colour at `position` of the ramp; whole positions are its stops."""
    at = min(int(position), len(RAMP) - 2)
    share = position - at
    pairs = ((int(RAMP[at][i : i + 2], 16), int(RAMP[at + 1][i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(low + (high - low) * share):02X}" for low, high in pairs)
