from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import polars as pl
import pytest

from evalkit.data import demo
from evalkit.data.evals import Evals
from evalkit.data.schema import Problem
from evalkit.grading.pass_rule import PassRule
from evalkit.report import write
from evalkit.report.report import report
from evalkit.util.errors import FormatError, SelectorError

HOSTILE = "</script><script>window.x=1</script><img src=x onerror=window.x=1>[x](javascript:window.x=1)\x1b[31m\u202e{{7*7}}"


def words(html):
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def attributes(html):
    names = set()

    class Names(HTMLParser):
        def handle_starttag(self, tag, attrs):
            names.update(name for name, _ in attrs)

    Names().feed(html)
    return names


def small(*, versions=("v1", "v2"), score=5.0, **more):
    """Two cases; the last version fails case 02."""
    rows = [
        {"run": f"r-{version}", "case": case, "criterion": "Groq", "score": 1.0 if case == "02" and version == versions[-1] else score}
        for version in versions
        for case in ("01", "02")
    ]  # fmt: skip
    return Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": [f"r-{v}" for v in versions], "agent_version": list(versions)}),
        scores=pl.DataFrame(rows),
        **more,
    )


def written(evals, tmp_path, name="r.html", **options):
    return report(evals, tmp_path / name, **options).read_text(encoding="utf-8")


def test_the_verdict_stands_first_with_the_planted_flip(body):
    headline = words(re.search(r"<h1>.*?</h1>", body, re.DOTALL)[0])

    assert headline == "v3 against v2: inconclusive overall; critical case 02 fails (0/6, was 6/6)."
    assert body.index("<h1>") < body.index("<table") < body.index("<h2")


def test_sections_follow_the_questions_a_reader_asks(body):
    titles = [words(found) for found in re.findall(r"<h2.*?</h2>", body)]

    assert titles == [
        "What regressed", "What improved", "Differences", "By criterion", "By severity", "Trend", "Cases by version",
        "All 9 cases", "Problems and notes", "Rule, methods and warnings", "Inputs",
    ]  # fmt: skip


def test_every_section_is_in_the_table_of_contents(body):
    links = re.findall(r'<li><a href="#([^"]+)">', body)

    assert links == re.findall(r'<section id="([^"]+)"', body)


def test_ids_are_unique(html):
    ids = re.findall(r'\sid="([^"]+)"', re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))

    assert len(ids) == len(set(ids))


def test_a_flip_shows_counts_rationale_and_both_transcripts(body):
    flip = re.search(r'<article class="flip" id="flip-1">.*?</article>', body, re.DOTALL)[0]
    text = words(flip)

    assert "Case 02 v2 pass 6/6 → to v3 fail 0/6" in text
    assert "custom_id is never read" in text
    assert flip.count('<details class="trial print">') == 2
    assert "<mark>" in flip
    models = re.findall(r"run v\d-(demo-\w+), epoch", text)
    assert len(set(models)) == 1


def test_made_up_data_says_so(body, tmp_path):
    assert "Synthetic data." in body
    assert "Synthetic data." not in written(small(), tmp_path)


def test_the_policy_lets_one_script_run_and_its_hash_is_right(html):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()

    assert len(scripts) == 1
    assert unescape(policy) == (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


def test_nothing_in_the_page_points_outside(html):
    attributes = re.findall(r'\s(?:src|href|srcset|action|poster|data)="([^"]*)"', re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL))  # fmt: skip

    assert {one.partition(":")[0] for one in attributes if not one.startswith("#")} == {"data"}
    assert "@import" not in html
    assert "url(" not in re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]


def test_each_chart_has_a_picture_words_and_a_specification(html):
    figures = re.findall(r'<figure class="chart".*?</figure>', html, re.DOTALL)

    assert len(figures) == 5
    for figure in figures:
        assert base64.b64decode(re.search(r"base64,([^\"]+)", figure)[1]).startswith(b"\x89PNG")
        assert len(re.search(r'role="img" aria-label="([^"]+)"', figure)[1]) > 40
        spec = json.loads(re.search(r'<script type="application/json">(.*?)</script>', figure)[1])
        assert "$schema" in spec


def test_without_two_sides_it_describes_and_gives_no_verdict(tmp_path):
    text = words(written(small(), tmp_path))

    assert "2 cases, 2 runs, 4 trials: pass rate 100.0% (v1) down to 50.0% (v2)." in text
    assert "there is no verdict" in text
    assert "What regressed" not in text


def test_equal_rates_are_told_once(tmp_path):
    text = words(written(small(versions=("v1", "v2"), score=1.0), tmp_path))

    assert "4 trials: pass rate 0.0% for each of the 2." in text


