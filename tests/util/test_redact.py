"""What is masked, what is left, and that neither depends on luck."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.judging.prompt_injection import neutralize
from evalkit.readers.load import load
from evalkit.util import redact as redaction
from evalkit.util.redact import check_patterns, describe, redact

DEMO = Path(__file__).parents[2] / "data" / "demo"
REAL = Path(__file__).parents[3] / "shared" / "data"
# Written in parts, so that no scanner takes this file for a leak.
BODY = "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
SECRETS = {
    "groq": "gsk_" + BODY,
    "openai": "sk-" + "proj-" + BODY,
    "anthropic": "sk-" + "ant-api03-" + BODY,
    "hugging face": "hf_" + BODY,
    "google": "AIza" + BODY[:35],
    "github": "ghp_" + BODY,
    "github fine": "github_pat_" + BODY,
    "gitlab": "glpat-" + BODY[:24],
    "aws": "AKIA" + "IOSFODNN7ABCDEFG",
    "slack": "xoxb-" + "123456789012-123456789012-" + "abcdefABCDEF",
    "stripe": "sk_" + "live_" + BODY[:24],
    "sendgrid": "SG." + BODY[:22] + "." + (BODY * 2)[:43],
    "telegram": "123456789:" + BODY[:35],
    "jwt": "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0NTY3ODkwIn0." + BODY,
    "npm": "npm_" + BODY,
}
IDS_OF_BOOKINGS = re.compile(r"\b(?:[A-Z0-9]{6}|HAT\d{3}|\w+_\d{7}|\d{4}-\d\d-\d\d)\b")
IDS = [
    "batch_01jr3k9x2v7m4n5p6q8r0s1t2u",
    "file_01jh6xa97be5vr2d3e4f5g6h7j",
    "batch-0f8fad5b-d9cb-469f-a165-70867728950e",
    "0f8fad5b-d9cb-469f-a165-70867728950e",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "d41d8cd98f00b204e9800998ecf8427e",
    "custom_id: row-000123",
    "request_counts: {total: 5000, completed: 3120}",
    "2026-09-07T20:02:00.123Z",
    "1,200 lines, 420 MB, 0.0003484",
    "version 2.10.117.4",
    "fe_0123456789",
    "ACcount",
    "1699999999999",
]


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("around", ["{}", "key is {}.", '{{"k": "{}"}}', "curl -H 'x: {}' \\", "a\n{}\nb"])
def test_a_secret_of_a_known_shape_does_not_survive(kind, around):
    secret = SECRETS[kind]

    made = redact([around.format(secret)])

    assert secret[6:] not in made.texts[0]
    assert "[secret-1]" in made.texts[0]
    assert made.counts == {"secret": 1}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('api_key = "q8w7e6r5t4y3"', "q8w7e6r5t4y3"),
        ("GROQ_API_KEY=0123456789abcdef0123", "0123456789abcdef0123"),
        ('{"arguments": "{\\"password\\": \\"hunter-two\\"}"}', "hunter-two"),
        ("client_secret: 9f8e7d6c5b4a3921", "9f8e7d6c5b4a3921"),
        ("Authorization: Bearer abcdef0123456789ABCDEF", "abcdef0123456789ABCDEF"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("postgres://ann:s3cretword@db/x", "s3cretword"),
        ("redis://:s3cretword@db:6379/0", "s3cretword"),
        ('{"Authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz"),
        ('{\\"Authorization\\": \\"Basic dXNlcjpwYXNz\\"}', "dXNlcjpwYXNz"),
        ("Driver={SQL};Server=db;Uid=ann;Pwd=tiger;", "tiger"),
        ("Server=db;Password={ti;ger};", "ti;ger"),
        ("password=Pa$$w0rd!", "Pa$$w0rd!"),
        ("password: tr0ub4dor&3", "tr0ub4dor&3"),
        ("--password=a(b)c[1]#x", "a(b)c[1]#x"),
        ("Cookie: session=8f14e45fceea167a; lang=de", "8f14e45fceea167a"),
        ("Set-Cookie: sid=s%3Aabcdef123456; Path=/; HttpOnly", "s%3Aabcdef123456"),
        (
            "https://a.blob.core.windows.net/c?sv=2024-11-04&sig=Zm9vYmFyMTIzNDU2Nzg5%3D",
            "Zm9vYmFyMTIzNDU2Nzg5",
        ),
        ("VAULT_ADDR hvs." + "CAESIJ1a2b3c4d5e6f7g8h9i", "CAESIJ1a2b3c4d5e6f7g8h9i"),
        ("gsk_" + "a1B2c3D4\u200be5F6g7H8" + "a1B2c3D4e5F6g7H8", "e5F6g7H8"),
        ("gs\u00adk_" + "a1B2c3D4e5F6g7H8a1B2c3D4e5F6g7H8", "a1B2c3D4"),
        ("//registry/:_authToken=00000000-1111-2222-3333-444444444444", "00000000-1111"),
    ],
)
def test_a_value_whose_name_says_that_it_is_secret_does_not_survive(text, secret):
    assert secret not in redact([text]).texts[0]


def test_a_private_key_is_masked_as_a_whole_also_where_its_end_is_missing():
    head = "-----BEGIN RSA " + "PRIVATE KEY-----"
    whole = f"{head}\nMIIEow\nIBAAKC\n{head.replace('BEGIN', 'END')}"

    assert redact([f"a {whole} b"]).texts == ("a [secret-1] b",)
    assert redact([f"a {head}\nMIIEow"]).texts == ("a [secret-1]",)


@pytest.mark.parametrize(
    "text",
    [
        'api_key = os.environ["GROQ_API_KEY"]',
        'api_key="YOUR_API_KEY"',
        "api_key=settings.groq.api_key,",
        "password: <your password here>",
        "max_token: 1000",
        '"usage": {"prompt_tokens": 123456789012, "total_tokens": 1234567890123}',
        "sort_key: created_at_then_name",
        "primary_key: customer_id_2024_v1",
        "cache_key=suite-v2-2026-11-30-abc123",
        "next_page_token: eyAicGFnZSI6IDIgfQ12",
        "num_token: 123456789012",
        "pip install sk-learn-contrib-extensions",
        "sk-learn-compatible-estimators-for-everyone",
        "the password: required for login",
        "password=get_password()",
        "password=${DB_PASSWORD}",
        "https://example.org/list?key=batch_01jr3k9x2v7m4n5p6q7r8",
        "git clone git@github.com:groq/groq-python.git",
        *IDS,
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact([text]).texts == (text,)


@pytest.mark.parametrize(
    "number",
    [
        "+49 30 901820",
        "+1 (415) 555-2671",
        "(415) 555-2671",
        "415-555-2671",
        "+442071838750",
        "+49\u00a030\u00a0901820",
        "415\u2011555\u20112671",
    ],
)
def test_a_phone_number_is_masked(number):
    assert redact([f"call {number}!"]).texts == ("call [phone-1]!",)


@pytest.mark.parametrize(
    "address",
    ["ann@site.org", "first.last+tag@mail.example.co.uk", "x_1@a-b.io", "jürgen@exämple.de", "анна@почта.рф"],
)
def test_an_email_address_is_masked(address):
    assert redact([f"write to <{address}>."]).texts == ("write to <[email-1]>.",)


def test_a_value_is_the_same_placeholder_in_all_texts_and_another_value_another():
    made = redact(["a@x.org and b@x.org", "b@x.org, a@x.org"])

    assert made.texts == ("[email-1] and [email-2]", "[email-2], [email-1]")
    assert made.counts == {"email": 2}


def test_a_placeholder_that_stands_there_already_is_given_to_nobody_else():
    assert redact(["[email-1] is not a@x.org"]).texts == ("[email-1] is not [email-2]",)


def test_custom_patterns_mask_their_group_and_come_first():
    made = redact(["customer 4711, mail 4711@x.org"], patterns={"customer": r"customer (\d+)"})

    assert made.texts == ("customer [customer-1], mail [email-1]",)


@pytest.mark.parametrize(
    ("patterns", "words"),
    [({"Big Kind": "x"}, "lower case letters"), ({"ticket": "("}, "is no regular expression")],
)
def test_a_pattern_that_cannot_be_used_is_told_in_one_sentence(patterns, words):
    with pytest.raises(ValueError, match=words):
        check_patterns(patterns)


def test_the_report_counts_and_never_tells():
    made = redact([SECRETS["groq"], "ann@site.org"])

    assert describe(made.counts) == "1 of kind email, 1 of kind secret"
    assert BODY not in repr(made.counts)


def test_nothing_in_the_demo_is_masked():
    turns = load(DEMO).turns
    texts = [text for name in ("content", "tool_calls") for text in turns[name].drop_nulls()]

    made = redact(texts)

    assert made.counts == {}
    assert made.texts == tuple(texts)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data are not here")
def test_in_real_transcripts_little_is_masked_and_no_id():
    raw = json.loads((REAL / "tau_bench" / "gpt-4o-airline.json").read_text(encoding="utf-8"))
    texts = [str(message) for trial in raw[:60] for message in trial["traj"]]

    made = redact(texts)

    # The made-up customers' addresses are the only thing in it that is personal; no id of a booking is taken for one.
    assert set(made.counts) == {"email"}
    for before, after in zip(texts, made.texts, strict=True):
        assert IDS_OF_BOOKINGS.findall(before) == IDS_OF_BOOKINGS.findall(after)


TEXT = st.lists(
    st.one_of(
        st.text(),
        st.sampled_from(
            [*SECRETS.values(), *IDS, "ann@site.org", "+49 30 901820", "[secret-1]", "password=", '"', "\\"]
        ),
        st.from_regex(r"(api_key|token|pwd|bearer)\s?[:= ]\s?\"?[\w\[\]-]{0,24}\"?", fullmatch=True),
    ),
    max_size=8,
).map("".join)


@given(st.lists(TEXT, max_size=4))
@settings(max_examples=400, deadline=None)
def test_masking_twice_is_masking_once(texts):
    once = redact(texts).texts

    again = redact(once)

    assert again.texts == once


@given(TEXT, st.sampled_from(sorted(SECRETS.values())), TEXT)
@settings(max_examples=300, deadline=None)
def test_no_secret_survives_whatever_stands_around_it(before, secret, after):
    made = redact([f"{before} {secret} {after}"])

    assert made.texts[0].count(secret[8:]) <= before.count(secret[8:]) + after.count(secret[8:])


def test_detect_secrets_is_only_loaded_where_it_is_used():
    assert "detect_secrets" not in vars(redaction)


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+1 234 567", False),
        ("+12 345 678", True),
        ("+123 12345 1234 123", True),
        # A number has at most fifteen digits (E.164).
        ("+123 12345 1234 1234", False),
    ],
)
def test_a_phone_number_has_eight_to_fifteen_digits(number, masked):
    assert redact([f"call {number}."]).texts == (("call [phone-1]." if masked else f"call {number}."),)


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "-eyJ",
            "AKIA",
            "sk-",
            "api_key",
            "+15551234567",
            "a@b.co",
            "://a:",
            "AKIA" + "B" * 16 + "ghp_" + "c" * 36,
        ),
        *(
            "key" + " " * 5_000,
            "GRADE" + " " * 5_000,
            "<data ",
            "<|",
            "password=",
            "-----BEGIN PRIVATE KEY-----",
        ),
    ],
)
def test_no_text_takes_longer_than_its_length(piece):
    """A transcript that is written to hold up whoever masks it: in seconds, where it was hours."""
    text = piece * (100_000 // len(piece))
    began = time.process_time()

    made = redact([text])
    neutralize(made.texts[0])

    assert time.process_time() - began < 10
    assert redact(made.texts).texts == made.texts


@pytest.mark.parametrize("between", [":", " = ", "=", " := ", "   ", "  =>  ", "::"])
def test_a_key_after_its_name_is_found_whatever_stands_between(between):
    assert "secret" in redact([f'"ibm_cloud_iam_key{between}{"a1-B_" * 8}a1b2"']).counts
