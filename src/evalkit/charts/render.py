"""How a chart leaves Python: into a notebook, into a report, into a picture.

JupyterLab draws Vega-Lite 5 and Altair 6 writes Vega-Lite 6, so Altair's own renderers either show nothing
there or load scripts from the network. Ours puts three things side by side: the specification under the type
that Lab knows, a PNG for everything that cannot draw (GitHub, a printed page, a page without scripts), and
the description in words.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import altair as alt
import vl_convert

from evalkit.charts import theme

MIME: Final = "application/vnd.vegalite.v5+json"
"""The one type under which JupyterLab 4 draws a chart. When it learns v6, this is the line to change."""

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v5.json"
"""The schema's name that goes with `MIME`: a name, never fetched."""

PPI: Final = 100


def setup_notebook() -> None:
    """Switch Altair to evalkit's theme and renderer, for this kernel.

    Charts then draw in JupyterLab without a network, also in a notebook that is not trusted, and bring a
    picture and a description for whatever cannot draw them. Importing evalkit alone changes nothing.
    """
    theme.register()
    alt.theme.enable(theme.NAME)
    alt.renderers.register(theme.NAME, bundle)
    alt.renderers.enable(theme.NAME)


def bundle(spec: dict[str, Any], **_metadata: object) -> dict[str, Any]:
    """Return the three representations of a Vega-Lite specification, by mime type.

    Parameters
    ----------
    spec
        What `chart.to_dict()` returns.

    Returns
    -------
    dict
        `MIME`: the specification, named Vega-Lite 5; `image/png`: base64; `text/plain`: the description.
    """
    return {
        MIME: {**spec, "$schema": SCHEMA},
        "image/png": base64.b64encode(_png(spec, ppi=PPI)).decode("ascii"),
        "text/plain": describe(spec),
    }


def describe(spec: dict[str, Any]) -> str:
    """Return the description of a specification; where it has none, its title.

    Examples
    --------
    >>> describe({"title": {"text": "Pass rate"}})
    'Pass rate'
    """
    title = spec.get("title")
    words = spec.get("description") or (title.get("text") if isinstance(title, dict) else title)
    return " ".join(words) if isinstance(words, list) else str(words or "A chart without a description.")


def spec(chart: alt.TopLevelMixin) -> dict[str, Any]:
    r"""Return a chart's Vega-Lite 6 specification with evalkit's theme in it, whatever theme is switched on.

    Data values are not escaped: whoever writes it into a page replaces `<` by `\u003c` in the JSON.

    Parameters
    ----------
    chart
        Any Altair chart.

    Returns
    -------
    dict
        Plain values, ready for `json.dumps`.
    """
    theme.register()
    with alt.theme.enable(theme.NAME):
        made: dict[str, Any] = chart.to_dict()
    return made


def svg(chart: alt.TopLevelMixin) -> str:
    """Return a chart as SVG text; drawn here, no browser and no network."""
    made: str = vl_convert.vegalite_to_svg(spec(chart), vl_version=vega_lite_version())
    return made


def png(chart: alt.TopLevelMixin, *, ppi: int = PPI) -> bytes:
    """Return a chart as a PNG picture; drawn here, no browser and no network.

    Parameters
    ----------
    chart
        Any Altair chart.
    ppi
        Pixels an inch; 72 is the chart's own size, 144 twice that.
    """
    return _png(spec(chart), ppi=ppi)


def _png(spec: dict[str, Any], *, ppi: int) -> bytes:
    made: bytes = vl_convert.vegalite_to_png(spec, vl_version=vega_lite_version(), ppi=ppi)
    return made


def vega_lite_version() -> str:
    """Return the Vega-Lite version that Altair writes, as vl-convert spells it."""
    return ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
