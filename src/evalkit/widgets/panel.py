"""The base class of every widget."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, ClassVar, Final, Union, get_type_hints

import msgspec

from evalkit.util.colors import DARK, LIGHT
from evalkit.util.errors import EvalkitError
from evalkit.util.hostile_text import Html, escape, visible

WIDGET_MIME: Final = "application/vnd.jupyter.widget-view+json"

# Types of the fields of events.
Name = Annotated[str, msgspec.Meta(max_length=1_000)]
Text = Annotated[str, msgspec.Meta(max_length=20_000)]
Index = Annotated[int, msgspec.Meta(ge=0)]
Step = Annotated[int, msgspec.Meta(ge=-1, le=1)]
Score = Annotated[float, msgspec.Meta(ge=-1e6, le=1e6)]

# JupyterLab and VS Code name their theme; elsewhere the system's theme counts.
_DARK_HOSTS: Final = 'body[data-jp-theme-light="false"] .ek, body.vscode-dark .ek'
_DARK_SYSTEM: Final = "body:not([data-jp-theme-light]):not([class*=vscode]) .ek"


class Panel(ABC):
    """A widget: live with a kernel, static HTML without one.

    A frozen dataclass is its state. `NAME.js` has `render({ model, el })` on top of `shared.js`; `NAME.css` its style.
    `show` returns what the view draws, `to_html` the static form. A method `_on_KIND` handles the events of that kind;
    msgspec checks the fields by its annotations. Its return value, or an `EvalkitError`, is shown in the status line::

        def _on_set(self, mean: Score) -> str | None:  # the event {"kind": "set", "mean": 3.5}
            self.state = replace(self.state, mean=mean)
    """

    name: ClassVar[str]
    # Views whose files come before its own.
    shares: ClassVar[tuple[str, ...]] = ()

    _view: Any = None
    _answers: int = 0
    _status: str = ""

    @abstractmethod
    def show(self) -> dict[str, Any]:
        """Return what the view draws, by part: JSON without NaN."""

    @abstractmethod
    def to_html(self) -> Html:
        """Return the static form, legible without styles and scripts."""

    def handle(self, content: object) -> None:
        """Check an event of the front end, apply it, and show what changed."""
        message = ""
        try:
            event = msgspec.convert(content, type=_events(type(self)))
            message = getattr(self, type(event).__name__)(**msgspec.structs.asdict(event)) or ""
        except msgspec.ValidationError as error:
            message = f"Invalid event: {error}"
        except EvalkitError as error:
            message = str(error)
        except Exception as error:
            self._set_status(f"Failed with {type(error).__name__}: {error}")
            raise
        self.refresh()
        self._set_status(message)

    def refresh(self) -> None:
        """Send the parts that changed to the view."""
        if self._view is not None:
            with self._view.hold_sync():
                for part, value in self.show().items():
                    setattr(self._view, part, value)

    @property
    def status(self) -> str:
        """The status line: the answer to the last event."""
        return self._status

    def _set_status(self, text: str) -> None:
        self._answers += 1
        self._status = visible(text)
        if self._view is not None:
            self._view.status = {"count": self._answers, "text": self._status}

    def view(self) -> Any:
        """Return the anywidget of this panel: a trait per part, and `status`."""
        if self._view is None:
            parts = self.show()
            self._view = _view_class(self.name, tuple(parts), self.shares)(**parts)
            self._view.on_msg(lambda _, content, __: self.handle(content))
            if self._status:
                self._view.status = {"count": self._answers, "text": self._status}
        return self._view

    def _repr_html_(self) -> str:
        return f"<style>{style(self.name, *self.shares)}</style>{self.to_html()}"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.view().model_id}
        return {"text/plain": repr(self), "text/html": self._repr_html_(), WIDGET_MIME: view}


def section(name: str, *parts: str) -> Html:
    """Return the root element of a static form; plain parts become paragraphs."""
    body = "".join(part if isinstance(part, Html) else f"<p>{escape(part)}</p>" for part in parts if part)
    return Html(f'<section class="ek ek-{name}">{body}</section>')


@cache
def resource(name: str) -> str:
    """Return a file of this package as text; "" if missing."""
    file = files("evalkit.widgets").joinpath(name)
    return file.read_text(encoding="utf-8") if file.is_file() else ""


@cache
def style(*names: str) -> str:
    """Return the colors and the style sheets of views."""
    light, dark = ("".join(f"--ek-{name}:{color};" for name, color in one.items()) for one in (LIGHT, DARK))
    themes = f".ek{{{light}}}{_DARK_HOSTS}{{{dark}}}"
    system = f"@media (prefers-color-scheme:dark){{{_DARK_SYSTEM}{{{dark}}}}}"
    sheets = (resource(f"{name}.css") for name in ("shared", *reversed(names)))
    return "\n".join([themes + system, *sheets])


def script(name: str, *shares: str) -> str:
    """Return the script of a view, after `shared.js` and the views it shares."""
    return "\n".join(resource(f"{file}.js") for file in ("shared", *shares, name))


@cache
def _events(panel: type[Panel]) -> Any:
    """Return a union of one msgspec struct per `_on_` method."""
    structs: list[Any] = []
    for name, method in inspect.getmembers(panel, inspect.isfunction):
        if name.startswith("_on_"):
            types = get_type_hints(method, include_extras=True)
            fields: list[Any] = [
                (field.name, types[field.name]) + (() if field.default is field.empty else (field.default,))
                for field in list(inspect.signature(method).parameters.values())[1:]
            ]
            options: dict[str, Any] = {
                "tag_field": "kind",
                "tag": name.removeprefix("_on_"),
                "forbid_unknown_fields": True,
            }
            structs.append(msgspec.defstruct(name, fields, **options))
    return Union[tuple(structs)]  # noqa: UP007 - the members are known at run time only


@cache
def _view_class(name: str, parts: tuple[str, ...], shares: tuple[str, ...]) -> Any:
    import anywidget
    import traitlets

    traits = {part: traitlets.Any().tag(sync=True) for part in parts}
    status = traitlets.Dict({"count": 0, "text": ""}).tag(sync=True)
    files = {"_esm": script(name, *shares), "_css": style(name, *shares)}
    # The class name keeps its style sheet apart from those of other views.
    return type(f"Evalkit_{name}", (anywidget.AnyWidget,), {**files, **traits, "status": status})
