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
        page.set_viewport_size({"width": 1500, "height": 1700})
        page.locator(".ek").first.screenshot(path=str(Path(shots) / f"{name}.png"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_transcript_steps_to_the_next_trial(lab, run_notebook, axe, dark):
    name = lab.write("transcript.ipynb", START, "ek.transcript(evals, run='v3-demo-large', case='02')")

    page = run_notebook(name, dark=dark)
    widget = page.locator(".ek-transcript")
    expect(widget).to_contain_text("Case 02, run v3-demo-large, epoch 1")
    # Nested lists of nodes are nodes, not their names.
    expect(widget).to_contain_text("Ideal behavior")
    expect(widget).not_to_contain_text("[object")
    keep(page, f"transcript_{'dark' if dark else 'light'}")
    widget.get_by_role("button", name="Next").click()

    expect(widget).to_contain_text("Case 02, run v3-demo-large, epoch 2")
    assert axe(page, ".ek") == []
    assert page.outside == []
    assert page.said == []


EXPLORE = "view = ek.explore(evals)\nview"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_filter_then_a_row_then_its_transcript(lab, run_notebook, axe, dark):
    page = run_notebook(lab.write("explorer.ipynb", START, EXPLORE), dark=dark)
    widget = page.locator(".ek-explorer")
    expect(widget.locator(".ek-count")).to_have_text("162 of 162 trials")
    keep(page, f"explorer_{'dark' if dark else 'light'}")

    widget.get_by_role("button", name="Show 1 more").click()
    expect(widget.get_by_role("group", name="Case").get_by_role("button")).to_have_count(9)
    widget.get_by_role("button", name="Show fewer").click()
    expect(widget.get_by_role("group", name="Case").get_by_role("button")).to_have_count(8)

    widget.get_by_role("button", name="critical").click()
    expect(widget.locator(".ek-count")).to_have_text("54 of 162 trials")
    widget.get_by_role("group", name="Verdict").get_by_role("button", name="fail").click()
    expect(widget.locator(".ek-count")).to_have_text("24 of 162 trials")
    widget.locator("tbody tr").nth(3).click()
    expect(widget.locator("tbody tr").nth(3)).to_have_attribute("aria-selected", "true")

    case = widget.locator("tbody tr").nth(3).locator("td").nth(2).inner_text()
    expect(widget.locator(".ek-title")).to_contain_text(f"Case {case}, run")
    assert axe(page, ".ek") == []
    assert page.outside == []
    assert page.said == []


def run_cell(page, at):
    """Run one cell again, and return its outputs."""
    page.evaluate(
        """async at => { const notebook = window.jupyterapp.shell.currentWidget.content;
        notebook.activeCellIndex = at; await window.jupyterapp.commands.execute('notebook:run-cell'); }""",
        at,
    )
    return page.evaluate(
        "at => window.jupyterapp.shell.currentWidget.content.model.cells.get(at).toJSON().outputs", at
    )


def said_by(outputs):
    return "".join(output.get("text", "") for output in outputs)


def test_what_is_brushed_is_what_the_table_holds_and_the_next_cell_reads(lab, run_notebook):
    read = "print(view.selection.height, view.selection['mean'].max(), view.picked)"
    page = run_notebook(lab.write("brush.ipynb", START, EXPLORE, read))
    widget = page.locator(".ek-explorer")
    plot = widget.locator(".ek-distribution svg")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()

    # From the scale's lowest score to its middle.
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 36 / 230 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 128 / 230 * box["width"], y, steps=6)
    page.mouse.up()
    expect(widget.locator(".ek-count")).to_have_text("50 of 162 trials")
    expect(widget.get_by_label("to", exact=True)).to_have_value("3")
    scores = widget.locator("tbody td:last-child").all_inner_texts()

    assert all(float(score) <= 3 for score in scores)
    assert said_by(run_cell(page, 2)).startswith("50 2.33")
    assert page.outside == []
    assert page.said == []


def test_the_keyboard_goes_through_the_table_and_types_no_letter_into_the_notebook(lab, run_notebook):
    page = run_notebook(lab.write("keys.ipynb", START, EXPLORE))
    widget = page.locator(".ek-explorer")
    rows = widget.locator("tbody tr")
    cells = page.evaluate("window.jupyterapp.shell.currentWidget.content.model.cells.length")

    widget.get_by_label("Search", exact=True).fill("custom_id")
    expect(widget.locator(".ek-count")).not_to_have_text("162 of 162 trials")
    rows.first.focus()
    page.keyboard.press("j")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(rows.nth(2)).to_have_attribute("aria-selected", "true")
    expect(rows.nth(2)).to_be_focused()
    page.keyboard.press("k")
    expect(rows.nth(1)).to_have_attribute("aria-selected", "true")
    for key in "abdx":
        page.keyboard.press(key)

    assert page.evaluate("window.jupyterapp.shell.currentWidget.content.model.cells.length") == cells
    assert page.said == []


def test_after_the_kernel_is_restarted_the_view_stays_and_its_code_gives_the_same(lab, run_notebook):
    again = "ns = {'evals': evals}; exec(CODE, ns); print(ns['selection'].height)"
    page = run_notebook(lab.write("restart.ipynb", START, EXPLORE))
    widget = page.locator(".ek-explorer")
    widget.get_by_role("button", name="critical").click()
    expect(widget.locator(".ek-count")).to_have_text("54 of 162 trials")
    widget.get_by_text("Code", exact=True).click()
    code = widget.get_by_label("Code for this selection").inner_text()

    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status === 'idle'"
    )

    expect(widget.locator("tbody tr")).to_have_count(25)
    expect(widget.locator(".ek-title")).to_contain_text("Case")
    result = page.evaluate(
        """async code => { const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
        let said = ''; const future = kernel.requestExecute({ code });
        future.onIOPub = message => { said += message.content.text || message.content.evalue || ''; };
        await future.done; return said; }""",
        f"{START}\nCODE = {code!r}\n{again}",
    )
    assert result.strip() == "54"


