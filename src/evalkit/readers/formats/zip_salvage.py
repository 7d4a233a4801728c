"""Read zip members (stored, deflate, zstd), checked and bounded, also of truncated files."""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from evalkit.util.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGEST: Final = 2 << 30
"""The largest member that is unpacked, in bytes."""

# Zip bomb: a member above this ratio and size.
_SUSPICIOUS: Final = 500
_HARMLESS: Final = 128 << 20
# The maximum ratio of deflate.
_DEFLATE_BEST: Final = 1032

_STORED, _DEFLATE, _ZSTD = 0, 8, 93
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_ENTRY: Final = struct.Struct("<4s6H3L5H2L")
_END: Final = struct.Struct("<4s4H2LH")
# Offset of a name's length before the name.
_NAME_LENGTH: Final = 18
_END_SIZE: Final = 1 << 16
_WIDE: Final = 0xFFFFFFFF
_SIZES_BEHIND: Final = 8
# Maximum size of a local header without its name.
_SLACK: Final = 256


class Member(NamedTuple):
    """The place and checksum of a member."""

    method: int
    crc: int
    packed: int
    size: int
    offset: int


class Zip:
    """A zip file open for reading; of members with one name the last counts.

    `cut`: the directory is missing, so members were found from the start. Raise `FormatError` if nothing is
    readable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut = False
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            self._directory = _read_directory(self._file)
            if not self._directory and not self.members and self.cut:
                raise FormatError(f"{str(path)!r} is a zip of which nothing can be read.")
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._file)

    @cached_property
    def members(self) -> dict[str, Member]:
        """Every member by name, in the order of the directory or the file."""
        try:
            with zipfile.ZipFile(self.path) as archive:
                return {
                    i.filename: Member(i.compress_type, i.CRC, i.compress_size, i.file_size, i.header_offset)
                    for i in archive.infolist()
                }
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error):
            self.cut = True
            return dict(_members_from_start(self._file))

    def find(self, name: str) -> Member | None:
        """Return a member without reading the whole directory; None if missing."""
        matches = None if "members" in self.__dict__ else self._search(re.escape(name.encode()))
        if matches:
            entry: Any = _ENTRY.unpack_from(self._directory, matches[-1].start() - _ENTRY.size)
            signature, _, _, _, method, _, _, crc, packed, size, *_, offset = entry
            if signature == b"PK\x01\x02" and _WIDE not in (packed, size, offset):
                return Member(method, crc, packed, size, offset)
        return self.members.get(name)

    def has_only(self, start: bytes, end: bytes, names: set[str]) -> bool:
        """Whether the members with this start and end have exactly these names between."""
        matches = self._search(re.escape(start) + b"(.+?)" + re.escape(end))
        if matches is None or len(matches) != self._directory.count(start):
            return False
        return {match[1] for match in matches} == {name.encode() for name in names}

    def _search(self, pattern: bytes) -> list[re.Match[bytes]] | None:
        """Return the names that match in the directory's bytes; None if some match partly."""
        block = self._directory
        matches = list(re.finditer(pattern, block))
        for match in matches:
            place = match.start() - _NAME_LENGTH
            if place < 0 or block[place] + 256 * block[place + 1] != match.end() - match.start():
                return None
        return matches

    def read(self, name: str) -> bytes:
        """Return the content of a member; raise `ValueError` with the reason if unreadable."""
        member = self.find(name)
        if member is None:
            raise ValueError(f"Missing {name!r}.")
        if member.size > LARGEST or (member.size > _HARMLESS and member.size > _SUSPICIOUS * member.packed):
            raise ValueError(
                f"{name!r} would unpack from {member.packed:,} to {member.size:,} bytes. It is not unpacked."
            )
        data = _unpack(member, self._packed(member, name), name)
        if len(data) != member.size or zlib.crc32(data) != member.crc:
            raise ValueError(f"{name!r} is damaged.")
        return data

    def _packed(self, member: Member, name: str) -> memoryview:
        length = _LOCAL.size + len(name) + _SLACK + member.packed
        block = os.pread(self._file, length, member.offset)
        if block[:4] != b"PK\x03\x04":
            raise ValueError(f"{name!r} is not where the zip's directory has it.")
        start = _LOCAL.size + sum(struct.unpack_from("<2H", block, _LOCAL.size - 4))
        if start + member.packed > length:
            block = os.pread(self._file, start + member.packed, member.offset)
        if start + member.packed > len(block):
            raise ValueError(f"{name!r} is cut off.")
        return memoryview(block)[start : start + member.packed]


def _unpack(member: Member, packed: memoryview, name: str) -> bytes:
    try:
        if member.method == _STORED:
            return bytes(packed)
        if member.method == _DEFLATE and member.packed * _DEFLATE_BEST <= _HARMLESS:
            return zlib.decompress(packed, -15, max(member.size, 1))
        if member.method == _DEFLATE:
            return zlib.decompressobj(-15).decompress(packed, member.size + 1)
        if member.method == _ZSTD:
            import pyarrow as pa

            data: bytes = pa.decompress(packed, decompressed_size=member.size, codec="zstd", asbytes=True)
            return data
    except (zlib.error, OSError, ValueError, MemoryError):
        raise ValueError(f"{name!r} is damaged.") from None
    raise ValueError(f"{name!r} is packed by method {member.method}. Expected stored, deflate or zstd.")


def _read_directory(file: int) -> bytes:
    """Return the bytes of the directory; none for zip64 or a missing directory."""
    size = os.fstat(file).st_size
    tail = os.pread(file, _END_SIZE, max(0, size - _END_SIZE))
    place = tail.rfind(b"PK\x05\x06")
    if not 0 <= place <= len(tail) - _END.size:
        return b""
    *_, length, offset, _ = _END.unpack_from(tail, place)
    block = os.pread(file, length, offset) if offset + length <= size else b""
    return block if block[:4] == b"PK\x01\x02" else b""


def _members_from_start(file: int) -> Iterator[tuple[str, Member]]:
    offset, size = 0, os.fstat(file).st_size
    while offset + _LOCAL.size <= size:
        header: Any = _LOCAL.unpack(os.pread(file, _LOCAL.size, offset))
        signature, _, flags, method, _, _, crc, packed, full, names, extras = header
        start = offset + _LOCAL.size + names + extras
        if (
            signature != b"PK\x03\x04"
            or flags & _SIZES_BEHIND
            or _WIDE in (packed, full)
            or start + packed > size
        ):
            return
        name = os.pread(file, names, offset + _LOCAL.size).decode(
            "utf-8" if flags & 0x800 else "cp437", "replace"
        )
        yield name, Member(method, crc, packed, full, offset)
        offset = start + packed
