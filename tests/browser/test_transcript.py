from __future__ import annotations

import base64

import polars as pl
import pytest
from playwright.sync_api import expect

from evalkit.data.evals import Evals
from evalkit.widgets.panel import script, style
from evalkit.widgets.transcript import transcript

pytestmark = pytest.mark.browser

HOSTILE = "</script><script>window.x=1</script><img src=x onerror=window.x=1>[x](javascript:window.x=1)\x1b[31m\u202e{{7*7}}"
RENDER = """async ([module, state]) => {
  const { default: widget } = await import('data:text/javascript;base64,' + module);
  widget.render({ model: { get: (part) => state[part], on() {}, off() {}, send() {} }, el: document.getElementById('here') });
}"""


@pytest.fixture(scope="module")
def view():
    key = {"run": HOSTILE, "case": HOSTILE}
    return transcript(
        Evals.from_tables(
            trials=pl.DataFrame({**key, "output": "the final answer"}),
            turns=pl.DataFrame({**key, "turn": [1, 2, 3], "role": ["user", "assistant", "tool"], "content": [HOSTILE, "maps by line order", "needle in a result"]}),
            scores=pl.DataFrame({**key, "criterion": HOSTILE, "score": [1.0], "rationale": HOSTILE, "evidence": "by line order"}),
        ),
        run=HOSTILE,
        case=HOSTILE,
    )  # fmt: skip


@pytest.fixture
def shown(view, open_page, tmp_path):
    def show(kind):
        path = tmp_path / "page.html"
        body = view._repr_html_() if kind == "static" else ""
        path.write_text(f"<!doctype html><html lang=en><meta charset=utf-8><title>t</title><main><h1>t</h1><div id=here>{body}</div></main>", encoding="utf-8")  # fmt: skip
        page = open_page(path)
        if kind == "widget":
            page.add_style_tag(content=style("transcript", "transcript_reading"))
            module = base64.b64encode(script("transcript", "transcript_reading").encode()).decode()
            page.evaluate(RENDER, [module, view.show()])
        return page

    return show


@pytest.mark.parametrize("kind", ["static", "widget"])
def test_hostile_text_stays_text(shown, axe, kind):
    page = shown(kind)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")

    text = page.locator("#here").inner_text()
    assert page.locator("#here img, #here script, #here a").count() == 0
    assert page.evaluate("window.x") is None
    assert "<img src=x onerror=window.x=1>" in text
    assert "{{7*7}}" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert page.locator("mark").first.inner_text() == "by line order"
    assert page.outside == []
    assert page.said == []
    assert axe(page) == []


def test_the_search_box_leaves_what_holds_the_word_and_opens_its_fold(shown):
    page = shown("widget")

    page.get_by_label("Search this transcript").fill("NEEDLE")

    expect(page.locator(".ek-messages > li:visible")).to_have_count(1)
    assert page.get_by_text("needle in a result").last.is_visible()
    expect(page.get_by_role("status").last).to_have_text("1 of 4 messages")
