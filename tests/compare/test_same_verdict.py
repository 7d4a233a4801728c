"""The same data give the same numbers, in any order of rows and with any number of threads."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import polars as pl
import pytest

import evalkit as ek
from evalkit.compare.gate import check_gate
from evalkit.data.evals import Evals

VERBS = {
    "grade": lambda e: ek.grade(e).to_dicts(),
    "grade_criteria": lambda e: ek.grade_criteria(e).to_dicts(),
    "summarize": lambda e: ek.summarize(e, by=["agent_version", "severity"]).to_dicts(),
    "by_criterion": lambda e: ek.summarize(e, by=["criterion", "agent_version"]).to_dicts(),
    "distribution": lambda e: ek.distribution(e).to_dicts(),
    "compare": lambda e: ek.compare(e, "v1", "v2", by="criterion", margin={"pass_rate": 0.1}).to_json(),
    "compare_many": lambda e: ek.compare_many(e, "v1", resamples=200).to_json(),
    "variance": lambda e: ek.variance(e).to_json(),
    "agreement": lambda e: ek.agreement(e).to_json(),
    "gate": lambda e: check_gate(
        e,
        baseline="v1",
        candidate="v2",
        no_regressions=True,
        margin={"pass_rate": 0.1},
        pass_rate_at_least=0.5,
    ).to_json(),
    "plan": lambda e: ek.plan(e, "v1", "v2", difference=0.1).to_json(),
}


def _random_set(seed):
    """Two versions, two or three epochs, decimal scores, some missing, a judge and a person."""
    draw = random.Random(seed)
    rows = []
    for version in ("v1", "v2"):
        for case in range(draw.randint(6, 12)):
            for epoch in range(1, draw.randint(2, 3)):
                for criterion in ("a", "b", "c"):
                    score = (
                        None if draw.random() < 0.05 else round(draw.choice([3, 3.5, 4, 4.2, 4.6, 5, 2]), 1)
                    )
                    rows.append((version, f"c{case}", epoch, criterion, "judge", "judge", score))
                    if epoch == 1 and draw.random() < 0.5:
                        rows.append(
                            (version, f"c{case}", epoch, criterion, "ann", "human", float(draw.randint(1, 5)))
                        )
    columns = ["run", "case", "epoch", "criterion", "grader", "grader_kind", "score"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def _evals(scores):
    cases = sorted(scores["case"].unique())
    severities = ["critical", "high", "low"]
    return Evals.from_tables(
        cases=pl.DataFrame(
            {"suite": "s", "case": cases, "severity": [severities[n % 3] for n in range(len(cases))]}
        ),
        criteria=pl.DataFrame(
            {"suite": "s", "criterion": ["a", "b", "c"], "scale_min": 1.0, "scale_max": 5.0}
        ),
        runs=pl.DataFrame({"run": ["v1", "v2"], "suite": "s", "agent_version": ["v1", "v2"]}),
        scores=scores,
    )


@pytest.mark.parametrize("verb", VERBS)
def test_thirty_calls_give_one_answer(verb):
    for seed in range(20):
        evals = _evals(_random_set(seed))

        answers = {
            json.dumps(VERBS[verb](evals), default=str)
            for _ in range(30 if seed < (1 if verb == "plan" else 3) else 3)
        }

        assert len(answers) == 1


@pytest.mark.parametrize(
    "verb",
    ["summarize", "by_criterion", "compare", "compare_many", "variance", "agreement", "gate", "plan"],
)
def test_the_order_of_rows_changes_no_number(verb):
    for seed in range(20):
        scores = _random_set(seed)
        answers = {
            json.dumps(_without_order(_plain(VERBS[verb](_evals(frame)))), default=str, sort_keys=True)
            for frame in (scores, scores.reverse(), scores.sample(fraction=1, shuffle=True, seed=seed))
        }

        assert len(answers) == 1


def test_a_report_of_the_same_data_is_the_same(tmp_path):
    """Three times each, once with the rows reversed; a report takes a second."""
    for seed in range(2):
        scores = _random_set(seed)
        texts = set()
        for at, frame in enumerate((scores, scores, scores.reverse())):
            path = tmp_path / f"{seed}-{at}.md"
            ek.report(_evals(frame), path, baseline="v1", candidate="v2")
            # The tables: their order is that of names, not of rows.
            lines = path.read_text(encoding="utf-8").splitlines()
            texts.add("\n".join(line for line in lines if line.startswith("|")))

        assert len(texts) == 1


def _plain(answer):
    return json.loads(answer) if isinstance(answer, str) else answer


def _without_order(value):
    """Sort the rows of frames; how equal rows follow each other is that of the data."""
    if isinstance(value, list):
        return sorted(
            (_without_order(item) for item in value), key=lambda item: json.dumps(item, default=str)
        )
    if isinstance(value, dict):
        return {key: _without_order(item) for key, item in value.items()}
    return value


def test_the_number_of_threads_changes_nothing(tmp_path):
    code = (
        "import json, sys, polars as pl, evalkit as ek\n"
        "evals = ek.load(sys.argv[1])\n"
        "print(json.dumps([ek.compare(evals, 'v1', 'v2', by='criterion').to_json(),"
        " ek.summarize(evals, by=['agent_version', 'severity']).to_dicts(), ek.variance(evals).to_json()],"
        " default=str))\n"
    )
    _evals(_random_set(5)).save(tmp_path / "saved")
    outputs = set()
    for threads in ("1", "2", "5"):
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "saved")],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "POLARS_MAX_THREADS": threads},
        )
        outputs.add(done.stdout)

    assert len(outputs) == 1
