"""One rule for verdict words, wherever a row stands."""

from __future__ import annotations

import os
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import evalkit as ek
from evalkit.compare.gate import OUTCOMES, check_gate
from evalkit.compare.verdicts import verdict_of
from evalkit.data.evals import Evals

# A table takes 60 ms; EVALKIT_TABLES=2000 takes two minutes.
TABLES = int(os.environ.get("EVALKIT_TABLES", "300"))


@pytest.mark.parametrize(
    ("low", "high", "p", "margin", "verdict"),
    [
        (-0.3, -0.1, 0.01, None, "regressed"),
        (-0.3, -0.1, 0.125, None, "inconclusive"),
        (-0.3, -0.1, 0.05, None, "inconclusive"),
        (-0.3, -0.1, None, None, "inconclusive"),
        (0.1, 0.3, 0.01, None, "improved"),
        (0.1, 0.3, 0.06, None, "inconclusive"),
        (0.1, 0.3, 0.06, 0.05, "no worse than margin"),
        (-0.04, -0.01, 0.01, 0.05, "regressed within margin"),
        (-0.04, -0.01, 0.2, 0.05, "no worse than margin"),
        (-0.2, 0.1, 0.4, 0.05, "inconclusive"),
        (None, None, 0.001, None, "inconclusive"),
    ],
)
def test_a_verdict_needs_an_interval_without_0_and_a_p_below_alpha(low, high, p, margin, verdict):
    assert verdict_of(low, high, p_value=p, margin=margin) == verdict


def table(changes, *, old=5, new=1):
    """A row per case: "-" falls, "+" rises, "=" passes on both sides, "." fails on both."""
    scores = {"-": (old, new), "+": (new, old), "=": (old, old), ".": (new, new)}
    rows = [
        (version, f"c{case:03}", "Tone", float(scores[sign][side]))
        for case, sign in enumerate(changes)
        for side, version in enumerate(("v1", "v2"))
    ]
    frame = pl.DataFrame(rows, schema=["run", "case", "criterion", "score"], orient="row")
    return Evals.from_tables(
        cases=pl.DataFrame(
            {"suite": "s", "case": [f"c{case:03}" for case in range(len(changes))], "severity": "high"}
        ),
        criteria=pl.DataFrame({"suite": "s", "criterion": ["Tone"], "scale_min": 1.0, "scale_max": 5.0}),
        runs=pl.DataFrame({"run": ["v1", "v2"], "suite": "s", "agent_version": ["v1", "v2"]}),
        scores=frame.with_columns(grader_kind=pl.lit("judge")),
    )


def test_four_flips_of_nine_are_inconclusive_in_every_row():
    evals = table("----=====")

    change = ek.compare(evals, "v1", "v2", by="severity")
    many = ek.compare_many(evals, "v1", adjust="none")
    gate = ek.compare(evals, "v1", "v2")

    assert change.verdict == gate.verdict == "inconclusive"
    rates = change.estimates.filter(metric="pass_rate")
    assert rates["verdict"].to_list() == ["inconclusive"] * 2
    assert many.estimates.filter(metric="pass_rate")["verdict"].to_list() == ["inconclusive"]


@pytest.mark.timeout(600)
@given(st.text("-+=.", min_size=2, max_size=40))
@settings(max_examples=TABLES, deadline=None)
def test_the_same_numbers_have_the_same_word_everywhere(changes):
    evals = table(changes)

    change = ek.compare(evals, "v1", "v2", by="severity")
    many = ek.compare_many(evals, "v1")

    words = {
        metric: {row["verdict"] for row in frame.filter(metric=metric).to_dicts()}
        for metric in ("pass_rate", "mean_score")
        for frame in [pl.concat([change.estimates, many.estimates], how="diagonal_relaxed")]
    }
    assert all(len(each) == 1 for each in words.values()), (changes, words)


@given(st.text("-+=.", min_size=2, max_size=30), st.data())
@settings(max_examples=200, deadline=None)
def test_another_failure_never_gives_a_better_verdict(changes, data):
    passing = [place for place, sign in enumerate(changes) if sign in "+="]
    if not passing:
        return
    place = data.draw(st.sampled_from(passing))
    worse = changes[:place] + {"+": ".", "=": "-"}[changes[place]] + changes[place + 1 :]
    rank = ["regressed", "inconclusive", "improved"]

    before, after = (ek.compare(table(each), "v1", "v2").verdict for each in (changes, worse))

    assert rank.index(after) <= rank.index(before)


def test_lower_is_better_turns_the_verdict_and_not_the_numbers():
    higher = table("-" * 12 + "=" * 3)
    lower = Evals.from_tables(
        cases=higher.cases,
        criteria=higher.criteria.with_columns(direction=pl.lit("lower")),
        runs=higher.runs,
        scores=higher.scores,
    )

    ours = ek.compare(lower, "v1", "v2", by="criterion")
    theirs = ek.compare(higher, "v1", "v2", by="criterion")

    assert (theirs.verdict, ours.verdict) == ("regressed", "improved")
    columns = ["difference", "low", "high", "baseline", "candidate"]
    rows = [one.estimates.filter(scope="Tone", metric="mean_score").to_dicts()[0] for one in (theirs, ours)]
    assert [rows[0][name] for name in columns] == [rows[1][name] for name in columns]
    assert [row["verdict"] for row in rows] == ["regressed", "improved"]
    assert [row["direction"] for row in rows] == ["higher", "lower"]


def _random_changes(seed):
    draw = random.Random(seed)
    weights = [draw.random() ** 2 for _ in range(4)]
    return "".join(draw.choices("-+=.", weights, k=draw.randint(2, 40)))


def test_gate_and_report_have_the_word_of_the_comparison(tmp_path):
    seen = set()
    for seed in range(40):
        evals = table(_random_changes(seed))
        change = ek.compare(evals, "v1", "v2", margin={"pass_rate": 0.1})
        gate = check_gate(
            evals, baseline="v1", candidate="v2", no_regressions=True, margin={"pass_rate": 0.1}
        )
        assert gate.outcome == OUTCOMES[change.verdict], seed
        seen.add(change.verdict)
        # A report takes a second.
        if seed % 4 and TABLES < 2000:
            continue
        path = ek.report(
            evals, tmp_path / f"{seed}.md", baseline="v1", candidate="v2", margin={"pass_rate": 0.1}
        )

        rows = [
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in path.read_text(encoding="utf-8").splitlines()
            if line.startswith("|")
        ]
        by_metric = {row[0]: row[-1] for row in rows if row[0] in ("Pass rate", "Mean score")}
        overall = change.estimates.filter(scope="overall")
        assert list(by_metric.values()) == overall["verdict"].to_list(), seed
    assert {"regressed", "improved", "inconclusive"} <= seen
