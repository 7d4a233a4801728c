"""Every public verb on trials that nobody judged: it works, or says that they are not judged yet and what to do."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from tests.fakes.judges import TINY_SUITE

import evalkit as ek

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TRIALS = [{"run": version, "case": f"q{n}"} for version in ("v1", "v2") for n in range(3)]
TURNS = [
    {**trial, "turn": turn, "role": role, "content": f"{role} of {trial['case']}"}
    for trial in TRIALS
    for turn, role in enumerate(("user", "assistant"), 1)
]
EVALS = ek.Evals.from_tables(
    runs=pl.DataFrame({"run": ["v1", "v2"], "agent_version": ["v1", "v2"]}),
    trials=pl.DataFrame(TRIALS),
    turns=pl.DataFrame(TURNS),
)


def judge(folder: Path) -> ek.Judge:
    (folder / "suite.yaml").write_text(TINY_SUITE)
    return ek.Judge(model="m", provider="http://127.0.0.1:9/v1", rubric=folder / "suite.yaml")


VERBS: dict[str, Callable[[ek.Evals, Path], Any]] = {
    "agreement": lambda evals, _: ek.agreement(evals),
    "compare": lambda evals, _: ek.compare(evals, "v1", "v2"),
    "compare_many": lambda evals, _: ek.compare_many(evals, "v1"),
    "correct_for_judge": lambda evals, _: ek.correct_for_judge(evals),
    "distribution": lambda evals, _: ek.distribution(evals),
    "explore": lambda evals, _: ek.explore(evals),
    "find_failures": lambda evals, _: ek.find_failures(evals),
    "grade": lambda evals, _: ek.grade(evals),
    "grade_criteria": lambda evals, _: ek.grade_criteria(evals),
    "judge_forensics": lambda evals, _: ek.judge_forensics(evals),
    "label": lambda evals, folder: ek.label(evals, rater="ann", path=folder / "labels.jsonl"),
    "order_versions": lambda evals, _: ek.order_versions(evals),
    "plan": lambda evals, _: ek.plan(evals),
    "report": lambda evals, folder: ek.report(evals, folder / "r.html"),
    "report of two sides": lambda evals, folder: ek.report(
        evals, folder / "r.html", baseline="v1", candidate="v2"
    ),
    "rubric_lab": lambda evals, folder: ek.rubric_lab(evals, judge(folder), folder=folder),
    "summarize": lambda evals, _: ek.summarize(evals),
    "transcript": lambda evals, _: ek.transcript(evals, run="v1", case="q1"),
    "transcript_diff": lambda evals, _: ek.transcript_diff(evals, "q1", baseline="v1", candidate="v2"),
    "tune": lambda evals, _: ek.tune(evals),
    "variance": lambda evals, _: ek.variance(evals),
    "Judge.estimate": lambda evals, folder: judge(folder).estimate(evals),
    "Evals.save": lambda evals, folder: ek.load(evals.save(folder / "saved")),
    "Evals.filter": lambda evals, _: evals.filter(case="q1"),
    "charts.cases": lambda evals, _: ek.charts.cases(evals),
    "charts.criteria": lambda evals, _: ek.charts.criteria(evals),
    "charts.severity": lambda evals, _: ek.charts.severity(evals),
    "charts.trend": lambda evals, _: ek.charts.trend(evals),
}
NEED_SCORES = {
    *(
        "agreement",
        "compare",
        "compare_many",
        "correct_for_judge",
        "find_failures",
        "judge_forensics",
        "plan",
    ),
    *("report of two sides", "tune", "variance"),
}


@pytest.mark.parametrize("name", VERBS)
@pytest.mark.parametrize("scanned", [False, True])
def test_a_verb_works_on_trials_without_scores_or_says_that_they_are_not_judged(
    name: str, scanned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    evals = EVALS
    if scanned:
        if name in ("label", "rubric_lab", "Evals.save", "Judge.estimate"):
            pytest.skip("it needs all texts in memory")
        evals = ek.scan(EVALS.save(tmp_path / "scanned"))

    if name in NEED_SCORES:
        with pytest.raises(ek.EvalkitError, match="not judged yet") as caught:
            VERBS[name](evals, tmp_path)
        assert all(word in str(caught.value) for word in ("ek.Judge", "ek.label"))
        assert "6 trials" in str(caught.value)
        assert "evalkit judge" in caught.value.for_shell()
        return
    made = VERBS[name](evals, tmp_path)

    if hasattr(made, "_repr_html_"):
        assert made._repr_html_() is not None
    assert repr(made)


def test_every_verb_that_takes_evaluations_is_among_these() -> None:
    takers = {
        name
        for name in ek.__all__
        if inspect.isfunction(getattr(ek, name))
        and "evals" in inspect.signature(getattr(ek, name)).parameters
    }
    charts = {
        f"charts.{name}"
        for name in ek.charts.__all__
        if "Evals" in str(inspect.signature(getattr(ek.charts, name)).parameters.get("data"))
    }

    assert takers | charts <= set(VERBS)


def test_no_rate_is_made_up_for_what_nobody_judged(tmp_path: Path) -> None:
    assert ek.summarize(EVALS)["pass_rate"].to_list() == [None, None]
    assert set(ek.grade(EVALS)["verdict"]) == {"unscored"}
    page = ek.report(EVALS, tmp_path / "r.html").read_text(encoding="utf-8")
    assert "not judged yet" in page


def test_trials_of_which_some_are_judged_are_compared() -> None:
    scores = pl.DataFrame(
        {"run": ["v1", "v2"], "case": ["q0", "q0"], "criterion": "Tone", "score": [1.0, 2.0]}
    )
    scale = pl.DataFrame({"criterion": ["Tone"], "scale_min": [1.0], "scale_max": [5.0]})

    change = ek.compare(EVALS + ek.Evals.from_tables(scores=scores, criteria=scale), "v1", "v2")

    assert change.warnings["id"].to_list()
