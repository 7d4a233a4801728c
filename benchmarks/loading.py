"""Time `ek.load` beside what else reads the same files: inspect_ai's dataframes, polars, pandas, and a bare floor.

Each measurement is a process of its own, one after another in turns; medians of the time inside, the largest memory
that the process ever held, and ratios. The files are made once, in build/bench: 20 Inspect logs of 500 samples, by
inspect_ai and its mock model; a million judge scores and 200,000 transcripts as JSON lines.

Usage: python benchmarks/loading.py [ROUNDS]
"""

from __future__ import annotations

import json
import random
import statistics
import struct
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[1]
BENCH = ROOT / "build" / "bench"
LOGS = BENCH / "inspect"
SIZES = {"10k": 10_000, "100k": 100_000, "1M": 1_000_000}
TRANSCRIPTS = BENCH / "transcripts.jsonl"
WIDE = BENCH / "wide.csv"
CRITERIA = ["tone", "helpfulness", "accuracy", "clarity"]
MAPPING = {
    "case": "case_id",
    "agent_version": "version",
    "input": "question",
    "output": "answer",
    "criteria": CRITERIA,
    "scale": [1, 5],
}

# What is measured, against what, and how many times as fast (or at most how many times as slow) it should be; the floors
# are held against the peers too, without a target, to show what can be had at all.
ROWS = (
    ("all scores, long, explanations", "ours: scores", "inspect_ai samples_df", ">=", 20, 1 / 3),
    ("all messages", "ours: turns", "inspect_ai messages_df", ">=", 40, 1 / 4),
    ("run headers", "ours: runs", "inspect_ai evals_df", ">=", 15, None),
    ("scores, over the bare floor", "ours: scores", "floor: scores", "<=", 2.0, None),
    ("messages, over the bare floor", "ours: turns", "floor: turns", "<=", 2.0, None),
    ("1M scores, over unchecked polars", "ours: 1M scores", "polars: 1M scores", "<=", 1.5, None),
    ("1M scores", "ours: 1M scores", "pandas: 1M scores", ">=", 10, None),
    ("200k transcripts, turns included", "ours: transcripts", "pandas: transcripts", ">=", 3, 1 / 2),
    ("transcripts, over the bare floor", "ours: transcripts", "floor: transcripts", "<=", 2.0, None),
    (
        "1M scores of a wide table, columns guessed",
        "ours: guessed table",
        "ours: mapped table",
        "<=",
        1.1,
        None,
    ),
    ("second load of all, cached", "ours: all, cached", "ours: all, first", ">=", 5, None),
    ("the floor of all scores itself", "floor: scores", "inspect_ai samples_df", ">=", None, None),
    ("the floor of 1M scores itself: typed", "floor: 1M scores", "polars: 1M scores", "<=", None, None),
    ("the floor of transcripts itself", "floor: transcripts", "pandas: transcripts", ">=", None, None),
)


def load(*sources: Path, **options: Any) -> Any:
    import evalkit as ek

    return ek.load(*sources, **{"cache": False, **options})


def members(path: Path, wanted: Callable[[str], bool]) -> Iterator[bytes]:
    """Yield members of a zip without any check: the least that can be done."""
    import zipfile
    import zlib

    import pyarrow as pa

    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        infos = [info for info in archive.infolist() if wanted(info.filename)]
    for info in infos:
        start = info.header_offset + 30 + sum(struct.unpack_from("<2H", data, info.header_offset + 26))
        packed = data[start : start + info.compress_size]
        if info.compress_type == 93:
            yield pa.decompress(packed, decompressed_size=info.file_size, codec="zstd", asbytes=True)
        else:
            yield zlib.decompress(packed, -15, info.file_size)


