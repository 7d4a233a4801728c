"""Endpoints: which are known, what they cost, whether a model is there, and that a key is nowhere to be seen."""

from __future__ import annotations

import asyncio
import http.server
import json
import re
import threading
from datetime import date
from pathlib import Path

import pytest

from evalkit.llm.providers import (
    LOCAL_PORT,
    MODELS,
    PROVIDERS,
    check_model,
    connect,
    cost,
    find_key,
    model_facts,
    obstacle,
    price,
    price_words,
    provider,
)
from evalkit.util.errors import EvalkitError, ProviderError

GROQ = PROVIDERS["groq"]


@pytest.fixture
def models(monkeypatch):
    """Serve a list of models on loopback; `said` is what it answers with, `seen` the headers it was sent."""
    said = {
        "status": 200,
        "body": {"object": "list", "data": [{"id": "openai/gpt-oss-20b"}, {"id": "other"}]},
    }
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            content = said["body"] if isinstance(said["body"], bytes) else json.dumps(said["body"]).encode()
            self.send_response(said["status"])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        server.said, server.seen = said, seen
        server.url = f"http://127.0.0.1:{server.server_port}/openai/v1"
        server.groq = provider("groq", base_url=server.url)
        yield server
        server.shutdown()
        thread.join()


# --- which there are


def test_the_named_ones_are_where_their_documentation_says():
    assert {name: one.base_url for name, one in PROVIDERS.items()} == {
        "groq": "https://api.groq.com/openai/v1",
        "openai": "https://api.openai.com/v1",
        "local": f"http://127.0.0.1:{LOCAL_PORT}/v1",
    }


def test_another_environment_does_not_lead_elsewhere(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://evil.example/v1")
    monkeypatch.setenv("GROQ_API_KEY", "k")
    monkeypatch.setenv("OPENAI_API_KEY", "k")

    for name in ("groq", "openai", "local"):
        client = connect(provider(name))
        assert str(client.base_url).rstrip("/") == PROVIDERS[name].base_url
        asyncio.run(client.close())


def test_an_organization_at_openai_is_told_to_nobody_else(models, monkeypatch):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-mine")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-mine")

    async def main():
        async with connect(models.groq) as client:
            await client.models.with_raw_response.list()

    asyncio.run(main())
    check_model(models.groq, "other")

    assert len(models.seen) == 2
    assert "mine" not in repr(models.seen)


def test_the_client_never_asks_again_by_itself(models):
    models.said["status"] = 500

    async def main():
        async with connect(models.groq) as client:
            with pytest.raises(Exception, match="500"):
                await client.models.list()

    asyncio.run(main())

    assert len(models.seen) == 1


def test_the_local_one_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("EVALKIT_LOCAL_URL", "http://127.0.0.1:9999/v1/")

    assert provider("local").base_url == "http://127.0.0.1:9999/v1"


def test_an_address_is_a_provider_of_its_own_and_gets_no_key_of_another(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    monkeypatch.delenv("EVALKIT_API_KEY", raising=False)
    own = provider("https://llm.example.org/v1/")
    client = connect(own)

    assert (own.name, own.base_url, own.batch) == ("llm.example.org", "https://llm.example.org/v1", None)
    assert client.api_key == "none"
    asyncio.run(client.close())


def test_the_address_of_a_known_one_is_that_one():
    assert provider("https://api.groq.com/openai/v1/") == GROQ


def test_another_address_keeps_what_the_named_one_allows():
    mine = provider("groq", base_url="http://127.0.0.1:1/v1", key_variable="MY_KEY")

    assert (mine.base_url, mine.key_variable) == ("http://127.0.0.1:1/v1", "MY_KEY")
    assert (mine.name, mine.batch) == ("groq", GROQ.batch)
    assert provider(mine) is mine


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("http://127.0.0.1:8712/v1", False),
        ("http://127.9.9.9/v1", False),
        ("http://localhost:8000/v1", False),
        ("http://[::1]:8000/v1", False),
        ("http://192.168.1.5/v1", True),
        ("http://0.0.0.0/v1", True),
        ("https://127.0.0.1.evil.example/v1", True),
        ("https://localhost.evil.example/v1", True),
    ],
)
def test_only_what_stays_on_this_machine_is_not_remote(url, remote):
    assert provider(url).remote is remote


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("grok", r"Unknown provider 'grok'\. .*Did you mean 'groq'\?"),
        ("", "Unknown provider ''"),
        ("ftp://example.org", "Invalid address .* http:// or https://"),
        ("http://", "Invalid address"),
        ("https://me:secret@example.org/v1", "The address of example.org contains a user name, a password"),
        ("https://example.org/v1?api-key=secret", "The address of example.org contains"),
        ("htp://me:secret@example.org/v1", "The address of example.org contains"),
    ],
)
def test_what_is_no_provider_is_said_to_be_none(name, words):
    with pytest.raises(ProviderError, match=words) as raised:
        provider(name)
    assert "secret" not in str(raised.value)
    assert isinstance(raised.value, EvalkitError)


