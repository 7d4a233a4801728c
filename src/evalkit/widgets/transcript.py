"""`ek.transcript`: read and search trials."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final

import polars as pl

from evalkit.data.schema import TRIALS
from evalkit.util.arguments import expect
from evalkit.widgets.panel import Step  # noqa: TC001 - the panel reads it at run time
from evalkit.widgets.transcript_view import TrialPanel, read_trial, transcript_html

if TYPE_CHECKING:
    from evalkit.data.evals import Evals
    from evalkit.util.hostile_text import Html
    from evalkit.widgets.transcript_view import TranscriptView

# A saved notebook holds the static form: all messages of a long transcript would bloat it.
_STATIC: Final = 200


@dataclass(eq=False, repr=False)
class Transcript(TrialPanel):
    """The widget that `transcript` returns."""

    name: ClassVar[str] = "transcript"

    evals: Evals
    state: TranscriptView

    def __post_init__(self) -> None:
        self._trials = self.evals.attempts().select(TRIALS.key).sort(TRIALS.key)

    def __repr__(self) -> str:
        return repr(self.state)

    def _trial(self) -> TranscriptView:
        return self.state

    @property
    def _index(self) -> int:
        here = [pl.col(name) == getattr(self.state, name) for name in TRIALS.key]
        index: int = self._trials.select(pl.all_horizontal(here).arg_true().first()).item()
        return index

    def show(self) -> dict[str, Any]:
        """Return the trial, its place, and the text requested in full."""
        return {**self._reading(), "place": {"index": self._index, "of": self._trials.height}}

    def _on_step(self, by: Step) -> None:
        index = min(max(self._index + by, 0), self._trials.height - 1)
        run, case, epoch = self._trials.row(index)
        self.state, self._whole = read_trial(self.evals, run=run, case=case, epoch=epoch), None

    def to_html(self) -> Html:
        """Return the first 200 messages as static HTML."""
        return transcript_html(self.state, most=_STATIC)


def transcript(evals: Evals, *, run: str, case: str, epoch: int = 1) -> Transcript:
    """Show one trial: messages, scores, rationales, and the quotations of the judge.

    Live, it searches, steps to the next trial, shows long messages in full and copies the source. Without a kernel it
    is static HTML.

    .. image:: ../docs/img/transcript.png

    Parameters
    ----------
    evals
        The evaluations. With `evals.with_scoring(grader=...)` only the scores of that grader are shown.
    run, case, epoch
        The trial.

    Raises
    ------
    SelectorError
        Unknown run, case or epoch.

    Examples
    --------
    >>> import evalkit as ek
    >>> transcript(ek.demo.make(), run="v3-demo-large", case="02")
    Transcript: case 02, run v3-demo-large, epoch 1, ...
    """
    expect(transcript, locals())
    return Transcript(evals, read_trial(evals, run=run, case=case, epoch=epoch))
