from __future__ import annotations

import subprocess
import sys

import pytest

from evalkit.charts import theme
from evalkit.charts.cases import STATES
from evalkit.charts.theme import version_colors, version_scale
from evalkit.util import colors as palette
from evalkit.util.colors import DARK, LIGHT


def contrast(color: str, other: str = "#FFFFFF") -> float:
    """Return the WCAG 2.2 contrast ratio of two hex colors, from 1 to 21.

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


@pytest.mark.parametrize(
    ("color", "ratio"),
    [("#000000", 21.0), ("#FFFFFF", 1.0), ("#767676", 4.54), ("#0000FF", 8.59), ("#FF0000", 4.0)],
)
def test_contrast_is_that_of_wcag(color, ratio):
    # Published values of the WebAIM contrast checker.
    assert contrast(color) == pytest.approx(ratio, abs=0.005)


@pytest.mark.parametrize(
    "color", [*theme.CATEGORIES, *theme.RAMP, *theme.CHANGE_COLORS.values(), palette.MUTED]
)
def test_every_mark_is_seen_on_white(color):
    assert contrast(color) >= 3


@pytest.mark.parametrize(
    "color", [*theme.CHANGE_TEXTS.values(), palette.TEXT, palette.MUTED, palette.SUCCESS, palette.ERROR]
)
def test_every_text_is_read_on_white(color):
    assert contrast(color) >= 4.5


@pytest.mark.parametrize("ground", ["page", "wash"])
@pytest.mark.parametrize("colors", [LIGHT, DARK], ids=["light", "dark"])
def test_the_colours_of_pages_are_read_and_seen_on_light_and_on_dark_ground(colors, ground):
    texts = ["text", "muted", *(name for name in colors if name.endswith("-text") and name != "mark-text")]

    assert [name for name in texts if contrast(colors[name], colors[ground]) < 4.5] == []
    assert [
        n for n in ("success", "unknown", "warn", "error") if contrast(colors[n], colors[ground]) < 3
    ] == []
    assert contrast(colors["mark"], colors["mark-text"]) >= 4.5
    assert contrast(colors["added"], colors["text"]) >= 4.5
    assert contrast(colors["removed"], colors["text"]) >= 4.5


def test_both_grounds_have_the_same_colours():
    assert LIGHT.keys() == DARK.keys()


@pytest.mark.parametrize("state", STATES)
def test_the_words_on_a_cell_are_read(state):
    fill, ink = STATES[state]

    assert contrast(fill, ink) >= 4.5


@pytest.mark.parametrize("number", [1, 2, 6, 7, 12, 24])
def test_versions_keep_their_order_and_each_has_a_colour_of_its_own(number):
    names = [f"v{at}" for at in range(number, 0, -1)]

    colors = version_colors(names)

    assert version_scale(names).to_dict() == {"domain": names, "range": colors}
    assert len(set(colors)) == number
    assert min(map(contrast, colors)) >= 3


def test_importing_the_charts_switches_nothing_on():
    code = (
        "import altair as alt; before = alt.theme.active, alt.renderers.active;"
        "import evalkit.charts as c; c.trend; assert (alt.theme.active, alt.renderers.active) == before"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