def floor_scores() -> Any:
    """Unzip the summaries, decode the same fields, make a frame."""
    import msgspec
    import polars as pl

    raw, text = msgspec.Raw, str | None
    score = msgspec.defstruct(
        "Score",
        [("value", Any, None), ("answer", text, None), ("explanation", text, None), ("metadata", raw, raw())],
    )
    sample = msgspec.defstruct("Sample", [("id", str), ("epoch", int), ("scores", dict[str, score])])
    decoder = msgspec.json.Decoder(list[sample])
    rows = [
        (
            s.id,
            s.epoch,
            name,
            str(score.value),
            score.answer,
            score.explanation,
            bytes(score.metadata).decode(),
        )
        for path in sorted(LOGS.glob("*.eval"))
        for data in members(path, lambda name: name == "summaries.json")
        for s in decoder.decode(data)
        for name, score in s.scores.items()
    ]
    return pl.DataFrame([pl.Series(column) for column in zip(*rows, strict=True)])


def floor_turns() -> Any:
    """Unzip every sample, decode the same fields, make a frame."""
    import msgspec
    import polars as pl

    text = str | None
    call = msgspec.defstruct("Call", [("id", str), ("function", str), ("arguments", msgspec.Raw)])
    calls = list[call] | None
    message = msgspec.defstruct(
        "Message",
        [
            *(("role", str), ("content", str | list[Any]), ("tool_calls", calls, None)),
            *(("tool_call_id", text, None), ("function", text, None)),
        ],
    )
    kind = msgspec.defstruct("Sample", [("id", str), ("epoch", int), ("messages", list[message])])
    decoder = msgspec.json.Decoder(kind)
    rows = []
    for path in sorted(LOGS.glob("*.eval")):
        for data in members(path, lambda name: name.startswith("samples/")):
            sample = decoder.decode(data)
            for turn, m in enumerate(sample.messages, 1):
                calls = msgspec.json.encode(m.tool_calls).decode() if m.tool_calls else None
                rows.append(
                    (sample.id, sample.epoch, turn, m.role, m.content, calls, m.tool_call_id, m.function)
                )
    return pl.DataFrame([pl.Series(column) for column in zip(*rows, strict=True)])


def floor_transcripts() -> Any:
    """Decode the same fields of each line, make two frames."""
    import msgspec
    import polars as pl

    text, raw = str | None, msgspec.Raw
    names = ("role", "content", "reasoning", "tool_calls", "tool_name", "tool_call_id", "parts")
    message = msgspec.defstruct("Message", [(n, raw if n in ("tool_calls", "parts") else text, raw() if n in ("tool_calls", "parts") else None) for n in names])  # fmt: skip
    told = ("run", "agent_version", "case", "epoch", "output", "input_tokens", "output_tokens", "latency_s")
    trial = msgspec.defstruct("Trial", [("messages", list[message]), *((name, Any, None) for name in told)])
    decoder = msgspec.json.Decoder(trial)
    trials, turns = [], []
    with TRANSCRIPTS.open("rb") as file:
        for line in file:
            t = decoder.decode(line)
            trials.append((t.run, t.agent_version, t.case, t.epoch, t.output, t.input_tokens, t.output_tokens, t.latency_s))  # fmt: skip
            for turn, m in enumerate(t.messages, 1):
                calls, parts = bytes(m.tool_calls).decode() or None, bytes(m.parts).decode() or None
                turns.append((t.run, t.case, t.epoch, turn, m.role, m.content, m.reasoning, calls, m.tool_name, m.tool_call_id, parts))  # fmt: skip
    return [
        pl.DataFrame([pl.Series(column) for column in zip(*rows, strict=True)]) for rows in (trials, turns)
    ]


def floor_1m() -> Any:
    """Read with the types that are wanted, unchecked."""
    import polars as pl

    from evalkit.data.schema import SCORES

    first = pl.read_ndjson(BENCH / "scores-10k.jsonl")
    return pl.read_ndjson(
        BENCH / "scores-1M.jsonl", schema={name: SCORES.schema[name] for name in first.columns}
    )


