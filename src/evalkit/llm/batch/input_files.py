"""Input files of a Batch API: requests split by count, by UTF-8 bytes and, if required, by model."""

from __future__ import annotations

import os
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import msgspec

from evalkit.data.json_text import encode_json
from evalkit.llm.batch.journal import Shard
from evalkit.llm.budget import estimate_cost
from evalkit.llm.providers import cost
from evalkit.llm.requests import Request
from evalkit.util.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from evalkit.llm.providers import BatchLimits, Provider

_MAX_ID: Final = 64
_BUFFER_BYTES: Final = 1 << 20
_ID: Final = re.compile(rf"[ !#-\[\]-~]{{1,{_MAX_ID}}}")

_encode_into: Final = msgspec.json.Encoder().encode_into


class AboutLine(msgspec.Struct):
    """Line beside a request: its ID, its `about`, and its cache key."""

    custom_id: str
    about: dict[str, Any] = {}
    key: str = ""


@dataclass(slots=True)
class _OpenFiles:
    shard: Shard
    requests: BinaryIO
    abouts: BinaryIO
    answers: BinaryIO | None = None

    def sync(self) -> None:
        for file in (self.requests, self.abouts, self.answers):
            if file is not None and not file.closed:
                file.flush()
                os.fsync(file.fileno())
                file.close()


@dataclass(slots=True)
class BatchFileWriter:
    """Write requests into numbered files, each beside a file with their `about`."""

    folder: Path
    provider: Provider
    limits: BatchLimits
    round: int = 1
    first: int = 1
    _shards: list[Shard] = field(default_factory=list)
    _open: dict[str, _OpenFiles] = field(default_factory=dict)
    _cached: _OpenFiles | None = None
    _prices: dict[str, tuple[float, float] | None] = field(default_factory=dict)

    def write(self, requests: Iterable[tuple[Request, str, dict[str, Any] | None]]) -> list[Shard]:
        """Write (request, cache key, cached answer); raise ProviderError for a request above the size limit."""
        head = b'","method":"POST","url":' + encode_json(self.limits.endpoint) + b',"body":'
        unsupported = frozenset(self.limits.refused)
        line = bytearray()
        with ExitStack() as stack:
            for request, key, answer in requests:
                body = request.body
                if answer is None and not unsupported.isdisjoint(body):
                    body = {name: value for name, value in body.items() if name not in unsupported}
                # One buffer for all lines is several times faster than one for each.
                line[:] = b'{"custom_id":"'
                line += request.custom_id.encode()
                line += head
                _append_json(line, body)
                line += b"}\n"
                if answer is None:
                    files = self._files_for(body, len(line), request.custom_id, stack)
                    self._count(files.shard, body, len(line))
                else:
                    files = self._cached_files(stack)
                    assert files.answers is not None  # noqa: S101
                    response = {"status_code": 200, "body": answer}
                    files.answers.write(
                        encode_json({"custom_id": request.custom_id, "response": response}) + b"\n"
                    )
                files.requests.write(line)
                files.abouts.write(encode_json(AboutLine(request.custom_id, request.about, key)) + b"\n")
                files.shard.lines += 1
            for files in self._open.values():
                files.sync()
            if self._cached is not None:
                self._cached.sync()
                self._cached.shard.outcomes = {"success": self._cached.shard.lines}
        return sorted(self._shards, key=lambda shard: shard.number)

    def _files_for(self, body: dict[str, Any], size: int, custom_id: str, stack: ExitStack) -> _OpenFiles:
        if size > self.limits.bytes:
            raise ProviderError(
                f"The request {custom_id} has {size:,} bytes. A batch file at {self.provider.name} has at most "
                f"{self.limits.bytes:,}. Shorten the request."
            )
        model = str(body.get("model"))
        group = model if self.limits.one_model else ""
        files = self._open.get(group)
        if files is not None:
            shard = files.shard
            if shard.lines < self.limits.shard_lines and shard.bytes + size <= self.limits.bytes:
                return files
            files.sync()
        number = self.first + sum(shard.number > 0 for shard in self._shards)
        shard = Shard(number=number, round=self.round, lines=0, model=model, estimate=0.0)
        self._open[group] = self._open_files(shard, stack)
        return self._open[group]

    def _cached_files(self, stack: ExitStack) -> _OpenFiles:
        """Return the files of shard 0: cached answers, never sent."""
        if self._cached is None:
            shard = Shard(number=0, round=0, lines=0, estimate=0.0, state="collected", again={})
            self._cached = self._open_files(shard, stack)
            answers = (self.folder / "0000.output.jsonl").open("wb", buffering=_BUFFER_BYTES)
            self._cached.answers = stack.enter_context(answers)
        return self._cached

    def _open_files(self, shard: Shard, stack: ExitStack) -> _OpenFiles:
        self._shards.append(shard)
        requests, abouts = (
            stack.enter_context(path(self.folder, shard).open("wb", buffering=_BUFFER_BYTES))
            for path in (requests_path, abouts_path)
        )
        return _OpenFiles(shard, requests, abouts)

    def _count(self, shard: Shard, body: dict[str, Any], size: int) -> None:
        model = str(body.get("model"))
        shard.model = shard.model if shard.model == model else ""
        shard.bytes += size
        if model not in self._prices:
            usages = ({"prompt_tokens": n, "completion_tokens": 1 - n} for n in (1, 0))
            sent, written = (cost(self.provider, model, usage, mode="batch") for usage in usages)
            self._prices[model] = None if sent is None or written is None else (sent, written)
        prices = self._prices[model]
        if prices is None or shard.estimate is None:
            shard.estimate = None
        else:
            shard.estimate += estimate_cost(body, size, prices)


