"""What is larger than the memory: converted file by file, and scanned rather than read."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

import evalkit as ek
from evalkit.cli import main
from evalkit.data import folder as native
from evalkit.readers import convert as streaming
from evalkit.readers.load import load
from evalkit.readers.scan import scan
from evalkit.util.errors import FormatError, PathError

if TYPE_CHECKING:
    from pathlib import Path

DEMO = "data/demo"


def same(one: Any, other: Any) -> bool:
    """Whether two collections hold the same records, in any order."""
    return all(
        one_frame.sort(order).equals(getattr(other, table.name).sort(order))
        for table, one_frame in one.tables()
        for order in [[pl.col(name).cast(pl.String) for name in table.key]]
    )


def inspect_log(path: Path, number: int, *, text: str = "so", samples: int = 3) -> None:
    header = {
        "version": 2,
        "status": "success",
        "eval": {"eval_id": f"{number:08}", "task": "t", "model": "m"},
    }
    made = [
        {
            "id": f"{case}",
            "epoch": 1,
            "input": "Why?",
            "messages": [
                {"role": "user", "content": "Why?"},
                {"role": "assistant", "content": f"{text} {case}"},
            ],
            "scores": {"ok": {"value": "C" if (case + number) % 2 else "I", "explanation": "why"}},
        }
        for case in range(samples)
    ]
    path.write_text(json.dumps({**header, "samples": made}))


def test_a_stream_writes_what_a_save_of_all_would(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for number in range(5):
        inspect_log(tmp_path / "logs" / f"{number}.json", number)
    (tmp_path / "logs" / "notes.bin").write_bytes(b"\x00\x01")

    made = streaming.save([tmp_path / "logs"], tmp_path / "out")

    whole, back = load(tmp_path / "logs"), load(tmp_path / "out")
    assert made is not None
    assert same(whole, back)
    assert (whole.notes, whole.files) == (back.notes, back.files)
    assert back.scores.height == 15
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[0] == "cases.parquet"
    assert not (tmp_path / "out" / "parts").exists()


def test_the_demo_streams_with_its_scales_and_problems(tmp_path: Path) -> None:
    bad = {"run": "x", "suite": "Groq evals - Batch API", "case": "01", "criterion": "Groq", "score": 50}
    native.write(load(DEMO), tmp_path / "in")
    (tmp_path / "in" / "more.jsonl").write_text(
        json.dumps({k: v for k, v in bad.items() if k != "suite"}) + "\n{broken\n"
    )

    assert streaming.save([tmp_path / "in"], tmp_path / "out") is not None

    whole, back = load(tmp_path / "in"), load(tmp_path / "out")
    assert same(whole, back)
    assert sorted(back.problems["reason"]) == sorted(whole.problems["reason"])


def test_a_record_that_two_files_have_is_written_once(tmp_path: Path) -> None:
    score = {"run": "a", "case": "01", "criterion": "Groq", "score": 4}
    (tmp_path / "a.jsonl").write_text(json.dumps(score) + "\n")
    (tmp_path / "b.jsonl").write_text(
        json.dumps({**score, "score": 1}) + "\n" + json.dumps({**score, "case": "02"})
    )

    made = streaming.save([tmp_path / "a.jsonl", tmp_path / "b.jsonl"], tmp_path / "out")

    assert made is not None
    assert load(tmp_path / "out").scores.select("case", "score").sort("case").rows() == [
        ("01", 4.0),
        ("02", 4.0),
    ]
    assert "is there already, with other content" in made.problems["reason"].item()


def test_tables_of_judge_scores_stream_and_their_runs_are_told_apart(tmp_path: Path) -> None:
    mapping = {"case": "id", "criteria": ["tone"], "output": "said", "scale": [1, 5]}
    for month, tone in (("jan", 3), ("feb", 50)):
        (tmp_path / "in" / month).mkdir(parents=True)
        rows = [{"id": n, "version": "v1", "tone": tone, "said": f"{month} {n}"} for n in range(3)]
        (tmp_path / "in" / month / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "m.yaml").write_text(json.dumps(mapping))

    command = ["convert", str(tmp_path / "in"), "--mapping", str(tmp_path / "m.yaml")]
    done = main([*command, "--to", "parquet", "-o", str(tmp_path / "out")])

    whole, back = load(tmp_path / "in", mapping=tmp_path / "m.yaml"), load(tmp_path / "out")
    assert done == 0
    assert same(whole, back)
    assert sorted(back.runs["run"]) == ["feb/v1", "jan/v1"]
    assert (whole.notes, whole.files) == (back.notes, back.files)
    assert back.problems.equals(whole.problems)
    assert back.problems["reason"].to_list() == ["tone: 50 is outside the scale 1 to 5"] * 3


def test_runs_of_one_name_that_were_run_twice_are_told_apart_in_a_stream_too(tmp_path: Path) -> None:
    for name, reward in (("one", 1.0), ("two", 0.0)):
        record = {"task_id": 1, "reward": reward, "info": {}, "trial": 0}
        (tmp_path / "in" / name).mkdir(parents=True)
        turns = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": name}]
        (tmp_path / "in" / name / "log.json").write_text(json.dumps([{**record, "traj": turns}]))

    streaming.save([tmp_path / "in"], tmp_path / "out")

    whole, back = load(tmp_path / "in"), load(tmp_path / "out")
    assert back.scores.height == 2
    assert same(whole, back)
    assert back.notes == whole.notes


def test_what_one_file_says_of_an_attempt_and_another_adds_is_one_row(tmp_path: Path) -> None:
    trial = {"run": "a", "case": "01", "messages": [{"role": "user", "content": "hi"}]}
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "transcripts.jsonl").write_text(json.dumps(trial) + "\n")
    (tmp_path / "in" / "r.jsonl").write_text(
        json.dumps({"run": "a", "case": "01", "tone_score": 4, "answer": "So."}) + "\n"
    )

    streaming.save([tmp_path / "in"], tmp_path / "out")

    whole, back = load(tmp_path / "in"), load(tmp_path / "out")
    assert same(whole, back)
    assert back.trials["output"].to_list() == ["So."]


def test_where_there_is_nothing_to_read_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()

    assert streaming.save([tmp_path / "in"], tmp_path / "out") is None
    assert not (tmp_path / "out").exists()


def test_a_stream_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inspect_log(tmp_path / "log.json", 1)
    monkeypatch.setattr("evalkit.data.parquet.write", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))

    with pytest.raises(OSError, match="full"):
        streaming.save([tmp_path / "log.json"], tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["log.json"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_logs(tmp_path: Path) -> None:
    code = (
        "import sys; from evalkit.cli import main; code = main(sys.argv[1:]); "
        "peak = [l for l in open('/proc/self/status') if l.startswith('VmHWM')][0].split()[1]; "
        "sys.stderr.write('\\n' + peak); sys.exit(code)"
    )
    peaks = []
    for count in (3, 24):
        folder = tmp_path / f"logs-{count}"
        folder.mkdir()
        for number in range(count):
            inspect_log(folder / f"{number}.json", number, text="x" * 50_000, samples=160)
        command = ["convert", str(folder), "--to", "parquet", "-o", str(tmp_path / f"out-{count}")]
        done = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stderr.splitlines()[-1]) / 1024)
        assert f"{count * 160} scores" in done.stdout.replace(",", "")

    # 21 more logs of 8 MB each: 168 MB of text alone, and twice that where all of it is held.
    assert peaks[1] < peaks[0] + 120


@pytest.fixture(params=["saved", "native"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    evals = load(DEMO)
    return (
        evals.save(tmp_path / "saved")
        if request.param == "saved"
        else native.write(evals, tmp_path / "native")
    )


def test_a_scan_can_be_filtered_and_stays_lazy(folder: Path) -> None:
    lazy, whole = scan(folder), load(folder)

    some = lazy.filter(agent_version="v2", criterion="Groq")

    assert isinstance(some.scores, pl.LazyFrame)
    assert (
        some.scores.select(pl.len()).collect().item()
        == whole.filter(agent_version="v2", criterion="Groq").scores.height
    )


@pytest.mark.parametrize(
    "verb",
    [
        lambda evals, place: ek.summarize(evals, by="agent_version"),
        lambda evals, place: ek.report(evals, place / "r.md"),
        lambda evals, place: ek.variance(evals),
        lambda evals, place: ek.correct_for_judge(evals),
        lambda evals, place: ek.tune(evals).to_html(),
        lambda evals, place: ek.explore(evals).to_html(),
    ],
)
def test_what_reduces_scores_reads_no_text_of_a_scan(verb: Any, folder: Path, tmp_path: Path) -> None:
    lazy = scan(folder)

    def never(name: str) -> pl.Expr:
        return pl.col(name).map_batches(
            lambda *_, **__: pytest.fail(f"{name} was read"), return_dtype=pl.String
        )

    guarded = replace(
        lazy,
        scores=lazy.scores.with_columns(never("rationale"), never("evidence")),
        turns=lazy.turns.with_columns(never("content")),
        _outputs=lazy.outputs.with_columns(never("output")),
    )

    assert verb(guarded, tmp_path) is not None


def test_a_scan_that_is_saved_keeps_what_the_agents_said(folder: Path, tmp_path: Path) -> None:
    lazy, whole = scan(folder), load(folder)

    lazy.save(tmp_path / "again")

    again = load(tmp_path / "again")
    assert again.trials.select("output").equals(whole.trials.select("output"))
    assert again.turns.height == whole.turns.height > 0


def test_transcripts_are_scanned_some_lines_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evalkit.data.folder_read._BATCH_BYTES", 2_000)
    native.write(load(DEMO), tmp_path / "in")
    parts = list(native.scan_transcripts(tmp_path / "in" / "transcripts.jsonl"))

    lazy, whole = scan(tmp_path / "in"), load(tmp_path / "in")

    assert len(parts) > 10
    assert lazy.turns.collect().equals(whole.turns)
    assert lazy.turns.filter(case="02").select("content").head(3).collect().rows() == (
        whole.turns.filter(case="02").select("content").head(3).rows()
    )
    assert lazy.turns.select(pl.len()).collect().item() == whole.turns.height
    assert lazy.turns.head(7).collect().equals(whole.turns.head(7))


def test_a_native_folder_without_transcripts_can_be_scanned(tmp_path: Path) -> None:
    (tmp_path / "scores.jsonl").write_text('{"run": "a", "case": "01", "criterion": "Groq", "score": 4}\n')

    lazy = scan(tmp_path)

    assert lazy.collect().scores["score"].to_list() == [4.0]
    assert lazy.collect().turns.is_empty()


def test_what_cannot_be_scanned_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="No file or folder"):
        scan(tmp_path / "nowhere")
    with pytest.raises(FormatError, match="cannot be scanned. Expected a saved folder or a native folder"):
        scan(tmp_path)
    load(DEMO).save(tmp_path / "saved")
    pl.DataFrame({"run": ["a"]}).write_parquet(tmp_path / "saved" / "scores.parquet")
    with pytest.raises(FormatError, match=r"scores.parquet' is not a saved scores table"):
        scan(tmp_path / "saved")
