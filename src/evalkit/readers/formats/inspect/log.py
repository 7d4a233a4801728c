"""Inspect AI logs: `.eval` (a zip) and `.json`; see docs/format_inspect.md."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.columns import decode, in_order, read_bytes, without_collector
from evalkit.data.evals import Evals
from evalkit.data.schema import Problem
from evalkit.readers.base import Reader
from evalkit.readers.formats.inspect.header import Header
from evalkit.readers.formats.inspect.records import RAWS, STRINGS, decoder, has_short_score, is_short
from evalkit.readers.formats.inspect.samples import Columns, ranges
from evalkit.readers.formats.lenient_decode import read as read_record
from evalkit.readers.formats.lenient_decode import salvage
from evalkit.readers.formats.zip_salvage import Zip
from evalkit.util.errors import FormatError
from evalkit.util.words import join_words, plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MEMBER: Final = re.compile(rb"header\.json|_journal/|samples/|summaries\.json")
_LOG: Final = re.compile(
    rb'^\s*\{\s*(?:"version"\s*:\s*\d+\s*,\s*)?"status"\s*:\s*"\w+"\s*,\s*"eval"\s*:\s*\{'
)
_SAMPLE: Final = re.compile(r"^samples/(.+)_epoch_(\d+)(?:\.json|/sample\.json)$", re.DOTALL)
_CHUNK: Final = re.compile(r"/(\d+)\.json$")
_HEADERS: Final[tuple[str, ...]] = ("header.json", "_journal/start.json")
_NOT_KEPT: Final = "Inspect logs: not kept are events other than the messages, store, sandbox, files, timelines and the usage by role."
_SUMMARIES: Final = (
    "Inspect logs: scores without trials or turns are read from the logs' summaries, where line breaks are blanks and "
    "the history of edited scores is not told; load all tables for both."
)
_DETAIL: Final = frozenset({"trials", "turns"})


def is_zip(path: Path, head: bytes) -> bool:
    """Whether it is a zip with the members of a log."""
    return head.startswith(b"PK\x03\x04") and (
        path.suffix == ".eval" or _MEMBER.search(head[:4096]) is not None
    )


def is_json(path: Path, head: bytes) -> bool:
    """Whether it is an object that begins as a log does."""
    return _LOG.match(head.removeprefix(b"\xef\xbb\xbf")) is not None


def is_shards(path: Path, head: bytes) -> bool:
    """Whether it is the folder of a log's parts, beside the log that they were put together in."""
    return path.name.endswith(".shards") and path.is_dir() and path.with_suffix(".eval").is_file()


def pass_over(path: Path) -> Evals:
    """Leave the parts of a log that is there whole."""
    return Evals.from_tables(notes=[f"{path}: not read, {path.with_suffix('.eval').name} holds them all."])


def read_json(path: Path, tables: frozenset[str]) -> Evals:
    """Read a `.json` log: everything is in one object.

    Raises
    ------
    FormatError
        It is no JSON from which a header can be read.
    """
    log = _Log(path, tables)
    data = read_bytes(path)
    try:
        whole = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        samples: list[Any] = list(
            msgspec.json.decode(whole.pop("samples", b"[]") or b"[]", type=list[msgspec.Raw])
        )
        header = {name: decode(bytes(raw)) for name, raw in whole.items() if name != "reductions"}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        header, samples = _slowly(data.decode(errors="replace"), log)
    log.start(header)
    if log.columns is not None:
        for number, sample in enumerate(samples, 1):
            log.take(sample, f"sample {number}")
    return log.evals()


def read_zip(path: Path, tables: frozenset[str]) -> Evals:
    """Read an `.eval` log; of its members those that the tables need.

    Raises
    ------
    FormatError
        Nothing of the zip can be read.
    """
    log = _Log(path, tables)
    with Zip(path) as archive:
        if archive.cut:
            log.add_problem(
                f"the zip is cut off; {plural(len(archive.members), 'member was', plural='members were')} found from its start"
            )
        heads = [name for name in _HEADERS if archive.find(name) is not None]
        header = log.member(archive, heads[0]) if heads else None
        if not heads:
            log.add_problem("it has neither header.json nor _journal/start.json")
        header = header if isinstance(header, dict) else {}
        log.start({"status": "started", **header})
        if log.columns is not None:
            with without_collector():
                log.take_samples(archive)
    return log.evals()


