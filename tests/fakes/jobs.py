"""What tests of batch jobs do again and again: make requests, run a job, read how each request ended."""

from __future__ import annotations

from evalkit.llm.batch.submit import submit
from evalkit.llm.requests import Request
from fakes.clock import FakeClock


def ask(count, *, start=0, **more):
    """Return so many requests, r0, r1, ..."""
    return [
        Request(
            f"r{number}",
            {
                "model": "openai/gpt-oss-20b",
                "messages": [{"role": "user", "content": f"question {number}"}],
                "max_completion_tokens": 100,
                **more,
            },
            {"case": f"{number}"},
        )
        for number in range(start, start + count)
    ]


def begin(fake, folder, requests=None, **settings):
    """Submit a job; without a clock, one that does not wait."""
    settings.setdefault("clock", FakeClock(fake))
    return submit(requests or ask(3), provider=fake.provider(), folder=folder, **settings)


def run(fake, folder, requests=None, **settings):
    """Submit a job, and wait for it."""
    return begin(fake, folder, requests, **settings).wait()


def outcomes(job):
    """Return how each request ended: each exactly once."""
    found = [(reply.custom_id, reply.outcome) for reply in job.replies()]
    assert len(found) == len(dict(found))
    assert {request.custom_id for request in job.requests()} == set(dict(found))
    return dict(found)
