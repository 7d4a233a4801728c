"""Wrong arguments: every public verb, every argument of it, one sentence each; and the nearest guess where there is one."""

from __future__ import annotations

import inspect

import numpy as np
import polars as pl
import pytest

import evalkit as ek
from evalkit.compare.gate import check_gate
from evalkit.util.arguments import expect
from evalkit.util.errors import (
    ArgumentError,
    ColumnError,
    EvalkitError,
    FormatError,
    ProviderError,
    RuleError,
)

DEMO = ek.demo.make()
# What a verb has to be told to come as far as the argument in question.
NEEDED = {
    "evals": DEMO,
    "data": DEMO,
    "baseline": "v1",
    "candidate": "v2",
    "run": "v1-demo-large",
    "case": "01",
    "rater": "ann",
    "judge": ek.Judge(model="demo-judge", rubric=ek.demo.suite_path(), provider="local"),
    "suite": ek.demo.suite_path(),
    "agent": lambda case: "x",
}
VERBS = [check_gate, *(verb for name in ek.__all__ if inspect.isfunction(verb := getattr(ek, name)))]
METHODS = [
    *(ek.Evals.load, ek.Evals.save, ek.Suite.read, ek.Rubric.read, ek.PassRule.read, ek.PassRule.write),
    *(ek.Judge.estimate, ek.Judge.run, ek.Judge.submit),
]
# They take whatever is handed on, or ask it themselves.
LEFT = {"Any", "AgentSettings | Callable[[CaseInput], Any]", "Clock | None", "Controls | None"}
LEFT |= {"AnyMapping[str, Any] | Mapping | str | Path | None"}


def _arguments(verb):
    """Return the names of what may be given by name, without what is handed on as it is."""
    return [
        name
        for name, one in inspect.signature(verb).parameters.items()
        if name != "self" and one.kind is not one.VAR_POSITIONAL and one.annotation not in LEFT
    ]


def _needed(verb, tmp_path):
    """Return the arguments without which the verb cannot be called, and a place for what it would write."""
    asked = inspect.signature(verb).parameters
    given = {name: NEEDED[name] for name, one in asked.items() if one.default is one.empty and name in NEEDED}
    if "self" in asked:
        given["self"] = {"Evals": DEMO, "PassRule": ek.PassRule()}.get(
            verb.__qualname__.split(".")[0], NEEDED["judge"]
        )
    return given | {name: tmp_path / "new" / name for name in ("folder", "path") if name in asked}


