"""A report as Markdown: the same words and tables, no charts, no transcripts; for a pull request or a chat."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evalkit.report.blocks import Figure, Flip, Items, Table
from evalkit.util.hostile_text import visible

if TYPE_CHECKING:
    from evalkit.report.blocks import Block, Cell, Report, Side

_SIGNS = re.compile(r"([\\`*_\[\]<>#|~$])")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)")


def to_markdown(report: Report) -> str:
    """Return the report as Markdown; whatever comes from the data is escaped, so that it stays text.

    Parameters
    ----------
    report
        What `build` made. Figures are told in words: Markdown that is pasted somewhere keeps no pictures.
    """
    parts = [f"# {_text(''.join(piece for piece, _ in report.headline))}"]
    parts.append(f"{_text(report.subject)} · {_text(report.made)}")
    if report.made_up:
        parts.append(f"> **Made-up data.** {_text(report.made_up)}")
    parts += [_text(detail) for detail in report.details]
    parts.append(_table(report.figures))
    parts += [_text(aside.text) for aside in report.asides]
    for section in report.sections:
        parts.append(f"## {_text(section.title)}")
        if section.note:
            parts.append(_text(section.note))
        parts += [made for block in section.blocks if (made := _block(block))]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, Table):
        return _table(block)
    if isinstance(block, Items):
        return "\n".join(f"- {_text(item)}" for item in block.items)
    if isinstance(block, Flip):
        return _flip(block)
    if isinstance(block, Figure):
        return f"*{_text(block.drawn.description)}*"
    return _text(block.text)


def _table(table: Table) -> str:
    right = [cell.kind.startswith("num") for cell in table.columns]
    lines = [
        f"**{_text(table.caption)}**\n" if table.caption else "",
        _row(table.columns),
        "|" + "|".join("---:" if one else "---" for one in right) + "|",
        *(_row(row) for row in table.rows),
    ]
    if table.note:
        lines.append(f"\n{_text(table.note)}")
    return "\n".join(line for line in lines if line)


def _row(cells: tuple[Cell, ...]) -> str:
    return "| " + " | ".join(_text(cell.text) for cell in cells) + " |"


def _flip(flip: Flip) -> str:
    lines = [
        f"### {_text(flip.severity) + ': case' if flip.severity else 'Case'} {_text(flip.case)}",
        f"{_side(flip.baseline)} → {_side(flip.candidate)} (trials passed{'; ' + _text(flip.test) if flip.test else ''})",
        f"The case: {_text(flip.asked)}" if flip.asked else "",
    ]
    for one in flip.candidate.reasons:
        mean = (
            f"{_text(one.score)}, the mean of {one.samples}; sample {one.said.sample}: "
            if one.samples > 1
            else ""
        )
        lines.append(
            f"- **{_text(one.criterion)}** {mean}{_text(one.said.score)} by {_text(one.said.grader)}: {_text(one.said.rationale)}"
        )
    if flip.candidate.chosen:
        lines.append(f"Read from {_text(flip.candidate.chosen)}.")
    return "\n\n".join(line for line in lines if line)


def _side(side: Side) -> str:
    return f"{_text(side.label)} {_text(side.verdict)} {side.passes}/{side.trials}"


def _text(text: object) -> str:
    """Return text on one line that Markdown shows as it is, and no link, mention or markup is made of."""
    line = " ".join(visible(str(text)).split())
    line = _SIGNS.sub(r"\\\1", line)
    # A bare address or a mention would become a link where it is pasted.
    line = line.replace("://", ":\u2060//").replace("@", "@\u2060").replace("www.", "www\u2060.")
    return _LINE_START.sub(r"\1\\\2", line)
