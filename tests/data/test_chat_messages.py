"""One normalizer for the messages of every vendor: what is said, thought, called and returned; never bytes."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.data.chat_messages import content, find_messages, is_messages, turns

CALL = {"path": "a.py"}
BYTES = "iVBORw0KGgo" * 300
Row = tuple[str, str | None, str | None, str | None]

# Each says: the user asks, the assistant thinks and calls rm, the tool fails, the assistant answers.
ASK: Row = ("user", "Delete a.py.", None, None)
CALLED: Row = ("assistant", "I do.", "Hm.", "rm")
FAILED: Row = ("tool", "permission denied", None, None)
DONE: Row = ("assistant", "Done.", None, None)
WHOLE = [ASK, CALLED, FAILED, DONE]

SHAPES: dict[str, list[dict[str, Any]]] = {
    "OpenAI chat": [
        {"role": "user", "content": "Delete a.py."},
        {
            "role": "assistant",
            "content": "I do.",
            "reasoning_content": "Hm.",
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "rm", "arguments": json.dumps(CALL)}}
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "permission denied"},
        {"role": "assistant", "content": "Done."},
    ],
    "OpenAI chat, old": [
        {"role": "user", "content": "Delete a.py."},
        {
            "role": "assistant",
            "content": "I do.",
            "reasoning": "Hm.",
            "function_call": {"name": "rm", "arguments": json.dumps(CALL)},
        },
        {"role": "function", "name": "rm", "content": "permission denied"},
        {"role": "assistant", "content": "Done."},
    ],
    "OpenAI Responses": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Delete a.py."}]},
        {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I do."}]},
        {"type": "function_call", "id": "f", "call_id": "c1", "name": "rm", "arguments": json.dumps(CALL)},
        {"type": "function_call_output", "call_id": "c1", "output": "permission denied"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]},
    ],
    "Anthropic": [
        {"role": "user", "content": "Delete a.py."},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "x" * 400},
                {"type": "text", "text": "I do."},
                {"type": "tool_use", "id": "c1", "name": "rm", "input": CALL},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c1",
                    "content": [{"type": "text", "text": "permission denied"}],
                    "is_error": True,
                }
            ],
        },
        {"role": "assistant", "content": [{"type": "text", "text": "Done."}]},
    ],
    "LangChain": [
        {"type": "human", "content": "Delete a.py."},
        {
            "type": "ai",
            "content": "I do.",
            "additional_kwargs": {"reasoning_content": "Hm."},
            "tool_calls": [{"name": "rm", "args": CALL, "id": "c1", "type": "tool_call"}],
        },
        {"type": "tool", "content": "permission denied", "tool_call_id": "c1", "status": "error"},
        {"type": "ai", "content": "Done."},
    ],
    "LangChain, messages_to_dict": [
        {"type": "human", "data": {"content": "Delete a.py.", "type": "human"}},
        {
            "type": "ai",
            "data": {
                "content": [
                    {"type": "reasoning", "reasoning": "Hm."},
                    {"type": "text", "text": "I do."},
                    {"type": "tool_use", "id": "c1", "name": "rm", "input": CALL},
                ],
                "tool_calls": [{"name": "rm", "args": CALL, "id": "c1"}],
            },
        },
        {"type": "tool", "data": {"content": "permission denied", "tool_call_id": "c1"}},
        {"type": "ai", "data": {"content": "Done."}},
    ],
    "LangChain, dumps": [
        {
            "lc": 1,
            "type": "constructor",
            "id": ["langchain", "schema", "messages", name],
            "kwargs": kwargs,
        }
        for name, kwargs in [
            ("HumanMessage", {"content": "Delete a.py.", "type": "human"}),
            (
                "AIMessageChunk",
                {
                    "content": [{"type": "thinking", "thinking": "Hm."}, "I do."],
                    "tool_calls": [{"name": "rm", "args": CALL, "id": "c1"}],
                },
            ),
            ("ToolMessage", {"content": "permission denied", "tool_call_id": "c1"}),
            ("AIMessage", {"content": "Done."}),
        ]
    ],
    "Gemini": [
        {"role": "user", "parts": [{"text": "Delete a.py."}]},
        {
            "role": "model",
            "parts": [
                {"text": "Hm.", "thought": True},
                {"text": "I do."},
                {"functionCall": {"id": "c1", "name": "rm", "args": CALL}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "c1", "name": "rm", "response": {"text": "permission denied"}}}
            ],
        },
        {"role": "model", "parts": [{"text": "Done."}]},
    ],
    "Gemini, snake case": [
        {"role": "user", "parts": [{"text": "Delete a.py."}]},
        {
            "role": "model",
            "parts": [
                {"text": "Hm.", "thought": True},
                {"text": "I do."},
                {"function_call": {"id": "c1", "name": "rm", "args": CALL}},
            ],
        },
        {
            "role": "function",
            "parts": [
                {"function_response": {"id": "c1", "name": "rm", "response": {"text": "permission denied"}}}
            ],
        },
        {"role": "model", "parts": [{"text": "Done."}]},
    ],
    "ATIF": [
        {"step_id": 1, "source": "user", "message": "Delete a.py."},
        {
            "step_id": 2,
            "source": "agent",
            "message": "I do.",
            "reasoning_content": "Hm.",
            "tool_calls": [{"tool_call_id": "c1", "function_name": "rm", "arguments": CALL}],
            "observation": {"results": [{"source_call_id": "c1", "content": "permission denied"}]},
        },
        {"step_id": 3, "source": "agent", "message": "Done."},
    ],
    "GenAI spans": [
        {"role": "user", "parts": [{"type": "text", "content": "Delete a.py."}]},
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "I do."},
                {"type": "tool_call", "id": "c1", "name": "rm", "arguments": CALL},
            ],
        },
        {
            "role": "tool",
            "parts": [{"type": "tool_call_response", "id": "c1", "response": "permission denied"}],
        },
        {"role": "assistant", "parts": [{"type": "text", "content": "Done."}]},
    ],
    "Vercel AI SDK": [
        {"role": "user", "content": [{"type": "text", "text": "Delete a.py."}]},
        {
            "role": "assistant",
            "content": [
                {"type": "reasoning", "text": "Hm."},
                {"type": "text", "text": "I do."},
                {"type": "tool-call", "toolCallId": "c1", "toolName": "rm", "input": CALL},
            ],
        },
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "c1",
                    "toolName": "rm",
                    "output": [{"type": "text", "text": "permission denied"}],
                }
            ],
        },
        {"role": "assistant", "content": "Done."},
    ],
    "evalkit": [
        {"role": "user", "content": "Delete a.py."},
        {
            "role": "assistant",
            "content": "I do.",
            "reasoning": "Hm.",
            "tool_calls": [{"id": "c1", "name": "rm", "arguments": CALL}],
        },
        {"role": "tool", "tool_name": "rm", "tool_call_id": "c1", "content": "permission denied"},
        {"role": "assistant", "content": "Done."},
    ],
}


def rows(messages: list[Any]) -> list[Row]:
    return [
        (
            turn["role"],
            turn["content"],
            turn["reasoning"],
            turn["tool_calls"] and json.loads(turn["tool_calls"])[0]["name"],
        )
        for turn in turns(messages)
    ]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_says_the_same(shape: str) -> None:
    messages = SHAPES[shape]

    assert rows(messages) == WHOLE
    assert is_messages(messages)
    made = turns(messages)
    assert json.loads(made[1]["tool_calls"])[0]["arguments"] == CALL
    assert len(json.loads(made[1]["tool_calls"])) == 1
    assert made[2]["tool_name"] == "rm"
    assert find_messages({"messages": messages}) == messages


@pytest.mark.parametrize("shape", SHAPES)
def test_what_was_made_is_made_again(shape: str) -> None:
    made = turns(SHAPES[shape])
    again = turns([{**turn, "tool_calls": json.loads(turn["tool_calls"] or "[]")} for turn in made])

    assert again == made


def test_a_conversation_of_sharegpt() -> None:
    call = json.dumps({"name": "rm", "arguments": CALL})
    messages = [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Delete a.py."},
        {"from": "function_call", "value": call},
        {"from": "observation", "value": "permission denied"},
        {"from": "gpt", "value": "Done."},
    ]

    assert rows(messages) == [
        ("system", "Be brief.", None, None),
        ASK,
        ("assistant", None, None, "rm"),
        FAILED,
        DONE,
    ]


def test_a_failed_tool_and_a_refusal_are_marked() -> None:
    failed = turns(SHAPES["Anthropic"])[2]
    refused = turns([{"role": "assistant", "content": None, "refusal": "No."}])[0]
    in_parts = turns([{"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}])[0]

    assert failed["parts"] == '[{"type":"error"}]'
    assert (refused["content"], refused["parts"]) == ("No.", '[{"type":"refusal"}]')
    assert in_parts == refused


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BYTES}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BYTES}"}},
        {"type": "input_image", "image_url": f"data:image/png;base64,{BYTES}"},
        {"type": "input_audio", "input_audio": {"data": BYTES, "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": BYTES}},
        {"type": "document", "source": {"type": "base64", "data": BYTES}},
        {"inlineData": {"mimeType": "image/png", "data": BYTES}},
        {"type": "redacted_thinking", "data": BYTES},
        {"type": "thing of tomorrow", "blob": [BYTES, {"x": BYTES}]},
    ],
)
@pytest.mark.parametrize("place", ["message", "result", "nested"])
def test_media_keep_their_type_and_never_their_bytes(part: dict[str, Any], place: str) -> None:
    blocks: list[Any] = [{"type": "text", "text": "See: "}, part]
    if place == "result":
        blocks = [{"type": "tool_result", "tool_use_id": "c", "content": blocks}]
    elif place == "nested":
        blocks = [{"type": "message", "content": blocks}]

    (turn,) = turns([{"role": "user", "content": blocks}])

    assert turn["content"] == "See: "
    (kept,) = json.loads(turn["parts"])
    assert kept["type"] == part.get("type", "inlineData")
    assert BYTES[:40] not in json.dumps(turn)


def test_a_picture_that_was_made_or_seen_by_a_tool_is_no_text() -> None:
    items = [
        {"type": "image_generation_call", "id": "i", "result": BYTES},
        {
            "type": "computer_call_output",
            "call_id": "c",
            "output": {"type": "computer_screenshot", "image_url": f"data:image/png;base64,{BYTES}"},
        },
    ]

    made = turns(items)

    assert [turn["role"] for turn in made] == ["assistant", "tool"]
    assert made[0]["parts"] == '[{"type":"image"}]'
    assert BYTES[:40] not in json.dumps(made)


def test_a_text_after_a_result_is_a_turn_after_it() -> None:
    search = [
        {"type": "text", "text": "I look."},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "s",
            "content": [{"type": "web_search_result", "title": "T"}],
        },
        {"type": "text", "text": "Found."},
    ]
    both = [{"type": "tool_result", "tool_use_id": "s", "content": "1"}, {"type": "text", "text": "Go on."}]

    made = turns([{"role": "assistant", "content": search}, {"role": "user", "content": both}])

    assert [(turn["role"], turn["content"]) for turn in made] == [
        ("assistant", "I look."),
        ("tool", None),
        ("assistant", "Found."),
        ("tool", "1"),
        ("user", "Go on."),
    ]
    assert "web_search_result" in made[1]["parts"]


def test_parallel_calls_are_one_turn_and_each_result_names_its_tool() -> None:
    items = [
        {"type": "function_call", "call_id": "a", "name": "ls", "arguments": "{}"},
        {"type": "function_call", "call_id": "b", "name": "cat", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "b", "output": "B"},
        {"type": "function_call_output", "call_id": "a", "output": {"x": 1}},
        {"type": "mcp_call", "id": "m", "name": "ask", "arguments": "{}", "output": "C"},
        {"type": "web_search_call", "id": "w", "action": {"query": "q"}},
    ]

    made = turns(items)

    assert [len(json.loads(turn["tool_calls"] or "[]")) for turn in made] == [2, 0, 0, 1, 0, 1]
    assert [(t["tool_name"], t["content"]) for t in made if t["role"] == "tool"] == [
        ("cat", "B"),
        ("ls", '{"x":1}'),
        ("ask", "C"),
    ]
    assert json.loads(made[-1]["tool_calls"])[0]["name"] == "web_search"


def test_keys_without_a_column_are_counted() -> None:
    ignored: Counter[str] = Counter()

    turns(
        [
            {"role": "user", "content": "a", "mystery": 1, "name": "Bob"},
            {"role": "user", "content": "b", "mystery": 2, "logprobs": None},
        ],
        ignored=ignored,
    )

    assert ignored == {"mystery": 2, "name": 1}


@pytest.mark.parametrize(
    ("value", "roles"),
    [
        ({"choices": [{"message": {"role": "assistant", "content": "a"}}]}, ["assistant"]),
        ({"candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}}]}, ["assistant"]),
        ({"type": "message", "role": "assistant", "content": [{"type": "text", "text": "a"}]}, ["assistant"]),
        (
            {
                "system": "s",
                "messages": [{"role": "user", "content": "q"}],
                "response": {"role": "assistant", "content": "a"},
            },
            ["system", "user", "assistant"],
        ),
        (
            {
                "request": {"messages": [{"role": "user", "content": "q"}]},
                "response": {"choices": [{"message": {"role": "assistant", "content": "a"}}]},
            },
            ["user", "assistant"],
        ),
        (json.dumps([{"role": "user", "content": "q"}]), ["user"]),
        (
            {
                "input": [{"role": "user", "content": "q"}],
                "output": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            },
            ["user", "assistant"],
        ),
        ({"question": "q", "answer": "a"}, []),
        ([{"role": "admin", "score": 1}], []),
        ("text", []),
        (None, []),
    ],
)
def test_messages_are_found_in_requests_and_responses(value: Any, roles: list[str]) -> None:
    assert [turn["role"] for turn in turns(find_messages(value))] == roles


def test_deep_nesting_ends() -> None:
    nested: Any = {"type": "text", "text": "x"}
    for _ in range(400):
        nested = {"type": "tool_use", "id": "1", "name": "f", "input": {}, "result": [nested]}
    lists: Any = "x"
    for _ in range(400):
        lists = [lists]

    made = turns(
        [
            {"role": "user", "content": [nested]},
            {"role": "user", "content": lists, "reasoning": lists, "parts": lists},
            {"role": "assistant", "tool_calls": [{"id": "1", "name": "f", "arguments": lists}]},
            {"role": "assistant", "content": [{"type": "strange", "x": lists}]},
        ]
    )

    assert made
    assert all(len(json.dumps(turn)) < 20_000 for turn in made)


def test_a_huge_block_is_read() -> None:
    text = "x" * 5_000_000

    made = turns(
        [{"role": "assistant", "content": [{"type": "text", "text": text}, {"type": "odd", "y": text}]}]
    )

    assert made[0]["content"] == text
    assert len(made[0]["parts"]) < 200


ANY = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.integers() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                (
                    *(
                        "type",
                        "role",
                        "content",
                        "parts",
                        "text",
                        "tool_calls",
                        "function",
                        "name",
                        "arguments",
                    ),
                    *("id", "input", "result", "functionCall", "functionResponse", "observation", "results"),
                    *(
                        "reasoning",
                        "thinking",
                        "summary",
                        "data",
                        "kwargs",
                        "message",
                        "from",
                        "value",
                        "refusal",
                    ),
                    *(
                        "additional_kwargs",
                        "audio",
                        "images",
                        "source",
                        "turn",
                        "output",
                        "is_error",
                        "error",
                    ),
                )
            ),
            inner
            | st.sampled_from(
                (
                    "text",
                    "tool_use",
                    "tool_result",
                    "function_call",
                    "reasoning",
                    "user",
                    "assistant",
                    "tool",
                    "ai",
                )
            ),
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(messages=st.lists(ANY, max_size=4))
def test_whatever_stands_in_a_message_is_a_turn_of_texts(messages: list[Any]) -> None:
    for turn in turns(messages):
        assert all(value is None or isinstance(value, str) for name, value in turn.items() if name != "turn")
        for name in ("tool_calls", "parts"):
            assert turn[name] is None or isinstance(json.loads(turn[name]), list)
    is_messages(messages)
    assert isinstance(find_messages(messages), list)
    assert all(value is None or isinstance(value, str) for value in content(messages))


@settings(max_examples=100, deadline=None)
@given(odd=ANY, place=st.integers(0, 4))
def test_an_odd_message_costs_no_other(odd: Any, place: int) -> None:
    messages: list[Any] = list(SHAPES["OpenAI chat"])
    texts = [turn["content"] for turn in turns(messages)]
    messages.insert(place, odd)

    made = [turn["content"] for turn in turns(messages)]

    assert [text for text in made if text in texts].count("Delete a.py.") >= 1
    assert set(texts) <= set(made)


def test_a_call_after_the_text_of_a_reply_belongs_to_it() -> None:
    text = {"type": "output_text", "text": "I look."}
    reply = {"type": "message", "role": "assistant", "content": [text]}
    call = {"type": "function_call", "call_id": "c", "name": "ls", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "a.py"}

    made = turns([reply, call, output, reply])

    assert [(turn["role"], turn["content"]) for turn in made] == [
        ("assistant", "I look."),
        ("tool", "a.py"),
        ("assistant", "I look."),
    ]
    assert [bool(turn["tool_calls"]) for turn in made] == [True, False, False]


def test_texts_around_a_call_do_not_run_together() -> None:
    call = {"type": "tool_use", "id": "c", "name": "ls", "input": {}}
    texts = [{"type": "text", "text": text} for text in ("One.", "Two.", "Three.")]

    (turn,) = turns([{"role": "assistant", "content": [texts[0], texts[1], call, texts[2]]}])

    assert turn["content"] == "One.Two.\nThree."


def test_a_short_data_url_is_no_fact_and_no_result() -> None:
    url = "data:image/png;base64,iVBORw0KGgo="
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    result = {"type": "function_call_output", "call_id": "c", "output": {"image": url, "width": 3}}

    asked, seen = turns([{"role": "user", "content": [part]}, result])

    assert json.loads(asked["parts"]) == [
        {"type": "image_url", "image_url": {"url": "(data:image/png, 34 characters)", "detail": "low"}}
    ]
    assert json.loads(seen["content"]) == {"image": "(data:image/png, 34 characters)", "width": 3}