@pytest.mark.parametrize(
    ("tops", "said"),
    [
        ([1], "A criterion passes when it passes in every trial of every case."),
        (
            [5],
            "A criterion passes when the mean of its case means is at least 4 and none of them is below 3.",
        ),
        (
            [5, 1],
            "none of them is below 3. A binary criterion passes when it passes in every trial of every case.",
        ),
    ],
)
def test_a_criterion_that_is_pass_or_fail_has_no_mean_of_4(tmp_path, tops, said):
    names = [f"up to {top}" for top in tops]
    evals = Evals.from_tables(
        criteria=pl.DataFrame(
            {
                "criterion": names,
                "kind": ["binary" if top == 1 else "ordinal" for top in tops],
                "scale_min": [0 if top == 1 else 1 for top in tops],
                "scale_max": tops,
            }
        ),
        runs=pl.DataFrame({"run": ["r"], "agent_version": ["v1"]}),
        scores=pl.DataFrame({"run": "r", "case": "01", "criterion": names, "score": tops}),
    )

    assert said in words(written(evals, tmp_path))


def test_one_side_alone_is_refused(tmp_path):
    with pytest.raises(FormatError) as caught:
        report(small(), tmp_path / "r.html", baseline="v1")

    assert caught.value.argument == "candidate"


def test_a_side_that_is_not_there_is_named_and_nothing_is_written(tmp_path):
    with pytest.raises(SelectorError, match="v9"):
        report(small(), tmp_path / "r.html", baseline="v9", candidate="v2")

    assert list(tmp_path.iterdir()) == []


def test_another_suffix_is_refused(tmp_path):
    with pytest.raises(FormatError) as caught:
        report(small(), tmp_path / "r.docx")

    assert (caught.value.value, caught.value.choices) == (".docx", (".html", ".md", ".pdf"))


def test_folders_are_made_and_an_earlier_report_is_replaced(tmp_path):
    path = tmp_path / "a" / "b" / "r.md"

    report(small(), path)
    path.write_text("old")
    opened = path.open()  # whoever reads the earlier file reads it to its end
    made = report(small(), path)

    assert made == path
    with opened:
        assert opened.read() == "old"
    assert "old" not in path.read_text()
    assert [one.name for one in path.parent.iterdir()] == ["r.md"]


def test_a_failed_write_leaves_the_earlier_report(tmp_path, monkeypatch):
    path = tmp_path / "r.md"
    path.write_text("the old one")

    def broken(_):
        raise RuntimeError("disk full")

    monkeypatch.setattr(write, "to_markdown", broken)
    with pytest.raises(RuntimeError):
        report(small(), path)

    assert path.read_text() == "the old one"
    assert [one.name for one in tmp_path.iterdir()] == ["r.md"]


def test_problems_are_listed_up_to_fifty_and_the_rest_counted(tmp_path):
    problems = [Problem("scores.jsonl", line, f"broken record {line}") for line in range(1, 61)]
    text = words(written(small(problems=problems), tmp_path))

    assert "60 records could not be read, or only in part" in text
    assert "scores.jsonl:50 broken record 50" in text
    assert "broken record 51" not in text
    assert "And 10 more." in text


def test_the_inventory_has_size_and_hash_and_says_what_is_gone(tmp_path):
    there = tmp_path / "scores.jsonl"
    there.write_bytes(b"x" * 1500)
    text = words(written(small(files=[str(there), "gone.jsonl", "nul\0byte"]), tmp_path))

    assert f"2 kB {hashlib.sha256(b'x' * 1500).hexdigest()}" in text
    assert "gone.jsonl – not on disk now" in text


def test_the_rule_is_told_in_words(tmp_path):
    text = words(written(small(), tmp_path, rule=PassRule(mean=3.5, floor=2.0, scale=(1, 5))))

    assert "a trial passes when the mean of the criteria is at least 3.5 and none is below 2." in text


def test_what_is_unscored_is_counted_and_explained(tmp_path):
    evals = small() + Evals.from_tables(
        runs=pl.DataFrame({"run": ["r-v2"], "agent_version": ["v2"]}),
        trials=pl.DataFrame({"run": ["r-v2"], "case": ["03"], "error": ["Timeout"]}),
    )
    text = words(written(evals, tmp_path))

    assert "1 trial of 5 unscored" in text
    assert "Unscored: the trial crashed (1)." in text


def test_more_flips_than_asked_for_are_listed_without_transcripts(demo_evals, tmp_path):
    text = written(demo_evals, tmp_path, baseline="v2", candidate="v1", max_transcripts=1)

    assert text.count('<article class="flip"') == 1
    assert text.count('<details class="trial print">') == 2
    rows = re.search(r'id="table-regressed".*?</table>', text, re.DOTALL)[0].count('<th scope="row"')
    assert rows >= 4
    assert f"{rows} more regressions, without transcripts" in text


