"""Words for sentences: counts, lists, the nearest valid name, options."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


NOT_GIVEN: Final = "not given"
"""Stands in tables, charts and pages for a missing severity, version or model."""


def did_you_mean(name: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the option nearest to `name`, or "".

    >>> did_you_mean("aget_version", ["agent", "agent_version", "model"])
    " Did you mean 'agent_version'?"
    """
    near = get_close_matches(str(name), [str(option) for option in options], n=1, cutoff=0.6)
    return f" Did you mean {near[0]!r}?" if near else ""


def join_words(options: Iterable[object], *, limit: int = 12) -> str:
    """Join options for a sentence; count those after `limit`.

    >>> join_words(range(20), limit=3)
    '0, 1, 2 and 17 more'
    """
    words = [str(option) for option in options]
    if len(words) > limit:
        return f"{', '.join(words[:limit])} and {len(words) - limit:,} more"
    return ", ".join(words) if words else "none"


def either(options: Iterable[object], *, limit: int = 12) -> str:
    """Join alternatives for a sentence; count those after `limit`.

    >>> either("abc"), either("abc", limit=2)
    ('a, b or c', 'a, b and 1 more')
    """
    words = [str(option) for option in options]
    return (
        " or ".join([", ".join(words[:-1]), words[-1]])
        if 1 < len(words) <= limit
        else join_words(words, limit=limit)
    )


def plural(count: int, word: str, *, plural: str = "") -> str:
    """Return a count with its noun.

    >>> plural(1, "case"), plural(2000, "case"), plural(2, "criterion", plural="criteria")
    ('1 case', '2,000 cases', '2 criteria')
    """
    return f"{count:,} {word if count == 1 else plural or f'{word}s'}"


def as_names(names: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return one name, several or none as a tuple."""
    return (names,) if isinstance(names, str) else tuple(() if names is None else names)


def printable(text: str) -> str:
    """Replace every control character but the line break: safe for a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


class Option:
    r"""An argument of the library, and its command-line option.

    Without a value only the argument is named. `python` and `shell` override the spellings.

    >>> option = Option("margin", {"pass_rate": 0.05})
    >>> str(option), option.shell
    ("margin={'pass_rate': 0.05}", '--margin pass_rate=0.05')
    >>> Option("grader", 'a "b" $(c)').shell
    '--grader \'a "b" $(c)\''
    """

    __slots__ = ("name", "python", "shell", "value")

    def __init__(self, name: str, value: Any = ..., *, python: str = "", shell: str = "") -> None:
        self.name = name
        self.value = value
        self.python = python or (name if value is ... else f"{name}={value!r}")
        self.shell = shell or _shell_option(f"--{name.replace('_', '-')}", value)

    def __str__(self) -> str:
        return self.python

    def __repr__(self) -> str:
        return f"Option({self.python})"


class Sentence(str):
    """Text with arguments: a `str` spelled for Python; `for_shell` spells it for the command line.

    `{names}` in the template are replaced by the parts.

    >>> text = Sentence("Pass {grader}.", grader=Option("grader", "demo judge"))
    >>> print(text, text.for_shell())
    Pass grader='demo judge'. Pass --grader 'demo judge'.
    """

    template: str
    parts: Mapping[str, object]

    def __new__(cls, template: str, **parts: object) -> Sentence:  # noqa: D102
        text = super().__new__(cls, template.format_map(parts) if parts else template)
        text.template, text.parts = template, parts
        return text

    def for_shell(self) -> str:
        """Return the text with command-line options."""
        if not self.parts:
            return self.template
        return self.template.format_map({name: for_shell(part) for name, part in self.parts.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild_sentence, (self.template, dict(self.parts))


def for_shell(text: object) -> Any:
    """Return text, an option or a sentence with command-line options; anything else as it is."""
    if isinstance(text, Option):
        return text.shell
    return text.for_shell() if isinstance(text, Sentence) else text


def _rebuild_sentence(template: str, parts: dict[str, object]) -> Sentence:
    return Sentence(template, **parts)


def _shell_option(option: str, value: Any) -> str:
    if value is ... or value is True:
        return option
    if isinstance(value, Mapping):
        return " ".join(f"{option} {shlex.quote(f'{key}={item}')}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return f"{option} {shlex.quote(','.join(map(str, value)))}"
    return f"{option} {shlex.quote(str(value))}"
