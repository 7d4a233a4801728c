"""A report shows one grader's scores, and prints one quantity one way."""

from __future__ import annotations

import re
from itertools import chain

import polars as pl
import pytest

import evalkit as ek
from evalkit import charts
from evalkit.data.evals import Evals
from evalkit.report.blocks import BulletList, Figure, Flip, ReportTable, Text
from evalkit.report.build import ReportOptions, build
from evalkit.util.errors import SelectorError

SIDES = ReportOptions(baseline="v1", candidate="v2")


@pytest.fixture(scope="module")
def contradicting():
    """Two judges and people; gpt-4 passes v1 alone, claude and people pass v2 alone."""
    rows = []
    for version in ("v1", "v2"):
        for case in ("01", "02", "03"):
            for grader, kind, good in (
                ("gpt-4", "judge", "v1"),
                ("claude", "judge", "v2"),
                ("ann", "human", "v2"),
            ):
                score = {"gpt-4": 4.75, "claude": 4.5, "ann": 4.25}[grader]
                low = {"gpt-4": 1.75, "claude": 1.5, "ann": 1.25}[grader]
                rows.append(
                    {
                        "run": version,
                        "case": case,
                        "criterion": "Groq",
                        "grader": grader,
                        "grader_kind": kind,
                        "score": score if version == good else low,
                        "rationale": f"words of {grader}",
                    }
                )  # fmt: skip
    return Evals.from_tables(
        cases=pl.DataFrame({"case": ["01", "02", "03"], "severity": ["critical", "high", "low"]}),
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": ["v1", "v2"], "agent_version": ["v1", "v2"]}),
        scores=pl.DataFrame(rows),
    )


def blocks_of(content):
    return [content.figures, *content.asides, *chain.from_iterable(s.blocks for s in content.sections)]


def texts_of(content):
    """Return every text of a report, with the rows that its charts draw."""
    texts = [text for text, _ in content.headline] + list(content.details)
    texts += [section.note for section in content.sections]
    for block in blocks_of(content):
        if isinstance(block, ReportTable):
            texts += [cell.text for row in (block.columns, *block.rows) for cell in row]
            texts += [block.caption, block.note]
        elif isinstance(block, BulletList):
            texts += block.items
        elif isinstance(block, Text):
            texts.append(block.text)
        elif isinstance(block, Figure):
            texts += [block.caption, block.drawn.description, str(block.drawn.spec)]
        elif isinstance(block, Flip):
            texts.append(str(block))
    return texts


@pytest.mark.parametrize(
    ("grader", "others", "verdict"),
    [
        ("gpt-4", ("claude", "ann", "4.5,", "1.5,", "4.25", "1.25"), "regression"),
        ("claude", ("gpt-4", "ann", "4.75", "1.75", "4.25", "1.25"), "improvement"),
        ("human", ("gpt-4", "claude", "4.75", "1.75", "4.5,", "1.5,"), "improvement"),
    ],
)
def test_a_report_of_one_grader_shows_nobody_elses_scores(contradicting, grader, others, verdict):
    content = build(contradicting.with_scoring(grader=grader), SIDES)

    sections = {section.key: section for section in content.sections}
    flips = [block for block in sections["regressed"].blocks if isinstance(block, Flip)]
    assert len(flips) == (3 if verdict == "regression" else 0)
    text = "\n".join(texts_of(content))
    assert [word for word in others if re.search(rf"(?<![\w.]){re.escape(word)}", text)] == []


def test_the_map_of_cases_is_that_of_the_grader(contradicting):
    for grader, good in (("gpt-4", "v1"), ("human", "v2")):
        content = build(contradicting.with_scoring(grader=grader), SIDES)
        figure = next(block for block in blocks_of(content) if getattr(block, "key", "") == "chart-cases")
        rows = chain.from_iterable(figure.drawn.spec["datasets"].values())

        assert {row["group"] for row in rows if row.get("state") == "all pass"} == {good}


@pytest.mark.parametrize("draw", [charts.criteria, charts.severity, charts.trend, charts.cases])
def test_a_chart_takes_a_grader_or_that_of_the_evals(contradicting, draw):
    by_argument = {name: charts.spec(draw(contradicting, grader=name)) for name in ("gpt-4", "human")}

    assert by_argument["gpt-4"] != by_argument["human"]
    for name, spec in by_argument.items():
        assert charts.spec(draw(contradicting.with_scoring(grader=name))) == spec


