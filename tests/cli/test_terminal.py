"""What the commands say around their numbers: gates, long lists, notes, problems, and options instead of Python."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import polars as pl
import pytest
import typer

import evalkit as ek
from evalkit.cli import app
from evalkit.cli import terminal as shown


@pytest.fixture
def long(tmp_path):
    """Seventy-four cases that v1 passes and v2 fails, and one more that neither warning nor verdict may hide."""
    cases = [f"{number:02}" for number in range(74)]
    rows = [
        {"case": case, "criterion": "tone", "score": score, "run": run, "agent_version": run}
        for case in cases
        for run, score in (("v1", 5), ("v2", 2))
    ]
    rows += [
        {"case": f"only {number:02}", "criterion": "tone", "score": 5, "run": "v2", "agent_version": "v2"}
        for number in range(25)
    ]
    criteria = pl.DataFrame({"criterion": ["tone"], "scale_min": [1], "scale_max": [5]})
    ek.Evals.from_tables(criteria=criteria, scores=pl.DataFrame(rows)).save(tmp_path / "long")
    return tmp_path / "long"


# A report is one file; elsewhere what is written is a folder.
OWN = {("report", "--output")}


def _options():
    """Yield each command with its options: the name, and what the value is called."""
    commands = typer.main.get_command(app).commands
    for name, command in (*commands.items(), *commands["batch"].commands.items()):
        yield name, {one.opts[0]: one.metavar for one in command.params if one.opts[0].startswith("--")}


def test_an_option_takes_the_same_in_every_command_that_has_it():
    takes = {}
    for name, options in _options():
        for option, metavar in options.items():
            if (name, option) not in OWN:
                takes.setdefault(option, {}).setdefault(metavar, []).append(name)

    assert {option: found for option, found in takes.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("having", "needed", "but"),
    [
        ("--mean", {"--floor", "--scale", "--gate", "--weight", "--grader", "--rubric-hash"}, set()),
        ("--baseline", {"--judge", "--criteria"}, {"plan"}),
        ("--dry-run", {"--provider", "--base-url", "--output", "--max-cost", "--effort"}, set()),
    ],
)
def test_what_belongs_together_is_in_every_command_that_has_some_of_it(having, needed, but):
    lacking = {
        name: needed - set(options)
        for name, options in _options()
        if having in options and name not in but and not needed <= set(options)
    }

    assert lacking == {}


def test_what_a_mixed_folder_lacks_is_said_at_once_and_saying_it_is_enough(run, tmp_path):
    for name in ("length", "speed"):
        (tmp_path / f"{name}.csv").write_text(f"case,criterion,score\n01,{name},7\n02,{name},3\n")
    (tmp_path / "passed.csv").write_text("case,criterion,score\n01,right,true\n02,right,false\n")

    code, _, err = run("summary", tmp_path)

    assert code == 2
    assert "No scale is declared for 'length', 'speed'." in err
    assert run("summary", tmp_path / "passed.csv")[1].count("50.0%") == 1
    assert "--scale 0,10" in err
    code, out, _ = run("summary", tmp_path, "--mean", "5", "--floor", "5", "--scale", "0,10")
    assert (code, out.count("50.0%")) == (0, 3)


@pytest.mark.parametrize("form", ["text", "md"])
def test_compare_says_the_verdict_and_the_warnings_before_the_first_twenty_flips(run, long, form):
    _, out, _ = run("compare", long, "--baseline", "v1", "--candidate", "v2", "--format", form)

    assert out.index("v2 against v1: regressed") < out.index("W20") < out.index("flipped case")
    assert out.count("fail 0/1") == 20
    assert "and 54 more (" in out
    assert "and 5 more (" in out
    _, out, _ = run("compare", long, "--baseline", "v1", "--candidate", "v2", "--format", "json")
    assert len(json.loads(out)["flips"]) == 74


def test_twenty_flips_are_all_shown(run, long, tmp_path):
    ek.load(long).filter(case=[f"{number:02}" for number in range(20)]).save(tmp_path / "twenty")

    _, out, _ = run("compare", tmp_path / "twenty", "--baseline", "v1", "--candidate", "v2")

    assert out.count("fail 0/1") == 20
    assert "more" not in out.partition("flipped case")[2]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 0),
        (["--fail-on", "regressed"], 1),
        (["--fail-on", "inconclusive", "--fail-on", "regressed", "--format", "json"], 1),
        (["--fail-on", "inconclusive"], 0),
        (["--fail-on", "regressed within margin"], 0),
    ],
)
def test_compare_ends_with_1_when_the_verdict_is_one_to_fail_on(run, long, options, code):
    ended, out, err = run("compare", long, "--baseline", "v1", "--candidate", "v2", *options)

    assert ended == code
    assert "regressed" in out
    assert ("--fail-on" in err) == (code == 1)


def test_regressed_within_the_margin_is_a_verdict_of_its_own(run, tmp_path):
    criteria = pl.DataFrame({"criterion": ["tone"], "scale_min": [1], "scale_max": [5]})
    before = pl.DataFrame(
        {"run": "v1", "case": [f"{n}" for n in range(400)], "criterion": "tone", "score": 5}
    )
    after = before.with_columns(run=pl.lit("v2"), score=pl.Series([2] * 12 + [5] * 388, dtype=pl.Int32))
    ek.Evals.from_tables(criteria=criteria, scores=pl.concat([before, after])).save(tmp_path / "slight")
    sides = ("--baseline", "v1", "--candidate", "v2", "--margin", "pass_rate=0.1")

    codes = [
        run("compare", tmp_path / "slight", *sides, "--fail-on", verdict)[0]
        for verdict in ("regressed", "regressed within margin")
    ]

    assert codes == [0, 1]


def test_a_verdict_to_fail_on_that_is_none_is_a_usage_error(run, data):
    code, out, err = run("compare", data, "--baseline", "v1", "--candidate", "v2", "--fail-on", "regresed")

    assert (code, out) == (2, "")
    assert "Did you mean 'regressed'?" in err


def test_a_side_that_is_named_like_columns_is_found_by_its_name(run, tmp_path):
    criteria = pl.DataFrame({"criterion": ["tone"], "scale_min": [1], "scale_max": [5]})
    scores = pl.DataFrame(
        {"run": ["mode=fast", "model=b"], "case": "01", "criterion": "tone", "score": [2, 5]}
    )
    ek.Evals.from_tables(criteria=criteria, scores=scores).save(tmp_path / "named")

    code, out, _ = run("compare", tmp_path / "named", "--baseline", "mode=fast", "--candidate", "model=b")

    assert code == 0
    assert out.startswith("model=b against mode=fast: ")


@pytest.fixture
def uneven(tmp_path):
    """Two sides of which one was scored on one criterion more."""
    rows = [
        {"run": run, "case": f"{case:02}", "criterion": criterion, "score": score}
        for run, criterion, score in (("v1", "tone", 5), ("v2", "tone", 5), ("v2", "facts", 1))
        for case in range(12)
    ]
    criteria = pl.DataFrame({"criterion": ["tone", "facts"], "scale_min": 1, "scale_max": 5})
    ek.Evals.from_tables(criteria=criteria, scores=pl.DataFrame(rows)).save(tmp_path / "uneven")
    return tmp_path / "uneven"


def test_compare_counts_the_flips_of_a_second_run_of_the_baseline(run, tmp_path):
    rows = [
        {"run": name, "case": f"{case:02}", "criterion": "tone", "score": 2 if case < failed else 5}
        for name, failed in (("v1", 3), ("v1 again", 5), ("v2", 9))
        for case in range(12)
    ]
    criteria = pl.DataFrame({"criterion": ["tone"], "scale_min": 1, "scale_max": 5})
    ek.Evals.from_tables(criteria=criteria, scores=pl.DataFrame(rows)).save(tmp_path / "runs")
    sides = (tmp_path / "runs", "--baseline", "v1", "--candidate", "v2")

    _, without, _ = run("compare", *sides)
    _, counted, _ = run("compare", *sides, "--rerun", "v1 again", "--format", "json")

    assert "--rerun" in without
    change = ek.compare(ek.load(tmp_path / "runs"), baseline="v1", candidate="v2", rerun="v1 again")
    assert json.loads(counted) == json.loads(json.dumps(change.to_dict(), default=str))


def test_compare_refuses_other_criteria_with_the_option_that_compares_anyway(run, uneven):
    code, out, err = run("compare", uneven, "--baseline", "v1", "--candidate", "v2")

    assert (code, out) == (2, "")
    assert "--criteria shared" in err


def test_compare_on_the_shared_criteria_is_what_compare_returns(run, uneven):
    options = ("--criteria", "shared", "--format", "json")

    code, out, _ = run("compare", uneven, "--baseline", "v1", "--candidate", "v2", *options)

    change = ek.compare(ek.load(uneven), baseline="v1", candidate="v2", criteria="shared")
    assert code == 0
    assert json.loads(out) == json.loads(json.dumps(change.to_dict(), default=str))


def test_report_compares_on_the_shared_criteria_when_told(run, uneven, tmp_path):
    sides = ("report", uneven, "--baseline", "v1", "--candidate", "v2", "-o", tmp_path / "r.md")

    refused, _, err = run(*sides)
    written, _, _ = run(*sides, "--criteria", "shared")

    assert (refused, written) == (2, 0)
    assert "--criteria shared" in err
    assert "v2 against v1" in (tmp_path / "r.md").read_text(encoding="utf-8")


# --- arguments of Python and options of the command line


@pytest.mark.parametrize("grader", ["two words", "it's $(touch x)", 'a "quoted" name', "`id`;rm"])
def test_a_suggested_option_is_one_shell_word_whatever_the_grader_is_called(run, tmp_path, grader):
    rows = [
        {"case": "1", "criterion": "tone", "score": 4, "run": "v1", "agent_version": "v1", "grader": name}
        for name in (grader, "other")
    ]
    criteria = pl.DataFrame({"criterion": ["tone"], "scale_min": [1], "scale_max": [5]})
    ek.Evals.from_tables(criteria=criteria, scores=pl.DataFrame(rows)).save(tmp_path / "two")

    code, _, err = run("summary", tmp_path / "two")

    assert code == 2
    suggestion = err[err.index("--grader") :].strip().rstrip(".")
    assert shlex.split(suggestion)[1] in (grader, "other")


def test_no_message_of_the_command_line_spells_python(run, data, tmp_path):
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("id,tone\n1,4\n2,5\n", encoding="utf-8")
    mapping = tmp_path / "map.yaml"
    mapping.write_text("case: id\ncriteria: [tone]\n", encoding="utf-8")
    sides = ["--baseline", "v1", "--candidate", "v2"]
    tries = [
        ["report", data, "-o", tmp_path / "r.html", "--baseline", "v1"],
        ["compare", data, *sides, "--margin", "pass_rate=2"],
        ["compare", data, *sides, "--margin", "pass=2"],
        ["summary", data, "--mean", "2", "--floor", "3"],
        ["summary", data, "--mean", "0.5", "--floor", "0.1", "--scale", "0,1"],
        ["summary", mixed, "--mapping", mapping],
        ["summary", mixed],
        ["gate", data, "--candidate", "v2"],
        ["gate", data, "--pass-rate-at-least", "0.5"],
        ["gate", data, "--no-regressions"],
    ]
    messages = [run(*words)[2] for words in tries] + [run("compare", data, *sides)[1]]

    assert [
        text for text in messages if re.search(r"\w=[\[{(\"']|\w= |PassRule|margin\[|ek\.|max_cost", text)
    ] == []


def test_the_warning_about_the_margin_names_the_option(run, data):
    _, out, _ = run("compare", data, "--baseline", "v2", "--candidate", "v3")

    assert "--margin pass_rate=0.05" in out


def test_a_scale_that_is_not_declared_is_asked_for_by_an_option(run, tmp_path):
    path, mapping = tmp_path / "a.csv", tmp_path / "map.yaml"
    path.write_text("id,tone\n1,4\n2,5\n", encoding="utf-8")
    mapping.write_text("case: id\ncriteria: [tone]\n", encoding="utf-8")

    code, _, err = run("summary", path, "--mapping", mapping)

    assert code == 2
    assert "--scale 1,5" in err
    assert "PassRule" not in err
    assert "mapping=" not in err
    assert run("summary", path, "--mapping", mapping, "--scale", "1,5")[0] == 0


# --- notes and problems


@pytest.fixture
def wide(tmp_path):
    path, mapping = tmp_path / "wide.csv", tmp_path / "map.yaml"
    path.write_text(
        "id,tone,version\n" + "".join(f"{n},{n % 5 + 1},v1\n" for n in range(9)), encoding="utf-8"
    )
    mapping.write_text("case: id\ncriteria: [tone]\nscale: [1, 5]\n", encoding="utf-8")
    return path, mapping


def test_several_notes_are_counted_in_one_line_and_shown_when_asked_for(run, wide):
    path, mapping = wide
    notes = ek.load(path, mapping=mapping).notes
    assert len(notes) > 1

    _, _, brief = run("summary", path, "--mapping", mapping)
    _, _, full = run("summary", path, "--mapping", mapping, "--notes")

    assert brief == f"{len(notes)} notes. Show them with --notes.\n"
    assert full.count("Note: ") == len(notes)


def test_five_problems_are_shown_and_the_rest_counted(run, wide):
    path, mapping = wide
    path.write_text(
        path.read_text(encoding="utf-8") + "".join(f"x{n},bad {n},v1\n" for n in range(7)), encoding="utf-8"
    )

    _, _, err = run("summary", path, "--mapping", mapping, "--lenient")

    assert err.count(f"  {path}:") == 5
    assert "7 records could not be read as written:" in err
    assert "  and 2 more\n" in err


@pytest.mark.parametrize(
    "arguments",
    [["summary"], ["compare", "--baseline", "a", "--candidate", "b"], ["report"]],
    ids=lambda a: a[0],
)
def test_where_nothing_was_loaded_the_first_problem_is_told_and_the_end_is_2(
    run, tmp_path, monkeypatch, arguments
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.csv").write_text("")

    code, out, err = run(*arguments, tmp_path / "empty.csv")

    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert err.startswith("evalkit: Nothing could be read.")
    assert "empty.csv: the file is empty." in err


def test_the_problems_after_the_first_are_counted_where_nothing_was_loaded(run, tmp_path):
    for name in ("a.csv", "b.csv", "c.csv"):
        (tmp_path / name).write_text("")

    code, _, err = run("summary", tmp_path)

    assert code == 2
    assert "3 problems" in err
    assert "a.csv: the file is empty" in err


def test_a_folder_without_a_run_is_nothing_to_sum_up(run):
    code, out, err = run("summary", Path(__file__).parents[2] / "data/suites")

    assert (code, out) == (2, "")
    assert "No trials and no scores in " in err


# --- tables


def test_a_table_fits_a_narrow_terminal_and_cuts_no_number():
    rows = [["a very long name of a case indeed", "123456.78", "a method with many words"]]

    table = shown.text_table(["case", "value", "method"], rows, left=[True, False, True], width=40)

    assert max(len(line) for line in table.splitlines()) <= 40
    assert "123456.78" in table
    assert "…" in table


def test_wide_letters_keep_the_columns_aligned():
    table = shown.text_table(["name", "n"], [["日本", "1"], ["abcd", "2"]], left=[True, False])

    assert table.splitlines()[2:] == ["日本  1", "abcd  2"]


def test_a_cell_cannot_break_out_of_a_markdown_table():
    table = shown.markdown_table(["a"], [["x | y\n<script> [z](w)"]], left=[True])

    assert table.splitlines()[2] == "| x \\| y \\<script\\> \\[z\\](w) |"