def check_ids(requests: Iterable[Request]) -> Iterator[Request]:
    """Yield the requests; raise ProviderError at a `custom_id` that is invalid or not unique."""
    seen: set[str] = set()
    for request in requests:
        key = request.custom_id
        if not _ID.fullmatch(key):
            raise ProviderError(
                f"Invalid custom_id {key!r}.",
                argument="custom_id",
                value=key,
                expected=f"1 to {_MAX_ID} printable ASCII characters without quotes and backslashes",
                fix="Use custom_id(run, case, epoch).",
            )
        if key in seen:
            raise ProviderError(
                f"Duplicate custom_id {key!r}.",
                argument="custom_id",
                value=key,
                fix="Give each request its own ID, for example custom_id(run, case, epoch).",
            )
        seen.add(key)
        yield request


def read_requests(
    folder: Path, shard: Shard, *, only: set[str] | None = None
) -> Iterator[tuple[Request, str]]:
    """Yield the requests of a shard as sent, each with its cache key."""
    with requests_path(folder, shard).open("rb") as file:
        for line, about in zip(file, read_abouts(folder, shard), strict=True):
            if only is None or about.custom_id in only:
                yield Request(about.custom_id, msgspec.json.decode(line)["body"], about.about), about.key


def read_abouts(folder: Path, shard: Shard) -> Iterator[AboutLine]:
    """Yield the lines beside the requests of a shard, in order."""
    decoder = msgspec.json.Decoder(AboutLine)
    with abouts_path(folder, shard).open("rb") as file:
        for line in file:
            yield decoder.decode(line)


def requests_path(folder: Path, shard: Shard) -> Path:
    """Return the path of the file to upload."""
    return folder / f"{shard.number:04d}.jsonl"


def abouts_path(folder: Path, shard: Shard) -> Path:
    """Return the path of the file beside it."""
    return folder / f"{shard.number:04d}.about.jsonl"


def _append_json(line: bytearray, value: Any) -> None:
    start = len(line)
    try:
        _encode_into(value, line, -1)
    except (UnicodeEncodeError, msgspec.MsgspecError):
        del line[start:]
        line += encode_json(value)
