"""Requests into files that a Batch API takes: by number, by bytes of UTF-8, and by model where it wants that."""

from __future__ import annotations

import json
import os
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.columns import SURROGATE
from evalkit.llm.batch.journal import Shard
from evalkit.llm.budget import BYTES_A_TOKEN, WRITTEN
from evalkit.llm.providers import cost
from evalkit.llm.requests import Request
from evalkit.util.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from evalkit.llm.providers import BatchLimits, Provider

_LONGEST_ID: Final = 64
_BUFFER: Final = 1 << 20
_ID: Final = re.compile(rf"[ !#-\[\]-~]{{1,{_LONGEST_ID}}}")

encode: Final = msgspec.json.Encoder().encode
_encode_into: Final = msgspec.json.Encoder().encode_into


class About(msgspec.Struct):
    """The line beside a request: which it is, what it is for, and what its answer is kept under."""

    custom_id: str
    about: dict[str, Any] = {}
    key: str = ""


@dataclass(slots=True)
class _File:
    """A pair of files that is being written."""

    shard: Shard
    requests: BinaryIO
    abouts: BinaryIO


@dataclass(slots=True)
class Packer:
    """Writes requests into numbered pairs of files: what is uploaded, and what it is about.

    Attributes
    ----------
    folder
        Of the job.
    provider, limits
        Whom they are for; `limits` may have fewer lines to a shard than the provider's own.
    round, first
        Of the shards that are made.
    """

    folder: Path
    provider: Provider
    limits: BatchLimits
    round: int = 1
    first: int = 1
    shards: list[Shard] = field(default_factory=list)
    _open: dict[str, _File] = field(default_factory=dict)
    _prices: dict[str, tuple[float, float] | None] = field(default_factory=dict)

    def pack(self, requests: Iterable[tuple[Request, str]]) -> list[Shard]:
        """Write all requests, each with the key of its answer; return the shards, on the disk when it returns.

        Raises
        ------
        ProviderError
            One request alone is larger than a file may be.
        """
        head = b'","method":"POST","url":' + encode(self.limits.endpoint) + b',"body":'
        refused = frozenset(self.limits.refused)
        line = bytearray()
        with ExitStack() as stack:
            for request, key in requests:
                body = request.body
                if not refused.isdisjoint(body):
                    body = {name: value for name, value in body.items() if name not in refused}
                # One piece of memory for all lines: several times faster than one for each.
                line[:] = b'{"custom_id":"'
                line += request.custom_id.encode()
                line += head
                _add_text(line, body)
                line += b"}\n"
                file = self._find(body, len(line), request.custom_id, stack)
                file.requests.write(line)
                file.abouts.write(encode(About(request.custom_id, request.about, key)) + b"\n")
                shard = file.shard
                shard.lines += 1
                shard.model = shard.model if shard.model == body.get("model") else ""
                shard.bytes += len(line)
                dear = self._estimate(body, len(line))
                shard.estimate = None if dear is None or shard.estimate is None else shard.estimate + dear
            for file in self._open.values():
                _close(file)
        return self.shards

    def _find(self, body: dict[str, Any], size: int, key: str, stack: ExitStack) -> _File:
        """Return the file that has room, a new one where none has."""
        if size > self.limits.bytes:
            raise ProviderError(
                f"The request {key} has {size:,} bytes, and a file for a batch at {self.provider.name} may have "
                f"{self.limits.bytes:,}: shorten what it sends."
            )
        kind = str(body.get("model")) if self.limits.one_model else ""
        file = self._open.get(kind)
        if file is not None:
            shard = file.shard
            if shard.lines < self.limits.shard_lines and shard.bytes + size <= self.limits.bytes:
                return file
            _close(file)
        model = str(body.get("model"))
        shard = Shard(
            number=self.first + len(self.shards), round=self.round, lines=0, model=model, estimate=0.0
        )
        self.shards.append(shard)
        requests = stack.enter_context(requests_path(self.folder, shard).open("wb", buffering=_BUFFER))
        abouts = stack.enter_context(abouts_path(self.folder, shard).open("wb", buffering=_BUFFER))
        self._open[kind] = _File(shard, requests, abouts)
        return self._open[kind]

    def _estimate(self, body: dict[str, Any], size: int) -> float | None:
        """Return the most that a request may cost, near enough; None where the price is unknown."""
        model = str(body.get("model"))
        if model not in self._prices:
            one = {"prompt_tokens": 1, "completion_tokens": 0}, {"prompt_tokens": 0, "completion_tokens": 1}
            sent, written = (cost(self.provider, model, usage, mode="batch") for usage in one)
            self._prices[model] = None if sent is None or written is None else (sent, written)
        prices = self._prices[model]
        asked = body.get("max_completion_tokens") or body.get("max_tokens")
        tokens = asked if isinstance(asked, int) else WRITTEN
        return None if prices is None else size / BYTES_A_TOKEN * prices[0] + tokens * prices[1]


