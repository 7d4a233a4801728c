"""Redact secrets, e-mail addresses, phone numbers and user patterns."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from evalkit.util.hostile_text import INVISIBLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

# No entropy plugins: they redact batch IDs and hashes. No IP plugin: it redacts version numbers.
_PLUGINS: Final = (
    *("aws.AWSKeyDetector", "azure_storage_key.AzureStorageKeyDetector", "cloudant.CloudantDetector"),
    *("discord.DiscordBotTokenDetector", "github_token.GitHubTokenDetector"),
    *("gitlab_token.GitLabTokenDetector", "ibm_cloud_iam.IbmCloudIamDetector"),
    *("ibm_cos_hmac.IbmCosHmacDetector", "mailchimp.MailchimpDetector"),
    "pypi_token.PypiTokenDetector",
    *("sendgrid.SendGridDetector", "slack.SlackDetector", "softlayer.SoftlayerDetector"),
    *("square_oauth.SquareOAuthDetector", "stripe.StripeDetector"),
    *("telegram_token.TelegramBotTokenDetector", "twilio.TwilioKeyDetector"),
)

# The first group is the secret, or the match if there is none.
_SECRETS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # A private key block, also one that is cut off.
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:.*?-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|.*)",
        r"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{8,500}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?",
        r"(?i)\bbearer\s{1,8}([a-z0-9._~+/\-]{16,}=*)",
        r"(?i)\bauthorization[\\\"']{0,4}\s{0,8}[:=]\s{0,8}[\\\"']{0,4}basic\s{1,8}([a-z0-9+/_\-]{8,}=*)",
        # The password in a URL, also without a user.
        r"(?<=://)([^\s:/?#\[\]@]*:[^\s/?#\[\]@]+)(?=@)",
        # The password in a connection string.
        r"(?i);\s{0,8}(?:pwd|password)\s{0,8}=\s{0,8}(\{[^}]{3,200}\}|[^;\s\"'{][^;\s\"']{2,})",
    )
)
# Keys with the prefix of a provider.
_PREFIXED: Final = re.compile(
    r"(?<![A-Za-z0-9])(?:gsk_|sk-(?:ant-|proj-|or-|svcacct-)?|hf_|xai-|r8_|pplx-|nvapi-|AIza|ya29\.|ghp_|gho_|ghu_|ghs_|ghr_"
    r"|github_pat_|glpat-|npm_|pypi-|xox[abeoprs]-|whsec_|[rs]k_(?:live|test)_|dckr_pat_|lsv2_|tvly-|shpat_|dop_v1_"
    r"|hv[sbr]\.)([A-Za-z0-9_\-]{16,})"
)
_RUN: Final = re.compile(r"[A-Za-z0-9]{8,}")
# A signature or a token in the query of an address.
_QUERY: Final = re.compile(
    r"(?i)[?&](?:sig|signature|x-amz-signature|x-amz-security-token|x-goog-signature|access_token|token|api_?key|key|auth)"
    r"=([A-Za-z0-9%+/=._~\-]{16,})"
)
_COOKIES: Final = re.compile(
    r"(?i)\b(?:set-)?cookie[\\\"']{0,4}\s{0,8}[:=]\s{0,8}[\\\"']{0,4}([^\r\n\"'\\]{8,})"
)
_COOKIE: Final = re.compile(
    r"(?i)(?<![^;\s\"'\\])(?!(?:path|domain|expires|max-age|samesite)=)[^=;\s]+=([^;\s]{8,})"
)
# A secret's name and its value. Quotes may have backslashes: JSON inside JSON.
_NAMED: Final = re.compile(
    r"""(?ix)
    (?:(?P<password>passw(?:or)?d|passphrase|pwd|secret)
      |api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|_?auth[_-]?token|access[_-]?token
      |(?P<other>[a-z0-9]_(?:key|token))|client[_-]?secret)
    (?:\\*["'])?\s*(?:=>|:=|==?|:)\s*
    (?:\\*["'](?P<quoted>[^\s"'\\]{6,})\\*["']
      |(?P<bare>[^\s"'\\,;(){}\[\]<>]{12,}(?=[\s"'\\,;(){}\[\]<>]|$))
      |(?P<signs>[^\s"'\\,;]{6,}))
    """
)
# What else is called a key or a token.
_NO_SECRET: Final = re.compile(
    "primary|foreign|sort|cache|partition|public|hash|range|group|join|unique|index|row|object|dict|lookup|shard|routing"
    "|idempotency|dedup|natural|composite|page|next|num|max|min|pad|eos|bos|unk|mask|sep|cls|stop|special"
    "|input|output|prompt|completion|continuation|per|last|first|start|end"
)
_LAST_WORD: Final = re.compile(r"[a-z0-9]+$", re.IGNORECASE)
# Stand-ins for a secret: a variable, a call, a placeholder.
_STAND_IN: Final = re.compile(
    r"(?i)[<${%].*|.*[(){}<>$].*|os\.environ.*|process\.env.*|your[_-].*|.*example.*|[x*.]+|none|null|true|false|(?:my[_-]?)?(?:password|secret|api[_-]?key|token)"
)
# The same for a password, which may have any sign.
_PASSWORD_STAND_IN: Final = re.compile(
    r"(?i)[<{%].*|\$[\w({].*|[\w.]+[(\[{](?:.*[)\]}]|[^)\]}]*)|os\.environ.*|process\.env.*|your[_-].*|.*example.*|[x*.]+|[\w.]+\)+"
)
_WORDS: Final = re.compile(r"(?i)[a-z]+(?:[_./:-]+[a-z]+)*[.!?)]*")
_ID: Final = re.compile(r"(?:batch|file|req|call|msg|run|row)[_-][A-Za-z0-9_-]+")
_EMAIL: Final = re.compile(
    r"(?<![\w.+-])(?!git@)\w[\w.%+-]{0,63}@\w(?:[\w-]{0,62}\.)+[^\W\d_]{2,24}(?![\w-])"
)
# With a country code, or in three North American groups: a looser pattern matches IDs and sums.
_GAP: Final = r"[ .\u00a0\u202f\u2011-]"
_PHONE: Final = re.compile(
    rf"(?<![\w.+/=-])(?:\+\d{{1,3}}{_GAP}?(?:\(\d{{1,5}}\){_GAP}?)?\d{{1,5}}(?:{_GAP}?\d{{2,5}}){{1,4}}"
    rf"|\(\d{{3}}\){_GAP}?\d{{3}}{_GAP}\d{{4}}|\d{{3}}({_GAP})\d{{3}}\1\d{{4}})(?![\w/=-]|\.\d)"
)
SHORTEST_KEY: Final = 20
# detect-secrets' separator backtracks over runs of spaces; the replacement does not.
_SLOW: Final = r"(?: *)(?:=|:|:=|=>| +|::)(?: *)"
_FAST: Final = r"(?: *+(?:=>|:=|::|=|:) *+| ++)"
# After this many passes whole words are redacted.
_PASSES: Final = 3
_SPACE: Final = re.compile(r"\s|$")
_SECRET_NAME: Final = re.compile(r"(?i)(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD)$")
# A shorter value occurs in texts by chance.
SHORTEST_SECRET: Final = 12
_PHONE_DIGITS: Final = range(8, 16)
_PLACEHOLDER: Final = re.compile(r"\[([a-z][a-z0-9_]*)-(\d+)\]")
_KIND: Final = re.compile(r"[a-z][a-z0-9_]*")


_Find: TypeAlias = "Callable[[str], Iterator[tuple[int, int]]]"


@dataclass(frozen=True, slots=True)
class Redacted:
    """Redacted texts, and how many distinct values of each kind were redacted."""

    texts: tuple[str, ...]
    counts: dict[str, int] = field(default_factory=dict)


def redact(texts: Iterable[str], *, patterns: Mapping[str, str] | None = None) -> Redacted:
    """Redact secrets, e-mail addresses and phone numbers in related texts.

    A secret of unknown shape without a telling name beside it is not found.

    Parameters
    ----------
    texts
        Texts in which equal values get the same placeholder, for example the messages of a trial.
    patterns
        Additional kinds (lower case letters) with a regular expression. Its first group is redacted, or the
        match if there is none.

    Returns
    -------
    Redacted
        Texts in the given order. Redacting them again changes nothing.

    Raises
    ------
    ValueError
        A kind or an expression is invalid.

    Examples
    --------
    >>> key = "gsk_" + "a1B2" * 8
    >>> redact([f"key={key} for ann@site.org", f"again {key}; batch_01jr3k stays"]).texts
    ('key=[secret-1] for [email-1]', 'again [secret-1]; batch_01jr3k stays')
    >>> redact(["ticket AB-12345"], patterns={"ticket": "AB-[0-9]+"})
    Redacted(texts=('ticket [ticket-1]',), counts={'ticket': 1})
    """
    masks = [
        (kind, _through_invisible(find))
        for kind, find in (
            *_own(patterns or {}),
            ("secret", _secrets),
            ("email", _matches(_EMAIL)),
            ("phone", _phones),
        )
    ]
    made = list(texts)
    names = _Names(made)
    before: list[str] = []
    for again in count():
        if made == before:
            break
        # Redacting one value may expose the start of the next.
        before = made
        for kind, find in masks:
            look = find if again < _PASSES else _to_the_end_of_words(find)
            made = [_mask(text, kind, look, names) for text in made]
    return Redacted(tuple(made), {kind: len(found) for kind, found in names.given.items()})


def hide_environment(text: str) -> str:
    """Remove the values of environment variables with names like `GROQ_API_KEY` from a text."""
    values = {
        value.strip()
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name) and len(value.strip()) >= SHORTEST_SECRET
    }
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, "***")
    return text


def check_patterns(patterns: Mapping[str, str]) -> None:
    """Raise `ValueError` for a custom pattern that cannot be used."""
    _own(patterns)


def describe(counts: Mapping[str, int]) -> str:
    """Return the counts as words.

    >>> describe({"secret": 1, "email": 3})
    '3 of kind email, 1 of kind secret'
    """
    return ", ".join(f"{count:,} of kind {kind}" for kind, count in sorted(counts.items()) if count)


class _Names:
    """Assign placeholders; one that already occurs in the texts is never reused."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.given: dict[str, dict[str, str]] = {}
        self.taken: dict[str, int] = {}
        for text in texts:
            for kind, number in _PLACEHOLDER.findall(text):
                if len(number) < 7:
                    self.taken[kind] = max(self.taken.get(kind, 0), int(number))

    def of(self, kind: str, value: str) -> str:
        have = self.given.setdefault(kind, {})
        if value not in have:
            have[value] = f"[{kind}-{self.taken.get(kind, 0) + len(have) + 1}]"
        return have[value]


def _mask(text: str, kind: str, find: _Find, names: _Names) -> str:
    """Replace the matches by placeholders; existing placeholders stay."""
    kept = [match.span() for match in _PLACEHOLDER.finditer(text)]
    made, last = [], 0
    for start, end in sorted(find(text)):
        # Of two overlapping matches, the rest of the second becomes its own value.
        for low, high in _around(max(start, last), end, kept):
            made += [text[last:low], names.of(kind, text[low:high])]
            last = high
    return "".join([*made, text[last:]]) if made else text


def _around(start: int, end: int, kept: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    first = max(bisect_right(kept, (start, start)) - 1, 0)
    for low, high in (kept[at] for at in range(first, len(kept))):
        if low >= end:
            break
        if high > start:
            if start < low:
                yield start, low
            start = high
    if start < end:
        yield start, end


def _own(patterns: Mapping[str, str]) -> list[tuple[str, _Find]]:
    made = []
    for kind, pattern in patterns.items():
        if not _KIND.fullmatch(kind):
            raise ValueError(
                f"The kind {kind!r} of a pattern may be lower case letters, digits and _, as in 'ticket'."
            )
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"The pattern {kind!r} is no regular expression: {error}.") from None
        made.append((kind, _matches(compiled)))
    return made


def _matches(pattern: re.Pattern[str]) -> _Find:
    group = 1 if pattern.groups else 0

    def find(text: str) -> Iterator[tuple[int, int]]:
        return (match.span(group) for match in pattern.finditer(text) if match[group])

    return find


def _to_the_end_of_words(find: _Find) -> _Find:
    """Extend each match to the next space, so that a long chain of matches is one match."""

    def found(text: str) -> Iterator[tuple[int, int]]:
        for start, end in find(text):
            stop = _SPACE.search(text, end)
            yield start, stop.start() if stop else end

    return found


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for match in _PHONE.finditer(text):
        if sum(sign.isdigit() for sign in match[0]) in _PHONE_DIGITS:
            yield match.span()


def _through_invisible(find: _Find) -> _Find:
    """Look for matches as a reader sees the text: characters without a picture do not split a secret."""

    def found(text: str) -> Iterator[tuple[int, int]]:
        if not INVISIBLE.search(text):
            yield from find(text)
            return
        places = [place for place, sign in enumerate(text) if not INVISIBLE.match(sign)]
        for start, end in find("".join(text[place] for place in places)):
            if start < end:
                yield places[start], places[end - 1] + 1

    return found


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    for pattern in _SECRETS:
        yield from (match.span(pattern.groups) for match in pattern.finditer(text))
    for match in _PREFIXED.finditer(text):
        # Words with hyphens ("sk-learn-contrib") are no key.
        if any(_is_random(run) for run in _RUN.findall(match[1])):
            yield match.span()
    for match in _QUERY.finditer(text):
        if _is_secret(match[1], sure=False):
            yield match.span(1)
    for match in _COOKIES.finditer(text):
        yield from (cookie.span(1) for cookie in _COOKIE.finditer(text, *match.span(1)))
    yield from _named_secrets(text)
    for pattern in _known_shapes():
        for match in pattern.finditer(text):
            # A longer word that contains the shape is no key, but a hash or an ID.
            if match.start() and text[match.start() - 1].isalnum() and match[0][0].isalnum():
                continue
            # A group that reaches the end is the secret; other groups are only its prefix.
            spans = [match.span(at) for at in range(1, pattern.groups + 1)]
            yield next((span for span in spans if span[1] - span[0] >= SHORTEST_KEY), match.span())


def _named_secrets(text: str) -> Iterator[tuple[int, int]]:
    for match in _NAMED.finditer(text):
        group = next(name for name in ("quoted", "bare", "signs") if match[name])
        if match["other"]:
            word = _LAST_WORD.search(text, max(match.start() - 40, 0), match.start() + 1)
            if word is None or _NO_SECRET.fullmatch(word[0].lower()):
                continue
        if match["password"]:
            if _is_password(match[group], sure=group == "quoted"):
                yield match.span(group)
        elif group != "signs" and _is_secret(match[group], sure=False):
            yield match.span(group)


def _is_random(run: str) -> bool:
    return any(map(str.isdigit, run)) or (len(run) >= 16 and not run.islower() and not run.isupper())


def _is_password(value: str, *, sure: bool) -> bool:
    if sure:
        return _is_secret(value, sure=True)
    has_signs = set(value) & set("$!@#^&*")
    return not (
        (not has_signs and _STAND_IN.fullmatch(value.rstrip(".)")))
        or _PASSWORD_STAND_IN.fullmatch(value)
        or _WORDS.fullmatch(value)
    )


def _is_secret(value: str, *, sure: bool) -> bool:
    """Whether a value with a secret's name is a secret, not a stand-in for one."""
    if _STAND_IN.fullmatch(value) or _ID.fullmatch(value):
        return False
    return sure or (not _WORDS.fullmatch(value) and any(map(str.isdigit, value)))


@lru_cache(maxsize=1)
def _known_shapes() -> tuple[re.Pattern[str], ...]:
    from importlib import import_module

    patterns: list[re.Pattern[str]] = []
    for name in _PLUGINS:
        module, _, kind = name.partition(".")
        plugin: Any = getattr(import_module(f"detect_secrets.plugins.{module}"), kind)
        patterns += (re.compile(one.pattern.replace(_SLOW, _FAST), one.flags) for one in plugin.denylist)
    return tuple(patterns)
