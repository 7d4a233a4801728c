"""The rubric lab in a real JupyterLab, with a judge on loopback: reword, see what is stale, judge again, see what moved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from fakes import FakeServer
from fakes.judges import judged

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

START = """\
import os
os.environ["EVALKIT_CACHE_DIR"] = "cache-{name}"
import evalkit as ek
evals = ek.demo.make()
judge = ek.Judge(model="openai/gpt-oss-120b", rubric=ek.demo.suite_path(), provider="{url}", name="demo-judge", samples=1)
"""
LAB = "lab = ek.rubric_lab(evals, judge, folder='kept-{name}')\nlab"
AGAIN = "again = ek.rubric_lab(evals + ek.load('kept-{name}'), judge, folder='kept-{name}')"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_criterion_is_reworded_judged_again_and_the_scores_are_held_side_by_side(
    lab, run_notebook, axe, dark
):
    name = "dark" if dark else "light"
    with FakeServer("groq") as fake:
        fake.answer = lambda body: judged(body, 3, reasoning="<b>A wrong limit</b> is stated.")
        cells = [START.format(name=name, url=fake.base_url), LAB.format(name=name)]
        page = run_notebook(lab.write("rubric.ipynb", *cells), dark=dark, height=1500)
        widget = page.locator(".ek-rubric_lab")
        stale = widget.get_by_label("Affected scores and cost")
        expect(stale).to_contain_text("All scores use the current wording")

        widget.get_by_label("Description").fill(
            "Knows GroqCloud's own limits. One that is wrong costs a point."
        )
        expect(stale).to_contain_text("161 trials not scored with the new one yet")
        widget.get_by_label("Trials").select_option("random")
        widget.get_by_label("Limit").fill("8")
        widget.get_by_label("Limit").press("Tab")
        expect(stale).to_contain_text("8 chosen trials")
        widget.get_by_role("button", name="Rejudge 8 trials").click()

        expect(widget).to_contain_text("8 trials scored under both wordings", timeout=60_000)
        widget.get_by_text("Show both").first.click()
        expect(widget).to_contain_text("<b>A wrong limit</b> is stated.")
        if shots := os.environ.get("EVALKIT_SCREENSHOTS"):
            widget.screenshot(path=str(Path(shots) / f"rubric_lab_{name}.png"))
        assert axe(page, ".ek") == []
        assert page.outside == []
        assert page.said == []
        asked = sum(fake.bodies.values())

        # The kernel is gone: what was judged is in the folder, and is not asked for again.
        page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
        more = run_notebook(
            lab.write("again.ipynb", *cells[:1], AGAIN.format(name=name), "again.evals.scores.height")
        )
        assert more.outputs()[-1]["data"]["text/plain"] == str(len_of_demo() + 8)
        assert sum(fake.bodies.values()) == asked


def len_of_demo():
    import evalkit as ek

    return ek.demo.make().scores.height
