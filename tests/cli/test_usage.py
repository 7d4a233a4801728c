"""What is typed wrong is told in one line: what, where, what is allowed, the nearest guess; with exit code 2."""

from __future__ import annotations

import polars as pl
import pytest

from evalkit.cli import terminal as shown

SEE = "See evalkit summary --help."


@pytest.mark.parametrize(
    ("typed", "parts"),
    [
        (["summry"], ["'summry'", "Did you mean 'summary'?", "See evalkit --help."]),
        (["summary"], ["'PATH'", SEE]),
        (["summary", "{data}", "--mean", "x"], ["'--mean'", "'x'", SEE]),
        (["summary", "{data}", "--format", "tble"], ["'tble'", "Did you mean 'table'?", SEE]),
        (["summary", "--no-cache", "{data}"], ["--no-cache", "before the command", SEE]),
        (["summary", "{data}", "--gate", "Groq"], ["--gate", "'Groq'", "NAME=SCORE", SEE]),
        (["summary", "{data}", "--gate", "Groq=9"], ["--gate", "Groq", "9", "1 to 5"]),
        (["summary", "{data}", "--scale", "5,1"], ["--scale", "5", "1"]),
        (["summary", "{data}", "--level", "95"], ["--level", "95", "between 0 and 1"]),
        (["summary", "{data}", "--grader", "humn"], ["'humn'", "Did you mean 'human'?", "reviewer-1"]),
        (["plan", "{data}", "--power", "80"], ["--power", "80", "between 0 and 1"]),
        (["judge", "{data}", "--samples", "0"], ["--samples", "0", "1 to 99"]),
        (["judge", "{data}", "--wait"], ["--wait", "--batch"]),
        (["judge", "{data}", "--window", "24h"], ["--window", "--batch"]),
        (["run", "{data}", "--call", "json:dumps", "--command", "cat"], ["--call", "--command"]),
        (["run", "{data}", "--command", "no such"], ["'no'"]),
        (["run", "{empty}"], ["'{empty}/suite.yaml'", "'{empty}'"]),
        (["summary", ""], ["'.'"]),
        (
            ["compare", "{data}", "--baseline", "v2", "--candidate", "v3", "--rerun", "v3"],
            ["--rerun", "candidate"],
        ),
        (["demo", "{file}"], ["'{file}' is a file"]),
        (["convert", "{data}", "-o", "{file}"], ["'{file}' is a file"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_usage_error_is_one_line_with_option_value_and_hint(run, data, tmp_path, typed, parts):
    places = {"data": data, "empty": tmp_path / "empty", "file": tmp_path / "a.md"}
    places["empty"].mkdir()
    places["file"].write_text("x")

    code, out, err = run(*(word.format(**places) for word in typed))

    assert (code, out) == (2, "")
    message = err.splitlines()[-1]
    assert message.startswith("evalkit: ")
    assert message.endswith((".", "?"))
    assert [part for part in parts if part.format(**places) not in message] == []


def test_without_a_command_the_help_is_shown(run):
    code, out, err = run()

    assert (code, out) == (2, "")
    assert err.startswith("Usage: evalkit [OPTIONS] COMMAND")


def test_a_run_whose_trials_all_failed_says_so_once(run, tmp_path):
    suite = tmp_path / "suite.yaml"
    suite.write_text('suite: small\ncases:\n  - id: "01"\n    prompt: Say hi.\n')

    code, _, err = run("run", suite, "--command", "cat", "-o", tmp_path / "runs")

    assert code == 2
    assert err.count("without messages and output") == 1
    assert err.startswith("evalkit: The only trial failed: ")


def test_a_gate_with_one_condition_does_not_count_it(run, data):
    code, out, _ = run("gate", data, "--candidate", "v3", "--critical-must-pass")

    assert (code, out.splitlines()[0]) == (1, "The gate fails.")


def test_a_gate_counts_how_its_conditions_ended(run, data):
    asked = ("--critical-must-pass", "--pass-rate-at-least", "0.9")

    code, out, _ = run("gate", data, "--candidate", "v3", *asked)

    assert (code, out.splitlines()[0]) == (1, "The gate fails: of 2 conditions 1 failed, 1 undecided.")


def test_a_table_that_cannot_fit_is_a_list_for_each_row():
    rows = [["a long name", "123456.78", ""], ["b", "2", "x"]]

    table = shown.text_table(["case", "value", "why"], rows, left=[True, False, True], width=20)

    assert table == "case   a long name\nvalue  123456.78\n\ncase   b\nvalue  2\nwhy    x"


@pytest.mark.parametrize("lost", [{}, {0: 1}, {0: 1, 1: 1, 2: 1, 3: 1}, {0: 6}], ids=["54", "53", "50", "48"])
def test_nine_cases_of_six_trials_decide_no_gate_of_ten_points(run, tmp_path, lost):
    """`lost`: how many of the candidate's six trials fail, by case; the baseline passes all 54."""
    rows = [
        {"run": version, "agent_version": version, "case": f"c{case}", "epoch": epoch + 1, "ok": 1 - fails}
        for version in ("v1", "v2")
        for case in range(9)
        for epoch in range(6)
        for fails in [int(version == "v2" and epoch < lost.get(case, 0))]
    ]
    path, mapping = tmp_path / "scores.csv", tmp_path / "map.yaml"
    pl.DataFrame(rows).write_csv(path)
    mapping.write_text(
        "case: case\nrun: run\nagent_version: agent_version\nepoch: epoch\ncriteria: [ok]\nscale: [0, 1]\n",
        encoding="utf-8",
    )
    sides = ("--baseline", "agent_version=v1", "--candidate", "agent_version=v2", "--no-regressions")

    for margin in ((), ("--margin", "pass_rate=0.1")):
        code, out, err = run("gate", path, "--mapping", mapping, *sides, *margin)

        assert code == 3, (out, err)
        assert "undecided" in out
        assert "9 cases" in out
