"""The whole suite on llmock, a stand-in that others wrote and that judges how a client behaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.agents import Agent, run_suite

SUITE = Path(__file__).parents[2] / "data/suites/groq-batch-api.yaml"
# On the answers alone: the list of models is asked for once, and a run goes on without it.
_CHAT = {"match": {"path": "*chat*"}}
FAULTS = {
    "nothing": [],
    "429 with Retry-After": [{"type": "fail", "status": 429, "retry_after": 0.3, "times": 4, **_CHAT}],
    "500": [{"type": "fail", "status": 500, "times": 4, **_CHAT}],
    "503": [{"type": "fail", "status": 503, "times": 4, **_CHAT}],
    "slow": [{"type": "delay", "seconds": 0.5, "times": 5, **_CHAT}],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_nine_cases_run_whatever_passes_and_its_verdict_finds_nothing(mock, tmp_path, fault):
    if FAULTS[fault]:
        mock.faults(*FAULTS[fault])
    agent = Agent(model="openai/gpt-oss-20b", prompt="You run batch jobs.", provider=mock.groq)

    evals = run_suite(SUITE, agent, tmp_path / "runs", epochs=2)

    assert evals.trials.height == 18
    assert evals.trials["error"].null_count() == 18
    assert evals.trials["output"].null_count() == 0
    paid = [json.dumps(body, sort_keys=True) for body in mock.paid()]
    assert len(paid) == len(set(paid)) == 18
    assert mock.verdict()["findings"] == []
