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
    named = [
        *range(0x80, 0xA0),  # C1: 0x9B begins an ANSI sequence in one byte
        *(0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF),
        *range(0x202A, 0x202F),  # bidi embeddings and overrides
        *range(0x2066, 0x206A),  # bidi isolates
        *range(0xE0000, 0xE0080),  # tag characters: text that is read by models and seen by nobody
    ]
    pictures.update({code: f"⟦U+{code:04X}⟧" for code in named})
    return pictures


_PICTURES: Final = _pictures()
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """Replace characters that hide or reorder text by visible signs.

    Control characters become their pictures; bidi, zero-width and tag characters their code point. Tabs and line
    ends stay.
    """
    text = text.replace("\r\n", "\n").translate(_PICTURES)
    return _SURROGATE.sub(lambda found: f"⟦U+{ord(found[0]):04X}⟧", text)


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