def test_a_criterion_that_one_version_lacks_moves_no_other_cell(tmp_path):
    scores = [(run, name) for run in ("v1", "v2", "v10") for name in ("A", "B") if (run, name) != ("v1", "A")]
    evals = Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["A", "B"], "scale_min": 1, "scale_max": 5}),
        scores=pl.DataFrame(scores, schema=["run", "criterion"], orient="row").with_columns(
            case=pl.lit("01"), score=5
        ),
    )
    html = written(evals, tmp_path)

    figure = re.search(r'id="chart-criteria".*?</figure>', html, re.DOTALL)[0]
    spec = json.loads(re.search(r'<script type="application/json">(.*?)</script>', figure)[1])
    cells = dict.fromkeys((row["row"], row["group"]) for row in next(iter(spec["datasets"].values())))
    assert list(cells) == [(row, group) for row in ("A", "B") for group in ("v1", "v2", "v10")]


def test_judgements_above_the_rule_stay_in_the_fold(tmp_path):
    scores = [
        {
            "run": run,
            "case": "01",
            "criterion": name,
            "score": score,
            "agent_version": run,
            "rationale": f"{run} {name}",
        }
        for run, name, score in [("a", "Bad", 5.0), ("a", "Good", 5.0), ("b", "Bad", 1.0), ("b", "Good", 5.0)]
    ]
    evals = Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["Bad", "Good"], "scale_min": 1, "scale_max": 5}),
        scores=pl.DataFrame(scores),
    )
    html = written(evals, tmp_path, baseline="a", candidate="b")

    shown = re.findall(r'<div class="rationale">.*?</div>', html, re.DOTALL)
    assert len(shown) == 1
    assert "b Bad" in shown[0]


def test_without_severities_nothing_speaks_of_them(tmp_path):
    text = words(
        re.sub(
            r"<script.*?</script>|<style.*?</style>",
            "",
            written(small(), tmp_path, baseline="v1", candidate="v2"),
            flags=re.DOTALL,
        )
    )

    assert "everity" not in text


def hostile_evals():
    one = {"run": ["r1", HOSTILE], "case": [HOSTILE, HOSTILE]}
    return Evals.from_tables(
        cases=pl.DataFrame({"suite": [HOSTILE], "case": [HOSTILE], "input": [HOSTILE], "severity": ["critical"]}),
        criteria=pl.DataFrame({"suite": [HOSTILE], "criterion": [HOSTILE], "scale_min": [1], "scale_max": [5]}),
        runs=pl.DataFrame({"run": one["run"], "suite": HOSTILE, "agent_version": ["v1", HOSTILE], "model": HOSTILE}),
        trials=pl.DataFrame({**one, "output": HOSTILE, "source": HOSTILE}),
        turns=pl.DataFrame({**one, "role": "assistant", "content": HOSTILE, "tool_calls": json.dumps([{"name": HOSTILE}])}),
        scores=pl.DataFrame({**one, "criterion": HOSTILE, "score": [5.0, 1.0], "grader": HOSTILE, "rationale": HOSTILE, "evidence": HOSTILE}),
        problems=[Problem(HOSTILE, 1, HOSTILE)],
        notes=[HOSTILE],
        files=[HOSTILE],
    )  # fmt: skip


def test_hostile_text_is_never_markup(tmp_path):
    html = written(hostile_evals(), tmp_path, baseline="v1", candidate={"run": HOSTILE}, title=HOSTILE)

    page = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert html.count("<script>") == 1
    assert not re.search(r"<img(?! alt=)", page)
    assert not [name for name in attributes(page) if name.startswith("on")]
    assert 'href="javascript' not in page
    assert "{{7*7}}" in re.search(r"<title>(.*?)</title>", page)[1]
    assert "\x1b" not in page
    assert "\u202e" not in page
    specs = re.findall(r'<script type="application/json">(.*?)</script>', html)
    assert all("<" not in spec for spec in specs)


def test_hostile_text_is_text_in_markdown_too(tmp_path):
    from evalkit.util.hostile_text import markdown

    text = written(
        hostile_evals(), tmp_path, "r.md", baseline="v1", candidate={"run": HOSTILE}, title=HOSTILE
    )

    html = markdown(text[:20_000])
    assert "<a" not in html
    assert "<img" not in html
    assert not re.search(r"(?<!\\)<", text)
    assert "\x1b" not in text


def test_markdown_has_the_same_headline_and_flip(demo_evals, tmp_path):
    text = written(demo_evals, tmp_path, "r.md", baseline="v2", candidate="v3")

    assert text.startswith("# v3 against v2: inconclusive overall; critical case 02 fails (0/6, was 6/6).\n")
    assert "### critical: case 02" in text
    assert "| Pass rate | 96.3% | 87.0% |" in text


