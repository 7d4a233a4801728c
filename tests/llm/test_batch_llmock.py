"""A batch through llmock, a server that others wrote: its happy path, and faults on every route of it."""

from __future__ import annotations

import pytest

from evalkit.llm.batch.submit import submit
from fakes.clock import BriefClock
from fakes.jobs import ask, outcomes


@pytest.mark.parametrize("faults", [0, 2], ids=["all well", "each route fails first"])
def test_a_batch_goes_through_and_each_request_has_its_answer(mock, tmp_path, faults):
    behaviors = [
        {
            "match": {"path": f"*{path}*"},
            "type": "fail",
            "status": status,
            "times": faults,
            "retry_after": 0.2,
        }
        for path in ("files", "batches")
        for status in (503, 429)
        if faults
    ]
    if behaviors:
        mock.faults(*behaviors)

    job = submit(ask(7), provider=mock.groq, folder=tmp_path, shard_lines=3, clock=BriefClock())
    job.wait(timeout=20_000)

    assert job.state == "done"
    assert outcomes(job) == {f"r{number}": "success" for number in range(7)}
    verdict = mock.verdict()
    # Each upload has a boundary of its own, by which llmock takes a second try for another call.
    uploads = {("gave_up", "POST /groq/openai/v1/files")}
    assert {(one["code"], one["path"]) for one in verdict["findings"]} == (uploads if faults else set())
    assert verdict["faults_injected"] == 4 * faults