# --- what they allow


def test_what_groq_allows_is_as_its_documentation_says():
    """console.groq.com/docs: batch, openai, structured-outputs."""
    batch = GROQ.batch

    assert (batch.windows[0], batch.windows[-1]) == ("24h", "7d")
    assert (batch.lines, batch.bytes, batch.shard_lines) == (50_000, 100_000_000, 1_000)
    assert (batch.paging, batch.many_ids, batch.one_model) == ("cursor", 200, False)
    assert batch.endpoint == "/v1/chat/completions"
    assert "service_tier" in batch.refused
    assert (GROQ.logprobs, GROQ.n) == (False, False)
    assert GROQ.keeps_schema("openai/gpt-oss-120b")
    assert not GROQ.keeps_schema("openai/gpt-oss-safeguard-20b")


def test_what_openai_allows_differs():
    batch = PROVIDERS["openai"].batch

    assert (batch.windows, batch.one_model, batch.paging, batch.many_ids) == (("24h",), True, "after", 0)
    assert PROVIDERS["openai"].keeps_schema("gpt-6.1-terra")


@pytest.mark.parametrize("name", ["groq", "openai"])
def test_the_models_that_are_used_by_default_are_alive_and_have_a_price(name):
    one = PROVIDERS[name]

    for model in (one.agent_model, one.judge_model):
        assert price(one, model)
        assert model_facts(one, model).state == "production"
        assert obstacle(one, model, today=date(2036, 1, 1)) == ""


# --- what they cost


def test_every_row_has_its_date_and_its_source_and_no_unknown_price_is_nothing():
    assert len({(one.provider, one.name) for one in MODELS}) == len(MODELS)
    for one in MODELS:
        assert one.source
        assert date(2026, 1, 1) < date.fromisoformat(one.as_of)
        assert (one.gone is not None) == (one.state in ("gone", "deprecated"))
        assert (one.input is None) == (one.state in ("gone", "enterprise"))
        assert one.instead is None or model_facts(PROVIDERS[one.provider], one.instead).gone is None
        assert one.kept is None or one.kept > one.input
        assert one.gone is None or date.fromisoformat(one.gone)
        assert (one.input is None) == (one.output is None)
        assert one.input is None or 0 < one.cached <= one.input < one.output


USAGE = {"prompt_tokens": 1_000_000, "completion_tokens": 500_000}
CACHED = {**USAGE, "prompt_tokens_details": {"cached_tokens": 400_000}}


@pytest.mark.parametrize(
    ("usage", "mode", "dollars"),
    [
        (USAGE, "live", 0.15 + 0.30),
        (USAGE, "batch", (0.15 + 0.30) / 2),
        (CACHED, "live", 0.6 * 0.15 + 0.4 * 0.075 + 0.30),
        # The two discounts do not add up: all tokens of a batch are billed at the batch rate.
        (CACHED, "batch", (0.15 + 0.30) / 2),
        ({**USAGE, "prompt_tokens_details": None}, "live", 0.45),
        ({**USAGE, "prompt_tokens_details": {"cached_tokens": 10**9}}, "live", 0.075 + 0.30),
    ],
)
def test_a_batch_costs_half_and_a_cached_token_half_live_only(usage, mode, dollars):
    assert cost(GROQ, "openai/gpt-oss-120b", usage, mode=mode) == pytest.approx(dollars)


