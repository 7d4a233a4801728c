"""The fake server does what the documentation says of the real ones: what is tested against it rests on this."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import asynccontextmanager

import openai
import pytest

from evalkit.llm.providers import connect
from fakes import Answer, ApiError, BatchPlan, FakeServer, Fault

URL = "/v1/chat/completions"
SCHEMA = {
    "type": "object",
    "properties": {"reasoning": {"type": "string"}, "score": {"enum": [1, 2, 3, 4, 5]}},
    "required": ["reasoning", "score"],
    "additionalProperties": False,
}


@pytest.fixture
def groq():
    with FakeServer("groq") as fake:
        yield fake


@pytest.fixture
def other():
    with FakeServer("openai") as fake:
        yield fake


@asynccontextmanager
async def client(fake):
    made = connect(fake.provider())
    try:
        yield made
    finally:
        await made.close()


def body(fake, text="hi", **more):
    return {"model": fake.models[0], "messages": [{"role": "user", "content": text}], **more}


def line(fake, key, **changes):
    return {"custom_id": key, "method": "POST", "url": URL, "body": body(fake), **changes}


def call(fake, use):
    async def main():
        async with client(fake) as made:
            return await use(made)

    return asyncio.run(main())


def chat(fake, **asked):
    return call(fake, lambda c: c.chat.completions.create(**asked))


async def submit(c, lines, *, window="24h", name="a.jsonl"):
    text = lines if isinstance(lines, bytes) else b"".join(json.dumps(one).encode() + b"\n" for one in lines)
    file = await c.files.create(file=(name, text), purpose="batch")
    return await c.batches.create(input_file_id=file.id, endpoint=URL, completion_window=window)


async def finish(c, batch):
    for _ in range(10):
        batch = await c.batches.retrieve(batch.id)
        if batch.status in ("completed", "failed", "expired", "cancelled"):
            break
    read = []
    for key in (batch.output_file_id, batch.error_file_id):
        text = (await c.files.content(key)).content if key else b""
        read.append([json.loads(one) for one in text.split(b"\n") if one])
    return batch, *read


def through(fake, lines, **more):
    async def use(c):
        return await finish(c, await submit(c, lines, **more))

    return call(fake, use)


def test_a_batch_goes_through_its_states_and_its_results_are_in_no_order(groq):
    groq.answer = lambda asked: "yes"

    batch, good, bad = through(groq, [line(groq, f"r{n}") for n in range(50)])

    assert batch.status == "completed"
    assert re.fullmatch(r"batch_[0-9a-z]{26}", batch.id)
    assert re.fullmatch(r"file_[0-9a-z]{26}", batch.output_file_id)
    assert bad == []
    assert {one["custom_id"] for one in good} == {f"r{n}" for n in range(50)}
    assert [one["custom_id"] for one in good] != [f"r{n}" for n in range(50)]
    assert good[0]["response"]["body"]["choices"][0]["message"]["content"] == "yes"
    assert groq.files[batch.output_file_id][0]["purpose"] == "batch_output"
    assert set(groq.runs.values()) == {1}


def test_a_bad_line_fails_alone_at_groq_and_is_told_in_an_array(groq):
    lines = [line(groq, "a"), line(groq, "b", method="GET")]

    batch, good, bad = through(groq, lines)

    assert batch.status == "completed"
    assert [one["custom_id"] for one in good] == ["a"]
    assert bad[0]["error"]["code"] == "invalid_method"
    assert isinstance(batch.errors, list)
    assert batch.errors[0].line == 2
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 1)


@pytest.mark.parametrize(("second", "code"), [("a", "duplicate_custom_id"), ("b", "mismatched_model")])
def test_openai_fails_the_whole_batch_where_groq_runs_it(groq, other, second, code):
    def lines(fake):
        model = fake.models[0 if second == "a" else 1]
        return [line(fake, "a"), line(fake, second, body={**body(fake), "model": model})]

    failed, good, bad = through(other, lines(other))
    ran, both, _ = through(groq, lines(groq))

    assert (failed.status, good, bad) == ("failed", [], [])
    assert failed.errors.data[0].code == code
    assert (ran.status, len(both)) == ("completed", 2)


def test_expired_cancelled_and_missing_requests(groq):
    lines = [line(groq, f"r{n}") for n in range(3)]
    groq.plans = [
        BatchPlan(end="expired", run=2),
        BatchPlan(run=2, rest="missing"),
        BatchPlan(end="cancelled", run=0, rest="missing"),
    ]

    expired, good, bad = through(groq, lines)
    completed, some, none = through(groq, lines)
    cancelled, *empty = through(groq, lines)

    assert (expired.status, len(good), bad[0]["error"]["code"]) == ("expired", 2, "batch_expired")
    assert (expired.request_counts.completed, expired.request_counts.failed) == (2, 0)
    assert (completed.status, len(some), none) == ("completed", 2, [])
    assert (cancelled.status, cancelled.output_file_id, empty) == ("cancelled", None, [[], []])


def test_cancelling_is_a_state_of_its_own_and_what_has_begun_is_run(groq):
    groq.plans = [BatchPlan(run=1)]

    async def use(c):
        batch = await submit(c, [line(groq, "a"), line(groq, "b")])
        begun = await c.batches.cancel(batch.id)
        return begun, *(await finish(c, batch))

    begun, batch, good, bad = call(groq, use)

    assert (begun.status, batch.status) == ("cancelling", "cancelled")
    assert [one["custom_id"] for one in good] == ["a"]
    assert bad[0]["error"]["code"] == "batch_cancelled"


def test_a_window_that_runs_out_and_files_that_are_kept_for_thirty_days(groq):
    groq.plans = [BatchPlan(end=None)]

    async def use(c):
        batch = await submit(c, [line(groq, "a")])
        groq.shift += 86_401
        ended, *_ = await finish(c, batch)
        groq.shift += 31 * 86_400
        with pytest.raises(openai.NotFoundError):
            await c.files.content(batch.input_file_id)
        return ended

    assert call(groq, use).status == "expired"


@pytest.mark.parametrize(
    ("window", "fine"), [("24h", True), ("7d", True), ("48h", True), ("23h", False), ("8d", False)]
)
def test_windows_at_groq(groq, window, fine):
    if fine:
        assert through(groq, [line(groq, "a")], window=window)[0].status == "completed"
    else:
        with pytest.raises(openai.BadRequestError):
            through(groq, [line(groq, "a")], window=window)


def test_openai_has_one_window(other):
    with pytest.raises(openai.BadRequestError):
        through(other, [line(other, "a")], window="48h")


def test_limits_on_files(groq):
    groq.most_lines, groq.most_bytes = 2, 1_000

    batch, *_ = through(groq, [line(groq, f"r{n}", body={"model": "m"}) for n in range(3)])

    assert batch.status == "failed"
    assert batch.errors[0].code == "too_many_requests"
    with pytest.raises(openai.APIStatusError) as error:
        through(groq, b"x" * 1_001)
    assert error.value.status_code == 413
    with pytest.raises(openai.BadRequestError):
        through(groq, b"{}", name="a.txt")


def test_a_file_with_a_blank_line_or_a_byte_order_mark_is_told_off(other):
    good = json.dumps(line(other, "a")).encode()

    assert through(other, good + b"\n\n" + good)[0].status == "failed"
    assert through(other, b"\xef\xbb\xbf" + good)[0].status == "failed"


def test_a_free_plan_has_no_batches(groq):
    groq.plan = "free"

    with pytest.raises(openai.PermissionDeniedError) as error:
        through(groq, [line(groq, "a")])

    assert error.value.code == "not_available_for_plan"
    assert chat(groq, **body(groq)).choices


def test_what_a_batch_does_not_take(groq):
    lines = [
        line(groq, "a", body=body(groq, service_tier="flex")),
        line(groq, "b", body=body(groq, stream=True)),
    ]

    _, good, bad = through(groq, lines)

    assert good == []
    assert {one["response"]["status_code"] for one in bad} == {400}
    assert {one["error"] for one in bad} == {None}


def test_groq_lists_by_cursor_and_looks_up_many_at_once(groq):
    groq.page_size = 2

    async def use(c):
        made = [await submit(c, [line(groq, f"r{n}")]) for n in range(5)]
        pages, cursor = [], None
        while True:
            raw = await c.batches.with_raw_response.list(extra_query={"cursor": cursor} if cursor else None)
            page = json.loads(raw.http_response.content)
            pages.append([one["id"] for one in page["data"]])
            assert "has_more" not in page
            cursor = page["paging"].get("next_cursor")
            if not cursor:
                break
        some = await c.get(f"/batches?id={made[0].id}&id={made[3].id}", cast_to=dict[str, object])
        with pytest.raises(openai.BadRequestError):
            await c.get("/batches?" + "&".join(f"id={n}" for n in range(201)), cast_to=dict[str, object])
        return [one.id for one in made], pages, {one["id"] for one in some["data"]}

    made, pages, some = call(groq, use)

    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == made[::-1]
    assert some == {made[0], made[3]}


def test_openai_lists_after_an_id(other):
    other.page_size = 2

    async def use(c):
        made = [await submit(c, [line(other, f"r{n}")]) for n in range(5)]
        return [one.id for one in made], [one.id async for one in c.batches.list()]

    made, listed = call(other, use)

    assert listed == made[::-1]


def test_live_refusals_of_groq(groq):
    for more in ({"logprobs": True}, {"n": 2}, {"logit_bias": {"1": 1}}):
        with pytest.raises(openai.BadRequestError):
            chat(groq, **body(groq, **more))
    with pytest.raises(openai.NotFoundError) as error:
        chat(groq, **{**body(groq), "model": "llama-3.3-70b-versatile"})
    assert error.value.code == "model_not_found"
    groq.keys = {"right"}
    with pytest.raises(openai.AuthenticationError):
        chat(groq, **body(groq))


def form(*, strict):
    return {"type": "json_schema", "json_schema": {"name": "judgement", "strict": strict, "schema": SCHEMA}}


def test_an_answer_that_does_not_fit_its_schema(groq):
    groq.answer = lambda asked: {"score": 9}

    with pytest.raises(openai.BadRequestError) as error:
        chat(groq, **body(groq, response_format=form(strict=False)))
    kept = chat(groq, **body(groq, response_format=form(strict=True)))
    groq.plans = [BatchPlan()]
    _, good, bad = through(groq, [line(groq, "a", body=body(groq, response_format=form(strict=False)))])

    assert error.value.code == "json_validate_failed"
    assert kept.choices[0].message.content == '{"score": 9}'
    assert good == []
    assert bad[0]["response"]["body"]["error"]["code"] == "json_validate_failed"


def test_a_strict_schema_has_to_require_everything(groq):
    wrong = form(strict=True)
    wrong["json_schema"] = {**wrong["json_schema"], "schema": {**SCHEMA, "required": ["score"]}}

    with pytest.raises(openai.BadRequestError):
        chat(groq, **body(groq, response_format=wrong))
    with pytest.raises(openai.BadRequestError):
        chat(groq, **body(groq, model="qwen/qwen3.8-27b") | {"response_format": form(strict=True)})
    fine = chat(groq, **body(groq, response_format=form(strict=True)))

    assert json.loads(fine.choices[0].message.content) == {"reasoning": "text", "score": 5}


@pytest.mark.parametrize(
    "said",
    [
        Answer("", finish_reason="length"),
        Answer(None, refusal="I cannot."),
        Answer("<think>hm</think>4"),
        Answer("4", reasoning="because", usage=None),
    ],
)
def test_odd_completions(groq, said):
    groq.answer = lambda asked: said

    answer = chat(groq, **body(groq)).choices[0]

    assert (answer.message.content, answer.finish_reason) == (said.content, said.finish_reason)
    assert answer.message.refusal == said.refusal


def test_a_request_that_fails_by_what_answers_it(groq):
    def refuse(asked):
        raise ApiError(413, "Request too large", code="rate_limit_exceeded")

    groq.answer = refuse

    with pytest.raises(openai.APIStatusError) as error:
        chat(groq, **body(groq))

    assert (error.value.status_code, error.value.code) == (413, "rate_limit_exceeded")


@pytest.mark.parametrize("status", [500, 502, 503, 429, 498, 413])
def test_a_fault_hits_as_often_as_it_is_told(groq, status):
    groq.faults = [
        Fault("POST /chat/completions", status=status, headers={"retry-after": "2"}, times=1, skip=1)
    ]

    chat(groq, **body(groq))
    with pytest.raises(openai.APIStatusError) as error:
        chat(groq, **body(groq))
    chat(groq, **body(groq))

    assert error.value.status_code == status
    assert error.value.response.headers["retry-after"] == "2"
    assert sum(groq.bodies.values()) == 2


def test_a_create_is_accepted_and_its_answer_lost(groq):
    groq.faults = [
        Fault("POST /batches", after=True, drop=True),
        Fault("POST /batches", after=True, status=500),
    ]

    for _ in range(2):
        with pytest.raises(openai.APIError):
            through(groq, [line(groq, "a")])

    assert len(groq.batches) == 2
    assert groq.settle()["a"] == 2


def test_a_download_that_breaks_off_and_a_slow_upload(groq):
    groq.faults = [Fault("GET /files/{id}/content", truncate=10), Fault("POST /files", delay=0.05)]

    async def use(c):
        batch = await submit(c, [line(groq, "a")])
        with pytest.raises(openai.APIConnectionError):
            await finish(c, batch)
        return await finish(c, batch)

    assert len(call(groq, use)[1]) == 1


def test_files_and_ids_as_they_should_not_be(groq):
    groq.plans = [
        BatchPlan(absent="empty", counts="lying"),
        BatchPlan(run=0, absent="dangling"),
        BatchPlan(
            counts="null",
            order="sent",
            edit=lambda lines: b"\r\n".join([b"\xef\xbb\xbf" + lines[0], lines[1], b""]),
        ),
        BatchPlan(steps=("puzzled",) * 4, end=None),
    ]
    lines = [line(groq, "a"), line(groq, "b")]

    async def use(c):
        made = [await submit(c, lines) for _ in range(4)]
        first, *_ = await finish(c, made[0])
        with pytest.raises(openai.NotFoundError):
            await finish(c, made[1])
        for _ in range(5):
            third = await c.batches.retrieve(made[2].id)
            fourth = await c.batches.retrieve(made[3].id)
        return first, third, fourth, (await c.files.content(third.output_file_id)).content

    first, third, fourth, content = call(groq, use)

    assert first.error_file_id == ""
    assert third.request_counts is None
    assert content.startswith(b"\xef\xbb\xbf{")
    assert content.count(b"\r\n") == 2
    assert fourth.status == "puzzled"