@pytest.mark.parametrize(
    ("verb", "name"),
    [
        pytest.param(verb, name, id=f"{verb.__qualname__}-{name}")
        for verb in (*VERBS, *METHODS)
        for name in _arguments(verb)
    ],
)
def test_what_an_argument_cannot_be_is_one_sentence_with_its_name(verb, name, tmp_path):
    given = {**_needed(verb, tmp_path), name: object()}

    with pytest.raises(EvalkitError) as told:
        verb(**given)

    said = str(told.value)
    assert "\n" not in said
    assert said.endswith((".", "?"))
    assert name in said or "takes an Evals" in said
    assert "<object object" in said or "takes an Evals, not object" in said
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: ek.plan(DEMO, difference="0.1"), "Invalid difference '0.1'. Expected a number or None. Did you mean 0.1?"),
        (lambda: ek.plan(DEMO, difference=float("nan")), "Invalid difference nan. Expected a number or None."),
        (lambda: ek.plan(DEMO, metric="pass rate"), "Did you mean 'pass_rate'?"),
        (lambda: ek.plan(DEMO, power=80), "Invalid power 80. Expected a number between 0 and 1, such as 0.95."),
        (lambda: ek.plan(DEMO, margin={"pass_rate": "5"}), "Expected a number, a dict of names with a number each"),
        (lambda: ek.compare(DEMO, baseline="v1", candidate="v2", level=True), "Invalid level True. Expected a number"),
        (lambda: ek.compare(DEMO, baseline="v1", candidate="v2", margin=0.05), "Did you mean {'pass_rate': 0.05}?"),
        (lambda: ek.compare(DEMO, baseline="v1", candidate="v2", judge="sam"), "'same' or 'any'. Did you mean 'same'?"),
        (lambda: ek.compare(DEMO, baseline=1, candidate="v2"), "Did you mean '1'?"),
        (lambda: ek.compare_many(DEMO, baseline="v1", candidates=[]), "candidates is empty. Expected at least one name."),
        (lambda: ek.summarize(DEMO, by=3), "Invalid by 3. Expected text or a list of texts. Did you mean '3'?"),
        (lambda: ek.summarize(DEMO, rule=4.0), "Invalid rule 4.0. Expected a PassRule, for example ek.PassRule(mean=4, floor=3)"),
        (lambda: ek.summarize(DEMO, missing="fails"), "'exclude' or 'fail'. Did you mean 'fail'?"),
        (lambda: ek.agreement(DEMO, grader=[]), "grader is empty. Expected at least one name."),
        (lambda: ek.agreement(DEMO, grader=["demo-judge", 3]), "Expected text, a list of texts or None."),
        (lambda: ek.correct_for_judge(DEMO, labels="randm"), "Did you mean 'random'?"),
        (lambda: ek.variance(DEMO, case_cost=-1), "Invalid case_cost -1. Expected 0 or more."),
        (lambda: ek.tune(DEMO, target=90), "Invalid target 90. Expected a share from 0 to 1."),
        (lambda: ek.label(DEMO, rater=None), "Invalid rater None. Expected text."),
        (lambda: ek.explore(DEMO, flips="v1"), "Invalid flips 'v1'. Expected a pair of texts or None."),
        (lambda: ek.explore(DEMO, where={"severity": 3}), "such as {'severity': 'critical'}"),
        (lambda: ek.transcript(DEMO, run="v1-demo-large", case=1), "Invalid case 1. Expected text. Did you mean '1'?"),
        (lambda: ek.transcript(DEMO, run="v1-demo-large", case="01", epoch=0), "Invalid epoch 0. Expected a whole number"),
        (lambda: ek.load(DEMO, tables=3), "Invalid tables 3. Expected names of tables such as ('scores',) or None."),
        (lambda: ek.rubric_lab(DEMO, "Groq"), "Invalid judge 'Groq'. Expected a judge, for example ek.Judge("),
    ],
)  # fmt: skip
def test_a_wrong_argument_says_what_is_allowed_and_the_nearest_guess(call, said):
    with pytest.raises(ArgumentError) as told:
        call()

    assert said in str(told.value)


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: ek.compare("runs/", baseline="v1", candidate="v2"), FormatError, "ek.compare(ek.load(path), ...)"),
        (lambda: NEEDED["judge"].estimate(pl.DataFrame()), FormatError, "judge.estimate(ek.load(frame), ...)"),
        (lambda: check_gate(None, critical_must_pass=True), FormatError, "check_gate(ek.load(frame), ...)"),
        (lambda: DEMO.filter("v1"), ColumnError, "filter(severity='critical')"),
        (lambda: ek.Evals.concat([DEMO, "v1"]), FormatError, "Evals.concat takes an Evals, not str"),
        (lambda: ek.Evals.concat(3), FormatError, "Evals.concat takes an Evals, not int"),
        (lambda: ek.PassRule(scale=5), RuleError, "Invalid PassRule.scale: 5."),
        (lambda: ek.PassRule(scale=("1", "5")), RuleError, "Invalid PassRule.scale: ('1', '5')"),
        (lambda: ek.PassRule(weights={"Groq": "2"}), RuleError, "Invalid PassRule.weights: {'Groq': '2'}"),
        (lambda: ek.Judge(model="m", provider=3), ProviderError, "Expected groq, openai, local"),
        (lambda: ek.Judge(model="m", provider="local", patterns=["x"]), FormatError, "Invalid patterns ['x']"),
        (lambda: ek.Agent(command=3), FormatError, "Invalid command. Expected a program and its arguments"),
        (lambda: ek.charts.severity(DEMO, title=3), ArgumentError, "text or None."),
    ],
)  # fmt: skip
def test_what_has_its_own_words_says_them_in_one_sentence_too(call, error, said):
    with pytest.raises(error) as told:
        call()

    assert said in str(told.value)


def test_numbers_of_numpy_and_columns_of_polars_are_as_good_as_python_s():
    by_name = ek.summarize(DEMO, pl.Series(["agent_version"]), level=np.float64(0.9))

    assert by_name.equals(ek.summarize(DEMO, ["agent_version"], level=0.9))
    assert ek.transcript(DEMO, run="v1-demo-large", case="01", epoch=np.int64(1)).state.epoch == 1


def test_an_annotation_that_is_not_known_lets_everything_through():
    def verb(thing: Something | None = None) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    expect(verb, {"thing": object()})


def test_a_class_of_suites_has_no_attribute_that_it_does_not_define():
    with pytest.raises(AttributeError, match="rubric_hsh"):
        ek.Suite.rubric_hsh  # noqa: B018
    assert not hasattr(ek.Case, "load")