def test_a_report_of_several_graders_needs_a_choice(contradicting, tmp_path):
    with pytest.raises(SelectorError, match="grader"):
        ek.report(contradicting, tmp_path / "r.html", baseline="v1", candidate="v2")
    assert ek.report(contradicting, tmp_path / "r.md", grader="gpt-4").exists()


def figures_of(content):
    """Return every printed form of the quantities of a comparison, by quantity."""
    found = {}

    def add(quantity, text):
        found.setdefault(quantity, set()).add(text)

    tables = {block.key: block for block in blocks_of(content) if isinstance(block, ReportTable)}
    for row in ([cell.text for cell in row] for row in tables["key-figures"].rows):
        for name, text in zip(("v2", "v3", "difference", "interval"), row[1:5], strict=True):
            add((row[0].lower(), name), text)
    for row in ([cell.text for cell in row] for row in tables["table-trend"].rows):
        add(("pass rate", row[0]), row[1])
        add(("interval of the rate", row[0]), row[2])
        add(("mean score of the version", row[0]), row[3])
    for row in ([cell.text for cell in row] for row in tables["table-criteria"].rows):
        add(("mean of", row[0], row[1]), row[2])
    for row in ([cell.text for cell in row] for row in tables["table-severity"].rows):
        add(("rate of", row[0], row[1]), row[2])
        add(("interval of", row[0], row[1]), row[3])
    for key in ("table-severity-change", "table-criteria-change"):
        for row in ([cell.text for cell in row] for row in tables[key].rows):
            if row[1] == "pass rate":
                add(("difference of", row[0]), f"{row[4]} {row[5]}")
    numbers = re.match(r"Pass rate (\S+) to (\S+), (\S+ points) (\[.*?\])", content.details[0])
    for name, text in zip(("v2", "v3", "difference", "interval"), numbers.groups(), strict=True):
        add(("pass rate", name), text)
    drawn = {block.key: block.drawn for block in blocks_of(content) if isinstance(block, Figure)}
    rows = {key: list(chain.from_iterable(one.spec["datasets"].values())) for key, one in drawn.items()}
    for row in rows["chart-trend"]:
        add(("pass rate", row["group"]), row["rate"])
        add(("interval of the rate", row["group"]), row["interval"])
    for row in rows["chart-criteria"]:
        add(("mean of", row["row"], row["group"]), row["mean_text"])
    for row in rows["chart-severity"]:
        add(("rate of", row["severity"], row["group"]), row["rate"])
        add(("interval of", row["severity"], row["group"]), row["interval"])
    for row in rows["chart-changes"]:
        if "words" in row and row["name"] != "overall":
            add(("difference of", row["name"]), row["words"])
        elif "words" in row:
            add(("pass rate", "difference"), " ".join(row["words"].split(" ")[:2]))
            add(("pass rate", "interval"), row["words"].partition("points ")[2])
            before, after = row["sides"].split(" → ")
            add(("pass rate", "v2"), before)
            add(("pass rate", "v3"), after)
    trend = re.search(
        r"Lowest (\S+) \(v1.*highest (\S+) \(v2.*last ([\d.]+%)", drawn["chart-trend"].description
    )
    for name, text in zip(("v1", "v2", "v3"), trend.groups(), strict=True):
        add(("pass rate", name), text)
    overall = re.search(r"overall: (\S+ points) (\[.*?\])", drawn["chart-changes"].description)
    add(("pass rate", "difference"), overall[1])
    add(("pass rate", "interval"), overall[2])
    lowest, highest = re.findall(r"mean (\S+) \(([^,]+), ([^,]+),|highest (\S+) \(([^,]+), ([^,]+),", drawn["chart-criteria"].description)  # fmt: skip
    add(("mean of", *lowest[1:3]), lowest[0])
    add(("mean of", *highest[4:6]), highest[3])
    return found


def test_a_quantity_is_printed_one_way_in_headline_tables_and_charts(demo_evals):
    figures = figures_of(build(demo_evals, ReportOptions(baseline="v2", candidate="v3")))

    assert {quantity: texts for quantity, texts in figures.items() if len(texts) > 1} == {}
    assert figures["pass rate", "v3"] == {"87.0%"}
    assert figures["pass rate", "difference"] == {"−9.3 points"}
    assert figures["pass rate", "interval"] == {"[−43.2, +25.0]"}
    assert len(figures) > 30
