"""Every command: what it prints, what it writes, what it says when something is wrong."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

import evalkit as ek
from evalkit.cli import main
from evalkit.cli import terminal as shown

HOSTILE = "\x1b[2Jgone\u202etxt"


@pytest.fixture
def hostile(tmp_path):
    path = tmp_path / "scores.jsonl"
    rows = [
        {"case": f"0{case}", "criterion": "tone", "score": 5 - case, "run": run}
        for case in range(1, 4)
        for run in ("plain", HOSTILE)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    mapping = tmp_path / "map.yaml"
    mapping.write_text(
        "case: case\nrun: run\ncriterion: criterion\nscore: score\nscale: [1, 5]\n", encoding="utf-8"
    )
    return path, mapping


# --- the whole


def test_version_is_the_package_s(run):
    code, out, _ = run("--version")

    assert (code, out) == (0, f"evalkit {ek.__version__}\n")


def test_help_lists_every_command(run):
    code, out, _ = run("--help")

    assert code == 0
    listed = out.partition("Commands:")[2]
    for name in ("init", "lab", "demo", "summary", "compare", "gate", "agree", "plan", "report", "convert"):
        assert f"\n  {name} " in listed


def test_help_holds_no_markup_and_no_cut_sentence(run):
    out = run("--help")[1]

    assert "..." not in out.partition("Commands:")[2]
    assert "\x1b" not in out


def test_nothing_typed_shows_the_help_and_is_a_usage_error(run):
    code, out, err = run()

    assert code == 2
    assert "Commands:" in out + err


def test_an_unknown_command_is_a_usage_error(run):
    code, out, err = run("summarise", "x")

    assert (code, out) == (2, "")
    assert "summarise" in err
    assert "Traceback" not in err


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from evalkit.cli import main; main(['--help']); "
        "print([m for m in ('polars', 'altair', 'numpy', 'narwhals', 'pydantic', 'rich') if m in sys.modules], file=sys.stderr)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stderr.strip() == "[]"


# --- summary


def test_summary_prints_a_row_for_each_version_with_its_numbers(run, data):
    code, out, err = run("summary", data)

    assert code == 0
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["v1", "v2", "v3"]
    assert lines[0].split()[:3] == ["agent_version", "pass", "rate"]
    assert "22.2%" in lines[2]
    assert "Wilson" in out
    assert "made up" in err


def test_summary_as_json_is_what_summarize_returns(run, data):
    _, out, _ = run("summary", data, "--by", "model,severity", "--format", "json")

    rows = json.loads(out)
    expected = ek.summarize(ek.load(data), ["model", "severity"])
    assert rows == expected.to_dicts()


def test_summary_as_csv_has_the_columns_of_summarize(run, data):
    _, out, _ = run("summary", data, "--by", "severity", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(out)))
    expected = ek.summarize(ek.load(data), ["severity"])
    assert [row["severity"] for row in rows] == expected["severity"].to_list()
    assert [float(row["pass_rate"]) for row in rows] == pytest.approx(expected["pass_rate"].to_list())
    assert list(rows[0]) == expected.columns


def test_summary_by_criterion_has_the_verdict_read_criterion_by_criterion(run, data):
    _, out, _ = run("summary", data, "--by", "criterion", "--by", "model")

    assert out.splitlines()[0].split()[:2] == ["criterion", "model"]
    groq = [line for line in out.splitlines() if line.startswith("Groq")]
    assert [line.split()[-1] for line in groq] == ["pass", "fail"]


def test_summary_heeds_the_rule(run, data):
    strict = (
        "--mean",
        "4.5",
        "--floor",
        "4",
        "--gate",
        "Batch Api=5",
        "--weight",
        "Groq=2",
        "--weight=Batch Api=1",
    )

    _, out, _ = run("summary", data, "--format", "json", *strict)

    rule = ek.PassRule(mean=4.5, floor=4, gates={"Batch Api": 5}, weights={"Groq": 2, "Batch Api": 1})
    assert json.loads(out) == ek.summarize(ek.load(data), rule=rule).to_dicts()


def test_summary_counts_the_unscored_as_fails_when_told(run, data):
    _, out, _ = run("summary", data, "--missing", "fail", "--format", "json")

    rows = json.loads(out)
    assert [row["unscored"] for row in rows] == [0, 0, 0]
    assert rows == ek.summarize(ek.load(data), missing="fail").to_dicts()


def test_summary_as_markdown_is_a_table(run, data):
    _, out, _ = run("summary", data, "--format", "md")

    lines = out.splitlines()
    assert lines[0].startswith("| agent\\_version | pass rate |")
    assert {len(line.replace("\\|", "").split("|")) for line in lines[:5]} == {len(lines[0].split("|"))}


def test_runs_without_a_version_are_summed_up_run_by_run(run, tmp_path):
    criteria = pl.DataFrame({"criterion": ["tone"], "scale_min": [1], "scale_max": [5]})
    scores = pl.DataFrame({"run": ["a", "b"], "case": "01", "criterion": "tone", "score": [2, 5]})
    ek.Evals.from_tables(criteria=criteria, scores=scores).save(tmp_path / "saved")

    code, out, _ = run("summary", tmp_path / "saved")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[:4]] == ["run", "---", "a", "b"]


def test_several_paths_are_one_collection(run, data, tmp_path):
    for name, version in (("a", "v1"), ("b", "v2")):
        ek.load(data).filter(agent_version=version).save(tmp_path / name)

    _, out, _ = run("summary", tmp_path / "a", tmp_path / "b", "--format", "json")

    assert [row["agent_version"] for row in json.loads(out)] == ["v1", "v2"]


@pytest.mark.parametrize("form", ["table", "csv", "md", "json"])
def test_a_name_that_would_move_the_cursor_is_made_visible(run, hostile, form):
    path, mapping = hostile

    code, out, err = run("summary", path, "--mapping", mapping, "--by", "run", "--format", form)

    assert code == 0
    assert "gone" in out
    assert all(c.isprintable() or c == "\n" for c in out + err)


def test_a_hostile_name_in_an_error_is_made_visible(run, data):
    code, _, err = run("compare", data, "--baseline", HOSTILE, "--candidate", "v2")

    assert code == 2
    assert all(c.isprintable() or c == "\n" for c in err)


def test_an_error_keeps_to_its_line_whatever_is_in_it(capsys):
    shown.print_error(f"{HOSTILE}\nsecond line")

    assert capsys.readouterr().err == "evalkit: ␛[2Jgone⟦U+202E⟧txt second line\n"


def test_what_could_not_be_read_is_said_with_its_line(run, tmp_path, hostile):
    path, mapping = hostile
    path.write_text(path.read_text(encoding="utf-8") + '{"case": "04", "crit\n', encoding="utf-8")

    code, _, err = run("summary", path, "--mapping", mapping)

    assert code == 0
    assert f"{path}:7: " in err
    assert "1 record could not be read" in err


# --- errors


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["summary", "{data}x"], "No file or folder"),
        (["summary", "{data}", "--by", "modl"], "Did you mean 'model'?"),
        (["summary", "{data}", "--gate", "Grok=4"], "Did you mean 'Groq'?"),
        (["summary", "{data}", "--floor", "5"], "floor"),
        (["summary", "{data}", "--grader", "nobody"], "nobody"),
        (["summary", "{data}", "--level", "95"], "95"),
        (["compare", "{data}", "--baseline", "v1", "--candidate", "v9"], "Unknown run"),
        (["compare", "{data}", "--baseline", "v1", "--candidate", "v1"], "v1"),
        (["compare", "{data}", "--baseline", "v1", "--candidate", "v2", "--margin", "pass=0.1"], "pass_rate"),
        (["report", "{data}", "-o", "{tmp}/r.docx"], "'.docx'"),
        (["report", "{data}", "-o", "{tmp}/r.html", "--baseline", "v1"], "candidate"),
        (
            ["compare", "{data}", "--baseline", "agentversion=v2", "--candidate", "v3"],
            "Did you mean 'agent_version'?",
        ),
        (["compare", "{data}", "--baseline", "v2", "--candidate", "colour=v3"], "Unknown run"),
        (
            ["compare", "{data}", "--baseline", "v2", "--candidate", "agent_version=v3,colour=x"],
            "'colour'",
        ),
        (["convert", "{data}", "-o", "{data}"], "is not empty"),
        (["lab", "{data}x"], "No file or folder"),
    ],
)
def test_a_mistake_is_told_in_one_line_and_ends_with_2(run, data, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)

    code, out, err = run(*(part.format(data=data, tmp=tmp_path) for part in arguments))

    assert (code, out) == (2, "")
    told = [line for line in err.splitlines() if not line.startswith("Note: ")]
    assert len(told) == 1
    assert told[0].startswith("evalkit: ")
    assert words in told[0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--gate", "Groq"],
        ["--gate", "=4"],
        ["--weight", "Groq=much"],
        ["--scale", "1"],
        ["--format", "xlsx"],
        ["--missing", "drop"],
    ],
)
def test_an_option_that_cannot_be_understood_is_a_usage_error(run, data, arguments):
    code, out, err = run("summary", data, *arguments)

    assert (code, out) == (2, "")
    assert arguments[1] in err
    assert "Traceback" not in err


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may write anywhere")
def test_a_folder_that_may_not_be_written_to_is_told_in_one_line(run, data, tmp_path):
    tmp_path.chmod(0o500)

    code, _, err = run("convert", data, "-o", tmp_path / "new")

    assert code == 2
    assert "Permission denied" in err


def test_a_file_where_a_folder_must_be_is_told_in_one_line(run, data, tmp_path):
    (tmp_path / "file").write_text("")

    code, out, err = run("demo", tmp_path / "file" / "demo")

    assert (code, out) == (2, "")
    assert "file" in err
    assert "Traceback" not in err


def test_the_keyboard_stops_it_quietly(capsys, monkeypatch, data):
    def stop(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("evalkit.readers.load.load", stop)

    code = main(["summary", data])

    assert code == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_goes_away_is_no_error(data):
    code = (
        "import sys; from evalkit.cli import main; sys.stdin.readline(); "
        f"sys.exit(main(['summary', {data!r}, '--by', 'case', '--format', 'json']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()

    _, err = process.communicate("\n")

    assert process.returncode == 0
    assert "Traceback" not in err
    assert "Broken" not in err


# --- compare


def test_compare_says_the_verdict_the_flip_and_what_to_beware_of(run, data):
    code, out, _ = run("compare", data, "--baseline", "v2", "--candidate", "v3")

    assert code == 0
    assert out.startswith("v3 against v2: inconclusive overall; critical case 02 fails (0/6, was 6/6).")
    assert "pass 6/6" in out
    assert "W20" in out
    assert "Tango" in out


def test_compare_finds_v2_better_than_v1(run, data):
    _, out, _ = run("compare", data, "--baseline", "v1", "--candidate", "v2", "--by", "criterion")

    assert out.startswith("v2 against v1: improved")
    assert "\nBatch Api " in out


def test_compare_as_json_is_what_compare_returns(run, data):
    options = ("--margin", "pass_rate=0.1", "--level", "0.9", "--by", "severity", "--format", "json")

    _, out, _ = run("compare", data, "--baseline", "v1", "--candidate", "v3", *options)

    change = ek.compare(
        ek.load(data), baseline="v1", candidate="v3", margin={"pass_rate": 0.1}, level=0.9, by="severity"
    )
    assert json.loads(out) == json.loads(json.dumps(change.to_dict(), default=str))


def test_a_side_may_be_named_by_columns(run, data):
    sides = (
        *("--baseline", "agent_version=v2, model=demo-large"),
        *("--candidate", "agent_version=v3,model=demo-large"),
    )

    _, out, _ = run("compare", data, *sides, "--format", "json")

    assert json.loads(out)["flips"][0]["candidate_trials"] == 3


def test_compare_as_markdown_has_the_sentence_and_the_tables(run, data):
    _, out, _ = run("compare", data, "--baseline", "v2", "--candidate", "v3", "--format", "md")

    assert out.startswith("**v3 against v2: inconclusive overall")
    assert "| flipped case | severity |" in out
    assert "\n- W20 " in out


def test_cases_on_one_side_only_are_listed(run, data, tmp_path):
    evals = ek.load(data)
    (evals.filter(agent_version="v1", case=["01", "02", "03"]) + evals.filter(agent_version="v2")).save(
        tmp_path / "some"
    )

    _, out, _ = run("compare", tmp_path / "some", "--baseline", "v1", "--candidate", "v2")

    listed = out.partition("Cases scored on one side only:")[2]
    assert listed.rstrip().split("\n\n")[0].count("\n") == 2 + 6


# --- report, convert, demo


def test_report_writes_the_file_and_says_where_it_is(run, data, tmp_path):
    path = tmp_path / "build" / "report.html"

    code, out, _ = run(
        "report", data, "--baseline", "v2", "--candidate", "v3", "-o", path, "--title", "A <title>"
    )

    assert code == 0
    assert out.splitlines()[-1].startswith(f"Wrote {path} (")
    page = path.read_text(encoding="utf-8")
    assert "inconclusive" in page
    assert "A &lt;title&gt;" in page


def test_report_without_sides_describes(run, data, tmp_path):
    code, out, _ = run("report", data, "-o", tmp_path / "r.md")

    assert code == 0
    assert re.search(r"r\.md \([1-9]\d* kB\)", out)
    assert "there is no verdict" in (tmp_path / "r.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("form", ["native", "parquet"])
def test_convert_keeps_every_score(run, data, tmp_path, form):
    code, out, _ = run("convert", data, "-o", tmp_path / "new", "--to", form)

    assert code == 0
    assert "798 scores" in out
    before, after = ek.load(data), ek.load(tmp_path / "new")
    columns = [name for name in before.scores.columns if name not in ("source", "line")]
    assert after.scores.select(columns).equals(before.scores.select(columns))
    assert after.turns.equals(before.turns)


def test_demo_writes_what_the_library_makes(run, data, tmp_path):
    code, out, _ = run("demo", tmp_path / "demo")

    assert code == 0
    assert "synthetic" in out
    made = {path.name: path.read_bytes() for path in (tmp_path / "demo").iterdir()}
    assert made == {path.name: path.read_bytes() for path in Path(data).iterdir()}


# --- what the terminal shows


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_long_work_shows_a_sign_of_life_on_a_terminal_and_clears_it(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    deadline = time.monotonic() + 20

    with shown.working("Reading \x1b[2J"):
        while "Reading" not in terminal.getvalue() and time.monotonic() < deadline:
            pass

    assert "Reading ␛[2J " in terminal.getvalue()
    assert terminal.getvalue().endswith("\x1b[2K")


def test_nothing_spins_where_no_terminal_is(capsys):
    with shown.working("Reading"):
        pass

    assert capsys.readouterr() == ("", "")