def test_an_empty_evals_gives_a_report_that_says_so(tmp_path):
    text = words(written(Evals.from_tables(), tmp_path))

    assert "0 cases, 0 runs, 0 trials." in text


def test_runs_without_versions_go_by_run(tmp_path):
    evals = Evals.from_tables(
        criteria=pl.DataFrame({"criterion": ["Groq"], "scale_min": [1], "scale_max": [5]}),
        scores=pl.DataFrame({"run": ["a", "b"], "case": ["01", "01"], "criterion": "Groq", "score": [5, 2]}),
    )
    text = words(written(evals, tmp_path))

    assert "Pass rate and mean score by run" in text


@pytest.mark.parametrize("sides", [("zeta", "alpha"), ({"model": "zeta"}, {"model": "alpha"})])
def test_a_comparison_of_models_is_drawn_by_model_the_one_that_ran_first_first(tmp_path, sides):
    evals = small(versions=("x-1a", "y-9b"))
    runs = evals.runs.with_columns(
        model=pl.Series(["zeta", "alpha"], dtype=pl.Categorical()),
        started_at=pl.datetime(2026, 1, pl.int_range(1, 3), time_zone="UTC"),
    )
    told = words(
        written(replace(evals, runs=runs), tmp_path, baseline=sides[0], candidate=sides[1]).partition(
            "<main"
        )[2]
    )

    assert "Cases by model" in told
    assert "x-1a" not in told.partition("Inputs")[0].partition("Cases by model")[2]
    assert re.search(r"Every case Case zeta alpha", told)


def test_a_pdf_without_a_browser_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(write, "chromium", lambda: None)

    with pytest.raises(FormatError, match="EVALKIT_CHROMIUM"):
        report(small(), tmp_path / "r.pdf")

    assert list(tmp_path.iterdir()) == []


def test_what_must_not_leave_is_masked_in_a_report_that_is_asked_to(tmp_path):
    key, mail = "gsk_" + "a1B2" * 10, "ann.smith@site.org"
    said = demo.make()
    leaky = replace(
        said,
        turns=said.turns.with_columns(content=pl.col("content") + f" {key} for {mail}"),
        scores=said.scores.with_columns(
            rationale=pl.lit(f"It shows {key}."), evidence=pl.lit(f"mail to {mail}")
        ),
        cases=said.cases.with_columns(input=pl.col("input") + f" ({mail})"),
    )

    masked = report(leaky, tmp_path / "masked.html", baseline="v2", candidate="v3", redact=True).read_text()
    plain = report(leaky, tmp_path / "plain.html", baseline="v2", candidate="v3").read_text()

    assert key in plain
    assert key not in masked
    assert mail not in masked
    assert "[secret-1]" in masked
    assert "Redacted: 1 of kind email, 1 of kind secret." in masked


def test_a_report_with_nothing_to_mask_says_so(tmp_path):
    text = report(demo.make(), tmp_path / "r.md", redact=True).read_text()

    assert "Nothing had to be redacted." in text


def test_directions_and_bounds_stand_beside_the_numbers(tmp_path):
    rows = [
        (version, f"{case}", criterion, None if (version, case, criterion) == ("v2", 0, "tone") else score)
        for version, toxic in (("v1", 0.0), ("v2", 1.0))
        for case in range(8)
        for criterion, score in (("tone", 1.0), ("toxicity", toxic))
    ]
    evals = Evals.from_tables(
        criteria=pl.DataFrame(
            {
                "suite": "s",
                "criterion": ["tone", "toxicity"],
                "scale_min": 0.0,
                "scale_max": 1.0,
                "direction": ["higher", "lower"],
            }
        ),
        runs=pl.DataFrame({"run": ["v1", "v2"], "suite": "s", "agent_version": ["v1", "v2"]}),
        scores=pl.DataFrame(rows, schema=["run", "case", "criterion", "score"], orient="row").with_columns(
            epoch=pl.lit(1)
        ),
    )

    path = report(evals, tmp_path / "r.md", baseline="v1", candidate="v2")
    lines = path.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]

    names = {row[0] for row in cells}
    assert {"toxicity ↓", "tone"} <= names
    assert not {"toxicity", "tone ↓"} & names
    assert any("lower is better" in line for line in lines)
    heads = next(row for row in cells if "If unscored fail" in row and row[0] == "Version")
    bounds = {row[0]: row[-2:] for row in cells[cells.index(heads) + 2 :][:2]}
    # One of eight trials of v2 lacks a score; the other seven fail by toxicity.
    assert bounds["v2"] == ["0.0%", "12.5%"]
    assert bounds["v1"][0] == bounds["v1"][1] != "0.0%"
