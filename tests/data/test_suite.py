"""Suites: what is read, what is refused and where, what a change leaves alone, what a hash sees."""

from __future__ import annotations

import json
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.data import schema
from evalkit.data.suite import Case, Criterion, Rubric, Severity, Suite, rubric_hash
from evalkit.util.errors import PathError, SelectorError, SuiteError

SHIPPED = Path(__file__).parents[2] / "data/suites/groq-batch-api.yaml"

TEXT = """\
# head
suite: demo   # the name

criteria:
  # first criterion
  - name: Groq
    description: >-
      Knows the
      thing.
    anchors: {1: bad, 5: good}  # in brackets
  # second criterion
  - name: "Batch"
    weight: 1
    anchors:
      1: "bad"   # worst
      # between
      5: good

# The cases
cases:
  # about one
  - id: "01"   # its id
    severity: high
    tags: [a, b]   # its tags
    expected:
      ideal_behavior: |-
        one
        two
      rubric:
        - p1   # c1
        # before p2
        - p2

  # about two
  - id: "02"
    input: 'quoted'   # q
  # about three
  - id: "03"
# foot
"""


def comments(text: str) -> list[str]:
    return sorted(re.findall(r"(?m)(?<!\S)#.*$", text))


# Reading


def test_the_shipped_suite_has_nine_cases_and_three_criteria_with_an_anchor_for_every_score():
    suite = Suite.read(SHIPPED)

    assert [case.id for case in suite.cases] == [f"0{n}" for n in range(1, 10)]
    assert [criterion.name for criterion in suite.criteria] == ["Groq", "Ai Platform", "Batch Api"]
    assert all(sorted(criterion.anchors) == [1, 2, 3, 4, 5] for criterion in suite.criteria)
    assert {case.id: str(case.severity) for case in suite.cases[:3]} == {
        "01": "high",
        "02": "critical",
        "03": "medium",
    }


def test_every_case_of_the_shipped_suite_is_complete_and_says_who_wrote_what():
    for case in Suite.read(SHIPPED).cases:
        given_or_ours = case.origin["input"], case.origin["ideal_behavior"], case.origin["severity"]

        assert case.input
        assert case.expected.ideal_behavior
        assert len(case.expected.rubric) >= 3
        assert case.severity
        assert (case.check, case.domain) == ("Pass / Fail", "Ai Platform")
        assert all(re.search(r"\(.+\)$", fact) for fact in case.facts), case.id
        assert case.facts
        assert case.origin["prompt"] == "ours"
        assert set(given_or_ours) == {"given" if case.id < "04" else "ours"}


def test_no_prompt_of_the_shipped_suite_speaks_of_the_agent_that_goes_wrong():
    for case in Suite.read(SHIPPED).cases:
        assert case.prompt != case.input
        assert "agent" not in case.prompt.lower()


def test_a_folder_is_read_through_the_suite_in_it(tmp_path):
    (tmp_path / "suite.yaml").write_text(TEXT)

    assert Suite.read(tmp_path).suite == "demo"


def test_a_file_that_is_not_there_is_named_with_the_nearest_that_is(tmp_path):
    (tmp_path / "suite.yaml").write_text(TEXT)

    with pytest.raises(PathError, match=r"suites\.yaml.*Did you mean .*suite\.yaml"):
        Suite.read(tmp_path / "suites.yaml")


REFUSED = [
    ("", 1, "the file is empty"),
    ("# only a comment\n", 1, "the file is empty"),
    ("- a\n- b\n", 1, "the file holds a list"),
    ("suite\n", 1, "the file holds a single value"),
    ("suite: a\ncases: [\n", 3, "not YAML: the file ends in the middle"),
    ("suite: a\n\tcases: []\n", 2, "tab"),
    ("suite: a: b\n", 1, "put the text in quotes"),
    ("suite: a\n---\nsuite: b\n", 2, "a second document"),
    ("suite: a\ndescription: \x00\n", 2, "not YAML"),
    ("suite: a\nsuite: b\n", 2, "the key 'suite' is there twice, first on line 1"),
    ("suite: &a x\ndescription: *a\n", 2, "*a is an alias"),
    ("suite: a\ncases: " + "[" * 500 + "]" * 500, 2, "nested"),
    ("suite: !!python/object:os.system x\n", 1, "the tag"),
    ("suite: a\n? [b]\n: c\n", 2, "a key must be a word"),
    ("cases: []\n", 1, "suite is missing"),
    ("suite: a\ncritera: []\n", 2, "no key 'critera' here. Did you mean 'criteria'?"),
    ("suite: a\ncases: hello\n", 2, "cases is 'hello'. Expected a list"),
    (
        "suite: a\ncases:\n  - id: 01\n",
        3,
        'id is 01 without quotes, which YAML takes for a number; write "01"',
    ),
    ("suite: a\ncases:\n  - id: 1.10\n", 3, 'write "1.10"'),
    ("suite: a\ncases:\n  - id: true\n", 3, "takes for true or false"),
    ("suite: a\ncases:\n  - id: ''\n", 3, "case 1: id is empty"),
    ("suite: a\ncases:\n  - input: x\n", 3, "case 1: id is missing"),
    ("suite: a\ncases:\n  - id: x\n  - id: y\n  - id: x\n", 5, "the id 'x' is there twice, first on line 3"),
    ("suite: a\ncriteria:\n  - name: x\n  - name: x\n", 4, "the name 'x' is there twice, first on line 3"),
    (
        "suite: a\ncases:\n  - id: x\n    severity: kritical\n",
        4,
        "case 'x': severity is 'kritical'. Expected low, medium, high, critical. Did you mean 'critical'?",
    ),
    (
        "suite: a\ncases:\n  - id: x\n    severty: high\n",
        4,
        "no key 'severty' here. Did you mean 'severity'?",
    ),
    ("suite: a\ncases:\n  - id: x\n    expected:\n      rubrik: []\n", 5, "Did you mean 'rubric'?"),
    ("suite: a\ncases:\n  - id: x\n    tags: [1]\n", 4, "case 'x': tags.0 is 1 without quotes"),
    ("suite: a\ncriteria:\n  - name: x\n    scale: [5, 1]\n", 4, "the lowest score comes first"),
    ("suite: a\ncriteria:\n  - name: x\n    scale: [1]\n", 4, "scale.1 is missing"),
    ("suite: a\ncriteria:\n  - name: x\n    anchors:\n      1: a\n      6: b\n", 6, "an anchor for 6"),
    ("suite: a\ncriteria:\n  - name: x\n    anchors: {good: a}\n", 4, "an anchor for 'good'"),
    ("suite: a\ncriteria:\n  - name: x\n    kind: ordnal\n", 4, "Did you mean 'ordinal'?"),
    ("suite: a\ncriteria:\n  - name: x\n    weight: -1\n", 4, "weight is -1"),
    ("suite: a\ncriteria:\n  - name: x\n    origin: {naem: ours}\n", 4, "no key 'naem' here"),
    ("suite: a\ncriteria:\n  - name: x\n    origin: {name: theirs}\n", 4, "Expected given, ours"),
]


