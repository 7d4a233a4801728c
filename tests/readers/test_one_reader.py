"""Every file is of one format; and whatever stands in a record, the records beside it are read."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.readers import test_batch_files as batch
from tests.readers import test_deepeval as deepeval
from tests.readers import test_experiments as experiments
from tests.readers import test_fastchat as fastchat
from tests.readers import test_lm_eval as lm_eval
from tests.readers import test_openai_evals as openai_evals
from tests.readers import test_opentelemetry as otlp
from tests.readers import test_promptfoo as promptfoo
from tests.readers import test_scout_and_autorubric as rubrics
from tests.readers import test_tau_and_helm as tau
from tests.readers import test_transcripts_alone as alone

import evalkit as ek
from evalkit.readers import base, registry

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
READERS = {reader.name: reader for reader in registry.readers()[0]}
# What reads any table of scores, and so much of what is JSON.
TABLES = {name for name, reader in READERS.items() if reader.rows is not None}

RECORDS = {
    "promptfoo results as JSON lines": promptfoo.RESULTS,
    "lm-evaluation-harness samples": lm_eval.SAMPLES,
    "OpenAI evals log": openai_evals.LOG,
    "OpenAI Evals output items": openai_evals.ITEMS,
    "FastChat questions": fastchat.QUESTIONS,
    "FastChat answers": fastchat.answers("small"),
    "FastChat reviews": [fastchat.review(), fastchat.review(2)],
    "MT-bench judgements": [fastchat.judgement(), fastchat.judgement(2)],
    "Batch API input": [batch.request("a"), batch.request("b")],
    "Batch API output": [batch.answer("a"), batch.BAD, batch.EXPIRED],
    "Claude Code session": alone.SESSION,
}
WHOLE = {
    "promptfoo results": promptfoo.whole(promptfoo.RESULTS),
    "lm-evaluation-harness results": lm_eval.RESULTS,
    "DeepEval test run": deepeval.run([deepeval.case(), deepeval.case("b")]),
    "tau-bench trajectories": tau.TAU,
    "OpenAI Evals output items": {"object": "list", "data": openai_evals.ITEMS},
    "Harbor trajectory (ATIF)": alone.TRAJECTORY,
}
CHATS = ([{"id": "a", "messages": [alone.ASKED, alone.SAID]}], [alone.ASKED, alone.SAID])
OTHERS = {
    "phoenix": experiments.PHOENIX,
    "mlflow": [experiments.MLFLOW],
    "langsmith feedback": experiments.FEEDBACK,
    "langfuse": experiments.LANGFUSE,
    "braintrust": experiments.BRAINTRUST,
    "otlp": [otlp.export(otlp.span("a", "", otlp.CHAT))],
    "autorubric": rubrics.ITEMS,
}


def readers_of(path):
    head = b"" if path.is_dir() else base.head(path)
    return [name for name, reader in READERS.items() if name not in TABLES and reader.sniff(path, head)]


def as_lines(path, records):
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", RECORDS)
def test_lines_are_claimed_by_the_one_reader_of_their_format(tmp_path, name):
    assert readers_of(as_lines(tmp_path / "whatever.txt", RECORDS[name])) == [name]


@pytest.mark.parametrize("records", CHATS)
def test_conversations_are_claimed_by_one_reader(tmp_path, records):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(records, indent=2))

    assert readers_of(path) == ["conversations"]
    assert readers_of(as_lines(path, records)) == ["conversations"]


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_document_is_claimed_by_the_one_reader_of_its_format(tmp_path, name, indent):
    path = tmp_path / "whatever"
    path.write_text(json.dumps(WHOLE[name], indent=indent))

    assert readers_of(path) == [name]


@pytest.mark.parametrize("name", OTHERS)
def test_formats_of_trackers_are_claimed_by_one_reader(tmp_path, name):
    assert len(readers_of(as_lines(tmp_path / "a.jsonl", OTHERS[name]))) == 1


def test_a_helm_run_is_one_thing_to_read(tmp_path):
    folder = tau.helm(tmp_path / "run", [tau.instance()], [tau.state()])

    assert readers_of(folder) == ["HELM run"]
    for path in folder.iterdir():
        assert readers_of(path) == ["file of a HELM run"]


@pytest.mark.parametrize(
    "text",
    [
        '{"run": "a", "case": "1", "criterion": "c", "score": 1}',
        '{"run": "a", "case": "1", "messages": []}',
        '{"question": "q", "answer": "a", "results": {"version": "good"}, "provider": "x"}',
        '{"id": 1, "results": [{"score": 3}], "name": "x", "description": "y", "tags": []}',
        '[{"task_id": 1, "score": 3}]',
        '[{"question_id": 1, "category": "x", "score": 3}]',
        '{"custom_id": "a", "score": 4, "error": null}',
        '{"input": "results: {\\"version\\": 3}", "score": 1}',
        "suite: x\ncases: []\n",
        "id,score\n1,2\n",
        '{"name": "package", "version": "1.0", "scripts": {"test": "x"}}',
    ],
)
def test_what_is_of_no_such_format_is_left_to_the_tables_and_to_ours(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)

    assert [name for name in readers_of(path) if not name.startswith("native") and name != "suite"] == []


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")
def test_every_real_file_of_these_formats_is_claimed_by_one_reader():
    folders = (
        "promptfoo",
        "lm_eval_and_helm",
        "openai_evals",
        "deepeval",
        "fastchat_vicuna_bench",
        "tau_bench",
    )
    files = [path for name in folders for path in sorted((DATA / name).rglob("*.json*"))]

    claimed = {path: readers_of(path) for path in files}

    assert len(files) > 40
    assert {path.name: names for path, names in claimed.items() if len(names) != 1} == {}


@pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not beside the project")
def test_no_real_table_of_scores_is_taken_for_another_format():
    files = sorted((DATA / "azure_rag").rglob("*.json*"))

    assert {path.name: readers_of(path) for path in files if readers_of(path)} == {}


JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def places(value, path=()):
    """Yield the way to each value inside a record."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(record, data):
    """Return a copy with one value dropped, or replaced by anything."""
    made = copy.deepcopy(record)
    path = data.draw(st.sampled_from(sorted(places(record), key=str)))
    inner = made
    for step in path[:-1]:
        inner = inner[step]
    if data.draw(st.booleans()):
        del inner[path[-1]]
    else:
        inner[path[-1]] = data.draw(JUNK)
    return made


