"""`ek.transcript`: one trial to read, search and step on from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import polars as pl

from evalkit.util.arguments import expect
from evalkit.util.hostile_text import visible
from evalkit.util.words import plural
from evalkit.widgets.panel import Panel
from evalkit.widgets.transcript_view import pieces, read_trial, shown, transcript_html

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.util.hostile_text import Html
    from evalkit.widgets.transcript_view import TranscriptView

# A notebook that is saved holds the static form: a long transcript would swell it.
_STATIC: Final = 200
_KEY: Final = ["run", "case", "epoch"]
_At = Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)]


class Step(msgspec.Struct, tag_field="kind", tag="step", forbid_unknown_fields=True):
    """Go to another trial: the next, or the one before."""

    by: Annotated[int, msgspec.Meta(ge=-1, le=1)]


class Whole(msgspec.Struct, tag_field="kind", tag="whole", forbid_unknown_fields=True):
    """Show the rest of a stretch of text that was cut."""

    message: _At
    part: _At


class Format(msgspec.Struct, tag_field="kind", tag="format", forbid_unknown_fields=True):
    """Show Markdown as it is meant, or as it is written."""

    markdown: bool


class Transcript(Panel):
    """A trial to read. Displays itself in a notebook; made by `transcript`.

    Attributes
    ----------
    state
        The trial that is shown, as plain data.
    """

    name = "transcript"
    parts = ("trial", "place", "whole")
    messages = Step | Whole | Format
    shares = ("transcript_reading",)

    def __init__(self, evals: Evals, state: TranscriptView) -> None:
        self.evals = evals
        self.state = state
        self._trials = evals.attempts().select(_KEY).sort(_KEY)
        self._markdown = False
        self._whole: dict[str, Any] | None = None

    def __repr__(self) -> str:
        counts = f"{plural(len(self.state.messages), 'message')}, {plural(len(self.state.judgements), 'judgement')}"
        return f"Transcript: {visible(self.state.title)}, {counts}"

    @property
    def _at(self) -> int:
        here = [pl.col(name) == getattr(self.state, name) for name in _KEY]
        at: int = self._trials.select(pl.all_horizontal(here).arg_true().first()).item()
        return at

    def show(self) -> dict[str, Any]:
        """Return the trial, its place among the trials, and the text that was asked for whole."""
        place = {"at": self._at, "of": self._trials.height}
        trial = shown(self.state, markdown=self._markdown)
        return {"trial": trial, "place": place, "whole": self._whole}

    def receive(self, message: Step | Whole | Format) -> None:
        """Step to another trial, or give the rest of a long text."""
        if isinstance(message, Step):
            at = min(max(self._at + message.by, 0), self._trials.height - 1)
            run, case, epoch = self._trials.row(at)
            self.state, self._whole = read_trial(self.evals, run=run, case=case, epoch=epoch), None
        elif isinstance(message, Format):
            self._markdown = message.markdown
        else:
            self._whole = whole(self.state, message)

    def to_html(self) -> Html:
        """Return the trial as static HTML: its first 200 messages."""
        return transcript_html(self.state, most=_STATIC)


def whole(view: TranscriptView, asked: Whole) -> dict[str, Any] | None:
    """Return the text of a part as a whole, or None where there is no such part."""
    if asked.message >= len(view.messages) or asked.part >= len(view.messages[asked.message].parts):
        return None
    text = view.messages[asked.message].parts[asked.part].text
    return {"message": asked.message, "part": asked.part, "pieces": pieces(text, view.evidence)}


def transcript(evals: Evals, *, run: str, case: str, epoch: int = 1) -> Transcript:
    """Return one trial to read: messages, scores, rationales, and the judge's quotations marked.

    Live it has a search box, steps to the next trial, shows the rest of long messages and copies the place that
    the trial was read from. Without a kernel it is static HTML, safe whatever the text is.

    .. image:: ../docs/img/transcript.png

    Parameters
    ----------
    evals
        What was loaded.
    run, case, epoch
        Which trial.

    Returns
    -------
    Transcript
        Displays itself; `.state` is the trial as plain data.

    Raises
    ------
    SelectorError
        There is no such run, case or epoch; the nearest is named.

    Examples
    --------
    >>> import polars as pl
    >>> from evalkit.data.evals import Evals
    >>> evals = Evals.from_tables(
    ...     trials=pl.DataFrame({"run": ["a"], "case": ["01"], "output": ["Use custom_id."]}),
    ...     scores=pl.DataFrame({"run": ["a"], "case": ["01"], "criterion": ["Groq"], "score": [5]}),
    ... )
    >>> transcript(evals, run="a", case="01")
    Transcript: case 01, run a, epoch 1, 1 message, 1 judgement
    """
    expect(transcript, locals())
    return Transcript(evals, read_trial(evals, run=run, case=case, epoch=epoch))
