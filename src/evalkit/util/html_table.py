"""Write HTML tables and lists. Styles are inline, as host pages override style sheets."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING, Any, Final, Literal

from evalkit.util.hostile_text import Html as Html
from evalkit.util.hostile_text import escape

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

MISSING: Final = "–"
_CELL: Final = "padding:.25em .75em;vertical-align:top;text-align:"


def html_table(
    head: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    numeric: Collection[int | str] | Literal["auto"] = "auto",
    row_heads: bool = False,
    limit: int | None = None,
) -> Html:
    """Return an HTML table. Every cell is escaped unless it is `Html`; None prints as a dash.

    `numeric` names the right-aligned columns by position or head; "auto" selects columns of numbers.
    `limit` is the number of rows to write; a last line counts the rest.

    >>> html_table(["case", "n"], [["<a>", 3]]).count("&lt;a&gt;")
    1
    """
    cells = [list(row) for row in rows]
    shown = cells if limit is None else cells[:limit]
    right = [_is_numeric(numeric, index, name, shown) for index, name in enumerate(head)]
    titles = "".join(
        f'<th scope="col" style="{_CELL}{"right" if is_right else "left"}">{_text(name)}</th>'
        for name, is_right in zip(head, right, strict=True)
    )
    body = "".join(_row(row, right, row_heads=row_heads) for row in shown)
    if len(cells) > len(shown):
        rest = f"… and {len(cells) - len(shown):,} more rows"
        body += f'<tr><td colspan="{len(head)}" style="{_CELL}left">{rest}</td></tr>'
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    open_tag = '<table style="border-collapse:collapse">'
    return Html(f"{open_tag}{title}<thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>")


def html_list(items: Iterable[object]) -> Html:
    """Return an unordered list, "" without items. Items are escaped unless they are `Html`.

    >>> html_list(["a < b"])
    '<ul><li>a &lt; b</li></ul>'
    """
    body = "".join(f"<li>{_text(item)}</li>" for item in items)
    return Html(f"<ul>{body}</ul>" if body else "")


def _row(row: Sequence[object], right: Sequence[bool], *, row_heads: bool) -> str:
    cells = []
    for index, (cell, is_right) in enumerate(zip(row, right, strict=True)):
        tag, scope = ("th", ' scope="row"') if row_heads and index == 0 else ("td", "")
        style = f'style="{_CELL}{"right" if is_right else "left"}"'
        cells.append(f"<{tag}{scope} {style}>{_text(cell)}</{tag}>")
    return f"<tr>{''.join(cells)}</tr>"


def _text(cell: object) -> str:
    if isinstance(cell, Html):
        return cell
    return escape(MISSING if cell is None else cell)


def _is_numeric(
    numeric: Collection[int | str] | str, index: int, name: object, rows: Sequence[Sequence[Any]]
) -> bool:
    if numeric != "auto":
        return index in numeric or name in numeric
    column = [row[index] for row in rows if row[index] is not None]
    return bool(column) and all(isinstance(cell, Real) and not isinstance(cell, bool) for cell in column)
