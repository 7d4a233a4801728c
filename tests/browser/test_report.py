from __future__ import annotations

import asyncio
import json
import re

import polars as pl
import pytest

from evalkit.data import demo
from evalkit.data.evals import Evals
from evalkit.data.schema import Problem
from evalkit.report.report import report

pytestmark = pytest.mark.browser

HOSTILE = (
    "</script><script>window.x=1</script><img src=x onerror=window.x=1>"
    "[x](javascript:window.x=1)![y](https://example.com/p.png)\x1b[31mred\u202etxt{{7*7}}"
)
DRAWN = "document.querySelectorAll('figure.chart').length === document.querySelectorAll('figure.chart[data-drawn] svg').length"
SMALL = ["01", "02", "03", "04"]


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    return report(demo.make(), tmp_path_factory.mktemp("r") / "report.html", baseline="v2", candidate="v3")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory):
    runs = [f"a{HOSTILE}", f"b{HOSTILE}"]
    keys = [(run, f"{case}{HOSTILE}") for run in runs for case in SMALL]
    trials = pl.DataFrame(keys, schema=["run", "case"], orient="row")
    bad = pl.col("run").str.starts_with("b") & pl.col("case").str.starts_with("02")
    evals = Evals.from_tables(
        cases=pl.DataFrame({"suite": HOSTILE, "case": [f"{case}{HOSTILE}" for case in SMALL], "severity": "critical", "input": HOSTILE, "ideal_behavior": HOSTILE}),
        criteria=pl.DataFrame({"suite": [HOSTILE], "criterion": [HOSTILE], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": runs, "suite": HOSTILE, "agent": HOSTILE, "agent_version": [f"v1{HOSTILE}", f"v2{HOSTILE}"], "model": HOSTILE}),
        trials=trials.with_columns(output=pl.lit(HOSTILE), error=pl.lit(HOSTILE), source=pl.lit(HOSTILE)),
        turns=trials.with_columns(role=pl.lit("assistant"), content=pl.lit(HOSTILE), reasoning=pl.lit(HOSTILE), tool_calls=pl.lit(json.dumps([{"name": HOSTILE, "arguments": HOSTILE}]))),
        scores=trials.with_columns(criterion=pl.lit(HOSTILE), score=pl.when(bad).then(1.0).otherwise(5.0), grader=pl.lit(HOSTILE), judge_model=pl.lit(HOSTILE), rationale=pl.lit(HOSTILE), evidence=pl.lit(HOSTILE)),
        problems=[Problem(HOSTILE, 3, HOSTILE)],
        notes=[HOSTILE],
        files=[HOSTILE],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("r") / "report.html"
    return report(evals, path, baseline={"run": runs[0]}, candidate={"run": runs[1]}, title=HOSTILE)


def test_every_chart_is_drawn_without_a_request_or_a_word_on_the_console(made, open_page):
    page = open_page(made)

    page.wait_for_function(DRAWN)

    assert page.locator("figure.chart").count() == 5
    assert page.locator("figure.chart img").count() == 0
    assert page.outside == []
    assert page.said == []


def test_the_planted_verdict_stands_in_the_first_screen(made, open_page):
    page = open_page(made)

    for text in ("critical case 02 fails (0/6, was 6/6)", "Synthetic data.", "Case 02"):
        box = page.get_by_text(text).first.bounding_box()
        assert box["y"] + box["height"] < 800


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_no_accessibility_rule_is_broken(made, open_page, axe, scheme, width):
    page = open_page(made, width=width, scheme=scheme)
    page.wait_for_function(DRAWN)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")

    assert axe(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dragging_over_a_distribution_selects_scores(made, open_page):
    page = open_page(made)
    page.wait_for_function(DRAWN)
    chart = page.locator("#chart-criteria svg")
    chart.scroll_into_view_if_needed()
    before = chart.text_content()
    cell = page.locator("#chart-criteria svg .cell path.background").first.bounding_box()

    x, y = cell["x"], cell["y"] + cell["height"] / 2
    page.mouse.move(x + cell["width"] * 0.3, y)
    page.mouse.down()
    page.mouse.move(x + cell["width"] * 0.9, y, steps=8)
    page.mouse.up()

    page.wait_for_function(
        "(before) => document.querySelector('#chart-criteria svg').textContent !== before", arg=before
    )
    assert "selected" in chart.text_content()


def test_the_table_of_cases_is_filtered_by_words(made, open_page):
    page = open_page(made)
    rows = page.locator("#table-cases tbody tr:visible")
    assert rows.count() == 9

    page.get_by_label("Filter rows").fill("critical")

    assert rows.count() == 3
    assert page.get_by_text("3 of 9 rows").is_visible()


@pytest.fixture(scope="session")
def long(tmp_path_factory):
    """A report on 300 cases, of which 150 improved and 150 regressed; its flips carry no transcript."""
    names = [f"q{at}" for at in range(1, 301)]
    rows = [
        (v, name, 5.0 if (at + (v == "v2")) % 2 else 1.0)
        for v in ("v1", "v2")
        for at, name in enumerate(names)
    ]
    evals = Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": ["v1", "v2"], "agent_version": ["v1", "v2"]}),
        scores=pl.DataFrame(rows, schema=["run", "case", "score"], orient="row").with_columns(criterion=pl.lit("Groq")),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("r") / "long.html"
    return report(evals, path, baseline="v1", candidate="v2", max_transcripts=0)


def test_a_long_report_is_short_until_its_folds_are_opened(long, open_page):
    page = open_page(long)
    page.wait_for_function(DRAWN)

    height = page.evaluate("document.documentElement.scrollHeight")
    assert height < 9_000
    assert page.locator("#table-cases tbody tr:visible").count() == 20
    page.locator("#table-cases details.more > summary").click()
    assert page.locator("#table-cases tbody tr:visible").count() == 300


def test_the_filter_finds_what_lies_in_the_fold_and_folds_it_again(long, open_page):
    page = open_page(long)
    rows = page.locator("#table-cases tbody tr:visible")

    page.get_by_label("Filter rows").fill("q29")
    assert rows.count() == 11
    assert page.get_by_text("11 of 300 rows").is_visible()
    page.get_by_label("Filter rows").fill("")

    assert rows.count() == 20


def test_printing_leaves_long_tables_folded(long, open_page):
    page = open_page(long)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    assert page.locator("#table-cases tbody tr:visible").count() == 20
    assert page.locator("#table-cases summary", has_text="280 more rows").is_visible()


def test_on_a_telephone_interval_and_verdict_stand_in_the_screen(made, open_page):
    page = open_page(made, width=390)

    for text in ("[−43.2, +25.0]", "inconclusive"):
        box = page.locator("#key-figures td", has_text=text).first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    label = page.locator("#key-figures td").nth(3)
    assert "95% interval" in label.evaluate("(one) => getComputedStyle(one, '::before').content")


def test_a_chart_wider_than_the_screen_scrolls_in_a_box_that_shows_it(made, open_page):
    page = open_page(made, width=390)
    page.wait_for_function(DRAWN)
    card = page.locator("#chart-cases .card")

    assert card.evaluate("(one) => one.scrollWidth > one.clientWidth")
    assert card.get_attribute("tabindex") == "0"
    assert "linear-gradient" in card.evaluate("(one) => getComputedStyle(one).backgroundImage")
    # The drawing has no ground of its own that would cover the shadow at the edge.
    ground = page.locator("#chart-cases svg > rect, #chart-cases svg .background").first
    assert ground.count() == 0 or ground.evaluate("(one) => getComputedStyle(one).fill") in ("none", "rgba(0, 0, 0, 0)")  # fmt: skip


def test_a_picture_fits_a_telephone(made, open_page):
    page = open_page(made, width=390, scripts=False)

    for image in page.locator("figure.chart img").all():
        assert image.bounding_box()["width"] <= 390


def test_a_severity_has_one_colour_in_every_table(made, open_page):
    page = open_page(made)

    for word in ("critical", "high"):
        colors = page.evaluate(
            "(word) => [...document.querySelectorAll(`td.severity-${word}, th.severity-${word}`)].map((one) => getComputedStyle(one).color)",
            word,
        )
        assert len(colors) > 2
        assert len(set(colors)) == 1


def test_without_scripts_the_pictures_stay(made, open_page):
    page = open_page(made, scripts=False)

    images = page.locator("figure.chart img")
    assert images.count() == 5
    for image in images.all():
        image.scroll_into_view_if_needed()
        assert image.bounding_box()["height"] > 80
        assert len(image.get_attribute("alt")) > 40
    assert page.locator("details.trial").first.is_visible()


def test_a_fold_opens_by_keyboard_and_shows_the_quotation(made, open_page):
    page = open_page(made)
    fold = page.locator("#flip-1 details.trial").first
    fold.locator("summary").first.focus()

    page.keyboard.press("Enter")

    assert fold.locator("mark").first.is_visible()


def test_hostile_text_stays_text(hostile, open_page):
    page = open_page(hostile)
    page.wait_for_function(DRAWN)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true })")

    assert page.evaluate("window.x") is None
    assert page.outside == []
    assert page.said == []
    assert page.locator("script").count() == 1 + page.locator("figure.chart").count()
    assert page.locator("img").count() == 0
    assert page.locator("a[href^='javascript']").count() == 0
    text = page.locator("body").inner_text()
    assert "{{7*7}}" in text
    assert "<img src=x onerror=window.x=1>" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_hostile_tooltips_stay_text(hostile, open_page):
    page = open_page(hostile)
    page.wait_for_function(DRAWN)

    cell = page.locator("#chart-cases svg .mark-rect.role-mark path").first
    cell.scroll_into_view_if_needed()
    cell.hover()

    tooltip = page.locator("#vg-tooltip-element")
    tooltip.wait_for()
    assert tooltip.locator("img").count() == 0
    assert page.evaluate("window.x") is None
    assert page.outside == []


def test_printing_opens_the_folds_and_cuts_no_chart(made, open_page):
    page = open_page(made)
    page.wait_for_function(DRAWN)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 690, "height": 1000})  # A4 between the margins
    page.evaluate("dispatchEvent(new Event('beforeprint'))")

    wide = page.evaluate("[...document.querySelectorAll('figure svg, table')].filter((one) => one.getBoundingClientRect().right > innerWidth + 1).map((one) => one.closest('[id]').id)")  # fmt: skip
    assert wide == []
    assert page.locator("#flip-1 details.trial > .ek-transcript").first.is_visible()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details.trial[open]").count() == 0


def test_a_pdf_is_printed(tmp_path, browser):
    # Its own Playwright would be a second one in this thread; a fresh interpreter is what a user has.
    import subprocess
    import sys

    code = "from evalkit.data import demo; from evalkit.report.report import report; import sys; report(demo.make(), sys.argv[1], baseline='v2', candidate='v3')"  # fmt: skip
    path = tmp_path / "report.pdf"

    subprocess.run([sys.executable, "-c", code, str(path)], check=True, timeout=120)

    assert path.read_bytes().startswith(b"%PDF-")
    assert path.stat().st_size > 50_000


@pytest.mark.usefixtures("browser")
def test_a_pdf_is_printed_where_a_loop_runs_as_in_a_notebook(tmp_path):
    asyncio.get_running_loop()

    path = report(demo.make(), tmp_path / "report.pdf", baseline="v2", candidate="v3")

    text = path.read_bytes()
    assert text.startswith(b"%PDF-")
    assert b"/StructTreeRoot" in text  # tagged, for who hears it read
    assert len(re.findall(rb"/Type\s*/Page\b", text)) > 3
