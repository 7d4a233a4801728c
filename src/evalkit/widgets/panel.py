"""What every widget is made of.

A widget is three things, and each stays small:

- **a state**: a frozen dataclass and functions of it, tested without a browser or a kernel;
- **a panel**: a subclass of `Panel` that holds the state, says what is shown of it (`show`: plain data, a part
  by itself so that only what changed travels), what a message of the front end does to it (`receive`), and how it
  reads without a kernel (`to_html`: GitHub, nbconvert, an untrusted notebook);
- **a view**: `NAME.js` with a `render({ model, el })` built on `shared.js` (which stands in front of it in one module,
  so that their names are shared), and `NAME.css` on top of `shared.css`. It writes text through `textContent` only, and
  asks nobody but the panel.

Messages are declared as `msgspec.Struct`s, tagged by `kind`; what does not fit is refused before it reaches the
panel, so that no front end can bring it into a state that it does not know::

    class Move(msgspec.Struct, tag_field="kind", tag="move", forbid_unknown_fields=True):
        mean: Annotated[float, msgspec.Meta(ge=0, le=100)]


    class Tuner(Panel):
        name = "tuner"
        parts = ("rule", "numbers")
        messages = Move  # or Move | Keep | ...

        def show(self):
            return {"rule": ..., "numbers": ...}

        def receive(self, message):
            self.state = replace(self.state, mean=message.mean)

        def to_html(self):
            return Html(...)


    tuner.handle({"kind": "move", "mean": 3.5})  # what a test does, and what the front end does

What goes wrong in `receive` as an `EvalkitError` is told in the widget; the kernel goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, ClassVar, Final

from evalkit.util.colors import DARK, LIGHT
from evalkit.util.errors import EvalkitError
from evalkit.util.hostile_text import visible

if TYPE_CHECKING:
    from evalkit.util.hostile_text import Html

WIDGET_MIME: Final = "application/vnd.jupyter.widget-view+json"

# Where JupyterLab or VS Code says so, or where the reader's system does and nobody else.
_DARK_PLACES: Final = 'body[data-jp-theme-light="false"] .ek, body.vscode-dark .ek'
_DARK_SYSTEM: Final = "body:not([data-jp-theme-light]):not([class*=vscode]) .ek"


class Panel(ABC):
    """Something to work with in a notebook; it displays itself, live where there is a kernel.

    Attributes
    ----------
    name
        Its files: `NAME.js` and `NAME.css`.
    parts
        What it shows, a trait of the view each; the keys of `show`.
    messages
        What the front end may say: a `msgspec.Struct`, or a union of them; None: nothing.
    shares
        Names of other views whose files stand before its own, to be reused.
    """

    name: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]
    messages: ClassVar[Any] = None
    shares: ClassVar[tuple[str, ...]] = ()

    _view: Any = None
    _answers: int = 0
    _said: str = ""

    @abstractmethod
    def show(self) -> dict[str, Any]:
        """Return what the view draws: plain data (JSON without NaN), by part."""

    @abstractmethod
    def to_html(self) -> Html:
        """Return the static form: legible without styles, without scripts."""

    def receive(self, message: Any) -> str | None:
        """Do what a message of the front end asks for; return a sentence for the status line, or None."""
        raise NotImplementedError

    def handle(self, content: object) -> None:
        """Check a message of the front end, do what it asks for, and show what changed.

        A message of another shape than `messages` declares changes nothing.
        """
        import msgspec

        told = ""
        try:
            message = msgspec.convert(content, type=self.messages)
            told = self.receive(message) or ""
        except msgspec.ValidationError as error:
            told = f"A message that was not understood: {error}"
        except EvalkitError as error:
            told = str(error)
        except Exception as error:
            self._answer(f"That failed: {type(error).__name__}: {error}")
            raise
        self.refresh()
        self._answer(told)

    def refresh(self) -> None:
        """Show the state as it is now: what did not change is not sent again."""
        if self._view is not None:
            with self._view.hold_sync():
                for part, value in self.show().items():
                    setattr(self._view, part, value)

    @property
    def told(self) -> str:
        """What the status line says: the answer to the last message."""
        return self._said

    def _answer(self, text: str) -> None:
        self._answers += 1
        self._said = visible(text)
        if self._view is not None:
            self._view.told = {"at": self._answers, "text": self._said}

    def view(self) -> Any:
        """Return the anywidget that shows this panel; the same one each time.

        Returns
        -------
        anywidget.AnyWidget
            One trait a part, and `told`: the number of messages answered, with what is to be said.
        """
        if self._view is None:
            made = _view_class(self.name, self.parts, self.shares)(**self.show())
            if self.messages is not None:
                made.on_msg(lambda _, content, __: self.handle(content))
            self._view = made
        return self._view

    def _repr_html_(self) -> str:
        return f"<style>{style(self.name, *self.shares)}</style>{self.to_html()}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view().model_id}
        return {"text/plain": repr(self), "text/html": self._repr_html_(), WIDGET_MIME: view}


@lru_cache
def resource(name: str) -> str:
    """Return a file of this package as text, or "" where there is none."""
    file = files("evalkit.widgets").joinpath(name)
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@lru_cache
def style(*names: str) -> str:
    """Return the style sheet of some views, with the colours of `evalkit.util.colors` in front."""
    tokens = {scheme: "".join(f"--ek-{k}:{v};" for k, v in colors.items()) for scheme, colors in _SCHEMES}
    colors = (
        f".ek{{{tokens['light']}}}{_DARK_PLACES}{{{tokens['dark']}}}"
        f"@media (prefers-color-scheme:dark){{{_DARK_SYSTEM}{{{tokens['dark']}}}}}"
    )
    return "\n".join([colors, *(resource(f"{name}.css") for name in ("shared", *reversed(names)))])


def script(name: str, *shares: str) -> str:
    """Return the module of a view: `shared.js`, what it shares with others, and its own."""
    return "\n".join(resource(f"{one}.js") for one in ("shared", *shares, name))


_SCHEMES: Final = (("light", LIGHT), ("dark", DARK))


@lru_cache
def _view_class(name: str, parts: tuple[str, ...], shares: tuple[str, ...]) -> Any:
    import anywidget
    import traitlets

    traits = {part: traitlets.Any().tag(sync=True) for part in parts}
    told = traitlets.Dict({"at": 0, "text": ""}).tag(sync=True)
    files = {"_esm": script(name, *shares), "_css": style(name, *shares)}
    # The name tells its style sheet from those of the others.
    return type(f"Evalkit_{name}", (anywidget.AnyWidget,), {**files, **traits, "told": told})
