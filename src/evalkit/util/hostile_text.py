"""Show untrusted text safely: escape it, reveal control characters, render Markdown, mark quotes."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from html import escape as _escape
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from markdown_it import MarkdownIt

# Beyond this, Markdown costs more than it shows (the parser does about 0.4 MB a second).
MARKDOWN_LIMIT: Final = 20_000

_TAGS: Final = {
    *("p", "br", "strong", "em", "s", "del", "code", "pre", "blockquote", "hr", "a"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"),
}
_SPLIT: Final = re.compile(r"(<[^>]*>)")
_UNIT: Final = re.compile(r"&[#\w]+;|.", re.DOTALL)
# Characters ignored when a quotation is matched.
_SKIPPED: Final = frozenset(" \t\n\r\u00a0*_`#>|\"'“”‘’")
_SHORTEST_QUOTE: Final = 8
_SKIP: Final = dict.fromkeys(map(ord, _SKIPPED))


class Html(str):
    """Trusted markup, which templates do not escape again. Its `str` methods return a plain `str`."""

    __slots__ = ()

    def __html__(self) -> str:
        """Return the markup to template engines and IPython."""
        return str(self)


def _pictures() -> dict[int, str]:
    pictures = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\t\n"}
    pictures[0x7F] = "\u2421"
    # C1 controls (0x9B begins an ANSI sequence in one byte), line and paragraph separators.
    pictures.update({code: _code_point(chr(code)) for code in (*range(0x80, 0xA0), 0x2028, 0x2029)})
    return pictures


def _code_point(sign: str) -> str:
    return f"⟦U+{ord(sign):04X}⟧"


_PICTURES: Final = _pictures()
# Default_Ignorable_Code_Point of Unicode 16.0: characters that a reader does not see.
INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""A character that is drawn as nothing."""
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
# What is drawn as nothing, where it is needed: emoji are joined and coloured by it, letters of some scripts shaped.
_EMOJI: Final = "[#*0-9\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u27bf\u2934-\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
_SHAPED: Final = "[\u0600-\u08ff\u0900-\u0dff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u1800-\u18af]"
_HAN: Final = "[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
_NEEDED: Final = re.compile(
    f"(?<={_EMOJI})\ufe0f?\u200d(?={_EMOJI})|(?<={_EMOJI})[\ufe0e\ufe0f]|(?<={_SHAPED})[\u200c\u200d](?={_SHAPED})"
    f"|(?<=[\u1820-\u18aa])[\u180b-\u180d]|(?<={_HAN})[\ufe00-\ufe02\U000e0100-\U000e01ef]"
    # The flags of England, Scotland and Wales are spelled in invisible letters.
    "|(?<=\U0001f3f4)\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)\U000e007f"
)
_SHOWN: Final = re.compile(f"({_NEEDED.pattern})|{INVISIBLE.pattern}")


def visible(text: str) -> str:
    """Replace characters that hide or reorder text by visible signs.

    Control characters become their pictures; characters drawn as nothing and those that reorder text become their code
    point, except inside emoji and in scripts that need them. Tabs and line ends stay.
    """
    text = text.replace("\r\n", "\n").translate(_PICTURES)
    if INVISIBLE.search(text):
        text = _SHOWN.sub(lambda found: found[1] or _code_point(found[0]), text)
    return _SURROGATE.sub(lambda found: _code_point(found[0]), text)


def escape(text: object) -> Html:
    """Escape text for an HTML element or a quoted attribute."""
    return Html(_escape(visible(str(text)), quote=True))


@lru_cache(maxsize=1)
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # No linkify: it finds links inside attribute text that was escaped already.
    made = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    made.add_render_rule("heading_open", lambda *_: "<p><strong>")
    made.add_render_rule("heading_close", lambda *_: "</strong></p>\n")
    return made


def markdown(text: str) -> Html:
    """Convert untrusted Markdown to safe HTML: no raw markup, no images, only http and https links.

    Headings become bold paragraphs. Text over 20,000 characters is shown as plain text.
    """
    if len(text) > MARKDOWN_LIMIT:
        return plain(text)
    import nh3

    return Html(
        nh3.clean(
            _parser().render(visible(text)),
            tags=_TAGS,
            attributes={"a": {"href"}},
            url_schemes={"http", "https"},
            link_rel="noopener noreferrer nofollow",
        )
    )


