"""From a suite to a report, by the commands that a person types: on a fake server, and on the model of this machine."""

from __future__ import annotations

import json

import pytest

from evalkit.cli import main
from evalkit.llm import local_server as serving
from evalkit.readers.load import load
from fakes import FakeServer
from fakes.judges import judged

missing = serving.missing()

SUITE = """
suite: Sums
criteria:
  - name: Right
    description: The sum is right.
    anchors: {1: It is wrong., 5: It is right.}
cases:
  - id: "01"
    severity: critical
    prompt: What is 2 and 2?
    input: The agent guesses.
    expected: {ideal_behavior: It says 4., rubric: [Says 4.]}
  - id: "02"
    severity: high
    prompt: What is 3 and 3?
    input: The agent guesses.
    expected: {ideal_behavior: It says 6., rubric: [Says 6.]}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "sums.yaml").write_text(SUITE, encoding="utf-8")
    return tmp_path


def answer(body):
    """Answer as an agent that is right in its second version only, and as a judge who sees that."""
    text = json.dumps(body["messages"])
    if "response_format" in body:
        return judged(body, 5 if "careful answer" in text else 2)
    return "A careful answer." if "Be careful." in text else "A guess, as it were."


def test_from_a_suite_to_a_report_on_a_fake_server(folder, capsys):
    (folder / "careful.md").write_text("Be careful.", encoding="utf-8")
    with FakeServer("groq") as fake:
        fake.answer = answer
        where = ["--provider", fake.base_url, "--model"]
        agent, judge = [*where, "openai/gpt-oss-20b"], [*where, "openai/gpt-oss-120b"]
        codes = [
            main(["run", "sums.yaml", *agent, "--version", "v1", "--epochs", "2"]),
            main(["run", "sums.yaml", *agent, "--version", "v2", "--epochs", "2", "--prompt", "careful.md"]),
            main(["judge", "runs", *judge, "--samples", "1"]),
        ]
        asked = sum(fake.bodies.values())
        codes += [
            main(["run", "sums.yaml", *agent, "--version", "v1", "--epochs", "2"]),
            main(["judge", "runs", *judge, "--samples", "1"]),
        ]
        again = sum(fake.bodies.values()) - asked
    codes.append(main(["report", "runs", "--baseline", "v1", "--candidate", "v2", "-o", "report.html"]))
    capsys.readouterr()
    codes.append(main(["summary", "runs", "--by", "agent_version", "--format", "json"]))

    rates = {row["agent_version"]: row["pass_rate"] for row in json.loads(capsys.readouterr().out)}
    evals = load("runs")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert codes == [0] * 7
    # Four attempts of each version; equal transcripts are judged once.
    assert (asked, again) == (8 + 4, 0)
    assert rates == {"v1": 0.0, "v2": 1.0}
    assert evals.scores.height == 8
    assert evals.scores["error"].null_count() == 8
    assert evals.problems.is_empty()
    assert "v2 against v1" in page
    assert "The agent guesses." not in json.dumps(evals.turns.to_dicts(), default=str)


@pytest.mark.local
@pytest.mark.skipif(missing is not None, reason=str(missing))
def test_from_a_suite_to_a_report_on_the_model_of_this_machine(folder, capsys, monkeypatch):
    with serving.local_server() as address:
        monkeypatch.setenv("EVALKIT_LOCAL_URL", address)
        codes = [
            main(["run", "sums.yaml", "--provider", "local", "--max-tokens", "16"]),
            main(["judge", "runs", "--provider", "local", "--samples", "1", "--max-tokens", "64"]),
        ]
    codes.append(main(["report", "runs", "-o", "report.html"]))

    said = capsys.readouterr().out
    evals = load("runs")
    assert codes == [0, 0, 0]
    assert "2 trials, 0 with an error" in said
    assert evals.trials["output"].str.len_chars().min() > 0
    assert evals.trials["output_tokens"].max() <= 16
    assert evals.runs["provider"].to_list() == ["local"]
    # Small as it is, each judgement is a score on the scale, or none with a reason.
    assert evals.scores.height == 2
    for row in evals.scores.iter_rows(named=True):
        assert row["judge_model"] == "smollm2-135m-instruct"
        assert row["score"] in {1, 2, 3, 4, 5} or row["error"]
    assert (folder / "report.html").stat().st_size > 50_000
