"""Which files are read, by which mapping, and what is said of it."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pytest

from evalkit.data import folder as native
from evalkit.data.evals import Evals
from evalkit.readers.load import load
from evalkit.util.errors import FormatError, PathError

if TYPE_CHECKING:
    from pathlib import Path

WIDE = {"case": "id", "criteria": ["tone"], "scale": [1, 5]}
NATIVE = {"run": "a", "case": "01", "criterion": "Groq", "score": 4}


def write(path: Path, *records: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def evals_of(**scores: Any) -> Evals:
    return Evals.from_tables(scores=pl.DataFrame({"run": "a", "case": "01", "criterion": "Groq", **scores}))


def test_a_native_folder_loads_as_native_reads_it(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(
        "suite: s\ncriteria:\n  - name: Groq\ncases:\n  - id: '01'\n    severity: high\n"
    )
    write(
        tmp_path / "transcripts.jsonl",
        {"run": "a", "suite": "s", "case": "01", "messages": [{"role": "user", "content": "hi"}]},
    )
    write(tmp_path / "scores.jsonl", NATIVE)

    loaded, read = load(tmp_path), native.read(tmp_path)

    assert all(
        frame.sort(table.key).equals(getattr(read, table.name).sort(table.key))
        for table, frame in loaded.tables()
    )
    assert loaded.turns.height == 1


@pytest.mark.parametrize("name", ["suite.yaml", "transcripts.jsonl", "scores.jsonl"])
def test_each_native_file_loads_alone_and_under_another_name(name: str, tmp_path: Path) -> None:
    texts = {
        "suite.yaml": "suite: s\ncases:\n  - id: '01'\n",
        "transcripts.jsonl": '{"run": "a", "case": "01", "messages": []}',
        "scores.jsonl": json.dumps(NATIVE),
    }
    path = tmp_path / "some.data"
    path.write_text(texts[name])

    evals = load(path)

    assert evals.cases.height + evals.trials.height + evals.scores.height == 1
    assert evals.problems.is_empty()
    assert evals.files == (str(path),)


def test_what_was_saved_loads_equal(tmp_path: Path) -> None:
    evals = evals_of(score=[4.0])
    evals.save(tmp_path / "saved")

    assert load(tmp_path / "saved").scores.equals(evals.scores)
    assert load(tmp_path / "saved" / "scores.parquet").scores.equals(evals.scores)


def test_sources_add_up(tmp_path: Path) -> None:
    path = write(tmp_path / "scores.jsonl", NATIVE)

    evals = load(
        path, evals_of(case="02", score=[1.0]), pl.DataFrame({"id": ["03"], "tone": [5]}), mapping=WIDE
    )

    assert sorted(evals.scores["case"]) == ["01", "02", "03"]


def test_sources_may_come_in_lists_tuples_and_generators(tmp_path: Path) -> None:
    paths = [write(tmp_path / version / "r.jsonl", {"id": "1", "tone": 4}) for version in ("v1", "v2")]

    for sources in (paths, tuple(map(str, paths)), (path for path in paths), iter([paths[:1], paths[1]])):
        assert load(sources, mapping=WIDE).runs["run"].to_list() == ["v1", "v2"]


def test_the_run_is_the_folder_and_the_version_too(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write(tmp_path / version / "results.jsonl", {"id": "1", "tone": 4})

    evals = load(tmp_path / "v1", tmp_path / "v2" / "results.jsonl", mapping=WIDE)

    assert evals.runs.select("run", "agent_version").rows() == [("v1", "v1"), ("v2", "v2")]


def test_several_files_in_a_folder_are_runs_of_their_own(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write(tmp_path / f"{version}.jsonl", {"id": "1", "tone": 4})

    assert load(tmp_path, mapping=WIDE).runs["run"].to_list() == ["v1", "v2"]


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for month in ("jan", "feb"):
        write(tmp_path / month / "base" / "r.jsonl", {"id": "1", "tone": 4})

    assert sorted(load(tmp_path, mapping=WIDE).runs["run"]) == ["feb/base", "jan/base"]


def test_a_mapping_beside_the_files_is_heeded_and_the_argument_wins(tmp_path: Path) -> None:
    write(tmp_path / "v1" / "r.jsonl", {"id": "1", "tone": 4, "facts": 2})
    (tmp_path / "evalkit.yaml").write_text("case: id\ncriteria: [facts]\nscale: [1, 5]\n")

    beside, told = load(tmp_path), load(tmp_path, mapping=WIDE)

    assert beside.scores["criterion"].to_list() == ["facts"]
    assert told.scores["criterion"].to_list() == ["tone"]


def test_a_mapping_that_is_given_wins_over_the_format_that_a_file_looks_like(tmp_path: Path) -> None:
    record = {"task_id": 7, "reward": 1.0, "info": {}, "trial": 0, "traj": [], "tone": 4}
    path = tmp_path / "log.json"
    path.write_text(json.dumps([record]))
    mapping = {"case": "task_id", "criteria": ["tone"], "scale": [1, 5]}

    assert load(path).scores["criterion"].to_list() == ["reward"]
    assert load(path, mapping=mapping).scores["criterion"].to_list() == ["tone"]
    assert load(tmp_path, mapping=mapping).scores["criterion"].to_list() == ["tone"]


@pytest.mark.parametrize(
    ("mapping", "why"),
    [
        ({"case": "task_id", "criteria": ["tone"]}, "has none of the columns 'tone' (criterion tone)"),
        ({"case": "task_id", "criteria": ["reward"], "model": "who"}, "there is no column 'who' (model)"),
        ({"scale": [1, 5]}, "it is for tables of judge scores"),
    ],
)
def test_where_a_mapping_that_is_given_is_not_heeded_a_note_says_why(
    mapping: Any, why: str, tmp_path: Path
) -> None:
    record = {"task_id": 7, "reward": 1.0, "info": {}, "trial": 0, "traj": []}
    path = tmp_path / "log.json"
    path.write_text(json.dumps([record]))

    evals = load(path, mapping=mapping)

    assert evals.scores["criterion"].to_list() == ["reward"]
    (note,) = [str(note) for note in evals.notes if "without the mapping" in str(note)]
    assert str(note).startswith(f"{path}: read as what it is (tau-bench trajectories), without the mapping: ")
    assert why in str(note)


def test_a_mapping_beside_the_files_leaves_formats_of_their_own_alone(tmp_path: Path) -> None:
    record = {"task_id": 7, "reward": 1.0, "info": {}, "trial": 0, "traj": [], "tone": 4}
    (tmp_path / "log.json").write_text(json.dumps([record]))
    (tmp_path / "evalkit.yaml").write_text("case: task_id\ncriteria: [tone]\n")

    evals = load(tmp_path)

    assert evals.scores["criterion"].to_list() == ["reward"]
    assert not any("mapping" in str(note) for note in evals.notes)


def test_what_is_said_of_three_files_or_more_is_said_once(tmp_path: Path) -> None:
    logs = [tmp_path / f"{name}.json" for name in "abc"]
    for path in logs:
        record = {"task_id": path.stem, "reward": 1.0, "info": {}, "trial": 0, "traj": []}
        path.write_text(json.dumps([record]))
    said = (
        "read as what it is (tau-bench trajectories), without the mapping: it is for tables of judge scores"
    )

    two, three = load(*logs[:2], mapping={"scale": [0, 1]}), load(*logs, mapping={"scale": [0, 1]})

    assert [str(note) for note in two.notes if "mapping" in str(note)] == [
        f"2 files (a.json, b.json): {said}"
    ]
    assert [str(note) for note in three.notes if "mapping" in str(note)] == [
        f"3 files (a.json, b.json, c.json): {said}"
    ]


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "r.jsonl").write_text('{"id": "1", "tone": 4}\n')

    evals = load(
        tmp_path, mapping={"case": "id", "criteria": {"tone": ["tone"], "facts": ["facts", "truth"]}}
    )

    assert [str(note) for note in evals.notes if "'facts'" in str(note)] == [
        "3 files (a/r.jsonl, b/r.jsonl, c/r.jsonl): there is no column 'facts' (criterion facts), "
        "which the mapping names."
    ]


def test_what_is_prose_by_its_name_is_passed_over_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# Data, ours\n\nTwo files, no more\n")
    (tmp_path / "a.jsonl").write_text('{"id": "1", "tone_score": 4}\n')

    evals = load(tmp_path)

    assert evals.problems.is_empty()
    assert any("Skipped files" in str(note) and "README.md" in str(note) for note in evals.notes)


def test_what_is_no_table_by_its_suffix_is_read_as_one_only_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "run.log").write_text(
        "2026-01-01 12:00:00,123 INFO started\n2026-01-01 12:00:01,200 INFO done\n"
    )
    (tmp_path / "notes.txt").write_text("Two runs, both good\nthe second, less so\n")
    (tmp_path / "scores.txt").write_text("id,tone_score\n1,4\n")
    (tmp_path / "lines.log").write_text('{"id": "1", "tone_score": 5}\n')
    (tmp_path / ".DS_Store").write_bytes(b"\x00\x01Bud1")

    evals = load(tmp_path)

    assert evals.problems.is_empty()
    assert evals.scores["score"].to_list() == [5.0]
    [told] = [str(note) for note in evals.notes if "Skipped files" in str(note)]
    for name in ("notes.txt", "run.log", "scores.txt"):
        assert str(tmp_path / name) in told
    assert load(tmp_path / "scores.txt").scores["score"].to_list() == [4.0]
    assert load(tmp_path, mapping={"case": "id", "criteria": ["tone_score"]}).scores.height >= 2


def test_a_mapping_above_the_given_path_is_not_heeded(tmp_path: Path) -> None:
    path = write(tmp_path / "v1" / "r.jsonl", {"id": "1", "tone": 4})
    (tmp_path / "evalkit.yaml").write_text("case: id\ncriteria: {tone: manner}\n")

    assert load(path).scores["criterion"].to_list() == ["tone"]


def test_a_mapping_may_be_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"id": "1", "gpt_tone": 4})
    (tmp_path / "m.yaml").write_text("case: id\ncriteria: {gpt_tone: tone}\n")

    assert load(path, mapping=tmp_path / "m.yaml").scores["criterion"].to_list() == ["tone"]


def test_a_column_that_one_file_lacks_is_a_note(tmp_path: Path) -> None:
    write(tmp_path / "v1" / "r.jsonl", {"id": "1", "tone": 4, "facts": 2})
    write(tmp_path / "v2" / "r.jsonl", {"id": "1", "tone": 4})

    evals = load(tmp_path, mapping={**WIDE, "criteria": ["tone", "facts"]})

    assert evals.scores.height == 3
    assert evals.problems.is_empty()
    assert any("v2" in str(note) and "no column 'facts'" in str(note) for note in evals.notes)


def test_a_column_that_every_file_lacks_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"id": "1", "tone": 4, "facts": 2})

    with pytest.raises(FormatError, match="No file has the column 'fcts'.* Did you mean 'facts'"):
        load(path, mapping={**WIDE, "criteria": ["tone", "fcts"]})
    with pytest.raises(FormatError, match="none of the columns.*Did you mean 'tone' for 'tome'"):
        load(path, mapping={**WIDE, "criteria": ["tome"]})
    with pytest.raises(FormatError, match="no column 'idd'"):
        load(path, mapping={**WIDE, "case": "idd"})


def test_a_list_of_names_is_whichever_a_file_has(tmp_path: Path) -> None:
    write(tmp_path / "v1" / "r.jsonl", {"id": "1", "gpt_tone": 4})
    write(tmp_path / "v2" / "r.jsonl", {"id": "1", "tone_score": 2})

    evals = load(
        tmp_path,
        mapping={"case": "id", "criteria": {"tone": ["gpt_tone", "tone_score"], "facts": ["a", "b"]}},
    )

    assert dict(evals.scores.select("run", "score").rows()) == {"v1": 4.0, "v2": 2.0}
    assert set(evals.scores["criterion"]) == {"tone"}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"critera": ["a"]}, "Unknown key 'critera' in the mapping. Did you mean 'criteria'"),
        ({"scale": [5, 1]}, r"scale is \[5, 1\]"),
        ({"scale": "wide"}, "scale is 'wide'"),
        ({"case": 4.5}, "case is 4.5"),
        ({"criteria": {}}, r"criteria is {}"),
        ({"criteria": ["a"], "criterion": "b"}, "criteria and criterion"),
        ([1], "the mapping is list"),
    ],
)
def test_a_mapping_that_cannot_be_understood_says_why(mapping: Any, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        load(pl.DataFrame({"id": ["1"], "tone": [4]}), mapping=mapping)


@pytest.mark.parametrize(
    ("text", "message"),
    [("case: [", "m.yaml:1: this is not YAML"), ("- a", "m.yaml:1: "), ("cse: id", "'case'")],
)
def test_a_mapping_file_that_cannot_be_understood_says_where(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(text)

    with pytest.raises(FormatError, match=message):
        load(pl.DataFrame({"id": ["1"], "tone": [4]}), mapping=tmp_path / "m.yaml")


def test_without_a_mapping_obvious_names_are_recognised_and_told(tmp_path: Path) -> None:
    record = {
        "question_id": 7,
        "metric": "tone",
        "rating": 4,
        "reason": "fine",
        "judge": "gpt",
        "version": "v1",
        "severity": "high",
        "question": "Why?",
        "answer": "So.",
        "truth": "So!",
        "surprise": 1,
    }
    path = write(tmp_path / "r.jsonl", record)

    evals = load(path)

    score = evals.scores.row(0, named=True)
    assert (score["case"], score["criterion"], score["score"], score["rationale"], score["grader"]) == (
        "7",
        "tone",
        4.0,
        "fine",
        "gpt",
    )
    assert evals.cases.select("case", "input", "ideal_behavior", "severity").rows() == [
        ("7", "Why?", "So!", "high")
    ]
    assert evals.trials["output"].to_list() == ["So."]
    assert evals.runs["agent_version"].to_list() == ["v1"]
    assert any("case = 'question_id'" in str(note) for note in evals.notes)
    assert "Columns not read: surprise." in map(str, evals.notes)


def test_scores_with_their_reasons_beside_them_are_recognised(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"id": "1", "tone_score": 4, "tone_reason": "fine", "facts_score": 2})

    evals = load(path)

    assert sorted(evals.scores.select("criterion", "score", "rationale").rows()) == [
        ("facts", 2.0, None),
        ("tone", 4.0, "fine"),
    ]


def test_a_pattern_names_the_column_of_each_rationale(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"id": "1", "tone": 4, "why_tone": "fine"})

    assert load(path, mapping={**WIDE, "rationale": "why_{criterion}"}).scores["rationale"].to_list() == [
        "fine"
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"metric": "a", "score": 1}, "No column says the case"),
        ({"tone": 4, "text": "x"}, r"'criteria': \['tone'\]"),
    ],
)
def test_what_is_not_plain_is_asked_for(record: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=message):
        load(write(tmp_path / "r.jsonl", record))


@pytest.mark.parametrize(
    ("frame", "case", "criteria"),
    [
        (
            {
                "case_id": ["q1", "q2", "q3"],
                "question": "Why?",
                "tone": ["4", "N/A", "5"],
                "user_id": 7,
                "tone_why": "x",
            },
            ["q1", "q2", "q3"],
            ["tone"],
        ),
        ({"qid": ["a"], "tone": [4], "text": ["x"]}, ["a"], ["tone"]),
        ({"tone": [4], "test case": [1], "userId": [2]}, ["1"], ["tone"]),
        ({"prompt": ["a"], "metric": ["tone"], "score": [4]}, ["a"], ["tone"]),
    ],
)
def test_a_guess_finds_case_and_criteria(frame: dict[str, Any], case: list[str], criteria: list[str]) -> None:
    evals = load(pl.DataFrame(frame))

    assert evals.scores["case"].cast(pl.String).to_list() == case
    assert evals.scores["criterion"].cast(pl.String).unique().to_list() == criteria


def test_words_for_yes_and_no_are_scores_of_one_and_nought(tmp_path: Path) -> None:
    path = write(
        tmp_path / "r.jsonl",
        *({"id": str(i), "metric": "m", "verdict": v} for i, v in enumerate(["pass", "Fail", None])),
    )

    evals = load(path)

    assert evals.scores.select("score", "label").rows() == [(1.0, "pass"), (0.0, "Fail"), (None, None)]
    assert evals.criteria.select("scale_min", "scale_max").rows() == [(0.0, 1.0)]


def test_a_column_of_failures_alone_is_no_column_of_noughts(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", *({"id": str(i), "tone": "Failed"} for i in range(2)))

    evals = load(path, mapping=WIDE)

    assert evals.scores.select("score", "error").rows() == [(None, "Failed")] * 2


def test_scales_are_as_declared_or_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", {"id": "1", "tone": 4, "facts": 70, "wit": 1})

    evals = load(
        path,
        mapping={
            "case": "id",
            "criteria": ["tone", "facts", "wit"],
            "scale": {"tone": [1, 5], "facts": [0, 100]},
        },
    )

    assert evals.criteria.select("criterion", "scale_min", "scale_max").rows() == [
        ("tone", 1.0, 5.0),
        ("facts", 0.0, 100.0),
        ("wit", None, None),
    ]
    assert any("wit" in str(note) and "scale" in str(note) for note in evals.notes)


@pytest.mark.parametrize(
    ("mapping", "record", "grader"),
    [
        ({}, {}, "judge"),
        ({"grader": "gpt-4"}, {}, "gpt-4"),
        ({"grader": "by"}, {"by": "ann"}, "ann"),
        ({}, {"judge": "llama"}, "llama"),
    ],
)
def test_who_judged_is_a_column_or_the_mapping_or_judge(
    mapping: dict[str, str], record: dict[str, str], grader: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "r.jsonl", {"id": "1", "tone": 4, **record})

    assert load(path, mapping={**WIDE, **mapping}).scores["grader"].to_list() == [grader]


def test_pandas_and_polars_frames_give_equal_evals() -> None:
    data = {
        "id": [1, 2, 3],
        "tone": [4, "(Failed)", None],
        "facts": [1.5, float("nan"), 3],
        "tags": [["a", "b"], [], None],
        "ok": [True, None, False],
        "severity": ["high", "low", None],
        "answer": ["x", None, "\U0001f600"],
    }
    mapping = {"case": "id", "criteria": ["tone", "facts", "ok"], "scale": {"tone": [1, 5]}}
    polars_frame = pl.DataFrame({**data, "tone": ["4", "(Failed)", None]}, strict=False)

    one, two = load(polars_frame, mapping=mapping), load(pd.DataFrame(data), mapping=mapping)

    for table, frame in one.tables():
        assert frame.equals(getattr(two, table.name)), table.name
    assert one.problems.equals(two.problems)
    assert one.scores.filter(criterion="facts")["score"].to_list() == [1.5, None, 3.0]
    assert load(polars_frame.lazy(), mapping=mapping).scores.equals(one.scores)


def test_the_index_of_a_pandas_frame_may_be_the_case() -> None:
    frame = pd.DataFrame({"tone": [4, 5]}, index=pd.Index(["a", "b"], name="id"))

    assert load(frame, mapping=WIDE).scores["case"].to_list() == ["a", "b"]


def test_pandas_is_not_imported_to_recognise_it() -> None:
    code = "import sys, evalkit.readers.load as l, polars as pl; l.load(pl.DataFrame({'id':['1'],'s':[1]}), mapping={'criteria':['s']}); sys.exit('pandas' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_is_no_source_is_refused_by_name() -> None:
    with pytest.raises(FormatError, match="not int: 3"):
        load(3)
    with pytest.raises(FormatError, match="Nothing to load"):
        load()
    with pytest.raises(FormatError, match="Nothing to load"):
        load([])
    with pytest.raises(FormatError, match=r"not dict: .*polars.DataFrame\(records\)"):
        load([{"case": "1", "score": 1}])


def test_an_open_file_is_no_list_of_sources(tmp_path: Path) -> None:
    with (
        write(tmp_path / "r.jsonl", {"id": "1"}).open() as file,
        pytest.raises(FormatError, match="not TextIO"),
    ):
        load(file)


@pytest.mark.parametrize("names", [["id", "a", "a"], ["id", 1, "1"]])
def test_a_frame_with_two_columns_of_one_name_says_so(names: list[Any]) -> None:
    frame = pd.DataFrame([["1", 2, 3]], columns=names)

    with pytest.raises(FormatError, match=r"<frame> has several columns called '[a1]'. Give each"):
        load(frame)


def test_a_path_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path / "demo" / "scores.jsonl", NATIVE)

    with pytest.raises(PathError, match="Did you mean .*demo"):
        load(tmp_path / "dmeo")
    with pytest.raises(PathError, match=r"Nothing matches .*holds: scores.jsonl"):
        load(str(tmp_path / "demo" / "*.csv"))
    with pytest.raises(PathError, match="Did you mean .*demo"):
        load(str(tmp_path / "dmo" / "*.csv"))


def test_a_glob_names_its_files(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write(tmp_path / version / "r.jsonl", {"id": "1", "tone": 4})

    evals = load(str(tmp_path / "*" / "r.jsonl"), mapping=WIDE)

    assert evals.runs["run"].to_list() == ["v1", "v2"]


def test_files_of_no_known_format_are_named_and_stop_nobody(tmp_path: Path) -> None:
    write(tmp_path / "scores.jsonl", NATIVE)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    (tmp_path / ".hidden").write_text("x")

    evals = load(tmp_path)

    assert evals.scores.height == 1
    assert any("picture.png" in str(note) for note in evals.notes)
    with pytest.raises(FormatError, match="Unknown format: .*picture.png"):
        load(tmp_path / "picture.png")


def test_a_folder_with_nothing_to_read_says_so(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no file to read"):
        load(tmp_path)
