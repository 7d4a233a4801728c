"""No key in an output: an endpoint repeats it in whatever it says, and it is in nothing that anybody sees or keeps."""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace

import pytest

from evalkit.agents import Agent, run_suite
from evalkit.agents.attempt import failed
from evalkit.agents.case_input import CaseInput
from evalkit.cli import main
from evalkit.data import folder as native
from evalkit.judging import Judge
from evalkit.llm.providers import PROVIDERS, check_model, find_key
from evalkit.util.errors import EvalkitError
from fakes import ApiError, BatchPlan, FakeClock, Fault
from fakes.judges import judged

KEY = "Zq7-" * 9 + "planted"
CHAT = "POST /chat/completions"
BATCH = ["POST /files", "POST /batches", "GET /batches/{id}", "GET /files/{id}/content"]


@pytest.fixture
def endpoint(fake, monkeypatch, tmp_path):
    """Return a provider whose key is in the environment, under a name that is that of a key."""
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PLANTED_API_KEY", KEY)
    fake.keys = {KEY}
    fake.answer = lambda body: judged(body) if len(body["messages"][0]["content"]) > 1_000 else "Done."
    return replace(fake.provider(), key_variable="PLANTED_API_KEY")


class Seen:
    """All that came out: of calls, files, logs and streams."""

    def __init__(self, folder, caplog, capsys):
        self.folder, self.caplog, self.capsys, self.texts = folder, caplog, capsys, []

    def of(self, call):
        """Call something; what it returns or raises has been seen, with the values in each frame of ours."""
        try:
            made = call()
        except Exception as error:
            told = traceback.TracebackException.from_exception(error, capture_locals=True)
            self.texts += ["".join(told.format()), repr(error)]
            return None
        self.texts += [repr(made), repr(vars(made)) if hasattr(made, "__dict__") else ""]
        for name in ("_repr_html_", "words", "notes", "status"):
            found = getattr(made, name, "")
            self.texts.append(str(found() if callable(found) else found))
        for name in ("scores", "trials", "runs", "turns"):
            frame = getattr(made, name, None)
            self.texts.append("" if frame is None else frame.write_ndjson())
        return made

    def all(self):
        streams = self.capsys.readouterr()
        files = [
            path.read_bytes().decode("utf-8", "replace") for path in self.folder.rglob("*") if path.is_file()
        ]
        return "\n".join([*self.texts, *files, self.caplog.text, streams.out, streams.err])


@pytest.fixture
def seen(tmp_path, caplog, capsys):
    caplog.set_level(logging.DEBUG)
    return Seen(tmp_path, caplog, capsys)


def repeat(fake, *routes, status, times=99):
    """Have routes answer with the key that they were sent."""
    body = {"error": {"message": f"Bad key: Bearer {KEY}", "type": KEY, "code": "x"}}
    said = body if status != 200 else f"<html>{KEY}".encode()
    fake.faults += [Fault(route, status=status, body=said, times=times) for route in routes]


@pytest.mark.parametrize(
    ("route", "status"),
    [
        ("GET /models", 200),
        *((one, status) for one in ("GET /models", CHAT) for status in (400, 401, 403, 404, 413)),
    ],
)
def test_live_it_is_nowhere(fake, endpoint, make_evals, suite, seen, tmp_path, route, status):
    repeat(fake, route, status=status)
    judge = seen.of(lambda: Judge(rubric=suite, provider=endpoint, samples=1))
    agent = seen.of(lambda: Agent(provider=endpoint, prompt="Work."))

    seen.of(lambda: check_model(endpoint, judge.model))
    seen.of(lambda: judge.run(make_evals(), folder=tmp_path / "judged", progress=True))
    seen.of(lambda: run_suite(suite, agent, tmp_path / "run", progress=None))
    seen.of(
        lambda: main(
            ["judge", str(native.write(make_evals(), tmp_path / "cli")), "--provider", endpoint.base_url]
        )
    )

    assert fake.log
    assert KEY not in seen.all()


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404])
@pytest.mark.parametrize("route", BATCH)
def test_in_a_batch_it_is_nowhere(fake, endpoint, make_evals, suite, seen, tmp_path, route, status):
    repeat(fake, route, status=status, times=3)
    fake.plans = [BatchPlan(errors=[{"code": "odd", "message": f"Bearer {KEY}", "line": None}])]
    judge = Judge(rubric=suite, provider=endpoint, samples=1)

    job = seen.of(lambda: judge.submit(make_evals(), folder=tmp_path / "data", clock=FakeClock(fake)))
    if job is not None:
        seen.of(lambda: job.wait(3_600))
        seen.of(job.collect)
        seen.of(lambda: job.job)

    assert KEY not in seen.all()


def test_in_the_lines_of_a_batch_it_is_in_no_score(fake, endpoint, make_evals, suite, tmp_path):
    refused = ApiError(400, f"Bad key: {KEY}")
    fake.answer = lambda body: (_ for _ in ()).throw(refused)
    judge = Judge(rubric=suite, provider=endpoint, samples=1)

    made = judge.submit(make_evals(), folder=tmp_path / "data", clock=FakeClock(fake)).wait().collect()

    assert made.scores["error"].str.contains("Bad key: ***", literal=True).all()
    assert KEY not in made.scores.write_ndjson() + str(made.notes)
    assert KEY not in (tmp_path / "data" / "scores.jsonl").read_text()


def test_a_key_that_is_looked_at_is_not_shown_and_is_sent_whole(endpoint):
    key = find_key(endpoint)

    assert (repr(key), f"{key!r}", str({"key": key})) == ("'***'", "'***'", "{'key': '***'}")
    assert f"Bearer {key}" == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "given",
    [
        {"key_variable": KEY},
        {"key_variable": "gsk_" + "a1B2" * 8},
        {"key_variable": "a1b2" * 8},
        {"base_url": f"https://me:{KEY}@example.org/v1"},
        {"base_url": f"https://{KEY}@example.org/v1"},
        {"base_url": f"https://example.org/v1?key={KEY}"},
        {"base_url": f"htp://me:{KEY}@example.org/v1"},
    ],
)
def test_a_key_in_the_wrong_place_is_refused_and_not_repeated(given):
    """A `Provider` that somebody makes by hand is held to the same."""
    with pytest.raises(EvalkitError, match="environment") as raised:
        replace(PROVIDERS["groq"], **given)

    assert not any(value in str(raised.value) for value in [KEY, *given.values()])


def test_a_key_in_a_command_is_shown_nowhere():
    agent = Agent(command=["python", "agent.py", "--token", KEY, f"--api-key={KEY}x1"])

    assert KEY not in f"{agent!r} {agent.config}"
    with pytest.raises(EvalkitError, match="no-such-program") as raised:
        Agent(command=["no-such-program", "--api-token", KEY])
    assert KEY not in str(raised.value)


def test_a_key_in_what_an_agent_says_or_raises_is_in_no_transcript(endpoint):
    attempt = failed(CaseInput("01", "?", 1, 1), f"openai.AuthenticationError: {KEY}")

    assert KEY not in str(attempt.record("v1", CaseInput("01", "?", 1, 1)))
