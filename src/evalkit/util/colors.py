"""Colors of charts, widgets and pages, safe for color blindness and both themes."""

from __future__ import annotations

from typing import Final

TEXT: Final = "#1F2328"
MUTED: Final = "#57606A"
GRID: Final = "#E4E7EB"
PANEL: Final = "#F6F8FA"
"""The ground of a small multiple's cell."""

SUCCESS: Final = "#0072B2"
UNKNOWN: Final = "#767676"
WARN: Final = "#C9730A"
ERROR: Final = "#B3261E"
WARN_TEXT: Final = "#8A4B00"
"""`WARN` as text."""

FONT: Final = (
    "-apple-system, BlinkMacSystemFont, 'Segoe UI', Roboto, 'Noto Sans', 'Liberation Sans', Arial, sans-serif"
)

LIGHT: Final = {
    "page": "#FFFFFF",
    "text": TEXT,
    "muted": MUTED,
    "line": "#D0D7DE",
    "hair": GRID,
    "wash": PANEL,
    "success": SUCCESS,
    "success-text": "#005A8C",
    "unknown": UNKNOWN,
    "warn": WARN,
    "warn-text": WARN_TEXT,
    "error": ERROR,
    "error-text": "#A3201A",
    "mark": "#FFE08A",
    "mark-text": TEXT,
    "added": "#D5E9F7",
    "removed": "#FADCD9",
}
"""What stands for what on light ground; `*-text` is text, the others are marks and grounds."""

DARK: Final = {
    "page": "#14171A",
    "text": "#E7E9EC",
    "muted": "#A4ADB8",
    "line": "#444C56",
    "hair": "#2B3138",
    "wash": "#1C2025",
    "success": "#4FA3DB",
    "success-text": "#7DBDF0",
    "unknown": "#8B949E",
    "warn": "#D98A2B",
    "warn-text": "#F0B46A",
    "error": "#E5645A",
    "error-text": "#FF9A91",
    "mark": "#6B5200",
    "mark-text": "#FFF3CC",
    "added": "#123A55",
    "removed": "#5A1F1B",
}
"""The same on dark ground."""