def read(name, path):
    """Read by the reader itself: what it raises is not caught."""
    evals = READERS[name].give(path, frozenset(ek.schema.TABLES))
    assert not evals.problems["reason"].str.contains("the reader .* failed").any(), evals.problems[
        "reason"
    ].to_list()
    return evals


def rows(evals):
    kept = evals.trials.select("case", "epoch", "output").rows()
    return {*kept, *evals.scores.select("case", "epoch", "score", "rationale", "label").rows()}


# For each format: what they have in common is one engine, fuzzed by all of them together.
MUTATED = settings(
    max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
GOOD = {
    **{name: records for name, records in RECORDS.items() if name not in ("OpenAI evals log",)},
    # Events of one sample belong together: another sample is changed.
    "OpenAI evals log": [event for event in openai_evals.LOG if event.get("sample_id") != "sums.dev.1"],
}
BAD = {
    "OpenAI evals log": openai_evals.LOG[3],
    "FastChat questions": fastchat.QUESTIONS[1] | {"question_id": 9},
}


@pytest.fixture
def good(name):
    """The records that are not changed."""
    return GOOD[name] if name in BAD else GOOD[name][:-1]


@pytest.fixture
def alone(tmp_path, name, good):
    """What is read where nothing else is in the file."""
    return read(name, as_lines(tmp_path / "alone.jsonl", good))


@pytest.mark.parametrize("name", sorted(RECORDS))
@MUTATED
@given(data=st.data())
def test_a_line_with_anything_anywhere_costs_no_other(tmp_path, name, good, alone, data):
    bad = changed(BAD.get(name, GOOD[name][-1]), data)

    both = read(name, as_lines(tmp_path / "both.jsonl", [*good, bad]))

    # The name of a promptfoo case may get a hash behind it, where another case has it too.
    assert {str(row[0]).split(" ")[0] for row in rows(alone)} <= {
        str(row[0]).split(" ")[0] for row in rows(both)
    }
    assert {*alone.trials["output"]} <= {*both.trials["output"]}
    assert len(rows(both)) >= len(rows(alone))


LISTS = {
    "promptfoo results": ("results", "results"),
    "DeepEval test run": ("testCases",),
    "tau-bench trajectories": (),
    "OpenAI Evals output items": ("data",),
}


@pytest.fixture
def wanted(tmp_path, name):
    """The cases that are read where nothing is changed."""
    return {str(row[0]) for row in rows(read(name, document(tmp_path / "whole.json", WHOLE[name])))}


@pytest.mark.parametrize("name", sorted(LISTS))
@MUTATED
@given(data=st.data())
def test_an_element_with_anything_anywhere_costs_no_other(tmp_path, name, wanted, data):
    whole = copy.deepcopy(WHOLE[name])
    inner = whole
    for key in LISTS[name]:
        inner = inner[key]
    inner.append(changed(inner[-1], data))

    found = read(name, document(tmp_path / "more.json", whole))

    # A criterion more or less may change how the scores are put together; no case is lost by it.
    assert {row[0].split(" ")[0] for row in rows(found)} >= {case.split(" ")[0] for case in wanted}
    assert found.trials.height >= len(inner) - 1


@pytest.mark.parametrize("name", sorted(WHOLE))
@MUTATED
@given(data=st.data())
def test_a_document_with_anything_anywhere_is_read_or_a_problem(tmp_path, name, data):
    read(name, document(tmp_path / "a.json", changed(WHOLE[name], data)))


@MUTATED
@given(data=st.data())
def test_a_helm_run_with_anything_anywhere_is_read_or_a_problem(tmp_path, data):
    parts = [[tau.instance(), tau.instance("id2")], [tau.state(), tau.state("id2")], tau.SPEC]
    at = data.draw(st.integers(0, 2))
    parts[at] = changed(parts[at], data)

    folder = tau.helm(tmp_path / "run", *parts)

    assert read("HELM run", folder).scores.height >= 2


def document(path, value):
    path.write_text(json.dumps(value))
    return path
