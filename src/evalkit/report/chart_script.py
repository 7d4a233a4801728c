"""The script of a report, and its charts as specification, picture and description."""

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
    """The text of a script, and its hash for the policy of the page."""

    text: str
    hash: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """A chart: its Vega-Lite specification, its PNG in base64 with its width, its description."""

    spec: dict[str, Any]
    png: str
    width: int
    description: str


def draw(chart: TopLevelMixin) -> Drawn:
    """Render a chart for a report, offline."""
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
    """Return Vega, Vega-Lite, vega-embed and the script of the page as one text."""
    page = files("evalkit.report").joinpath("templates", "report.js").read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle(page, vl_version=render.vega_lite_version())
    # A function around it keeps its names local; nothing in it may end the element.
    text = "(()=>{" + bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--") + "\n})();"
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # as a browser reads it: the hash is over that
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return Script(text, f"sha256-{base64.b64encode(digest).decode('ascii')}")
