"""Suggest the mapping of a table."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.readers import dataframe, find_files, registry
from evalkit.readers.column_mapping import Mapping
from evalkit.readers.score_values import without_nested
from evalkit.readers.table_records import guess_table, with_records, without_totals
from evalkit.util.arguments import expect
from evalkit.util.atomic_files import atomic_write
from evalkit.util.errors import FormatError
from evalkit.util.hostile_text import escape

if TYPE_CHECKING:
    from evalkit.readers.base import Raw
    from evalkit.readers.guess_checks import GuessReason, Status


@dataclass(frozen=True, repr=False)
class MappingSuggestion:
    """A mapping for `evalkit.load`, with the evidence of each guess.

    Attributes
    ----------
    mapping
        What `evalkit.load` takes; empty if the file needs none.
    status
        "loads": right as it stands. "asks": check the questions first. "refuses": no mapping reads it; see `refusal`.
    why
        `key`, `value`, `evidence` and `sure` (0 to 1) of each guess.
    questions, notes, refusal
        What is open, what is worth knowing, and what the file is instead.
    """

    mapping: dict[str, Any]
    status: Status
    why: tuple[GuessReason, ...] = ()
    questions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    refusal: str = ""

    def to_yaml(self) -> str:
        """Return the mapping as YAML, with questions, notes and evidence as comments."""
        from ruamel.yaml import YAML

        lines = [f"# {self.status}"]
        lines += [f"# Refused: {self.refusal}"] if self.refusal else []
        lines += [f"# Question: {text}" for text in self.questions]
        lines += [f"# Note: {text}" for text in self.notes]
        lines += [f"# {key} = {value}: {evidence} ({sure:.0%})" for key, value, evidence, sure in self.why]
        text = io.StringIO()
        if self.mapping:
            yaml = YAML(typ="safe", pure=True)
            yaml.default_flow_style = None
            yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
            yaml.allow_unicode = True
            yaml.width = 110
            yaml.dump(self.mapping, text)
        comments = (" ".join(line.split()) for line in lines)
        return "\n".join(comments) + "\n" + text.getvalue()

    def save(self, path: str | Path = "evalkit.yaml") -> Path:
        """Write the mapping as YAML; an `evalkit.yaml` beside the files is found by `evalkit.load`.

        Raises
        ------
        FormatError
            There is no mapping to save.
        """
        expect(MappingSuggestion.save, locals())
        if not self.mapping:
            raise FormatError(f"There is no mapping to save. {self.refusal or 'The file needs none.'}")
        with atomic_write(Path(path)) as fresh:
            fresh.write_text(self.to_yaml(), encoding="utf-8")
        return Path(path)

    def __repr__(self) -> str:
        return self.to_yaml().rstrip()

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.to_yaml())}</pre>"


def suggest_mapping(source: Any) -> MappingSuggestion:
    """Suggest the mapping that reads a table.

    Parameters
    ----------
    source
        A file, a folder (its first table), or a frame.

    Returns
    -------
    MappingSuggestion
        `mapping` for `evalkit.load`, `status` and `why`. It prints as YAML.

    Raises
    ------
    PathError
        The path is missing.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame(
    ...     {"qid": ["a", "b", "c"], "answer": ["Yes.", "No.", "So."], "toxicity": [0.0, 0.9, 0.2]}
    ... )
    >>> suggestion = suggest_mapping(frame)
    >>> suggestion.status
    'loads'
    >>> suggestion.mapping
    {'case': 'qid', 'output': 'answer', 'criteria': {'toxicity': {'direction': 'lower'}}, 'scale': [0, 1]}
    """
    expect(suggest_mapping, locals())
    try:
        raw, place = open_first_table(source)
        if raw is None:
            return MappingSuggestion({}, "loads", notes=("It is read as what it is, without a mapping.",))
        guess = guess_table(raw, Mapping(), place)
    except FormatError as error:
        return MappingSuggestion({}, "refuses", refusal=str(error))
    mapping = {} if guess.refusal else guess.mapping
    notes = (*map(str, raw.notes), *guess.notes)
    return MappingSuggestion(
        mapping, guess.status, tuple(guess.why), tuple(guess.questions), notes, guess.refusal
    )


def open_first_table(source: Any) -> tuple[Raw | None, str]:
    """Return the records of the first table of a source and their place in the file; None if it needs no mapping.

    Raise `FormatError` if there is no table.
    """
    if dataframe.is_frame(source):
        raw: Raw = dataframe.rows(source, "<frame>")
    else:
        readers, _ = registry.readers()
        with find_files.find([Path(source)], Mapping(), readers) as plan:
            table = next((file for file in plan.files if file.reader.rows is not None), None)
            if table is None:
                if not plan.files:
                    raise FormatError(f"{source}: There is no table in it.")
                return None, ""
            raw = table.reader.rows(table.path)  # type: ignore[misc]
    raw, place = with_records(raw, Mapping())
    return without_totals(replace(raw, frame=without_nested(raw.frame))), place
