"""Records of other tools, changed at random: nothing is raised, and the record beside them is not lost."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.readers import test_experiments as experiments
from tests.readers import test_opentelemetry as otlp
from tests.readers import test_scout_and_autorubric as rubrics

import evalkit as ek

ROOT_EVENT = experiments.BRAINTRUST[0]
RECORDS = {
    "phoenix": experiments.PHOENIX[0],
    "mlflow": experiments.MLFLOW,
    "langsmith": {name: values[0] for name, values in experiments.LANGSMITH.items()},
    "langsmith feedback": experiments.FEEDBACK[0],
    "langfuse": experiments.LANGFUSE[0],
    "braintrust": ROOT_EVENT,
    "otlp": otlp.export(otlp.span("a", "", otlp.CHAT, events=[("gen_ai.evaluation.result", otlp.RESULT)])),
    "autorubric": rubrics.ITEMS[0],
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.none(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value, path=()):
    """Yield the way to each value inside a record."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(record, path, junk):
    made = copy.deepcopy(record)
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = junk
    return made


@pytest.fixture
def wanted(tmp_path, name):
    """The scores that are read where nothing else is in the file."""
    path = tmp_path / "alone.jsonl"
    path.write_text(json.dumps(RECORDS[name]), encoding="utf-8")
    scores = ek.load(path).scores.select("case", "criterion", "score", "label", "rationale")
    assert scores.height
    return scores


@pytest.mark.parametrize("name", sorted(RECORDS))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_record_with_anything_anywhere_costs_no_other(tmp_path, name, wanted, data):
    good = RECORDS[name]
    path = data.draw(st.sampled_from(sorted(places(good), key=str)))
    bad = changed(good, path, data.draw(JUNK))
    both = tmp_path / "both.jsonl"
    both.write_text(f"{json.dumps(good)}\n{json.dumps(bad)}", encoding="utf-8")

    found = ek.load(both).scores.select("case", "criterion", "score", "label", "rationale")

    assert found.head(wanted.height).rows() == wanted.rows()
