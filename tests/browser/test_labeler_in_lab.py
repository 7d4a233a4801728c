"""Labeling in a real JupyterLab, by keyboard alone: labels reach the file, and kappa moves."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

START = "import evalkit as ek\nevals = ek.demo.make()"
LABEL = "labeler = ek.label(evals, rater='ann', path='{path}', order='random', seed=1)\nlabeler"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_keys_give_labels_and_the_figures_follow(lab, run_notebook, axe, dark):
    path = f"labels-{dark}.jsonl"
    page = run_notebook(lab.write("labeler.ipynb", START, LABEL.format(path=path)), dark=dark, height=1500)
    widget = page.locator(".ek-labeler")
    expect(widget).to_contain_text("No labels yet")
    said = widget.get_by_label("Results")

    expect(widget).not_to_contain_text("No judgements")
    heights = [widget.locator(part).bounding_box()["height"] for part in (".ek-reading", ".ek-side")]
    assert heights[0] == pytest.approx(heights[1], abs=1) or heights[0] == 640

    widget.focus()
    for number, key in enumerate(["5", "4", "4", "2", "1", "1", "4", "4", "4", "1", "2", "2"], 1):
        page.keyboard.press(key)
        expect(widget).to_contain_text(f"ann: {number} of 483")

    expect(said).to_contain_text("verdict: kappa 1.00")
    expect(said).to_contain_text("people would pass")
    page.keyboard.press("n")
    page.keyboard.type("Because 5 <b>j</b>")
    page.keyboard.press("Escape")
    if shots := os.environ.get("EVALKIT_SCREENSHOTS"):
        widget.screenshot(path=str(Path(shots) / f"labeler_{'dark' if dark else 'light'}.png"))
    page.keyboard.press("?")
    expect(widget).to_contain_text("ann: 13 of 483")
    rows = [json.loads(line) for line in (lab.root / path).read_text().splitlines()]
    assert [row.get("score") for row in rows] == [5, 4, 4, 2, 1, 1, 4, 4, 4, 1, 2, 2, None]
    assert rows[-1]["rationale"] == "Because 5 <b>j</b>"
    assert axe(page, ".ek") == []
    assert page.outside == []
    assert page.said == []
