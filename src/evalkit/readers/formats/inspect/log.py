"""Inspect AI logs (`.eval` zip and `.json`); see docs/format_inspect.md."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec
import polars as pl

from evalkit.data.columns import in_order
from evalkit.data.evals import Evals
from evalkit.data.json_text import BOM, DECODE_ERRORS, decode, read_bytes, without_collector
from evalkit.data.lenient_decode import lenient_convert, lenient_decode
from evalkit.data.schema import Problem
from evalkit.readers.base import Reader
from evalkit.readers.builder import EvalsBuilder
from evalkit.readers.formats.inspect.header import Header
from evalkit.readers.formats.inspect.records import RAWS, STRINGS, decoder, has_short_score, is_short, ranges
from evalkit.readers.formats.inspect.samples import Columns
from evalkit.readers.formats.zip_salvage import Zip
from evalkit.readers.json_keys import listed_in
from evalkit.readers.partial_logs import partial_log
from evalkit.util.errors import FormatError
from evalkit.util.notes import Note
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MEMBER: Final = re.compile(rb"header\.json|_journal/|samples/|summaries\.json")
_LOG: Final = re.compile(
    rb'^\s*\{\s*(?:"version"\s*:\s*\d+\s*,\s*)?"status"\s*:\s*"\w+"\s*,\s*"eval"\s*:\s*\{'
)
_KEY: Final = re.compile(r'[\s,]*"([^"\\]*)"\s*:\s*')
_SAMPLE: Final = re.compile(r"^samples/(.+)_epoch_(\d+)(?:\.json|/sample\.json)$", re.DOTALL)
_CHUNK: Final = re.compile(r"/(\d+)\.json$")
_HEADERS: Final = ("header.json", "_journal/start.json")
_IGNORED: Final = Note(
    "ignored",
    "Inspect logs: ignored are events other than messages, store, sandbox, files, timelines and the usage by role.",
)
_SUMMARIES: Final = Note(
    "summaries",
    "Inspect logs: scores without trials or turns are read from the summaries, without line breaks and without the "
    "history of edited scores. Load all tables for both.",
)
_DETAIL: Final = frozenset({"trials", "turns"})


def is_zip(path: Path, data: bytes) -> bool:
    """Whether a file is a zip with the members of a log."""
    is_log = path.suffix == ".eval" or _MEMBER.search(data[:4096]) is not None
    return data.startswith(b"PK\x03\x04") and is_log


def is_json(path: Path, data: bytes) -> bool:
    """Whether a file is an object that begins like a log."""
    return _LOG.match(data.removeprefix(BOM)) is not None


def is_shards(path: Path, data: bytes) -> bool:
    """Whether a folder holds the parts of a log, beside the merged log."""
    return path.name.endswith(".shards") and path.is_dir() and path.with_suffix(".eval").is_file()


def skip_shards(path: Path) -> Evals:
    """Skip the parts of a merged log."""
    text = f"Not read. {path.with_suffix('.eval').name} has all of its samples."
    return Evals.from_tables(notes=[Note("skipped", text, (str(path),))])


def read_json(path: Path, tables: frozenset[str]) -> Evals:
    """Read a `.json` log; raise `FormatError` without a readable header."""
    data, problems = read_bytes(path), EvalsBuilder(str(path))
    try:
        header: dict[str, Any] = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        samples: list[Any] = [
            *msgspec.json.decode(header.pop("samples", b"[]") or b"[]", type=list[msgspec.Raw])
        ]
        header = {name: decode(bytes(raw)) for name, raw in header.items() if name != "reductions"}
    except (*DECODE_ERRORS, ValueError):
        header, samples = _read_partly(data, problems)
    log = _Log(path, tables, header, problems.problems)
    for number, sample in enumerate(samples if log.columns is not None else (), 1):
        log.add(sample, f"sample {number}")
    return log.evals()


def _read_partly(data: bytes, builder: EvalsBuilder) -> tuple[dict[str, Any], list[Any]]:
    """Return the header and the samples of broken JSON, up to the break."""
    with suppress(ValueError):
        whole = decode(data)
        return {name: value for name, value in whole.items() if name != "samples"}, whole.get("samples") or []
    text, header = data.decode(errors="replace"), {}
    parser = json.JSONDecoder(parse_constant=str, strict=False)
    place = text.find("{") + 1
    with suppress(ValueError, RecursionError):
        while (key := _KEY.match(text, place)) is not None and key[1] != "samples":
            header[key[1]], place = parser.raw_decode(text, key.end())
    if "eval" not in header:
        raise FormatError(f"{builder.source!r} looks like an Inspect log, but its header cannot be read.")
    samples = [sample for _, sample in listed_in({}, data, "samples", builder=builder)]
    if not builder.problems:
        builder.add_problem(None, "The JSON is broken or cut off.")
    return header, samples


def read_zip(path: Path, tables: frozenset[str]) -> Evals:
    """Read the required members of an `.eval` log; raise `FormatError` if none is readable."""
    with Zip(path) as archive:
        problems: list[Problem] = []
        name = next((name for name in _HEADERS if archive.find(name) is not None), None)
        if archive.cut:
            count = plural(len(archive.members), "member was", plural="members were")
            problems.append(Problem(str(path), None, f"The zip is cut off. {count} found from its start."))
        if name is None:
            problems.append(Problem(str(path), None, f"Missing {' and '.join(_HEADERS)}."))
        header = None if name is None else _member(archive, name, problems)
        started = {"status": "started", **(header if isinstance(header, dict) else {})}
        log = _Log(path, tables, started, problems)
        if log.columns is not None:
            with without_collector():
                log.add_members(archive)
        return log.evals()


def _member(archive: Zip, name: str, problems: list[Problem]) -> Any:
    try:
        return decode(archive.read(name))
    except ValueError as error:
        reason = str(error) if name in str(error) else f"{name!r}: {error}"
        problems.append(Problem(str(archive.path), None, reason))
        return None


class _Log:
    def __init__(
        self, path: Path, tables: frozenset[str], header: dict[str, Any], problems: list[Problem]
    ) -> None:
        self.source = str(path)
        self.tables = tables
        self.problems = problems
        self.header = Header(header, path.stem)
        needed = tables | {"scores"} if "criteria" in tables else tables
        self.kind, self.decoder, self.decode_all = decoder(needed)
        has_samples = bool(tables - {"runs"})
        self.columns = (
            Columns(self.header.run, self.header.graders(), needed, only_score=self.header.only_score())
            if has_samples
            else None
        )
        self.is_summarized = False

    def add(self, sample: Any, where: str) -> None:
        def add_problem(reason: str) -> None:
            self.problems.append(Problem(self.source, None, f"{where}: {reason}"))

        if isinstance(sample, bytes | msgspec.Raw):
            sample = lenient_decode(self.kind, self.decoder, sample, add_problem)
        elif not isinstance(sample, self.kind):
            sample = lenient_convert(self.kind, sample, add_problem)
        if sample is not None and self.columns is not None:
            self.columns.add(sample, add_problem)

    def add_members(self, archive: Zip) -> None:
        """Add every sample: its summary if nothing required is shortened, else in full."""
        names: set[str] = set()
        if not self.tables & _DETAIL:
            for sample, name in self._summaries(archive):
                self.add(sample, name)
                names.add(name)
        self.is_summarized = bool(names)
        if names and archive.has_only(b"samples/", b".json", names):
            return
        for member in archive.members:
            match = _SAMPLE.match(member)
            if match is not None and f"{match[1]}_epoch_{match[2]}" not in names:
                self._add_member(archive, member)

    def _add_member(self, archive: Zip, name: str) -> None:
        if not name.endswith("/sample.json"):
            try:
                self.add(archive.read(name), name)
            except ValueError as error:
                self.problems.append(Problem(self.source, None, str(error)))
            return
        shell = _member(archive, name, self.problems)
        if isinstance(shell, dict):
            self.add(self._joined(archive, name.removesuffix("/sample.json"), shell), name)
        elif shell is not None:
            self.problems.append(Problem(self.source, None, f"{name!r} is not an object."))

    def _joined(self, archive: Zip, prefix: str, shell: dict[str, Any]) -> bytes:
        """Return a chunked sample as JSON text with the required chunks."""
        if "turns" in self.tables:
            pool = self._chunks(archive, f"{prefix}/messages/", RAWS)
            refs = [ref for ref in shell.pop("message_refs", ()) if isinstance(ref, list)]
            shell["messages"] = ranges(pool, refs)
        texts = self._chunks(archive, f"{prefix}/attachments/", STRINGS)
        shell["attachments"] = {str(place): text for place, text in enumerate(texts)}
        if "cases" in self.tables and f"{prefix}/metadata.json" in archive.members:
            shell["metadata"] = _member(archive, f"{prefix}/metadata.json", self.problems)
        return msgspec.json.encode(shell)

    def _chunks(self, archive: Zip, prefix: str, decoder: msgspec.json.Decoder[list[Any]]) -> list[Any]:
        found = [(name, _CHUNK.search(name)) for name in archive.members if name.startswith(prefix)]
        items: list[Any] = []
        for _, name in sorted((int(match[1]), name) for name, match in found if match):
            try:
                items += decoder.decode(archive.read(name))
            except (ValueError, msgspec.MsgspecError, RecursionError) as error:
                self.problems.append(Problem(self.source, None, f"{name!r} cannot be read: {error}"))
        return items

    def _summaries(self, archive: Zip) -> Iterator[tuple[Any, str]]:
        names = ["summaries.json"]
        if archive.find(names[0]) is None:
            names = [name for name in archive.members if name.startswith("_journal/summaries/")]
        for name in names:
            with suppress(ValueError):  # every sample is read in full instead
                yield from self._complete(archive.read(name))

    def _complete(self, data: bytes) -> Iterator[tuple[Any, str]]:
        """Yield the samples of a member with nothing required shortened."""
        if "cases" not in self.tables:
            with suppress(*DECODE_ERRORS):
                yield from (
                    (sample, f"{sample.id}_epoch_{sample.epoch}")
                    for sample in self.decode_all.decode(data)
                    if isinstance(sample.id, str | int) and not has_short_score(sample)
                )
                return
        with suppress(*DECODE_ERRORS):
            for raw in RAWS.decode(data):
                with suppress(*DECODE_ERRORS):
                    key = _SUMMARY.decode(raw)
                    if not is_short(bytes(raw)):
                        yield raw, f"{key.id}_epoch_{key.epoch}"

    def evals(self) -> Evals:
        tables: dict[str, Any] = {"runs": self.header.frame(self.source)}
        if self.columns is not None:
            frames = self.columns.frames(self.source, self.header.suite)
            if "scores" in self.columns.tables and self.columns.lettered:
                names = frames["scores"]["criterion"].unique(maintain_order=True).to_list()
                frames["criteria"] = self.header.criteria(self.columns.lettered, names)
            tables |= {name: frame for name, frame in frames.items() if name in self.tables}
        notes = self._notes(tables.get("scores"))
        return Evals.from_tables(**tables, problems=in_order(self.problems), notes=notes, files=[self.source])

    def _notes(self, scores: pl.DataFrame | None) -> Iterator[Note]:
        if self.header.is_too_new:
            version = self.header.log.get("version")
            text = f"Written by a newer Inspect (format {version}). Read as far as known."
            yield Note("version", text, (self.source,))
        columns = self.columns
        if columns is None:
            return
        means = (
            {}
            if scores is None
            else dict(scores.group_by(pl.col("criterion").cast(pl.String)).agg(pl.col("score").mean()).rows())
        )
        note = partial_log(
            self.source,
            self.header.run,
            declared=self.header.sample_count(),
            held=columns.height,
            published=self.header.means(),
            own=means,
        )
        if note is not None:
            yield note
        if columns.tables & _DETAIL:
            yield _IGNORED
        if self.is_summarized and "scores" in self.tables:
            yield _SUMMARIES
        if columns.ignored:
            names = join_words(sorted(columns.ignored), limit=20)
            yield Note("ignored", f"Inspect logs: metadata of samples without a column: {names}.")
        if columns.invalid:
            count = plural(columns.invalid, "sample is", plural="samples are")
            yield Note("invalid", f"{count} marked as invalid, and kept.", (self.source,))


class _Summary(msgspec.Struct):
    id: str | int
    epoch: int = 1


_SUMMARY: Final = msgspec.json.Decoder(_Summary)

READERS: Final = (
    Reader("Inspect log (.eval)", is_zip, partly=read_zip, alone=True),
    Reader("Inspect log (.json)", is_json, partly=read_json, alone=True),
    Reader("Inspect shards", is_shards, read=skip_shards),
)