def cached(*, again: bool) -> Callable[[], Any]:
    """Return a load of everything, into an empty cache or out of a full one."""
    import os
    import tempfile

    os.environ["EVALKIT_CACHE_DIR"] = tempfile.mkdtemp(dir=BENCH)
    if again:
        load(LOGS, cache=True)
    return lambda: load(LOGS, cache=True)


def work(name: str) -> Callable[[], Any]:
    """Return what is timed; everybody reads one small thing first, so that no import is in it."""
    tool, _, what = name.partition(": ")
    first = min(LOGS.glob("*.eval"))
    if name.startswith("inspect_ai"):
        from inspect_ai.analysis import evals_df, messages_df, samples_df

        made = {"evals_df": evals_df, "messages_df": messages_df, "samples_df": samples_df}[name.split()[1]]
        made(str(first), quiet=True)
        return lambda: made(str(LOGS), quiet=True)
    scores = {size: BENCH / f"scores-{size}.jsonl" for size in SIZES}
    if tool == "pandas":
        import pandas as pd

        pd.read_json(scores["10k"], lines=True)
        path = scores["1M"] if "scores" in what else TRANSCRIPTS
        return lambda: pd.read_json(path, lines=True)
    if tool == "polars":
        import polars as pl

        pl.read_ndjson(scores["10k"])
        return lambda: pl.read_ndjson(scores["1M"])
    if tool == "floor":
        deque(members(first, lambda name: name == "header.json"))
        floors = {"scores": floor_scores, "turns": floor_turns, "transcripts": floor_transcripts}
        return floors.get(what, floor_1m)
    if what.endswith(" scores"):
        load(scores["10k"])
        return lambda: load(scores[what.split()[0]])
    if what.endswith(" table"):
        mapping = MAPPING if what.startswith("mapped") else None
        load(WIDE, mapping=mapping)
        return lambda: load(WIDE, mapping=mapping)
    if what == "transcripts":
        load(scores["10k"])
        return lambda: load(TRANSCRIPTS)
    load(first, tables=("scores",))
    if what.startswith("all"):
        return cached(again="cached" in what)
    return lambda: load(LOGS, tables=(what,))


def measure(name: str) -> None:
    """Do one thing once, in this process, and print its time and memory."""
    import os
    import resource
    import shutil

    function = work(name)
    start = time.perf_counter()
    made = function()
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    problems = getattr(made, "problems", None)
    if problems is not None and problems.height:
        raise SystemExit(f"{name}: {problems.height} problems, first {problems.row(0)}")
    if name.startswith("ours: all"):
        shutil.rmtree(os.environ["EVALKIT_CACHE_DIR"])
    print(json.dumps({"s": seconds, "mib": peak}))


def make_files() -> None:
    """Make what is read, where it is not there yet."""
    BENCH.mkdir(parents=True, exist_ok=True)
    if len(list(LOGS.glob("*.eval"))) < 20:
        LOGS.mkdir(exist_ok=True)
        print("Writing 20 Inspect logs; this takes some minutes, once.", flush=True)
        script = Path(__file__).parent / "fixtures" / "inspect_logs.py"
        subprocess.run([sys.executable, "-P", str(script), str(LOGS), "20", "500"], check=True)
    words = [
        "the",
        "answer",
        "names",
        "the",
        "right",
        "endpoint",
        "but",
        "leaves",
        "out",
        "the",
        "window",
        "in",
        "which",
        "a",
        "batch",
        "has",
        "to",
        "be",
        "done",
    ]
    rng = random.Random(5)
    for size, count in SIZES.items():
        path = BENCH / f"scores-{size}.jsonl"
        if not path.exists():
            with path.open("w") as file:
                file.writelines(score_line(number, words, rng) for number in range(count))
    if not WIDE.exists():
        with WIDE.open("w") as file:
            file.write(",".join(["case_id", "version", "question", "answer", *CRITERIA]) + "\n")
            for number in range(250_000):
                row = [
                    f"c{number % 25_000}",
                    f"v{number // 25_000}",
                    f"How do I reset item {number % 25_000}?",
                ]
                file.write(",".join([*row, "Like this.", *(str(rng.randint(1, 5)) for _ in CRITERIA)]) + "\n")
    if not TRANSCRIPTS.exists():
        with TRANSCRIPTS.open("w") as file:
            file.writelines(transcript_line(number, words, rng) for number in range(200_000))