class _Log:
    """One log while it is read."""

    def __init__(self, path: Path, tables: frozenset[str]) -> None:
        self.path = path
        self.tables = tables
        self.problems: list[Problem] = []
        self.header = Header({}, path.stem)
        self.columns: Columns | None = None
        self.kind, self.decoder, self.decode_all = decoder(tables)
        self.summarized = False

    def add_problem(self, reason: str) -> None:
        self.problems.append(Problem(str(self.path), None, reason))

    def start(self, log: dict[str, Any]) -> None:
        """Take the header; without the tables of samples that is all."""
        self.header = Header(log, self.path.stem)
        if self.tables - {"runs"}:
            tables = self.tables | {"scores"} if "criteria" in self.tables else self.tables
            self.kind, self.decoder, self.decode_all = decoder(tables)
            self.columns = Columns(self.header.run, self.header.graders(), tables)

    def take(self, raw: Any, where: str) -> None:
        """Add a sample: a record, JSON, or what was decoded already."""
        if self.columns is None:
            return

        def add_problem(reason: str) -> None:
            self.add_problem(f"{where}: {reason}")

        if isinstance(raw, self.kind):
            sample = raw
        elif isinstance(raw, bytes | msgspec.Raw):
            sample = read_record(self.kind, self.decoder, raw, add_problem)
        else:
            sample = salvage(self.kind, raw, add_problem)
        if sample is not None:
            self.columns.take(sample, add_problem)

    def member(self, archive: Zip, name: str) -> Any:
        """Return what a member of the zip holds, decoded; None and a problem where that cannot be."""
        try:
            return decode(archive.read(name))
        except ValueError as error:
            self.add_problem(str(error) if name in str(error) else f"{name!r}: {error}")
            return None

    def take_samples(self, archive: Zip) -> None:
        """Add every sample: from the summaries where nothing that is wanted was shortened in them, else in full."""
        told: set[str] = set()
        if not self.tables & _DETAIL:
            for sample, place in self._summaries(archive):
                self.take(sample, place)
                told.add(place)
        self.summarized = bool(told)
        if told and archive.has_only(b"samples/", b".json", told):
            return
        for name in archive.members:
            match = _SAMPLE.match(name)
            if match is not None and f"{match[1]}_epoch_{match[2]}" not in told:
                self.take_member(archive, name)

    def take_member(self, archive: Zip, name: str) -> None:
        """Add the sample of one member, with its chunks where it has any."""
        try:
            data = archive.read(name)
            if not name.endswith("/sample.json"):
                self.take(data, name)
                return
            shell = decode(data)
        except ValueError as error:
            self.add_problem(str(error) if name in str(error) else f"{name!r}: {error}")
            return
        if isinstance(shell, dict):
            self.take(self._whole(archive, name.removesuffix("/sample.json"), shell), name)
        else:
            self.add_problem(f"{name!r} is no object")

    def _whole(self, archive: Zip, prefix: str, shell: dict[str, Any]) -> bytes:
        """Return a chunked sample as one that is not: its sequences are read where they are needed."""
        if "turns" in self.tables:
            pool = self._sequence(archive, f"{prefix}/messages/", RAWS)
            refs = [ref for ref in shell.pop("message_refs", ()) if isinstance(ref, list)]
            shell["messages"] = ranges(pool, refs)
        texts = self._sequence(archive, f"{prefix}/attachments/", STRINGS)
        shell["attachments"] = {str(place): text for place, text in enumerate(texts)}
        if "cases" in self.tables and f"{prefix}/metadata.json" in archive.members:
            shell["metadata"] = self.member(archive, f"{prefix}/metadata.json")
        return msgspec.json.encode(shell)

    def _sequence(self, archive: Zip, prefix: str, chunks: msgspec.json.Decoder[list[Any]]) -> list[Any]:
        """Return the items of a sequence; a chunk that cannot be read leaves its place empty at the end."""
        found = [(name, _CHUNK.search(name)) for name in archive.members if name.startswith(prefix)]
        items: list[Any] = []
        for name, _ in sorted(((n, int(m[1])) for n, m in found if m), key=lambda pair: pair[1]):
            try:
                items += chunks.decode(archive.read(name))
            except (ValueError, msgspec.MsgspecError, RecursionError) as error:
                self.add_problem(f"{name!r} cannot be read: {error}")
        return items

    def _summaries(self, archive: Zip) -> Iterator[tuple[Any, str]]:
        """Yield what the log says of its samples in short, with the name of each."""
        names = ["summaries.json"]
        if archive.find(names[0]) is None:
            names = [name for name in archive.members if name.startswith("_journal/summaries/")]
        for name in names:
            try:
                data = archive.read(name)
            except ValueError:
                continue  # every sample is read in full instead
            yield from self._whole_ones(data)

    def _whole_ones(self, data: bytes) -> Iterator[tuple[Any, str]]:
        """Yield the samples of a member in which nothing that is wanted was shortened."""
        if "cases" not in self.tables:
            with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                samples = self.decode_all.decode(data)
                yield from (
                    (sample, f"{sample.id}_epoch_{sample.epoch}")
                    for sample in samples
                    if isinstance(sample.id, str | int) and not has_short_score(sample)
                )
                return
        try:
            raws = RAWS.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        for raw in raws:
            try:
                key = _KEY.decode(raw)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue
            if not is_short(bytes(raw)):
                yield raw, f"{key.id}_epoch_{key.epoch}"

    def evals(self) -> Evals:
        """Return the tables."""
        source = str(self.path)
        made: dict[str, Any] = {"runs": self.header.frame(source)}
        notes = []
        if self.header.too_new:
            notes.append(
                f"{source}: written by a newer Inspect (format {self.header.log.get('version')}); read as far as known."
            )
        columns = self.columns
        if columns is not None:
            tables = columns.frames(source, self.header.suite)
            names = columns.lettered if "scores" in columns.tables else {}
            seen = tables["scores"]["criterion"].unique(maintain_order=True).to_list() if names else []
            tables["criteria"] = self.header.criteria(columns.lettered, seen)  # type: ignore[assignment]
            made |= {name: frame for name, frame in tables.items() if name in self.tables}
            notes += _notes(columns, source, summarized=self.summarized and "scores" in self.tables)
        return Evals.from_tables(**made, problems=in_order(self.problems), notes=notes, files=[source])