def to_tree(html: Html) -> list[Any]:
    r"""Return markup of this module as strings and [tag, children, link address] lists.

    >>> to_tree(markdown("**yes** <b>no</b>"))
    [['p', [['strong', ['yes'], None], ' <b>no</b>'], None], '\n']
    """
    from html.parser import HTMLParser

    root: list[Any] = ["", [], None]
    open_ones = [root]

    class Builder(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            made: list[Any] = [tag, [], dict(attrs).get("href")]
            open_ones[-1][1].append(made)
            if tag not in ("br", "hr"):
                open_ones.append(made)

        def handle_endtag(self, tag: str) -> None:
            if tag not in ("br", "hr") and len(open_ones) > 1:
                open_ones.pop()

        def handle_data(self, data: str) -> None:
            open_ones[-1][1].append(data)

    builder = Builder()
    builder.feed(html)
    builder.close()
    made: list[Any] = root[1]
    return made


def plain(text: str) -> Html:
    """Return text in a `<pre>` element."""
    # HTML drops one line break right after <pre>.
    return Html(f"<pre>{chr(10) if text.startswith(chr(10)) else ''}{escape(text)}</pre>")


def json_for_script(value: object) -> Html:
    r"""Return JSON that is safe inside a `<script>` element.

    >>> json_for_script({"a": "</script>"})
    '{"a":"\\u003c/script>"}'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    return Html(text.replace("<", "\\u003c"))


def quotes(evidence: str) -> list[str]:
    """Return the passages of an evidence text: all of it, its lines, and the parts around "...".

    >>> quotes("map by line ... zip(inputs, outputs)")
    ['map by line ... zip(inputs, outputs)', 'map by line', 'zip(inputs, outputs)']
    """
    whole = evidence.strip()
    parts = [part.strip() for part in re.split(r"\n+|\.{3,}|…|\[\.\.\.\]", whole)]
    return list(dict.fromkeys(part for part in [whole, *parts] if len(_bare(part)) >= _SHORTEST_QUOTE))


def find_quotes(text: str, evidence: Iterable[str]) -> list[tuple[int, int]]:
    """Return the (start, end) of quoted passages in a text, sorted, without overlaps.

    Spaces, line ends, quotation marks, case and Markdown signs are ignored.

    >>> find_quotes("We rely on the **output order** here.", ["rely on the output order"])
    [(3, 29)]
    """
    wanted = _wanted(evidence, _bare(text))
    if not wanted:
        return []
    places = [at for at, letter in enumerate(text) for _ in _bare(letter)]
    return _merged([(places[start], places[end - 1] + 1) for start, end in _found(_bare(text), wanted)])


def holds_quote(text: str, evidence: str) -> bool:
    """Whether a text contains a passage of the evidence, by the rules of `find_quotes`.

    >>> holds_quote("We rely on the **output order** here.", "the output order")
    True
    """
    return bool(_wanted([evidence], _bare(text)))


def mark(html: Html, evidence: Iterable[str]) -> Html:
    """Wrap quoted passages in `<mark>`, by the rules of `find_quotes`; tags are never inside."""
    pieces = _SPLIT.split(html)
    wanted = _wanted(evidence, _bare(_unescape("".join(pieces[::2]))))
    if not wanted:
        return html
    # Every compared character with its original place.
    letters: list[str] = []
    places: list[tuple[int, int, int]] = []
    for at in range(0, len(pieces), 2):  # the odd ones are tags
        for unit in _UNIT.finditer(pieces[at]):
            for letter in _bare(_unescape(unit[0])):
                letters.append(letter)
                places.append((at, unit.start(), unit.end()))
    spans: dict[int, list[tuple[int, int]]] = {}
    for start, end in _found("".join(letters), wanted):
        _note_span(spans, places[start:end])
    for at, found in spans.items():
        pieces[at] = _wrap(pieces[at], found)
    return Html("".join(pieces))


def _wanted(evidence: Iterable[str], bare: str) -> list[str]:
    passages = dict.fromkeys(_bare(visible(quote)) for one in evidence for quote in quotes(one))
    return [passage for passage in passages if passage in bare]


def _found(bare: str, wanted: Iterable[str]) -> Iterator[tuple[int, int]]:
    for quote in wanted:
        start = bare.find(quote)
        while start >= 0:
            end = start + len(quote)
            yield start, end
            start = bare.find(quote, end)


def _bare(text: str) -> str:
    return text.casefold().translate(_SKIP)


def _unescape(unit: str) -> str:
    from html import unescape

    return unescape(unit) if "&" in unit else unit


def _note_span(spans: dict[int, list[tuple[int, int]]], places: list[tuple[int, int, int]]) -> None:
    """Add the first and last place of a passage in each piece of text that it covers."""
    for at in dict.fromkeys(place[0] for place in places):
        inside = [place for place in places if place[0] == at]
        spans.setdefault(at, []).append((inside[0][1], inside[-1][2]))


def _wrap(piece: str, spans: list[tuple[int, int]]) -> str:
    made, last = [], 0
    for start, end in _merged(spans):
        made += [piece[last:start], "<mark>", piece[start:end], "</mark>"]
        last = end
    return "".join([*made, piece[last:]])


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged
