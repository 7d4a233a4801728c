"""Time what a click in a widget costs in the kernel: from the message to what is sent back, with its size.

Made-up collections of 1,000, 10,000 and 100,000 trials: three criteria, four turns, ten versions. Each step is a fresh
state, so that nothing is answered from what was kept; "again" is the same step a second time. The browser draws
numbers and a page of rows whatever the size: its part does not grow.

Usage: python benchmarks/widgets.py [TRIALS ...]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from dataclasses import replace
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

import evalkit as ek
from evalkit.data.evals import Evals
from evalkit.judging.rubric_source import rubric_of, wordings

# A click feels immediate below this.
TARGET_MS = 100
STEPS = [
    ("filter: severity", {"kind": "choose", "column": "severity", "value": "critical"}),
    ("filter: verdict too", {"kind": "choose", "column": "verdict", "value": "fail"}),
    ("brush the scores", {"kind": "range", "low": 1.0, "high": 3.0}),
    ("sort by case", {"kind": "sort", "column": "case"}),
    ("next page", {"kind": "page", "to": 3}),
    ("pick: open a transcript", {"kind": "pick", "row": 30}),
    ("reset", {"kind": "reset"}),
    ("search, the first", {"kind": "search", "text": "case 0001"}),
    ("search, another", {"kind": "search", "text": "needle 2 0002"}),
    ("reset again", {"kind": "reset"}),
    ("flips only, the first", {"kind": "flips", "sides": ["v08", "v09"]}),
    ("flips only, again", {"kind": "flips", "sides": ["v08", "v09"]}),
    ("by a criterion", {"kind": "measure", "criterion": "a", "grader": None}),
]


def make(trials: int) -> Evals:
    """Return a collection of so many trials."""
    rng = np.random.default_rng(0)
    cases = max(1, trials // 30)
    keys = pl.DataFrame(
        {
            "run": np.repeat([f"v{v:02}" for v in range(10)], cases * 3)[:trials],
            "case": np.tile(np.repeat([f"{c:05}" for c in range(cases)], 3), 10)[:trials],
            "epoch": np.tile([1, 2, 3], cases * 10)[:trials],
        }
    )
    words = "the agent reads the file, maps every line by its custom_id and reports what failed. " * 6
    turns = pl.concat(
        keys.with_columns(turn=pl.lit(at), role=pl.lit(role), content=pl.lit(words) + pl.lit(f" needle {at} ") + pl.col("case").cast(pl.String))
        for at, role in enumerate(("system", "user", "assistant", "tool"), 1)
    )  # fmt: skip
    scores = pl.concat(
        keys.with_columns(criterion=pl.lit(name), score=pl.Series(rng.integers(1, 6, keys.height).astype(float)), rationale=pl.lit("Maps by order, case ") + pl.col("case").cast(pl.String), grader=pl.lit("judge"), grader_kind=pl.lit("judge"))
        for name in ("a", "b", "c")
    )  # fmt: skip
    severities = ["low", "medium", "high", "critical"]
    return Evals.from_tables(
        cases=pl.DataFrame({"suite": "s", "case": [f"{c:05}" for c in range(cases)], "severity": [severities[c % 4] for c in range(cases)], "tags": [[f"t{c % 12}"] for c in range(cases)]}),
        criteria=pl.DataFrame({"suite": "s", "criterion": ["a", "b", "c"], "scale_min": 1.0, "scale_max": 5.0}),
        runs=pl.DataFrame({"run": [f"v{v:02}" for v in range(10)], "suite": "s", "agent_version": [f"v{v:02}" for v in range(10)], "model": "m"}),
        trials=keys.with_columns(output=pl.lit("done")),
        turns=turns,
        scores=scores,
    )  # fmt: skip


def timed(work, rounds=1):
    """Return the median of some rounds in milliseconds, and the last result."""
    took, result = [], None
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        took.append(1_000 * (time.perf_counter() - start))
    return statistics.median(took), result


def explore(evals: Evals) -> dict[str, tuple[float, int]]:
    """Return milliseconds and bytes of each step in the explorer."""
    rows = {}
    took, view = timed(lambda: ek.explore(evals))
    opened, shown = timed(view.show)
    rows["open"] = took + opened, len(json.dumps(shown))
    view.view()
    for name, message in STEPS:
        before = view.show()
        took, _ = timed(lambda message=message: view.handle(message))
        after = view.show()
        assert not view.status, view.status
        rows[name] = took, sum(len(json.dumps(after[p])) for p in after if after[p] != before[p])
    return rows


def read(evals: Evals) -> dict[str, tuple[float, int]]:
    """Return the same for transcripts."""
    case = evals.trials["case"][0]
    rows = {}
    took, view = timed(lambda: ek.transcript(evals, run="v05", case=case), 3)
    rows["ek.transcript"] = took, len(json.dumps(view.show()))
    view.view()
    took, _ = timed(lambda: view.handle({"kind": "step", "by": 1}), 3)
    rows["ek.transcript: next"] = took, len(json.dumps(view.show()))
    took, view = timed(lambda: ek.transcript_diff(evals, case, baseline="v05", candidate="v06"), 3)
    rows["ek.transcript_diff"] = took, len(json.dumps(view.show()))
    return rows


def tune(evals: Evals) -> dict[str, tuple[float, int]]:
    """Return the same for the sliders of `ek.tune`."""
    rows = {}
    took, tuner = timed(lambda: ek.tune(evals))
    opened, shown = timed(tuner.show)
    rows["ek.tune"] = took + opened, len(json.dumps(shown))
    means = iter((3.1, 3.3, 3.7, 3.2, 3.6))
    took, shown = timed(lambda: (tuner.handle({"kind": "set", "mean": next(means)}), tuner.show())[1], 5)
    rows["ek.tune: a slider"] = took, len(json.dumps(shown))
    return rows


def judge_again(evals: Evals) -> dict[str, tuple[float, int]]:
    """Return the same for a label given in `ek.label`, and for words changed in `ek.rubric_lab`."""
    rows = {}
    with TemporaryDirectory() as folder:
        took, labeler = timed(lambda: ek.label(evals, rater="ann", path=f"{folder}/labels.jsonl"))
        opened, shown = timed(labeler.show)
        rows["ek.label"] = took + opened, len(json.dumps(shown))
        scores = iter((4.0, 2.0, 5.0, 3.0, 1.0))
        give = lambda: (labeler.handle({"kind": "give", "score": next(scores)}), labeler.show())[1]  # noqa: E731
        took, shown = timed(give, 5)
        rows["ek.label: a score"] = took, len(json.dumps(shown))
        judge = ek.Judge(model="m", provider="local", name="judge", rubric=rubric_of(evals))
        # The judgements carry the words of the saved rubric, as those of a judge do.
        hashes = wordings(judge, evals)
        keys = ["run", "case", "criterion"]
        bare = evals.scores.drop("rubric_hash")
        worded = bare.join(
            hashes.select(
                *(pl.col(k).cast(bare.schema[k]) for k in keys),
                pl.col("rubric_hash").cast(evals.scores.schema["rubric_hash"]),
            ),
            on=keys,
            how="left",
        )
        evals = replace(evals, scores=worded.select(evals.scores.columns))
        took, lab = timed(lambda: ek.rubric_lab(evals, judge, cache=f"{folder}/cache.sqlite"))
        opened, shown = timed(lab.show)
        rows["ek.rubric_lab"] = took + opened, len(json.dumps(shown))
        words = iter(("Maps by custom_id.", "Maps by id.", "Maps by order."))
        edit = lambda: (lab.handle({"kind": "edit", "description": next(words)}), lab.show())[1]  # noqa: E731
        took, shown = timed(edit, 3)
        rows["ek.rubric_lab: words"] = took, len(json.dumps(shown))
    return rows


def long() -> dict[str, tuple[float, int]]:
    """Return the same for a transcript of 2,000 turns, and for a message of 2 MB."""
    rows = {}
    for name, texts in (("2,000 turns", [f"turn {at}: " + "word " * 60 for at in range(2_000)]), ("a 2 MB message", ["word " * 400_000])):  # fmt: skip
        evals = Evals.from_tables(
            turns=pl.DataFrame({"run": "a", "case": "1", "turn": range(1, len(texts) + 1), "role": "assistant", "content": texts}),
            trials=pl.DataFrame({"run": ["a"], "case": ["1"]}),
            scores=pl.DataFrame({"run": ["a"], "case": ["1"], "criterion": ["x"], "score": [1.0], "evidence": ["word word word"]}),
        )  # fmt: skip
        took, shown = timed(lambda evals=evals: ek.transcript(evals, run="a", case="1").show(), 3)
        rows[f"ek.transcript of {name}"] = took, len(json.dumps(shown))
    return rows


def main() -> int:
    """Time each at each size and print a table."""
    sizes = [int(size) for size in sys.argv[1:]] or [1_000, 10_000, 100_000]
    found: dict[str, dict[int, tuple[float, int]]] = {}
    for size in sizes:
        evals = make(size)
        for name, cost in {**explore(evals), **read(evals), **tune(evals), **judge_again(evals)}.items():
            found.setdefault(name, {})[size] = cost
    print(f"{'in the kernel, ms (kB sent)':<32}" + "".join(f"{size:>18,}" for size in sizes))
    for name, costs in found.items():
        print(f"{name:<32}" + "".join(f"{costs[s][0]:>9.0f} ({costs[s][1] / 1000:5.0f})" for s in sizes))
    for name, (took, size) in long().items():
        print(f"{name:<32}{took:>9.0f} ({size / 1000:5.0f})")
    print(
        f"A click is to stay below {TARGET_MS} ms; what is found once (the first search, the flips) may take longer."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
