"""What all widgets share: messages are checked, only what changed travels, and there is a form without a kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
import pytest

from evalkit.util.errors import RuleError
from evalkit.util.hostile_text import Html, escape
from evalkit.widgets import panel as base
from evalkit.widgets.panel import WIDGET_MIME, Panel, resource, script, style

Position = Annotated[float, msgspec.Meta(ge=0, le=5)]


class Slider(Panel):
    name = "slider"

    def __init__(self):
        self.state = 1.0

    def show(self):
        return {"value": self.state, "title": ["<b>"]}

    def _on_move(self, to: Position) -> str:
        self.state = to
        return f"Moved to {to:g}."

    def _on_break(self, how: str) -> None:
        raise RuleError("That is no rule.") if how == "rule" else ZeroDivisionError(how)

    def to_html(self):
        return Html(f"<p>{escape('<b>')} {self.state}</p>")


@pytest.fixture
def slider():
    return Slider()


def test_a_message_changes_the_state_and_what_is_shown(slider):
    view = slider.view()

    slider.handle({"kind": "move", "to": 3.5})

    assert (slider.state, view.value) == (3.5, 3.5)
    assert view.status == {"count": 1, "text": "Moved to 3.5."}


@pytest.mark.parametrize(
    "message",
    [
        None,
        [],
        "move",
        {},
        {"kind": "move"},
        {"kind": "move", "to": "3"},
        {"kind": "move", "to": 99},
        {"kind": "move", "to": float("nan")},
        {"kind": "move", "to": 3, "also": 1},
        {"kind": "nothing"},
        {"kind": {"a": []}},
        {"kind": "move", "to": {"$x": [[]] * 1000}},
    ],
)
def test_an_event_of_another_shape_changes_nothing_and_is_reported(slider, message):
    slider.view()

    slider.handle(message)

    assert slider.state == 1.0
    assert slider.status.startswith("Invalid event")


def test_an_error_is_reported_and_the_next_event_is_applied(slider):
    slider.handle({"kind": "break", "how": "rule"})
    status = slider.status
    slider.handle({"kind": "move", "to": 2})

    assert status == "That is no rule."
    assert slider.state == 2


def test_an_unexpected_error_is_reported_and_raised(slider):
    with pytest.raises(ZeroDivisionError):
        slider.handle({"kind": "break", "how": "\x1b[31m"})

    assert slider.status == "Failed with ZeroDivisionError: ␛[31m"


def test_a_status_set_before_the_view_is_made_is_shown(slider):
    slider.handle({"kind": "move", "to": 2})

    assert slider.view().status == {"count": 1, "text": "Moved to 2."}


def test_only_what_changed_is_sent(slider):
    view = slider.view()
    sent = []
    view.observe(lambda change: sent.append(change["name"]), names=["value", "title"])

    slider.handle({"kind": "move", "to": 2})

    assert sent == ["value"]


def test_it_shows_itself_live_and_as_html_and_as_text(slider):
    data = slider._repr_mimebundle_()

    assert data[WIDGET_MIME]["model_id"] == slider.view().model_id
    assert "&lt;b&gt; 1.0" in data["text/html"]
    assert data["text/plain"] == repr(slider)


def test_messages_of_the_front_end_reach_the_panel(slider):
    slider.view()._handle_custom_msg({"kind": "move", "to": 4}, [])

    assert slider.state == 4


VIEWS = sorted(path.stem for path in Path(base.__file__).parent.glob("*.js"))


@pytest.mark.parametrize("name", VIEWS)
def test_no_view_writes_markup_or_names_an_address(name):
    text = script(name) + style(name)

    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "Function("):
        assert word not in text
    assert "://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "url(" not in text
    assert "import" not in resource(f"{name}.js").replace("important", "")
