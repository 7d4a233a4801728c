"""The colours of charts, widgets and pages: told apart with any colour vision, on light and on dark ground.

Severity and verdicts never stand in colour alone: the word is beside it. Colours as text have a contrast of at
least 4.5:1 on their ground, lines and marks of at least 3:1.
"""

from __future__ import annotations

from typing import Final

INK: Final = "#1F2328"
SOFT: Final = "#57606A"
GRID: Final = "#E4E7EB"
PANEL: Final = "#F6F8FA"
"""The ground of a small multiple's cell."""

OK: Final = "#0072B2"
UNKNOWN: Final = "#767676"
WARN: Final = "#C9730A"
BAD: Final = "#B3261E"
WARN_INK: Final = "#8A4B00"
"""`WARN` as text."""

FONT: Final = (
    "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, sans-serif"
)

LIGHT: Final = {
    "page": "#FFFFFF",
    "ink": INK,
    "soft": SOFT,
    "line": "#D0D7DE",
    "hair": GRID,
    "wash": PANEL,
    "ok": OK,
    "ok-ink": "#005A8C",
    "unknown": UNKNOWN,
    "warn": WARN,
    "warn-ink": WARN_INK,
    "bad": BAD,
    "bad-ink": "#A3201A",
    "mark": "#FFE08A",
    "mark-ink": INK,
    "added": "#D5E9F7",
    "removed": "#FADCD9",
}
"""What stands for what on light ground; `*-ink` is text, the others are marks and grounds."""

DARK: Final = {
    "page": "#14171A",
    "ink": "#E7E9EC",
    "soft": "#A4ADB8",
    "line": "#444C56",
    "hair": "#2B3138",
    "wash": "#1C2025",
    "ok": "#4FA3DB",
    "ok-ink": "#7DBDF0",
    "unknown": "#8B949E",
    "warn": "#D98A2B",
    "warn-ink": "#F0B46A",
    "bad": "#E5645A",
    "bad-ink": "#FF9A91",
    "mark": "#6B5200",
    "mark-ink": "#FFF3CC",
    "added": "#123A55",
    "removed": "#5A1F1B",
}
"""The same on dark ground."""


def contrast(color: str, other: str = "#FFFFFF") -> float:
    """Return the WCAG contrast ratio of two hex colours, from 1 to 21.

    Source: WCAG 2.2, "contrast ratio" and "relative luminance".

    Examples
    --------
    >>> contrast("#000000")
    21.0
    """
    light, dark = sorted((_luminance(color), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