class Answered:
    """Writes what was answered before: the files of a shard 0, which has its results and is never sent.

    Parameters
    ----------
    folder
        Of the job.
    """

    def __init__(self, folder: Path) -> None:
        self._shard = Shard(number=0, round=0, lines=0, estimate=0.0, state="collected", again={})
        ends = ("jsonl", "about.jsonl", "output.jsonl")
        self._files = [(folder / f"0000.{end}").open("wb") for end in ends]

    def __enter__(self) -> Answered:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files:
            file.close()

    def add(self, request: Request, body: dict[str, Any], key: str) -> None:
        """Add a request with its answer."""
        response = {"status_code": 200, "body": body}
        for file, value in zip(
            self._files,
            (
                {"custom_id": request.custom_id, "body": request.body},
                About(request.custom_id, request.about, key),
                {"custom_id": request.custom_id, "response": response},
            ),
            strict=True,
        ):
            file.write(encode_text(value) + b"\n")
        self._shard.lines += 1

    def finish(self) -> list[Shard]:
        """Return the shard, on the disk when it returns; none where nothing was answered."""
        for file in self._files:
            _sync(file)
            if not self._shard.lines:
                Path(file.name).unlink()
        self._shard.outcomes = {"success": self._shard.lines}
        return [self._shard] if self._shard.lines else []


def check_ids(requests: Iterable[Request]) -> Iterator[Request]:
    """Give the requests on, and stop at an id that cannot be told from another.

    Raises
    ------
    ProviderError
        An id is empty, too long, no plain ASCII, or was there before.
    """
    seen: set[str] = set()
    for request in requests:
        key = request.custom_id
        if not _ID.fullmatch(key):
            raise ProviderError(
                f"The custom_id {key!r} cannot be sent: it has to be 1 to {_LONGEST_ID} printable ASCII characters "
                "without quotes and backslashes, as custom_id() makes them."
            )
        if key in seen:
            raise ProviderError(
                f"The custom_id {key!r} is there twice: their answers could not be told apart. Give each request "
                "its own, as custom_id(run, case, epoch, ...) does."
            )
        seen.add(key)
        yield request


def read_requests(
    folder: Path, shard: Shard, *, only: set[str] | None = None
) -> Iterator[tuple[Request, str]]:
    """Yield the requests of a shard as they were sent, each with the key of its answer."""
    with requests_path(folder, shard).open("rb") as file:
        for line, about in zip(file, read_abouts(folder, shard), strict=True):
            if only is None or about.custom_id in only:
                yield Request(about.custom_id, msgspec.json.decode(line)["body"], about.about), about.key


def read_abouts(folder: Path, shard: Shard) -> Iterator[About]:
    """Yield what is beside the requests of a shard, in their order."""
    decoder = msgspec.json.Decoder(About)
    with abouts_path(folder, shard).open("rb") as file:
        for line in file:
            yield decoder.decode(line)


def requests_path(folder: Path, shard: Shard) -> Path:
    """Return the file that is uploaded."""
    return folder / f"{shard.number:04d}.jsonl"


def abouts_path(folder: Path, shard: Shard) -> Path:
    """Return the file with what its requests are about."""
    return folder / f"{shard.number:04d}.about.jsonl"


def encode_text(value: Any) -> bytes:
    """Return JSON in UTF-8; a lone surrogate, which that cannot hold, becomes U+FFFD."""
    try:
        return encode(value)
    except (UnicodeEncodeError, msgspec.MsgspecError):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return SURROGATE.sub("\ufffd", text).encode()


def _add_text(line: bytearray, value: Any) -> None:
    """Add JSON to a line; see `encode_text`."""
    start = len(line)
    try:
        _encode_into(value, line, -1)
    except (UnicodeEncodeError, msgspec.MsgspecError):
        del line[start:]
        line += encode_text(value)


def _close(file: _File) -> None:
    _sync(file.requests)
    _sync(file.abouts)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()
