"""A real JupyterLab in a real Chromium: the first notebook, as a new user runs it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

ROOT = Path(__file__).parents[2]
VEGA = "application/vnd.vegalite.v5+json"
HOLDS = """mime => window.jupyterapp.shell.currentWidget.content.widgets
  .flatMap((cell, at) => (cell.model.toJSON().outputs || []).some(o => o.data?.[mime]) ? [at] : [])"""
DRAWN = """at => window.jupyterapp.shell.currentWidget.content.widgets[at].node
  .querySelector('.vega-embed svg.marks, .vega-embed canvas.marks')"""


def test_the_first_notebook_runs_all_cells_and_draws_its_charts(lab, run_notebook):
    shutil.copytree(ROOT / "notebooks", lab.root / "notebooks")
    shutil.copytree(ROOT / "data/demo", lab.root / "data/demo")

    page = run_notebook("notebooks/00_start.ipynb", height=1400)

    outputs = page.outputs()
    assert [o for o in outputs if o["output_type"] == "error"] == []
    assert [o for o in outputs if o.get("name") == "stderr"] == []
    expected = sum(VEGA in o.get("data", {}) for o in outputs)
    assert expected >= 5
    # A cell that is out of sight is not drawn: go to each that holds a chart, and wait until it is.
    holds = page.evaluate(HOLDS, VEGA)
    assert len(holds) == expected
    for at in holds:
        page.evaluate("at => window.jupyterapp.shell.currentWidget.content.scrollToItem(at, 'start')", at)
        page.wait_for_function(DRAWN, arg=at)
        if shots := os.environ.get("EVALKIT_SCREENSHOTS"):
            page.screenshot(path=str(Path(shots) / f"lab_{at:02}.png"))
    assert page.outside == []
    # JupyterLab 4 draws Vega-Lite 5 and says so of a newer spec; the spec uses nothing newer.
    assert [text for text in page.said if "vega-lite" not in text.lower()] == []
    assert page.evaluate("() => window.x") is None
