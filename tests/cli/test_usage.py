"""What is typed wrong is told in one line: what, where, what is allowed, the nearest guess; with exit code 2."""

from __future__ import annotations

import pytest

from evalkit.cli import terminal as shown

SEE = "; see evalkit summary --help."


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["summry"], "No such command 'summry'. Did you mean 'summary'? See evalkit --help."),
        (["summary"], f"Missing argument 'PATH'{SEE}"),
        (["summary", "{data}", "--mean", "x"], f"Invalid value for '--mean': 'x' is no number{SEE}"),
        (
            ["summary", "{data}", "--format", "tble"],
            "Invalid value for '--format': 'tble' is not one of 'table', 'csv', 'json', 'md'. Did you mean 'table'? "
            "See evalkit summary --help.",
        ),
        (
            ["summary", "--no-cache", "{data}"],
            f"No such option: --no-cache after 'evalkit summary': it goes before the command{SEE}",
        ),
        (
            ["summary", "{data}", "--gate", "Groq"],
            f"'Groq' is not NAME=NUMBER, as in --gate 'Batch Api=4'{SEE}",
        ),
        (
            ["summary", "{data}", "--gate", "Groq=9"],
            "--gate 'Groq' is 9; it may be on the scale of the criterion, 1 to 5.",
        ),
        (
            ["summary", "{data}", "--scale", "5,1"],
            "--scale is 5 to 1; it may be the lowest and the highest, such as 1,5.",
        ),
        (
            ["summary", "{data}", "--level", "95"],
            "--level is 95.0; it may be a number between 0 and 1, such as 0.95.",
        ),
        (
            ["summary", "{data}", "--grader", "humn"],
            "There is no grader 'humn'. Did you mean 'human'? There is: demo-judge, reviewer-1, reviewer-2, human.",
        ),
        (
            ["plan", "{data}", "--power", "80"],
            "--power is 80.0; it may be a number between 0 and 1, such as 0.95.",
        ),
        (["judge", "{data}", "--samples", "0"], "--samples is 0; it may be a whole number from 1 to 99."),
        (["judge", "{data}", "--wait"], "--wait goes with --batch; without it each answer is waited for."),
        (
            ["judge", "{data}", "--window", "24h"],
            "--window goes with --batch; without it each answer is waited for.",
        ),
        (
            ["run", "{data}", "--call", "json:dumps", "--command", "cat"],
            "An agent is a model, a function (--call) or a program (--command): name one.",
        ),
        (["run", "{data}", "--command", "no such"], "There is no program 'no' that can be run."),
        (
            ["run", "{empty}"],
            "There is no file or folder '{empty}/suite.yaml'. '{empty}' exists and is empty.",
        ),
        (
            ["summary", ""],
            "One of the paths is empty, as an unset variable is; '.' is the folder you are in.",
        ),
        (
            ["compare", "{data}", "--baseline", "v2", "--candidate", "v3", "--rerun", "v3"],
            "--rerun was given the candidate; it is another run of the baseline's version.",
        ),
        (["demo", "{file}"], "'{file}' is a file; name a folder."),
        (["convert", "{data}", "-o", "{file}"], "'{file}' is a file; name a new or an empty folder."),
    ],
)
def test_what_is_typed_wrong_is_told_in_one_line(run, data, tmp_path, typed, said):
    places = {"data": data, "empty": tmp_path / "empty", "file": tmp_path / "a.md"}
    places["empty"].mkdir()
    places["file"].write_text("x")

    code, out, err = run(*(word.format(**places) for word in typed))

    assert (code, out) == (2, "")
    assert err.splitlines()[-1] == f"evalkit: {said.format(**places)}"


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
    assert err.startswith("evalkit: The only trial has an error: ")


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