def test_an_untrusted_or_exported_notebook_holds_a_table_that_can_be_read(lab, run_notebook, open_page, axe):
    page = run_notebook(lab.write("static.ipynb", START, EXPLORE))
    output = page.outputs()[-1]["data"]
    (lab.root / "static.html").write_text(
        f"<!doctype html><html lang=en><title>x</title><meta charset=utf-8><main><h1>x</h1>{output['text/html']}</main>",
        encoding="utf-8",
    )

    static = open_page(lab.root / "static.html", scripts=False)

    assert "Explorer: 162 of 162 trials" in static.inner_text("main")
    assert static.locator("tbody tr").count() == 30
    assert "application/vnd.jupyter.widget-view+json" in output
    assert static.outside == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_two_transcripts_show_where_they_part(lab, run_notebook, axe, dark):
    name = lab.write("diff.ipynb", START, "ek.transcript_diff(evals, '02', baseline='v2', candidate='v3')")

    page = run_notebook(name, dark=dark)
    widget = page.locator(".ek-difference")
    expect(widget.locator(".ek-diff-row")).not_to_have_count(0)
    keep(page, f"transcript_diff_{'dark' if dark else 'light'}")
    widget.get_by_role("button", name="Show first difference").click()
    expect(widget.locator(".ek-diff-row").first).to_be_focused()
    expect(widget.locator(".ek-diff-row").first).to_contain_text("First difference")
    widget.get_by_text("2 turns alike").click()
    expect(widget.locator(".ek-alike-turn")).to_have_count(2)
    assert axe(page, ".ek") == []
    widget.get_by_label("Candidate").first.select_option(label="run v3-demo-small, epoch 2")

    expect(widget.get_by_label("Candidate").first).to_have_value("run v3-demo-small, epoch 2")
    expect(widget).to_have_attribute("aria-label", "Two transcripts side by side")
    assert page.outside == []
    assert page.said == []


TABLE = """import polars as pl
frame = pl.DataFrame({
    "ticket_id": [f"T-{i}" for i in range(12)],
    "user_msg": [f"How do I reset item {i}?" for i in range(12)],
    "bot_reply": ["Go to Settings, then Reset."] * 12,
    "prompt_rev": ["3fa9c1e"] * 6 + ["9d01b7a"] * 6,
    "gpt4_tone": [4, 5, 3, 2, 1, 5, 4, 3, 2, 1, 5, 4],
    "claude_tone": [4, 5, 3, 2, 1, 5, 4, 3, 2, 1, 5, 4],
    "kindness": ["4", "5", "x", "2", "1", "5", "4", "", "2", "1", "5", "4"],
})
mapper = ek.map_columns(frame)
mapper"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_column_is_mapped_and_what_is_read_is_counted(lab, run_notebook, axe, dark):
    page = run_notebook(lab.write("mapper.ipynb", "import evalkit as ek", TABLE), dark=dark)
    widget = page.locator(".ek-map_columns")
    expect(widget).to_contain_text("24 scores read, 0 without a number")
    keep(page, f"map_columns_{'dark' if dark else 'light'}")

    widget.get_by_label("Role of kindness").select_option("score, higher is better")
    expect(widget).to_contain_text("34 scores read, 1 without a number, 1 empty")
    widget.get_by_label("Scale of kindness").select_option("1 to 5")
    expect(widget.locator(".ek-map-code")).to_contain_text("'kindness': {'scale': [1, 5]}")

    assert axe(page, ".ek") == []
    assert page.outside == []
    assert page.said == []
