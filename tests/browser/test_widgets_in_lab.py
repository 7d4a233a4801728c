"""The widgets in a real JupyterLab: what is clicked reaches the kernel, and what the kernel says is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

START = "import evalkit as ek\nevals = ek.demo.make()"


def keep(page, name):
    """Keep a picture of the widget where EVALKIT_SCREENSHOTS says."""
    if shots := os.environ.get("EVALKIT_SCREENSHOTS"):
        page.locator(".ek").first.screenshot(path=str(Path(shots) / f"{name}.png"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_transcript_steps_to_the_next_trial(lab, run_notebook, axe, dark):
    name = lab.write("transcript.ipynb", START, "ek.transcript(evals, run='v3-demo-large', case='02')")

    page = run_notebook(name, dark=dark)
    widget = page.locator(".ek-transcript")
    expect(widget).to_contain_text("Case 02, run v3-demo-large, epoch 1")
    keep(page, f"transcript_{'dark' if dark else 'light'}")
    widget.get_by_role("button", name="Next").click()

    expect(widget).to_contain_text("Case 02, run v3-demo-large, epoch 2")
    assert axe(page, ".ek") == []
    assert page.outside == []
    assert page.said == []