@pytest.mark.parametrize(
    ("details", "dollars"),
    [
        ({}, 1.0),
        ({"cached_tokens": 400_000}, 0.6 + 0.4 * 0.05),
        ({"cached_tokens": 400_000, "cache_write_tokens": 200_000}, 0.4 + 0.4 * 0.05 + 0.2 * 1.25),
        ({"cached_tokens": 10**9, "cache_write_tokens": 10**9}, 0.05),
        ({"cache_write_tokens": 10**9}, 1.25),
    ],
)
def test_openai_bills_what_it_puts_into_its_cache_and_counts_both_in_a_batch_too(details, dollars):
    """developers.openai.com: prompt-caching, models/gpt-6.1-terra."""
    usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0, "prompt_tokens_details": details}
    openai = PROVIDERS["openai"]

    assert cost(openai, "gpt-6.1-terra", usage, mode="live") == pytest.approx(dollars)
    assert cost(openai, "gpt-6.1-terra", usage, mode="batch") == pytest.approx(dollars / 2)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": 5},
        {"prompt_tokens": "5", "completion_tokens": 1},
        [1],
        "usage",
        {"prompt_tokens": -1, "completion_tokens": 1},
        # More than any table holds, and more than a float does.
        {"prompt_tokens": 10**400, "completion_tokens": 1},
    ],
)
def test_without_a_usage_the_cost_is_unknown_not_nothing(usage):
    assert cost(GROQ, "openai/gpt-oss-120b", usage, mode="live") is None


def test_without_a_price_the_cost_is_unknown_not_nothing():
    assert cost(GROQ, "brand-new", USAGE, mode="live") is None
    assert price(provider("https://example.org/v1"), "openai/gpt-oss-120b") is None
    assert price_words(GROQ, "minimaxai/minimax-m2.7") == "price unknown"


def test_the_local_model_costs_nothing():
    assert cost(PROVIDERS["local"], "anything", USAGE, mode="live") == 0.0
    assert price_words(PROVIDERS["local"], "anything") == "free: runs on this machine"


def test_a_model_with_a_date_in_its_name_is_that_model():
    openai = PROVIDERS["openai"]

    assert price(openai, "gpt-4.1-2025-04-14") == price(openai, "gpt-4.1") == (2.0, 8.0)
    for other in ("20250414xx", "x025-04-14", "2025-0x-14", "2025-04-1x", "2025_04-14", "2025-04-14-1"):
        assert price(openai, f"gpt-4.1-{other}") is None
    assert price(openai, "gpt-4.12025-04-14") is None


@pytest.mark.parametrize(
    ("name", "model", "today", "said"),
    [
        *(
            (
                "groq",
                "groq/compound",
                date(2026, 9, day),
                f"groq/compound {verb} shut down at groq on 2026-09-21",
            )
            for day, verb in ((20, "will be"), (21, "was"))
        ),
        (
            "groq",
            "minimaxai/minimax-m2.7",
            None,
            "minimaxai/minimax-m2.7 requires an enterprise plan at groq",
        ),
        ("groq", "openai/gpt-oss-120b", None, ""),
        ("groq", "a-new-model", None, ""),
        ("openai", "gpt-5-mini", date(2026, 12, 10), "gpt-5-mini will be shut down at openai on 2026-12-11"),
        (
            "openai",
            "gpt-4.1-2025-04-14",
            date(2027, 2, 1),
            "gpt-4.1-2025-04-14 was shut down at openai on 2027-01-14",
        ),
    ],
)
def test_what_stands_in_the_way_of_a_model_is_known_without_asking(name, model, today, said):
    assert obstacle(PROVIDERS[name], model, today=today).partition(" (")[0] == said


def test_what_takes_the_place_of_a_model_is_said_with_it():
    assert obstacle(PROVIDERS["openai"], "gpt-5-mini").endswith("; gpt-6.1-terra replaces it")


def test_the_page_shows_each_price_as_it_is_in_the_data_and_each_model_that_is_gone():
    page = (Path(__file__).parents[2] / "docs/providers.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (groq|openai) \| `(.+)` \| (.+) \| (.+) \| (.+) \| (.+) \| (.+) \|$", page, re.MULTILINE
    )
    gone = re.findall(r"`([^`]+)` \((\d{4}-\d\d-\d\d)\)", page)

    def shown(dollars):
        return "?" if dollars is None else f"{dollars:g}"

    assert rows == [
        (
            one.provider,
            one.name,
            *(shown(p) for p in (one.input, one.cached, one.output)),
            one.as_of,
            one.source,
        )
        for one in MODELS
        if one.state != "gone"
    ]
    assert gone == [(one.name, one.gone) for one in MODELS if one.gone]


