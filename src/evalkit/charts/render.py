"""Render charts for notebooks, reports and files.

JupyterLab draws Vega-Lite 5 and Altair 6 writes Vega-Lite 6: Altair's own renderers show nothing there or load
scripts from the network. This one gives the specification under the type that Lab knows, a PNG for hosts that cannot
draw (GitHub, print), and the description.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import altair as alt
import vl_convert

from evalkit.charts import theme

MIME: Final = "application/vnd.vegalite.v5+json"
"""The type under which JupyterLab 4 draws a chart."""

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
"""The name of the schema of `MIME`; never fetched."""

PPI: Final = 100


def setup_notebook() -> None:
    """Use evalkit's theme and renderer in this notebook.

    Charts then draw in JupyterLab offline, also in a notebook that is not trusted. Importing evalkit alone changes
    nothing.
    """
    theme.register()
    alt.theme.enable(theme.NAME)
    alt.renderers.register(theme.NAME, bundle)
    alt.renderers.enable(theme.NAME)


def bundle(spec: dict[str, Any], **_metadata: object) -> dict[str, Any]:
    """Return a specification as Vega-Lite 5, as PNG in base64 and as text, by MIME type."""
    return {
        MIME: {**spec, "$schema": SCHEMA},
        "image/png": base64.b64encode(_png(spec, ppi=PPI)).decode("ascii"),
        "text/plain": describe(spec),
    }


def describe(spec: dict[str, Any]) -> str:
    """Return the description of a specification, else its title.

    Examples
    --------
    >>> describe({"title": {"text": "Pass rate"}})
    'Pass rate'
    """
    title = spec.get("title")
    words = spec.get("description") or (title.get("text") if isinstance(title, dict) else title)
    return " ".join(words) if isinstance(words, list) else str(words or "A chart without a description.")


def spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    r"""Return the Vega-Lite 6 specification of any Altair chart, with evalkit's theme.

    Data values are not escaped: replace `<` by `\u003c` in the JSON before writing it into a page.
    """
    theme.register()
    with alt.theme.enable(theme.NAME):
        result: dict[str, Any] = chart.to_dict()
    return result


def svg(chart: alt.TopLevelMixin) -> str:
    """Return a chart as SVG text; needs no browser and no network."""
    picture: str = vl_convert.vegalite_to_svg(spec(chart), vl_version=vega_lite_version())
    return picture


def png(chart: alt.TopLevelMixin, *, ppi: int = PPI) -> bytes:
    """Return a chart as PNG; needs no browser and no network.

    `ppi` is pixels per inch: 72 is the chart's own size, 144 twice that.
    """
    return _png(spec(chart), ppi=ppi)


def _png(spec: dict[str, Any], *, ppi: int) -> bytes:
    picture: bytes = vl_convert.vegalite_to_png(spec, vl_version=vega_lite_version(), ppi=ppi)
    return picture


def vega_lite_version() -> str:
    """Return the Vega-Lite version of Altair as vl-convert spells it."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
