"""Read the members of a zip: stored, deflate and zstd, each checked and bounded, a cut-off file as far as it goes."""

from __future__ import annotations

import os
import re
import struct
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

LARGEST: Final = 2 << 30
"""The largest member that is unpacked, in bytes."""

# What unpacks to so many times its size, and to much, was made to fill the memory.
_SUSPICIOUS: Final = 500
_HARMLESS: Final = 128 << 20
# Deflate cannot pack better than this.
_DEFLATE_BEST: Final = 1032

_STORED, _DEFLATE, _ZSTD = 0, 8, 93
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR: Final = struct.Struct("<4sLQL")
_ALL_ONES: Final = 0xFFFFFFFF
# What a member's local header may have more than its entry in the directory.
_SLACK: Final = 128


class Member(NamedTuple):
    """Where a member is, and what it should be."""

    method: int
    crc: int
    packed: int
    size: int
    offset: int
    names: int


class Zip:
    """A zip file that is open for reading; of members with one name the last is the one.

    Attributes
    ----------
    cut
        Whether the directory is missing and the members were found from the start of the file.

    Raises
    ------
    FormatError
        It is none, or nothing of it can be found.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self.cut = False
        self._directory = b""
        try:
            size = os.fstat(self.file).st_size
            try:
                self._directory = _find_directory(self.file, size)
            except (struct.error, ValueError):
                self.cut = True
                self.members = dict(_from_start(self.file, size))
            if self.cut and not self.members:
                raise FormatError(f"{str(path)!r} is a zip of which nothing can be read.")
        except BaseException:
            os.close(self.file)
            raise

    @cached_property
    def members(self) -> dict[str, Member]:
        """Name -> `Member`, in the order of the directory; of a directory that is damaged what can be read."""
        made: dict[str, Member] = {}
        try:
            made.update(_entries(self._directory))
        except (struct.error, ValueError):
            self.cut = True
            made = dict(_from_start(self.file, os.fstat(self.file).st_size))
        return made

    def find(self, name: str) -> Member | None:
        """Return one member without going through the whole directory; None where there is none of that name."""
        if "members" in self.__dict__:
            return self.members.get(name)
        wanted = name.encode()
        at = self._directory.rfind(wanted)
        while at >= _CENTRAL.size:
            entry = self._directory[at - _CENTRAL.size :]
            if entry[:4] == b"PK\x01\x02" and struct.unpack_from("<H", entry, 28)[0] == len(wanted):
                try:
                    return next(_entries(entry))[1]
                except (struct.error, ValueError):
                    break
            at = self._directory.rfind(wanted, 0, at)
        return self.members.get(name)

    def has_only(self, start: bytes, end: bytes, names: set[str]) -> bool:
        """Whether a folder's members are those of these names, where that is plain from the directory's bytes.

        False says nothing: then the members have to be looked at.
        """
        if self.cut:
            return False
        block = self._directory
        found: set[bytes] = set()
        for match in re.finditer(re.escape(start) + b"(.+?)" + re.escape(end), block):
            at = match.start() - _CENTRAL.size
            if at < 0 or int.from_bytes(block[at + 28 : at + 30], "little") != len(match[0]):
                return False
            found.add(match[1])
        return len(found) == block.count(start) and found == {name.encode() for name in names}

    def __enter__(self) -> Zip:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.file)

    def read(self, name: str) -> bytes:
        """Return what a member holds.

        Raises
        ------
        ValueError
            It is damaged, cut off, too large, or packed in a way that is not known; the message says which.
        """
        member = self.find(name)
        if member is None:
            raise ValueError(f"there is no {name!r}")
        if member.size > LARGEST or (member.size > _HARMLESS and member.size > _SUSPICIOUS * member.packed):
            raise ValueError(
                f"{name!r} would unpack from {member.packed:,} to {member.size:,} bytes; it is not unpacked"
            )
        data = _unpack(member, _packed(self.file, member, name), name)
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise ValueError(f"{name!r} is damaged")
        return data


def _packed(file: int, member: Member, name: str) -> memoryview:
    length = _LOCAL.size + member.names + _SLACK + member.packed
    block = os.pread(file, length, member.offset)
    if block[:4] != b"PK\x03\x04":
        raise ValueError(f"{name!r} is not where the zip's directory says")
    start = _LOCAL.size + sum(struct.unpack_from("<2H", block, 26))
    if start + member.packed > length:
        block = os.pread(file, start + member.packed, member.offset)
    if start + member.packed > len(block):
        raise ValueError(f"{name!r} is cut off")
    return memoryview(block)[start : start + member.packed]


def _unpack(member: Member, packed: memoryview, name: str) -> bytes:
    if member.method == _STORED:
        return bytes(packed)
    try:
        if member.method == _DEFLATE:
            if member.packed * _DEFLATE_BEST <= _HARMLESS:
                return zlib.decompress(packed, -15, max(member.size, 1))
            return zlib.decompressobj(-15).decompress(packed, member.size + 1)
        if member.method == _ZSTD:
            import pyarrow as pa

            made: bytes = pa.decompress(packed, decompressed_size=member.size, codec="zstd", asbytes=True)
            return made
    except (zlib.error, OSError, ValueError, MemoryError):
        raise ValueError(f"{name!r} is damaged") from None
    raise ValueError(f"{name!r} is packed by method {member.method}; stored, deflate and zstd can be read")


def _find_directory(file: int, size: int) -> bytes:
    """Return the central directory; raise where there is no sound one."""
    tail = os.pread(file, 1 << 16, max(0, size - (1 << 16)))
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise ValueError("no end")
    _, _, _, _, count, length, offset, _ = _END.unpack_from(tail, at)
    if _ALL_ONES in (length, offset) or count == 0xFFFF:
        found = tail.rfind(b"PK\x06\x07", 0, at)
        if found < 0:
            raise ValueError("no 64-bit end")
        where = _LOCATOR.unpack_from(tail, found)[2]
        *_, length, offset = _END64.unpack(os.pread(file, _END64.size, where))
    if offset + length > size:
        raise ValueError("the directory is beyond the end")
    block = os.pread(file, length, offset)
    if len(block) != length or (length and block[:4] != b"PK\x01\x02"):
        raise ValueError("no directory")
    return block


def _entries(block: bytes) -> Iterator[tuple[str, Member]]:
    """Yield the entries of a central directory; raise at one that is not sound."""
    at, end = 0, len(block)
    while at < end:
        (mark, _, _, flags, method, _, _, crc, packed, full, names, extras, comments, *_, offset) = (
            _CENTRAL.unpack_from(block, at)
        )
        if mark != b"PK\x01\x02":
            raise ValueError("no entry")
        at += _CENTRAL.size
        name = block[at : at + names].decode("utf-8" if flags & 0x800 else "cp437", "replace")
        at += names
        if _ALL_ONES in (packed, full, offset):
            full, packed, offset = _wide(block[at : at + extras], full, packed, offset)
        at += extras + comments
        yield name, Member(method, crc, packed, full, offset, names + extras)


def _wide(extra: bytes, *values: int) -> list[int]:
    """Return sizes and offset with those that did not fit taken from the 64-bit field."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == 1:
            wide = iter(struct.unpack_from(f"<{length // 8}Q", extra, at + 4))
            return [next(wide, value) if value == _ALL_ONES else value for value in values]
        at += 4 + length
    return list(values)


def _from_start(file: int, size: int) -> Iterator[tuple[str, Member]]:
    """Yield the members that lie one after the other at the start of a file without a directory."""
    at = 0
    while at + _LOCAL.size <= size:
        head: Any = _LOCAL.unpack(os.pread(file, _LOCAL.size, at))
        mark, _, flags, method, _, _, crc, packed, full, names, extras = head
        if mark != b"PK\x03\x04" or flags & 8:  # 8: the sizes stand behind the data
            return
        rest = os.pread(file, names + extras, at + _LOCAL.size)
        if _ALL_ONES in (packed, full):
            full, packed = _wide(rest[names:], full, packed)
        start = at + _LOCAL.size + names + extras
        if start + packed > size:
            return
        name = rest[:names].decode("utf-8" if flags & 0x800 else "cp437", "replace")
        yield name, Member(method, crc, packed, full, at, names + extras)
        at = start + packed
