"""Evals: putting together, filtering, saving."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import polars as pl
import pytest

import evalkit as ek
from evalkit.data import folder as native
from evalkit.data.evals import Evals
from evalkit.data.schema import TABLES, Problem
from evalkit.util.errors import ColumnError, FormatError, PathError, SelectorError


@pytest.fixture
def two_versions() -> Evals:
    return Evals.from_tables(
        cases=pl.DataFrame(
            {
                "suite": "s",
                "case": ["01", "02"],
                "severity": ["high", "critical"],
                "tags": [["a", "b"], ["b"]],
            }
        ),
        runs=pl.DataFrame({"run": ["r1", "r2"], "suite": "s", "agent_version": ["v1", "v2"], "model": "m"}),
        trials=pl.DataFrame(
            {
                "run": ["r1", "r1", "r2", "r2"],
                "case": ["01", "02"] * 2,
                "error": [None, "crashed", None, None],
            }
        ),
        scores=pl.DataFrame(
            {
                "run": ["r1", "r2", "r2"],
                "case": ["01", "01", "02"],
                "criterion": "Groq",
                "score": [1, 5, 4],
                "grader": ["j", "j", "h"],
            }
        ),
        problems=[Problem("a.jsonl", 3, "not JSON")],
        notes=["made up"],
        files=["a.jsonl"],
    )


def test_a_saved_collection_is_read_back_equal(two_versions, tmp_path):
    folder = two_versions.save(tmp_path / "saved")

    again = Evals.load(folder)

    assert again.equals(two_versions)
    assert again.problems.to_dicts() == [{"source": "a.jsonl", "line": 3, "reason": "not JSON"}]


def test_saving_again_replaces_the_whole_and_leaves_nothing_else(two_versions, tmp_path):
    two_versions.save(tmp_path / "saved")

    two_versions.filter(agent_version="v2").save(tmp_path / "saved")

    assert Evals.load(tmp_path / "saved").runs["run"].to_list() == ["r2"]
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_saving_into_a_folder_with_other_files_is_refused(two_versions, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")

    with pytest.raises(FormatError, match="holds files that evalkit did not save"):
        two_versions.save(tmp_path)

    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_crash_while_writing_keeps_the_earlier_save(two_versions, tmp_path, monkeypatch):
    folder = two_versions.save(tmp_path / "saved")
    written = []

    def full_disk(self, path):
        written.append(path)
        if len(written) == 3:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full_disk)
    with pytest.raises(OSError, match="No space"):
        two_versions.filter(agent_version="v2").save(folder)
    monkeypatch.undo()

    assert Evals.load(folder).equals(two_versions)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


@pytest.mark.parametrize(
    ("manifest", "error", "words"),
    [
        (None, FormatError, "no readable evalkit.json"),
        ("not json", FormatError, "no readable evalkit.json"),
        ('{"evalkit": 99}', FormatError, "newer evalkit"),
    ],
)
def test_a_folder_that_was_not_saved_by_evalkit_is_refused(tmp_path, manifest, error, words):
    if manifest is not None:
        (tmp_path / "evalkit.json").write_text(manifest)

    with pytest.raises(error, match=words):
        Evals.load(tmp_path)


def test_loading_what_is_not_there_names_the_nearest(two_versions, tmp_path):
    two_versions.save(tmp_path / "saved")

    with pytest.raises(PathError, match="Did you mean .*saved"):
        Evals.load(tmp_path / "savde")


def test_a_filter_by_version_keeps_the_rows_of_its_runs_in_every_table(two_versions):
    kept = two_versions.filter(agent_version="v1")

    assert kept.runs["run"].to_list() == ["r1"]
    assert kept.trials["case"].to_list() == ["01", "02"]
    assert kept.scores["score"].to_list() == [1.0]
    assert kept.cases.height == 2


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (["no key", "no key", "slow"], "3 crashed, 2 of them: no key"),
        (["no\x1bkey", None, None], "1 crashed: no\N{REPLACEMENT CHARACTER}key"),
        ([None, None, None], "0 crashed"),
    ],
)
def test_what_crashed_says_of_what(errors, said):
    trials = pl.DataFrame({"run": "a", "case": ["1", "2", "3"], "error": pl.Series(errors, dtype=pl.String)})
    assert f"3  {said}\n" in repr(Evals.from_tables(trials=trials))


def test_a_filter_by_severity_keeps_the_crashed_trial_without_scores(two_versions):
    kept = two_versions.filter(severity=["critical"], agent_version="v1")

    assert kept.trials["error"].to_list() == ["crashed"]
    assert kept.scores.is_empty()
    assert kept.cases["case"].to_list() == ["02"]


def test_a_filter_by_grader_leaves_the_trials(two_versions):
    kept = two_versions.filter(grader="h")

    assert kept.scores["score"].to_list() == [4.0]
    assert kept.trials.height == 4


def test_a_filter_takes_an_expression_and_a_tag(two_versions):
    assert two_versions.filter(pl.col("epoch") == 1, tags="a").trials["case"].unique().to_list() == ["01"]


def test_a_filter_with_an_unknown_value_or_column_names_the_nearest(two_versions):
    with pytest.raises(SelectorError, match="Unknown agent version 'v3'. Expected v1 or v2"):
        two_versions.filter(agent_version="v3")
    with pytest.raises(ColumnError, match="Did you mean 'agent_version'"):
        two_versions.filter(agent_versoin="v1")


def test_the_sum_of_a_collection_with_itself_is_itself(two_versions):
    assert (two_versions + two_versions).equals(two_versions)


def test_the_sum_keeps_the_first_of_two_contradicting_records_and_says_so(two_versions):
    other = Evals.from_tables(
        scores=pl.DataFrame(
            {
                "run": "r1",
                "case": "01",
                "criterion": "Groq",
                "score": 5,
                "grader": "j",
                "source": "b.csv",
                "line": 9,
            }
        )
    )

    both = two_versions + other

    assert both.scores.filter(run="r1")["score"].to_list() == [1.0]
    assert both.problems.row(1)[:2] == ("b.csv", 9)
    assert "other content" in both.problems["reason"][1]


def test_the_sum_fills_what_one_side_does_not_say_of_a_run(two_versions):
    scores_only = Evals.from_tables(
        scores=pl.DataFrame({"run": ["r1"], "case": ["01"], "criterion": ["c"], "score": [3]})
    )

    both = scores_only + two_versions

    assert both.runs.filter(run="r1")["agent_version"].to_list() == ["v1"]
    assert both.problems.height == 1


def test_a_table_that_is_wrong_is_refused_by_name():
    with pytest.raises(
        ColumnError, match="The scores table has no column 'criterion'. Did you mean 'criteria'"
    ):
        Evals.from_tables(scores=pl.DataFrame({"run": ["a"], "case": ["1"], "criteria": ["x"]}))
    with pytest.raises(ColumnError, match=r"scores.score is 'good'. Expected a finite number"):
        Evals.from_tables(
            scores=pl.DataFrame({"run": ["a"], "case": ["1"], "criterion": ["x"], "score": ["good"]})
        )
    with pytest.raises(ColumnError, match="2 rows share a key, first run 'a', case '1'"):
        Evals.from_tables(scores=pl.DataFrame({"run": ["a"] * 2, "case": ["1"] * 2, "criterion": ["x"] * 2}))


def test_pandas_and_polars_frames_make_the_same_collection(two_versions):
    frames = two_versions.to_pandas()

    again = Evals.from_tables(
        cases=frames.cases.assign(tags=frames.cases["tags"].map(list)),
        **{n: getattr(frames, n) for n in ("criteria", "runs", "trials", "turns", "scores")},
    )

    assert isinstance(frames.scores, pd.DataFrame)
    for table, frame in two_versions.tables():
        assert getattr(again, table.name).equals(frame), table.name


def test_the_reprs_count_and_escape():
    evals = Evals.from_tables(
        runs=pl.DataFrame({"run": ["<img src=x onerror=alert(1)>"], "agent_version": ["\x1b[31mred<b>"]}),
        notes=["<script>"],
    )

    assert repr(evals).splitlines()[0] == "Evals: 0 cases, 1 run, 0 trials, 0 scores, 0 problems"
    assert "\x1b" not in repr(evals)
    assert "<script>" not in evals._repr_html_()
    assert "<b>" not in evals._repr_html_()


def test_the_reprs_say_what_their_counts_rest_on(tmp_path):
    frame = pl.DataFrame({"run": "a", "case": ["01", "02"], "criterion": "tone", "score": [4, 5]})
    evals = ek.load(frame, mapping={"scale": [1, 5]})
    full = native.write(ek.demo.make(), tmp_path / "native")

    head, *rows = repr(evals).splitlines()
    assert head == "Evals: 2 cases, 1 run, 2 trials, 2 scores, 0 problems"
    assert [row.split(maxsplit=2)[2] for row in rows if row.split()[0] in ("cases", "trials")] == [
        "2 only in the scores"
    ] * 2
    assert "2 only in the scores" in evals._repr_html_()
    partly = replace(
        evals, trials=TABLES["trials"].check(frame.select("run", "case").head(1).with_columns(epoch=1))
    )
    assert "1  0 crashed; 1 more only in the scores" in repr(partly)
    assert repr(ek.scan(full)) == repr(ek.load(full))
    assert "not read" not in repr(ek.scan(evals.save(tmp_path / "saved")))


def test_an_empty_collection_has_every_table_and_survives_everything(tmp_path):
    empty = Evals.from_tables()

    assert (empty + empty).equals(empty)
    assert Evals.load(empty.save(tmp_path / "e")).equals(empty)
    assert empty.attempts().is_empty()
    assert "0 scores" in repr(empty)


def test_a_run_that_came_from_nowhere_takes_the_file_of_the_one_that_fills_it() -> None:
    made = Evals.from_tables(runs=pl.DataFrame({"run": ["a", "b"], "source": [None, "first.csv"]}))
    read = Evals.from_tables(runs=pl.DataFrame({"run": ["a", "b"], "model": "m", "source": "second.csv"}))

    runs = (made + read).runs

    assert runs.select("run", "model", "source").rows() == [("a", "m", "second.csv"), ("b", "m", "first.csv")]


def test_a_trial_from_nowhere_keeps_its_line_unless_another_says_where() -> None:
    keys = {"case": "01", "epoch": 1}
    made = Evals.from_tables(trials=pl.DataFrame({"run": ["a", "b"], **keys, "line": [1, 2]}))
    read = Evals.from_tables(
        trials=pl.DataFrame({"run": ["a"], **keys, "output": "x", "source": "t.csv", "line": 9})
    )

    trials = (made + read).trials

    assert trials.select("run", "output", "source", "line").rows() == [
        ("a", "x", "t.csv", 9),
        ("b", None, None, 2),
    ]


def test_six_pandas_tables_are_a_line_in_a_notebook():
    tables = Evals.from_tables(
        scores=pl.DataFrame({"run": ["a"], "case": ["1"], "criterion": ["a"], "score": [1]})
    ).to_pandas()

    assert repr(tables) == "PandasTables, rows: cases 0, criteria 0, runs 1, trials 0, turns 0, scores 1"
