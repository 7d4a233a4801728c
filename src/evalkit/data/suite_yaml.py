"""Read YAML with line numbers; change values in place, keeping comments and quotes."""

from __future__ import annotations

import io
import json
import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
)
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

from evalkit.util.errors import SuiteError

Path = tuple[str | int, ...]

_DEEPEST = 12
_CORE = "tag:yaml.org,2002:"
_SCALARS = frozenset({"str", "int", "float", "bool", "null", "timestamp", "merge", "value"})
_WORDS = {
    "int": "a number",
    "float": "a number",
    "bool": "true or false",
    "null": "nothing",
    "timestamp": "a date",
}
# Parser messages in plain words.
_REASONS = (
    ("'\\t'", "a line is indented with a tab, and YAML takes only spaces"),
    ("another document", "a second document begins with ---, and only one is read"),
    ("<stream end>", "the file ends in the middle of a list, a mapping or a quoted text"),
    ("end of stream", "the file ends in the middle of a list, a mapping or a quoted text"),
    ("mapping values", "there is a second ': ' in one line; put the text in quotes"),
)
# Characters that YAML must escape, or that some parsers read as a line break.
_UNSAFE = re.compile("[^\t -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Document:
    """YAML as plain values, with the line and spelling of each."""

    data: dict[str, Any]
    lines: dict[Path, int] = field(repr=False)
    raw: dict[Path, tuple[str, str]] = field(repr=False)

    def line(self, path: Path) -> int:
        """Return the first line of the value at `path`, or of the nearest parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def taken_for(self, path: Path) -> tuple[str, str] | None:
        """Return the spelling and YAML type of an unquoted scalar, e.g. ("01", "a number")."""
        spelled, kind = self.raw.get(path, ("", ""))
        return (spelled, _WORDS[kind]) if kind in _WORDS else None


def parse(text: str, *, name: str) -> Document:
    r"""Read YAML text with a mapping at the top; `name` is used in messages.

    Raise `SuiteError` for invalid or empty YAML, another top, a repeated key, an alias or a tag.

    >>> document = parse("suite: demo\ncases: []\n", name="suite.yaml")
    >>> document.data, document.line(("cases",))
    ({'suite': 'demo', 'cases': []}, 2)
    """
    node = _compose(text, name=name)
    if node is None:
        raise SuiteError(f"{name}:1: the file is empty. Expected keys with values.")
    if not isinstance(node, MappingNode):
        found = "a list" if isinstance(node, SequenceNode) else "a single value"
        raise SuiteError(f"{name}:{_line(node)}: the file holds {found}. Expected keys with values.")
    document = Document({}, {}, {})
    document.data.update(_value(node, (), document, name))
    return document


def respell(text: str, old: dict[str, Any], new: dict[str, Any]) -> str:
    """Change a YAML text from the values `old` to `new`, editing only differences.

    Keys of the text that are in neither stay.
    """
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    crlf = "\r\n" in text
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    node = _compose(text, name="<text>")
    if node is None:
        return fresh(new)
    if not text.endswith("\n"):
        text += "\n"
    edits = _edits(text, node, old, new)
    text = _apply(text, 0, len(text), edits)
    return bom + (text.replace("\n", "\r\n") if crlf else text)


def fresh(data: Any) -> str:
    """Return `data` as YAML: long texts as blocks, ambiguous texts in quotes."""
    yaml = YAML(typ="rt", pure=True)
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    out = io.StringIO()
    yaml.dump(_styled(data), out)
    return out.getvalue()


# Reading


def _compose(text: str, *, name: str) -> Node | None:
    """Return the node tree; aliases and deep nesting are refused before recursion."""
    try:
        depth = 0
        for event in YAML(typ="safe", pure=True).parse(text.removeprefix("\ufeff")):
            if isinstance(event, AliasEvent):
                at = event.start_mark.line + 1
                raise SuiteError(f"{name}:{at}: *{event.anchor} is an alias; write the value out instead.")
            depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
            if depth > _DEEPEST:
                at = event.start_mark.line + 1
                raise SuiteError(f"{name}:{at}: the values are nested more than {_DEEPEST} deep.")
        node: Node | None = YAML(typ="safe", pure=True).compose(text.removeprefix("\ufeff"))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = " ".join(str(error.problem or error.context).split())
        reason = next((words for part, words in _REASONS if part in reason), reason)
        raise SuiteError(f"{name}:{mark.line + 1 if mark else 1}: this is not YAML: {reason}.") from error
    except YAMLError as error:
        line = text.count("\n", 0, max(int(getattr(error, "position", 0) or 0), 0)) + 1
        reason = str(error).partition("\n")[0].strip()
        raise SuiteError(f"{name}:{line}: this is not YAML: {reason}.") from error
    return node


def _value(node: Node, path: Path, document: Document, name: str) -> Any:
    document.lines[path] = _line(node)
    kind = str(node.tag).removeprefix(_CORE)
    if isinstance(node, ScalarNode):
        if kind not in _SCALARS:
            raise SuiteError(f"{name}:{_line(node)}: the tag {node.tag} is not understood; leave it out.")
        if node.style is None:
            document.raw[path] = (str(node.value), kind)
        return _scalar(node, kind)
    if isinstance(node, SequenceNode):
        return [_value(child, (*path, at), document, name) for at, child in enumerate(node.value)]
    data: dict[str | int, Any] = {}
    for key_node, child in node.value:
        key = _key(key_node, name)
        if key in data:
            first = document.line((*path, key))
            raise SuiteError(
                f"{name}:{_line(key_node)}: the key {str(key)!r} is there twice, first on line {first}."
            )
        data[key] = _value(child, (*path, key), document, name)
        document.lines[*path, key] = _line(key_node)
    # An empty `tags:` equals a missing one; the null of a word under `values:` says that it is unscored.
    return {key: value for key, value in data.items() if value is not None or path[-1:] == ("values",)}


def _key(node: Node, name: str) -> str | int:
    if not isinstance(node, ScalarNode):
        raise SuiteError(f"{name}:{_line(node)}: a key must be a word, not a list or a mapping.")
    # A score as a key, `4: ...`; any other key is text.
    return int(node.value) if re.fullmatch(r"-?\d+", node.value) else str(node.value)


def _scalar(node: ScalarNode, kind: str) -> Any:
    text = str(node.value)
    try:
        if kind == "int":
            return int(text.replace("_", ""), 0 if re.match(r"[-+]?0[xob]", text) else 10)
        if kind == "float":
            return float(text.replace("_", ""))
    except ValueError:
        return text
    if kind == "bool":
        return text.lower() == "true"
    return None if kind == "null" else text


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


# Changing


_Edit = tuple[int, int, str]


def _edits(text: str, node: Node, old: Any, new: Any, *, flow: bool = False) -> list[_Edit]:
    """Return the replacements (from, to, text) that change `node` from `old` to `new`.

    In `flow` style (brackets) there are no block texts.
    """
    if old == new:
        return []
    if isinstance(node, MappingNode) and isinstance(old, dict) and isinstance(new, dict):
        edits = _mapping_edits(text, node, old, new, flow=flow or bool(node.flow_style))
    elif isinstance(node, SequenceNode) and isinstance(old, list) and isinstance(new, list):
        edits = _sequence_edits(text, node, old, new, flow=flow or bool(node.flow_style))
    else:
        edits = None
    if edits is not None:
        return edits
    low, high = node.start_mark.index, _end(text, node)
    return [(low, high, _spelled(text, node, new, flow=flow))]


def _mapping_edits(
    text: str, node: MappingNode, old: dict[Any, Any], new: dict[Any, Any], *, flow: bool
) -> list[_Edit] | None:
    pairs = {_key(key, ""): (key, value) for key, value in node.value}
    gone = [key for key in pairs if key in old and key not in new]
    added = {key: value for key, value in new.items() if key not in pairs and old.get(key) != value}
    if not pairs or (node.flow_style and (gone or added)) or len(gone) == len(pairs):
        return None
    edits: list[_Edit] = []
    for key, (key_node, child) in pairs.items():
        if key in gone:
            edits.append(
                (_line_start(text, key_node.start_mark.index), _line_end(text, _end(text, child)), "")
            )
        elif key in new:
            edits += _edits(text, child, old.get(key), new[key], flow=flow)
    if added:
        at = _line_end(text, _end(text, node))
        edits.append((at, at, _block(added, indent=node.value[0][0].start_mark.column)))
    return edits


def _sequence_edits(
    text: str, node: SequenceNode, old: list[Any], new: list[Any], *, flow: bool
) -> list[_Edit] | None:
    children = list(node.value)
    if len(children) != len(old) or not children:
        return None
    if len(old) == len(new) and all(_name(a) == _name(b) for a, b in zip(old, new, strict=True)):
        return [
            e for c, a, b in zip(children, old, new, strict=True) for e in _edits(text, c, a, b, flow=flow)
        ]
    if node.flow_style or not new:
        return None
    # An item owns the lines after the previous item, so comments move with it.
    ends = [_line_end(text, _end(text, child)) for child in children]
    starts = [_first_line(text, node), *ends[:-1]]
    indent = node.start_mark.column
    pieces = []
    for piece, at in _matched(old, new):
        if at is None:
            pieces.append(_block([piece], indent=indent))
        else:
            pieces.append(_apply(text, starts[at], ends[at], _edits(text, children[at], old[at], piece)))
    return [(starts[0], ends[-1], "".join(pieces))]


def _matched(old: list[Any], new: list[Any]) -> list[tuple[Any, int | None]]:
    if any(isinstance(item, dict) for item in (*old, *new)):
        places = {_name(item): at for at, item in enumerate(old)}
        return [(item, places.get(_name(item))) for item in new]
    matched: list[tuple[Any, int | None]] = []
    for kind, a, b, c, d in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        matched += [(new[c + at], a + at if kind == "equal" or a + at < b else None) for at in range(d - c)]
    return matched


def _name(item: Any) -> Any:
    return item.get("id", item.get("name")) if isinstance(item, dict) else None


def _end(text: str, node: Node) -> int:
    """Return where a node's content ends; its end mark is after trailing comments."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(text, last[1] if isinstance(last, tuple) else last)
    low, high = int(node.start_mark.index), int(node.end_mark.index)
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        return low + len(text[low:high].rstrip())
    return high


def _apply(text: str, low: int, high: int, edits: list[_Edit]) -> str:
    pieces = []
    for start, end, by in sorted(edits, key=lambda edit: edit[:2]):
        pieces += [text[low:start], by]
        low = end
    return "".join([*pieces, text[low:high]])


def _line_start(text: str, at: int) -> int:
    return text.rfind("\n", 0, at) + 1


def _line_end(text: str, at: int) -> int:
    return text.find("\n", at) + 1 or len(text)


def _first_line(text: str, node: Node) -> int:
    """Return the start of the first item's line, or of the comments above it."""
    at = _line_start(text, node.start_mark.index)
    while at and re.match(r"[ ]*#", text[(above := _line_start(text, at - 1)) :]):
        at = above
    return at


# Writing


def _spelled(text: str, node: Node, new: Any, *, flow: bool) -> str:
    low = int(node.start_mark.index)
    line = text[_line_start(text, low) : low]
    indent = len(line) - len(line.lstrip(" -"))
    if isinstance(new, str):
        if (isinstance(node, ScalarNode) and node.style in ("|", ">")) or "\n" in new:
            block = _literal(new, indent=indent + 2)
            if block is not None and not flow and line.strip(" -").endswith(":"):
                return block
        plain = isinstance(node, ScalarNode) and node.style is None
        return new if plain and _is_plain(new) else _quoted(new)
    span = text[low : _end(text, node)]
    kept = re.findall(r"(?m)(?<!\S)#.*$", span) if isinstance(node, SequenceNode | MappingNode) else []
    if kept:
        # A comment in brackets stays in brackets.
        body = json_like(new)
        return body[0] + "".join(f" {comment}\n{' ' * (indent + 2)}" for comment in kept) + body[1:]
    return json_like(new)


def json_like(value: Any) -> str:
    """Return `value` on one line, as JSON that is valid YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json_like(k)}: {json_like(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(json_like(item) for item in value) + "]"
    if isinstance(value, str):
        return value if _is_plain(value) else _quoted(value)
    return json.dumps(value)


def _quoted(value: str) -> str:
    return _UNSAFE.sub(_escape, json.dumps(value, ensure_ascii=False))


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_plain(value: str) -> bool:
    """Whether `value` needs no quotes, in brackets too."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9 _./-]*(?<! )", value):
        return False
    # YAML 1.1 parsers read these as booleans.
    return value.lower() not in {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def _is_block(value: str) -> bool:
    """Whether `value` is preserved by a literal block."""
    return (
        bool(value.strip())
        and not value.startswith((" ", "\t", "\n"))
        and not value.endswith("\n\n")
        and not re.search(r"[ \t]$", value, re.MULTILINE)
        and not _UNSAFE.search(value.replace("\n", ""))
    )


def _literal(value: str, *, indent: int) -> str | None:
    if not _is_block(value):
        return None
    head = "|" if value.endswith("\n") else "|-"
    body = "\n".join(" " * indent + line if line else "" for line in value.rstrip("\n").split("\n"))
    return f"{head}\n{body}"


def _block(data: Any, *, indent: int) -> str:
    text = fresh(data)
    if isinstance(data, list):
        # ruamel indents a list for its parent, which is absent here.
        text = re.sub(r"(?m)^  ", "", text)
    return re.sub(r"(?m)^(?=.)", " " * indent, text)


def _styled(value: Any) -> Any:
    if isinstance(value, dict):
        # Empty values are dropped, except a score with an empty text.
        styled = ((_styled(k) if isinstance(k, str) else k, _styled(v)) for k, v in value.items())
        return CommentedMap((k, v) for k, v in styled if isinstance(k, int) or v not in (None, "", [], {}))
    if isinstance(value, list):
        items = CommentedSeq(_styled(item) for item in value)
        if not any(isinstance(item, str | dict) for item in value):
            items.fa.set_flow_style()
        return items
    if not isinstance(value, str) or _is_plain(value):
        return value
    if ("\n" in value or len(value) > 90) and _is_block(value):
        return LiteralScalarString(value)
    return DoubleQuotedScalarString(value)