@pytest.mark.parametrize(("text", "line", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_is_wrong_is_refused_in_one_sentence_with_file_and_line(tmp_path, text, line, reason):
    path = tmp_path / "suite.yaml"
    path.write_text(text)

    with pytest.raises(SuiteError) as caught:
        Suite.read(path)

    assert str(caught.value).startswith(f"{path}:{line}: ")
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_refused_with_their_line(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_bytes(b"suite: a\ndescription: \xff\xfe\n")

    with pytest.raises(SuiteError, match=r"suite\.yaml:2: this is not UTF-8"):
        Suite.read(path)


def test_aliases_that_would_blow_up_are_refused_before_they_are_followed():
    bomb = "suite: a\nx0: &x0 [l, o, l]\n" + "".join(
        f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]\n" for n in range(1, 12)
    )

    with pytest.raises(SuiteError, match=r"3: \*x0 is an alias"):
        Suite.parse(bomb)


def test_the_first_thing_wrong_is_told_and_the_others_are_counted():
    with pytest.raises(SuiteError, match=r"^<text>:4: .*severity.*\(1 more in this file\.\)$"):
        Suite.parse("suite: a\ncases:\n  - id: x\n    severity: bad\n  - id: y\n    check: 7\n")


# Writing


def test_what_was_not_changed_is_written_byte_for_byte(tmp_path):
    source = tmp_path / "in.yaml"
    source.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())

    Suite.read(source).write(tmp_path / "out.yaml")

    assert (tmp_path / "out.yaml").read_bytes() == source.read_bytes()
    assert Suite.parse(SHIPPED.read_text(encoding="utf-8")).to_yaml() == SHIPPED.read_text(encoding="utf-8")


def test_a_last_line_without_an_end_is_left_without_one():
    text = "suite: a\ncases:\n  - id: x"
    suite = Suite.parse(text)

    assert suite.to_yaml() == text
    suite.case("x").check = "now"
    assert suite.to_yaml() == text + "\n    check: now\n"


def test_a_key_with_nothing_after_it_is_as_one_left_out():
    suite = Suite.parse("suite: a\ncases:\n  - id: x\n    tags:\n    severity:\n    expected:\n")

    assert suite == Suite(suite="a", cases=[Case(id="x")])


def test_a_case_keeps_what_it_does_not_say_when_something_else_is_changed():
    case = Case(id="x")
    case.tags = ["a"]

    assert case.severity is None


def test_one_change_changes_one_line():
    suite = Suite.parse(TEXT)
    suite.case("01").severity = Severity.critical

    assert suite.to_yaml() == TEXT.replace("severity: high", "severity: critical")


def test_one_change_in_a_file_of_windows_changes_one_line():
    text = "\ufeff" + TEXT.replace("\n", "\r\n")
    suite = Suite.parse(text)
    suite.case("01").severity = Severity.critical

    assert suite.to_yaml() == text.replace("severity: high", "severity: critical")


def test_changes_of_every_kind_lose_no_comment_and_are_read_back():
    suite = Suite.parse(TEXT)
    suite.case("01").expected.ideal_behavior = "uno\ndos\n\ntres"
    suite.case("01").expected.rubric.insert(1, "p1.5: with a colon")
    suite.case("01").tags.append("c, d")
    suite.criteria[0].anchors[3] = 'so "so": so'
    suite.criteria[1].anchors[3] = "middle"
    suite.criteria[1].weight = 2
    suite.cases.insert(1, Case(id="04", prompt="long\ntext", severity="low"))
    suite.cases[0], suite.cases[3] = suite.cases[3], suite.cases[0]

    text = suite.to_yaml()

    assert comments(text) == comments(TEXT)
    assert Suite.parse(text).model_dump() == suite.model_dump()
    assert text.index("# about three") < text.index('id: "03"') < text.index('id: "04"')
    assert text.index('id: "04"') < text.index("# about one") < text.index('id: "01"')


def test_a_case_that_is_taken_out_takes_its_own_comments_and_no_other():
    suite = Suite.parse(TEXT)
    del suite.cases[1]

    gone = set(comments(TEXT)) - set(comments(suite.to_yaml()))

    assert gone == {"# about two", "# q"}


def test_a_suite_made_in_python_is_written_and_read_back(tmp_path):
    suite = Suite(
        suite="made",
        criteria=[Criterion(name="Tone", anchors={1: "", 5: "kind"})],
        cases=[Case(id="1e3", severity="high", prompt=" leading\n\nand trailing \n", tags=["yes", "null"])],
    )

    path = suite.write(tmp_path / "made.yaml")

    assert Suite.read(path).model_dump() == suite.model_dump()


def test_a_rubric_read_from_a_suite_writes_the_whole_file_back(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(TEXT)
    rubric = Rubric.read(path)
    rubric.criterion("Groq").anchors[5] = "excellent"

    rubric.write(path)

    assert path.read_text() == TEXT.replace("5: good}", "5: excellent}")
    assert len(Suite.read(path).cases) == 3


def test_a_write_that_cannot_happen_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(TEXT)
    suite = Suite.read(path)
    suite.cases.append(Case(id="01"))

    with pytest.raises(SuiteError, match="twice"):
        suite.write(path)

    assert path.read_text() == TEXT
    assert [entry.name for entry in tmp_path.iterdir()] == ["suite.yaml"]


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(PathError):
        Suite.parse(TEXT).write(tmp_path / "nowhere" / "suite.yaml")


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
lines = st.one_of(
    words, st.lists(words, max_size=4).map("\n".join), st.sampled_from(["yes", "1", "~", "- a", "a: b"])
)


@given(
    description=lines,
    anchors=st.dictionaries(st.integers(1, 5), lines, max_size=5),
    ideal=lines,
    rubric=st.lists(lines, max_size=4),
    tags=st.lists(lines, max_size=3),
    order=st.permutations(["01", "02", "03", "new"]),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_put_into_a_suite_is_read_back_and_costs_no_comment(
    description, anchors, ideal, rubric, tags, order
):
    suite = Suite.parse(TEXT)
    suite.criteria[1].description = description
    suite.criteria[0].anchors = {**suite.criteria[0].anchors, **anchors}
    suite.case("02").expected.ideal_behavior = ideal
    suite.case("01").expected.rubric += rubric
    suite.case("02").tags = tags
    suite.cases.append(Case(id="new", input=ideal))
    suite.cases = [suite.case(id) for id in order]

    text = suite.to_yaml()

    assert Suite.parse(text).model_dump() == suite.model_dump()
    assert set(comments(TEXT)) <= set(comments(text))


# Hashes


def test_order_white_space_and_comments_do_not_change_a_hash():
    one = Criterion(name="Groq", description="Knows  the\n thing.", anchors={1: "bad", 5: "good"})
    other = Suite.parse(TEXT).criterion("Groq")

    assert one.hash == other.hash
    assert re.fullmatch(r"[0-9a-f]{12}", one.hash)
    assert (
        Criterion(name="Groq", description="Knows the thing.", anchors={"5": "good", "1": "bad"}).hash
        == one.hash
    )


@pytest.mark.parametrize(
    "change",
    [
        {"name": "X"},
        {"description": "Knows the things."},
        {"anchors": {1: "bad", 5: "best"}},
        {"scale": (0, 5)},
    ],
)
def test_any_word_a_judge_reads_changes_the_hash_of_a_criterion(change):
    criterion = Suite.parse(TEXT).criterion("Groq")

    assert criterion.model_copy(update=change).hash != criterion.hash


def test_a_weight_changes_no_judgement_and_so_no_hash():
    criterion = Suite.parse(TEXT).criterion("Groq")

    assert criterion.model_copy(update={"weight": 3.0}).hash == criterion.hash


@pytest.mark.parametrize(
    "change", [{"input": "x"}, {"prompt": "x"}, {"severity": Severity.low}, {"tags": ["x"]}, {"cluster": "x"}]
)
def test_any_word_of_a_case_changes_its_hash_but_not_where_it_is_from(change):
    case = Suite.parse(TEXT).case("01")

    assert case.model_copy(update=change).hash != case.hash
    assert case.model_copy(update={"facts": ["x"], "origin": {"input": "ours"}}).hash == case.hash


def test_a_rubric_hash_sees_the_criterion_and_the_expectations_and_nothing_else():
    suite = Suite.parse(TEXT)
    before = suite.rubric_hash("01", "Groq")
    suite.case("01").prompt = "another"
    suite.case("01").severity = Severity.low

    assert suite.rubric_hash("01", "Groq") == before
    assert suite.rubric_hash("01", "Batch") != before
    assert suite.rubric_hash("02", "Groq") != before
    suite.case("01").expected.rubric[0] = "p one"
    assert suite.rubric_hash("01", "Groq") != before


def test_a_rubric_hash_is_the_same_from_the_tables():
    suite = Suite.read(SHIPPED)
    row = suite.tables()[0].row(3, named=True)

    from_tables = rubric_hash(
        suite.criterion("Groq"), ideal_behavior=row["ideal_behavior"], expected_rubric=row["expected_rubric"]
    )

    assert from_tables == suite.rubric_hash(row["case"], "Groq")


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(SelectorError, match="Unknown criterion 'Grok'.* Did you mean 'Groq'"):
        Suite.parse(TEXT).rubric_hash("01", "Grok")
    with pytest.raises(SelectorError, match="Unknown case '1'. Expected 01, 02 or 03"):
        Suite.parse(TEXT).case("1")


# Severity and tables


def test_severity_is_ordered_as_the_tables_have_it():
    assert [str(severity) for severity in sorted(Severity)] == list(schema.SEVERITIES)
    assert Severity.critical > Severity.high > "medium" >= Severity.medium > Severity.low
    assert max(Severity.low, Severity.critical, Severity.high) is Severity.critical
    with pytest.raises(ValueError, match="awful"):
        assert Severity.low < "awful"


def test_the_tables_have_exactly_the_columns_of_the_schema():
    cases, criteria = Suite.read(SHIPPED).tables()

    assert cases.schema == pl.Schema(schema.CASES.schema)
    assert criteria.schema == pl.Schema(schema.CRITERIA.schema)
    assert cases["expected_rubric"][1].count("\n") == 2
    assert json.loads(criteria["anchors"][0])["5"].startswith("Right in everything")
    assert criteria.select("scale_min", "scale_max", "weight").row(0) == (1.0, 5.0, 1.0)


def test_what_a_suite_does_not_say_is_null_in_its_tables():
    cases, criteria = Suite.parse("suite: a\ncases:\n  - id: x\ncriteria:\n  - name: y\n").tables()

    assert cases.select("input", "severity", "check").row(0) == (None, None, None)
    assert cases["tags"].to_list() == [[]]
    assert criteria["anchors"].to_list() == [None]
    assert [table.height for table in Suite(suite="empty").tables()] == [0, 0]


# --- what is shown


def test_a_suite_shows_its_criteria_and_cases_in_a_line_each():
    suite = Suite(
        suite="demo",
        criteria=[Criterion(name="Tone", description="Is it kind?" + " And" * 99)],
        cases=[Case(id="01", severity="high", prompt="Say\nhi."), Case(id="2")],
    )

    head, criterion, first, second = repr(suite).splitlines()
    assert head == "Suite: demo, 2 cases, 1 criterion"
    assert criterion.startswith("  Tone  1 to 5  Is it kind? And And")
    assert criterion.endswith("…")
    assert (first, second) == ("  01  high  Say hi.", "  2")


def test_a_long_suite_says_how_many_cases_it_does_not_show():
    suite = Suite(suite="demo", cases=[Case(id=f"{n}") for n in range(25)])

    assert repr(suite).splitlines()[-1].split() == ["…", "and", "5", "more"]


def test_what_a_suite_shows_in_a_notebook_is_text():
    hostile = "<img src=x onerror=alert(1)>\x1b[2J"
    suite = Suite(suite=hostile, criteria=[Criterion(name=hostile)], cases=[Case(id=hostile, input=hostile)])

    page = suite._repr_html_()
    assert "<img" not in page
    assert "\x1b" not in page + repr(suite)
    assert page.count("&lt;img src=x onerror=alert(1)&gt;␛[2J") == 4


def test_a_case_and_a_criterion_show_what_was_said_and_no_page():
    criterion = Criterion(name="Tone", anchors={1: "Rude."}, scale=(1, 3))

    assert repr(Case(id="01", severity="high", tags=["a"])) == "Case(id='01', severity='high')"
    assert repr(criterion) == "Criterion(name='Tone', scale=(1.0, 3.0))"
