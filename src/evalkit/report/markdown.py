"""Render a report as Markdown: text and tables, no charts, no transcripts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from evalkit.report.blocks import BulletList, Figure, Flip, ReportTable
from evalkit.util.hostile_text import visible

if TYPE_CHECKING:
    from evalkit.report.blocks import Block, Cell, Report, Side

_SIGNS = re.compile(r"([\\`*_\[\]<>#|~$])")
_LINE_START = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)")


def to_markdown(report: Report) -> str:
    """Return the report as Markdown with all data escaped. Charts become their descriptions."""
    parts = [f"# {_text(''.join(piece for piece, _ in report.headline))}"]
    parts.append(f"{_text(report.subject)} · {_text(report.made)}")
    if report.synthetic:
        parts.append(f"> **Synthetic data.** {_text(report.synthetic)}")
    parts += [_text(detail) for detail in report.details]
    parts.append(_table(report.figures))
    parts += [_text(aside.text) for aside in report.asides]
    for section in report.sections:
        parts.append(f"## {_text(section.title)}")
        if section.note:
            parts.append(_text(section.note))
        parts += [text for text in map(_block, section.blocks) if text]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    if isinstance(block, ReportTable):
        return _table(block)
    if isinstance(block, BulletList):
        return "\n".join(f"- {_text(item)}" for item in block.items)
    if isinstance(block, Flip):
        return _flip(block)
    if isinstance(block, Figure):
        return f"*{_text(block.drawn.description)}*"
    return _text(block.text)


def _table(table: ReportTable) -> str:
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
        f"The case: {_text(flip.input)}" if flip.input else "",
    ]
    for reason in flip.candidate.reasons:
        mean = (
            f"{_text(reason.score)}, the mean of {reason.samples}; sample {reason.lowest.sample}: "
            if reason.samples > 1
            else ""
        )
        lines.append(
            f"- **{_text(reason.criterion)}** {mean}{_text(reason.lowest.score)} by {_text(reason.lowest.grader)}: {_text(reason.lowest.rationale)}"
        )
    if flip.candidate.trial:
        lines.append(f"Trial shown: {_text(flip.candidate.trial)}.")
    return "\n\n".join(line for line in lines if line)


def _side(side: Side) -> str:
    return f"{_text(side.label)} {_text(side.verdict)} {side.passes}/{side.trials}"


def _text(text: object) -> str:
    """Return text on one line without any markup, link or mention."""
    line = " ".join(visible(str(text)).split())
    line = _SIGNS.sub(r"\\\1", line)
    # A bare address or a mention would become a link where it is pasted.
    line = line.replace("://", ":\u2060//").replace("@", "@\u2060").replace("www.", "www\u2060.")
    return _LINE_START.sub(r"\1\\\2", line)
