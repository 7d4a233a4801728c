"""A server on loopback that speaks as Groq and OpenAI document their APIs, with every fault that they may have.

It was made for these tests; nothing in it was seen on a live service beyond what the documentation shows, and
where that is silent the choice is marked with [?] in the code.

::

    from fakes import Answer, ApiError, BatchPlan, FakeServer, Fault

    with FakeServer("groq") as fake:  # or "openai"
        endpoint = fake.provider()  # an evalkit Provider that points at it and needs no key
        fake.answer = lambda body: {
            "score": 4
        }  # what the model says: str, dict (as JSON), Answer, or raise ApiError
        fake.faults += [Fault("POST /chat/completions", status=429, headers={"retry-after": "2"}, times=3)]
        fake.plans += [
            BatchPlan(end="expired", run=2)
        ]  # what becomes of the batches, in the order they are created
        ...
        fake.settle()  # let every batch that is not cancelled run to its end; how often each custom_id was run
        fake.bodies  # how often each body was run, live and in batches, by its canonical JSON
        fake.log  # (method, path, query, status) of each request
        fake.shift += 86_400  # a day later, for its clock (windows, retention)

Settings: `keys` (accepted API keys; None: any), `plan` ("free": 403 on files and batches), `models`, `latency` (seconds a
live answer takes), `page_size` (of lists), `most_lines`, `most_bytes`, `retention` (seconds), `window_runs_out` (False: a batch
may stay as it is for ever), `knows_ranges` (False: a download begins anew). `fakes.jobs` has what tests of jobs share.

A batch takes one step of its plan each time somebody looks at it: no waiting. Its requests run when it ends, so what
was submitted twice is run twice, and what was cancelled in time is not run. A strict schema is checked but not
enforced on what `answer` says, so that a server which breaks its promise can be played; without `strict`, an answer
that does not fit is a 400 `json_validate_failed`, as at Groq.
"""

from __future__ import annotations

from fakes.answers import Answer, ApiError
from fakes.batches import BatchPlan
from fakes.clock import FakeClock
from fakes.server import FakeServer, Fault

__all__ = ["Answer", "ApiError", "BatchPlan", "FakeClock", "FakeServer", "Fault"]
