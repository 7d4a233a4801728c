"""Every widget on transcripts that mean harm, or are merely huge: text, legible, and no request."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.enable_socket]

START = r"""
import os
os.environ["EVALKIT_CACHE_DIR"] = "cache"
import polars as pl
import evalkit as ek

EVIL = (
    "<img src=http://evil.example/x.png onerror='window.__xss=1'><script>window.__xss=1</script>"
    "[link](javascript:window.__xss=1) ![i](http://evil.example/i.png) </script></style> \x1b[31m\u202e\x00 ```"
)
turns = [{"role": "user", "content": EVIL}, {"role": "assistant", "content": None, "tool_calls": '[{"name":"<b>","arguments":{"a":"</script>"}}]'}]
turns += [{"role": "tool", "content": ""}, {"role": EVIL, "content": "x" * 2_000_000}]
turns += [{"role": "user", "content": "see", "parts": '[{"type":"image_url","image_url":{"url":"http://evil.example/p.png"}}]'}]
turns += [{"role": "assistant", "content": f"turn {n} {EVIL}"} for n in range(2000)]
rows = [{"run": run, "case": "<b>01</b>", "epoch": 1, "turn": n, **turn} for run in ("a", "b") for n, turn in enumerate(turns, 1)]
scores = [
    {"run": run, "case": "<b>01</b>", "criterion": EVIL, "score": score, "rationale": EVIL, "evidence": EVIL[:40], "grader": "<i>judge</i>", "grader_kind": "judge"}
    for run, score in (("a", 2.0), ("b", 5.0))
]
evals = ek.Evals.from_tables(
    cases=pl.DataFrame({"suite": ["s"], "case": ["<b>01</b>"], "input": [EVIL], "ideal_behavior": [EVIL], "tags": [[EVIL]], "severity": ["critical"]}),
    criteria=pl.DataFrame({"suite": ["s"], "criterion": [EVIL], "description": [EVIL], "scale_min": [1.0], "scale_max": [5.0]}),
    runs=pl.DataFrame({"run": ["a", "b"], "suite": ["s", "s"], "agent_version": [EVIL, "v2"], "model": [EVIL, EVIL]}),
    trials=pl.DataFrame({"run": ["a", "b"], "case": ["<b>01</b>"] * 2, "output": [EVIL, ""]}),
    turns=pl.DataFrame(rows, infer_schema_length=None),
    scores=pl.DataFrame(scores),
)
judge = ek.Judge(model="none", provider="local", name="<i>judge</i>")
"""
WIDGETS = {
    "transcript": "ek.transcript(evals, run='a', case='<b>01</b>')",
    "transcript_diff": "ek.transcript_diff(evals, '<b>01</b>', baseline='a', candidate='b')",
    "explorer": "ek.explore(evals)",
    "tuner": "ek.tune(evals)",
    "labeler": "ek.label(evals, rater='<u>ann</u>', path='labels.jsonl', blind=False)",
    "rubric_lab": "ek.rubric_lab(evals, judge)",
}


@pytest.mark.parametrize("name", WIDGETS)
def test_a_widget_on_hostile_and_huge_transcripts_shows_text_and_asks_nobody(lab, run_notebook, name):
    page = run_notebook(lab.write(f"{name}.ipynb", START, WIDGETS[name]))
    widget = page.locator(".jp-OutputArea-output .ek").first

    expect(widget).to_contain_text("<img src=http", timeout=60_000)
    shown = widget.evaluate("e => e.innerText + [...e.querySelectorAll('textarea')].map(box => box.value)")
    assert "onerror='window.__xss=1'" in shown
    assert page.evaluate("() => window.__xss") is None
    assert widget.locator("img, script, iframe, a[href^=javascript]").count() == 0
    assert "\x1b" not in widget.inner_text()
    assert "\u202e" not in widget.inner_text()
    assert page.outside == []
    assert page.said == []