# --- whether a model is there


def test_a_model_that_is_there_is_found(models):
    assert check_model(models.groq, "openai/gpt-oss-20b") is None
    assert [path for path, _ in models.seen] == ["/openai/v1/models"]


def test_a_model_that_was_shut_down_is_named_with_its_day(models):
    with pytest.raises(ProviderError, match=r"llama-3.3-70b-versatile was shut down at groq on 2026-08-16"):
        check_model(models.groq, "llama-3.3-70b-versatile")


def test_a_model_that_is_not_there_is_told_with_the_nearest_that_are(models):
    with pytest.raises(ProviderError, match=r"groq has no model 'gpt-oss-20'\.") as error:
        check_model(models.groq, "gpt-oss-20")
    assert (error.value.argument, error.value.choices) == ("model", ("openai/gpt-oss-20b",))
    with pytest.raises(ProviderError, match=r"groq has no model 'zzz'\.") as error:
        check_model(models.groq, "zzz")
    assert error.value.choices == ("openai/gpt-oss-20b", "other")


def test_a_model_for_other_plans_says_so(models):
    with pytest.raises(ProviderError, match=r"minimaxai/minimax-m2.7 requires an enterprise plan at groq"):
        check_model(models.groq, "minimaxai/minimax-m2.7")


@pytest.mark.parametrize(
    "body", [[{"id": "a"}], ["a"], {"models": [{"name": "a"}]}, {"data": [{"id": "a"}, {"x": 1}, 3]}]
)
def test_other_shapes_of_the_list_are_read(models, body):
    models.said["body"] = body

    assert check_model(models.groq, "a") is None


@pytest.mark.parametrize(
    "said", [(404, {}), (405, b""), (501, {}), (200, b"<html>"), (200, {"data": None}), (200, b"\xff")]
)
def test_an_endpoint_without_a_list_is_borne_with_a_note(models, said):
    models.said["status"], models.said["body"] = said

    assert check_model(models.groq, "a") == "groq has no list of models, so a was not checked."


def test_an_endpoint_that_cannot_list_now_is_borne_with_a_note(models):
    models.said["status"] = 409

    assert (
        check_model(models.groq, "a") == "groq could not list its models (status 409), so a was not checked."
    )


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (401, r"groq rejects the API key in GROQ_API_KEY \(401\)"),
        (403, r"plan .* groq .* does not allow this \(403\).*console.groq.com/settings/billing"),
    ],
)
def test_a_key_that_is_refused_is_never_shown(models, monkeypatch, status, words):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_verysecret")
    models.said["status"], models.said["body"] = status, {"error": {"message": "bad key gsk_verysecret"}}

    with pytest.raises(ProviderError, match=words) as raised:
        check_model(models.groq, "a")

    assert models.seen[0][1]["authorization"] == "Bearer gsk_verysecret"
    assert "verysecret" not in str(raised.value)
    # The client's own error, which repeats it, is not even behind it.
    assert raised.value.__cause__ is raised.value.__context__ is None


def test_where_nobody_answers_it_says_so(monkeypatch):
    nobody = provider("local", base_url="http://127.0.0.1:9/v1")

    with pytest.raises(
        ProviderError, match=r"No response from http://127.0.0.1:9/v1\. Start it with: evalkit serve-local"
    ):
        check_model(nobody, "a")


def test_without_a_key_it_says_which_to_set(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "  ")

    with pytest.raises(
        ProviderError,
        match=r"API key for groq\. Set GROQ_API_KEY in the environment, or use provider='local'",
    ):
        check_model(GROQ, "a")


@pytest.mark.parametrize("key", ["gsk_abc\u2026xyz", "gsk_abc\nx", "gsk abc", "gsk_\x00"])
def test_what_cannot_be_a_key_is_told_without_showing_it(monkeypatch, key):
    monkeypatch.setattr("os.environ", {"GROQ_API_KEY": key})

    with pytest.raises(ProviderError, match="GROQ_API_KEY is not a valid API key") as raised:
        find_key(GROQ)

    assert "gsk" not in str(raised.value)


def test_a_key_is_in_no_text_of_a_client(monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "gsk_verysecret")

    client = connect(GROQ)

    assert "verysecret" not in repr(client) + str(client) + repr(GROQ)
    asyncio.run(client.close())
