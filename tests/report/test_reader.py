"""What somebody who was sent the report sees first, and what they are not made to scroll past."""

from __future__ import annotations

import re
from html import unescape

import polars as pl
import pytest

from evalkit.data.evals import Evals
from evalkit.report.report import report
from evalkit.util.errors import SelectorError


def words(html):
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def many(number=60, *, severity=None):
    """As many cases, q1, q2, ...: all fail under v1 and pass under v2, or the other way round."""
    names = [f"q{at}" for at in range(1, number + 1)]
    scores = [(version, name, 2.0 if version == "v1" else 5.0) for version in ("v1", "v2") for name in names]
    return Evals.from_tables(
        cases=pl.DataFrame({"case": names, "severity": severity}, schema_overrides={"severity": pl.String}),
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": ["v1", "v2"], "agent_version": ["v1", "v2"]}),
        scores=pl.DataFrame(scores, schema=["run", "case", "score"], orient="row").with_columns(
            criterion=pl.lit("Groq")
        ),
    )


def written(evals, tmp_path, name="r.html", **options):
    return report(evals, tmp_path / name, **options).read_text(encoding="utf-8")


def test_what_a_critical_case_does_is_red_and_in_words(body):
    headline = re.search(r"<h1>(.*?)</h1>", body, re.DOTALL)[1]

    assert '<span class="verdict verdict-error">critical</span>' in headline
    assert '<span class="alarm"> case 02 fails (0/6, was 6/6).</span>' in headline


@pytest.mark.parametrize(("severity", "alarmed"), [("high", True), ("medium", False), (None, False)])
def test_only_critical_and_high_cases_raise_the_alarm(tmp_path, severity, alarmed):
    html = written(
        many(2, severity=severity), tmp_path, baseline="v2", candidate="v1", title=". Pass rate 1; x"
    )

    headline = re.search(r"<h1>(.*?)</h1>", html, re.DOTALL)[1]
    assert ('class="alarm"' in headline) is alarmed
    assert "case q1" in headline


@pytest.mark.parametrize("key", ["table-cases", "table-improved"])
def test_of_a_long_table_twenty_rows_are_shown_and_the_others_folded(tmp_path, key):
    html = written(many(), tmp_path, baseline="v1", candidate="v2")

    block = html[html.index(f'id="{key}"') :]
    shown, folded = block[: block.index("</details>")].split('<details class="more">')
    assert shown.count('<th scope="row"') == 20
    assert folded.count('<th scope="row"') == 40
    assert "<summary>40 more rows</summary>" in folded


def test_cases_stand_in_natural_order_in_tables_and_charts(tmp_path):
    html = written(many(11), tmp_path, baseline="v1", candidate="v2")

    table = html[html.index('id="table-cases"') :]
    assert re.findall(r'<th scope="row"[^>]*>(q\d+)<', table)[:11] == [f"q{at}" for at in range(1, 12)]
    chart = html[html.index('id="chart-cases"') :]
    assert re.findall(r'"name":\s?"(q\d+)"', chart)[:4] == ["q1", "q1", "q2", "q2"]


def test_a_column_that_says_nothing_in_any_row_is_left_out(tmp_path):
    html = written(many(), tmp_path, baseline="v1", candidate="v2")

    heads = words(re.search(r'id="table-improved".*?</thead>', html, re.DOTALL)[0])
    assert heads.endswith("Case Baseline v1 Candidate v2")
    runs = words(re.search(r'id="table-runs".*?</thead>', html, re.DOTALL)[0])
    assert "Provider" not in runs
    assert "Version" in runs


def test_a_reason_says_the_mean_that_the_rule_used_and_whose_words_these_are(tmp_path):
    scores = [("a", 1, 5.0), ("a", 2, 5.0), ("a", 3, 5.0), ("b", 1, 2.0), ("b", 2, 3.0), ("b", 3, 1.0)]
    evals = Evals.from_tables(
        cases=pl.DataFrame({"case": ["01"], "input": ["Orders arrive twice."]}),
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": ["a", "b"], "agent_version": ["a", "b"]}),
        scores=pl.DataFrame(scores, schema=["run", "sample", "score"], orient="row").with_columns(
            case=pl.lit("01"),
            criterion=pl.lit("Groq"),
            grader=pl.lit("judge"),
            rationale=pl.format("words of {}", "sample"),
        ),
    )

    text = words(
        re.search(
            r'<article class="flip".*?<details',
            written(evals, tmp_path, baseline="a", candidate="b"),
            re.DOTALL,
        )[0]
    )

    assert "The case: Orders arrive twice." in text
    assert (
        "Groq 2.00 of 5 the mean of 3 judgements; the lowest, sample 3 of judge, gave 1 of 5: words of 3"
        in text
    )


def test_warnings_have_true_minus_signs_and_no_python(body):
    warnings = words(re.search(r'id="table-warnings".*?</table>', body, re.DOTALL)[0])

    assert "difference would be −7.4 points" in warnings
    assert not re.search(r"(?<![\w])-\d", warnings)
    assert "margin={" not in warnings
    assert "W20 overall No margin set" in warnings


def test_versions_scored_on_fewer_criteria_are_named_where_their_rates_stand(tmp_path):
    scores = [("full", "relevance"), ("full", "similarity"), ("text_retrieval", "relevance")]
    evals = Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["relevance", "similarity"], "scale_min": 1, "scale_max": 5}),
        scores=pl.DataFrame(scores, schema=["run", "criterion"], orient="row").with_columns(
            case=pl.lit("01"), score=5
        ),
    )
    html = written(evals, tmp_path)

    told = "'text_retrieval' was not scored on 'similarity'. Its pass rate uses fewer criteria."
    for section in ("trend", "criteria", "methods"):
        part = re.search(rf'<section id="{section}".*?</section>', html, re.DOTALL)[0]
        assert told in unescape(part)
    assert html.count("was not scored on") == 3


def test_runs_in_no_known_order_are_not_called_a_trend_that_goes_somewhere(tmp_path):
    evals = Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        scores=pl.DataFrame({"run": ["base", "tuned"], "case": "01", "criterion": "Groq", "score": [5, 2]}),
    )
    text = written(evals, tmp_path, "r.html")

    assert "goes from" not in text
    assert "no line joins them" in text


def different():
    scores = [("v1", "relevance", 5), ("v1", "similarity", 1), ("v2", "relevance", 5)]
    return Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["relevance", "similarity"], "scale_min": 1, "scale_max": 5}),
        scores=pl.DataFrame(scores, schema=["run", "criterion", "score"], orient="row").with_columns(
            case=pl.lit("01")
        ),
    )


def test_sides_scored_on_different_criteria_are_refused(tmp_path):
    with pytest.raises(SelectorError, match="different criteria"):
        report(different(), tmp_path / "r.html", baseline="v1", candidate="v2")


def test_by_shared_criteria_every_number_goes_by_what_both_sides_have(tmp_path):
    html = written(different(), tmp_path, baseline="v1", candidate="v2", criteria="shared")

    text = words(re.sub(r"<(script|style)[^>]*>.*?</\1>", "", html, flags=re.DOTALL))
    assert "Pass rate 100.0% 100.0%" in text
    assert "Only one side was scored on 'similarity'." in text
    rows = re.findall(
        r'<th scope="row">([^<]*)<', re.search(r'id="table-criteria".*?</table>', html, re.DOTALL)[0]
    )
    assert set(rows) == {"relevance"}