def score_line(number: int, words: list[str], rng: random.Random) -> str:
    record = {
        "run": f"v{number % 20}-model",
        "case": f"case-{number // 100:05}",
        "epoch": 1 + number // 20 % 5,
        "criterion": "tone",
        "grader": "judge-a",
        "grader_kind": "judge",
        "score": rng.randint(1, 5),
        "rationale": " ".join(rng.choices(words, k=40)),
        "judge_model": "model-x",
        "mode": "batch",
        "input_tokens": 900 + number % 100,
        "output_tokens": 60,
    }
    return json.dumps(record) + "\n"


def transcript_line(number: int, words: list[str], rng: random.Random) -> str:
    call = {"id": "c1", "name": "look_up", "arguments": {"query": "batch window"}}
    messages = [
        {"role": "user", "content": " ".join(rng.choices(words, k=90))},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {
            "role": "tool",
            "content": " ".join(rng.choices(words, k=90)),
            "tool_call_id": "c1",
            "tool_name": "look_up",
        },
        {"role": "assistant", "content": " ".join(rng.choices(words, k=90))},
    ]
    record = {
        "run": f"v{number % 20}-model",
        "agent_version": f"v{number % 20}",
        "case": f"case-{number // 100:05}",
        "epoch": 1 + number // 20 % 5,
        "messages": messages,
        "output": messages[-1]["content"],
        "input_tokens": 500,
        "output_tokens": 90,
        "latency_s": 1.5,
    }
    return json.dumps(record) + "\n"


def main() -> int:
    """Measure in turns and print what came out."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    make_files()
    names = list(dict.fromkeys(name for row in ROWS for name in row[1:3]))
    names += [f"ours: {size} scores" for size in SIZES if size != "1M"]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            # -P: a script beside this one may have the name of a library.
            command = [sys.executable, "-P", __file__, "--one", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
    seconds = {name: statistics.median(one["s"] for one in each) for name, each in found.items()}
    peak = {name: max(one["mib"] for one in each) for name, each in found.items()}
    print(
        f"Medians of {rounds} rounds, each a process a line, in turns; ratios are medians of the rounds' ratios.\n\n| what | s | peak MiB |\n|---|---|---|"
    )
    for name in names:
        print(f"| {name} | {seconds[name]:.3f} | {peak[name]:,.0f} |")
    print("\n| work | ours | peer | ratio | target | peak memory | target |\n|---|---|---|---|---|---|---|")
    missed = 0
    for what, ours, peer, sign, target, memory in ROWS:
        pairs = zip(found[ours], found[peer], strict=True)
        ratio = statistics.median(b["s"] / a["s"] if sign == ">=" else a["s"] / b["s"] for a, b in pairs)
        held = target is None or (ratio >= target if sign == ">=" else ratio <= target)
        share = peak[ours] / peak[peer]
        missed += (not held) + (memory is not None and share > memory)
        words = f"{ratio:.1f} times as fast" if sign == ">=" else f"{ratio:.2f} times its time"
        told = f"{share:.2f} | at most {memory:.2f}" if memory is not None else f"{share:.2f} | -"
        asked = "-" if target is None else f"{sign} {target:g}"
        print(f"| {what} | {ours} | {peer} | {words} | {asked} | {told} |")
    growth = [
        f"{size}: {1e6 * seconds[f'ours: {size} scores'] / count:.2f} us" for size, count in SIZES.items()
    ]
    print(f"\nTime a score: {', '.join(growth)}.")
    print("Every target was met." if not missed else f"{missed} of the targets were missed.")
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2])
    else:
        sys.exit(main())
