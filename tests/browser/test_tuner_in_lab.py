"""Tuning a rule in a real JupyterLab: the slider moves the numbers, and the next cell reads the rule."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

START = "import evalkit as ek\ntuner = ek.tune(ek.demo.make(), target=0.9)\ntuner"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_threshold_that_is_moved_moves_rates_and_flips_and_is_kept(lab, run_notebook, axe, dark):
    page = run_notebook(lab.write("tuner.ipynb", START), dark=dark)
    widget = page.locator(".ek-tuner")
    expect(widget).to_contain_text("No trial changes verdict")

    slider = widget.get_by_label("Minimum mean")
    slider.focus()
    for _ in range(10):
        slider.press("ArrowRight")

    expect(widget).to_contain_text("67 of 162 trials change verdict")
    expect(widget).to_contain_text("the mean of the criteria is at least 4.5")
    expect(widget.get_by_role("row", name="v2 33.7%")).to_be_visible()
    assert axe(page, ".ek") == []
    if shots := os.environ.get("EVALKIT_SCREENSHOTS"):
        widget.screenshot(path=str(Path(shots) / f"tuner_{'dark' if dark else 'light'}.png"))
    widget.get_by_role("button", name="Save rule").click()
    expect(widget).to_contain_text("Saved to rule.yaml.")
    assert "mean: 4.5" in (lab.root / "rule.yaml").read_text()
    widget.get_by_role("button", name="Reset").click()
    expect(widget).to_contain_text("No trial changes verdict")
    assert page.outside == []
    assert page.said == []
