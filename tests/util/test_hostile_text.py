from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.util.hostile_text import Html, escape, json_for_script, mark, markdown, plain, visible

HOSTILE = [
    "</script><script>window.x=1</script>",
    "<img src=x onerror=window.x=1>",
    "[x](javascript:window.x=1)",
    "[x](JaVaScRiPt:window.x=1)",
    "[x](data:text/html,<script>1</script>)",
    "![tracker](https://example.com/p.png)",
    "<https://ok.example><svg onload=1>",
    '"><a href="javascript:1">',
    "<!-- --><style>*{display:none}</style>",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_keeps_hostile_text_as_text(text):
    html = markdown(text)

    tags = re.findall(r"<(\w+)([^>]*)>", html)
    assert {tag for tag, _ in tags} <= {"p", "a"}
    for tag, attributes in tags:
        assert re.fullmatch(r' href="https?://[^"]*" rel="[a-z ]*"' if tag == "a" else "", attributes)


def test_markdown_keeps_what_people_write_and_a_heading_is_none_of_the_page():
    html = markdown("# H\n\n- *a*\n\n| x | y |\n|---|---|\n| 1 | ~~2~~ |\n\n```py\nprint(1)\n```")

    for tag in ("strong", "li", "em", "table", "td", "s", "pre", "code"):
        assert f"<{tag}>" in html
    assert "<h1>" not in html


def test_links_open_without_telling_where_from():
    assert 'rel="noopener noreferrer nofollow"' in markdown("[x](https://example.com)")


def test_a_very_long_message_is_shown_without_parsing():
    html = markdown("**a** " * 20_000)

    assert html.startswith("<pre>**a**")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "␛[31mred␛[0m"),
        ("a\x00b", "a␀b"),
        ("a\u202eb", "a⟦U+202E⟧b"),
        ("a\u2066b\u2069", "a⟦U+2066⟧b⟦U+2069⟧"),
        ("a\U000e0041b", "a⟦U+E0041⟧b"),
        ("a\x9b31m", "a⟦U+009B⟧31m"),
        ("\ud800", "⟦U+D800⟧"),
        ("one\r\ntwo\tthree\rfour", "one\ntwo\tthree␍four"),
        ("naïve 👩‍👩‍👧 日本", "naïve 👩‍👩‍👧 日本"),
    ],
)
def test_what_hides_or_reorders_text_is_made_visible(text, shown):
    assert visible(text) == shown


@given(st.text(alphabet=st.characters(codec=None)))
def test_escaped_text_holds_no_markup_and_can_be_encoded(text):
    html = escape(text)

    html.encode("utf-8")
    assert not set("<>\"'") & set(html)


def test_a_leading_line_break_survives_pre():
    assert plain("\nx") == "<pre>\n\nx</pre>"


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_in_a_script_reads_back_equal_and_cannot_end_it(value):
    text = json_for_script(value)

    assert json.loads(text) == value
    assert "<" not in text


def test_json_in_a_script_refuses_what_is_not_json():
    with pytest.raises(ValueError, match="Out of range"):
        json_for_script(float("nan"))


def test_a_quotation_is_marked_across_tags_and_line_ends():
    html = mark(markdown("First *rely on\nthe* `order` of lines."), ["“rely on the order”"])

    assert (
        html == "<p>First <em><mark>rely on\nthe</mark></em> <code><mark>order</mark></code> of lines.</p>\n"
    )


def test_a_quotation_with_markup_in_it_is_marked_as_text():
    html = mark(plain("x <script>alert(1)</script> y"), ["<script>alert(1)</script> y"])

    assert html == "<pre>x <mark>&lt;script&gt;alert(1)&lt;/script&gt; y</mark></pre>"


def test_a_quotation_that_does_not_occur_marks_nothing():
    html = plain("some text here")

    assert mark(html, ["something else entirely"]) == html


def test_a_word_too_short_to_be_evidence_marks_nothing():
    assert "<mark>" not in mark(plain("the cat"), ["the"])


def test_overlapping_quotations_become_one_mark():
    html = mark(plain("abcdefghijklmnop"), ["abcdefghij", "efghijklmn"])

    assert html == "<pre><mark>abcdefghijklmn</mark>op</pre>"


def test_markup_of_ours_is_known_to_templates():
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string("{{ a }}{{ b }}")

    assert template.render(a=Html("<b>"), b="<i>") == "<b>&lt;i&gt;"


@pytest.mark.parametrize(
    "text",
    [
        "👩\u200d💻 ❤\ufe0f ⌨\ufe0f 1\ufe0f\u20e3 👩🏽\u200d🚀 🏳\ufe0f\u200d🌈",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        "می\u200cخواهم",
        "क्\u200dष",
        "葛\U000e0100",
    ],
)
def test_what_emoji_and_scripts_need_stays(text):
    assert visible(text) == text


@pytest.mark.parametrize(
    "sign",
    [
        "\u00ad",
        "\u200b",
        "\u200d",
        "\u034f",
        "\u3164",
        "\ufe0f",
        "\ufeff",
        "\u202e",
        "\u2063",
        "\U000e0041",
        "\U000e0100",
    ],
)
def test_what_is_drawn_as_nothing_is_made_visible(sign):
    assert visible(f"a{sign}b") == f"a⟦U+{ord(sign):04X}⟧b"