class _Key(msgspec.Struct):
    id: str | int
    epoch: int = 1


_KEY: Final = msgspec.json.Decoder(_Key)


def _notes(columns: Columns, source: str, *, summarized: bool) -> Iterator[str]:
    if columns.tables & _DETAIL:
        yield _NOT_KEPT
    if summarized:
        yield _SUMMARIES
    if columns.unkept:
        yield f"Inspect logs: metadata of samples without a column: {join_words(sorted(columns.unkept), limit=20)}."
    if columns.invalid:
        yield f"{source}: {plural(columns.invalid, 'sample is', plural='samples are')} marked as invalid, and kept."


def _slowly(text: str, log: _Log) -> tuple[dict[str, Any], list[Any]]:
    """Return the header and the samples of a log that is no sound JSON, as far as they can be read."""
    decoder = json.JSONDecoder(parse_constant=str, strict=False)
    header: dict[str, Any] = {}
    samples: list[Any] = []
    at = text.find("{") + 1
    try:
        while True:
            at = _skip(text, at)
            if text[at : at + 1] in ("}", ""):
                break
            name, at = decoder.raw_decode(text, at)
            at = _skip(text, at)
            if name == "samples" and text[at : at + 1] == "[":
                at = _skip(text, at + 1)
                while text[at : at + 1] != "]":
                    value, at = decoder.raw_decode(text, at)
                    samples.append(value)
                    at = _skip(text, at)
                at += 1
            else:
                header[str(name)], at = decoder.raw_decode(text, at)
    except (ValueError, RecursionError):
        log.add_problem(
            f"the JSON is broken or cut off; {plural(len(samples), 'sample')} before that could be read"
        )
    if "eval" not in header:
        raise FormatError(f"{str(log.path)!r} looks like an Inspect log, but its header cannot be read.")
    header.pop("reductions", None)
    return header, samples


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,:":
        at += 1
    return at


READERS: Final = (
    Reader("Inspect log (.eval)", is_zip, partly=read_zip, alone=True),
    Reader("Inspect log (.json)", is_json, partly=read_json, alone=True),
    Reader("Inspect shards", is_shards, read=pass_over),
)
