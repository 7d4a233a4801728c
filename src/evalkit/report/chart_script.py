"""The one script of a report, and charts as what it draws: a specification, a picture, words."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import vl_convert

from evalkit.charts import render

if TYPE_CHECKING:
    from altair import TopLevelMixin

# One and a half times the chart's own size: sharp enough in print, and not half of the file.
_PPI = 108


@dataclass(frozen=True, slots=True)
class Script:
    """Text that may run, and the hash by which the page's policy lets it."""

    text: str
    hash: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart: its Vega-Lite specification, its PNG in base64 with its width, and its description."""

    spec: dict[str, Any]
    png: str
    width: int
    description: str


def draw(chart: TopLevelMixin) -> Drawn:
    """Return a chart as a report needs it. Nothing is fetched: it is drawn here."""
    spec = render.spec(chart)
    png = vl_convert.vegalite_to_png(spec, vl_version=render.vega_lite_version(), ppi=_PPI)
    return Drawn(
        spec=spec,
        png=base64.b64encode(png).decode("ascii"),
        # Bytes 16 to 20 of a PNG are its width in pixels.
        width=round(int.from_bytes(png[16:20], "big") * 72 / _PPI),
        description=render.describe(spec),
    )


@lru_cache(maxsize=1)
def script() -> Script:
    """Return Vega, Vega-Lite, vega-embed and the page's own script as one text that needs no network."""
    page = files("evalkit.report").joinpath("templates", "report.js").read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle(page, vl_version=render.vega_lite_version())
    # A function around it keeps its names to itself; nothing in it may end the element.
    text = "(()=>{" + bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "\n})();"
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as a browser reads it: the hash is over that
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return Script(text, f"sha256-{base64.b64encode(digest).decode('ascii')}")
