"""Writes: whole or not at all, only into regular files, never through a link."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from evalkit.data import folder as native
from evalkit.util import atomic_files
from evalkit.util.atomic_files import atomic_write, open_for_append, replace_folder, restore_folder
from evalkit.util.cache_folder import cache_folder
from evalkit.util.errors import FormatError, PathError
from evalkit.util.file_lock import holding, locked

posix = pytest.mark.skipif(os.name == "nt", reason="needs links, pipes and limits of a POSIX system")


def _precious(tmp_path):
    path = tmp_path / "precious.txt"
    path.write_text("keep me")
    return path


@posix
def test_a_lock_or_an_append_never_goes_through_a_link(tmp_path):
    precious, link = _precious(tmp_path), tmp_path / "link"
    link.symlink_to(precious)

    with pytest.raises(FormatError), locked(link, "it"):
        pass
    with pytest.raises(FormatError):
        native.append(link, [{"a": 1}])

    assert precious.read_text() == "keep me"


@posix
def test_a_link_to_nothing_is_refused_too(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "new")

    with pytest.raises(FormatError):
        native.append(link, [{"a": 1}])

    assert not (tmp_path / "new").exists()


@posix
def test_a_linked_folder_of_locks_is_refused(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / ".evalkit").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FormatError), holding(tmp_path / "data", "scores.jsonl"):
        pass

    assert not any((tmp_path / "elsewhere").iterdir())


@posix
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_only_regular_files_are_appended_to(tmp_path, kind):
    path = tmp_path / "target"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path(os.devnull)

    with pytest.raises(FormatError):
        open_for_append(path)


@posix
def test_an_atomic_write_replaces_a_link_and_leaves_its_target(tmp_path):
    precious, link = _precious(tmp_path), tmp_path / "link"
    link.symlink_to(precious)

    with atomic_write(link) as fresh:
        fresh.write_text("new")

    assert (precious.read_text(), link.read_text(), link.is_symlink()) == ("keep me", "new", False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"a":1}\n{"b":', b'{"a":1}\n{"c":3}\n'),
        (b'{"a":1}\n{"b":2}', b'{"a":1}\n{"b":2}\n{"c":3}\n'),
        (b'{"a":1}\n', b'{"a":1}\n{"c":3}\n'),
        (b'{"torn": "' + b"x" * 200_000, b'{"c":3}\n'),
        (b'{"a":1}\n{"b":"\xc3', b'{"a":1}\n{"c":3}\n'),
        (b"", b'{"c":3}\n'),
    ],
)
def test_a_torn_last_line_is_cut_off_and_a_whole_one_kept(tmp_path, before, after):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(before)

    native.append(path, [{"c": 3}])

    assert path.read_bytes() == after


def test_a_replaced_folder_is_whole_or_untouched(tmp_path):
    folder = tmp_path / "saved"
    with replace_folder(folder) as fresh:
        (fresh / "a").write_text("old")

    with pytest.raises(ZeroDivisionError):
        _fail_half_way(folder)

    assert (folder / "a").read_text() == "old"
    with replace_folder(folder) as fresh:
        (fresh / "b").write_text("new")
    assert [path.name for path in folder.iterdir()] == ["b"]
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]


def test_a_folder_that_a_crash_left_aside_is_put_back(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files, "_exchange", lambda *_: False)
    folder, old = tmp_path / "saved", tmp_path / ".saved.evalkit-old"
    old.mkdir()
    (old / "a").write_text("old")

    restore_folder(folder)

    assert (folder / "a").read_text() == "old"
    with replace_folder(folder) as fresh:
        (fresh / "a").write_text("new")
    assert ((folder / "a").read_text(), old.exists()) == ("new", False)


@posix
def test_a_kill_leaves_the_old_or_the_new_folder_at_every_instant(tmp_path):
    code = """
        import sys
        from pathlib import Path
        from evalkit.util.atomic_files import replace_folder
        folder, number = Path(sys.argv[1]), 0
        while True:
            number += 1
            with replace_folder(folder) as fresh:
                (fresh / "a").write_text(str(number))
                (fresh / "b").write_text(str(number))
            print(number, flush=True)
    """
    folder = tmp_path / "saved"
    for kill_after in range(1, 9):
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), str(folder)], stdout=subprocess.PIPE, text=True
        )
        with process:
            for _ in range(kill_after):
                process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        assert (folder / "a").read_text() == (folder / "b").read_text() != ""


@posix
def test_a_full_disk_is_an_error_in_words_and_loses_nothing(tmp_path):
    code = """
        import resource, signal, sys
        from pathlib import Path
        from evalkit.data import folder as native
        from evalkit.util.errors import PathError
        path = Path(sys.argv[1])
        native.append(path, [{"a": 1}])
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            native.append(path, [{"text": "x" * 500}])
        except PathError as error:
            print(error.value)
    """
    path = tmp_path / "rows.jsonl"

    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)], capture_output=True, text=True, check=True
    )

    assert result.stdout.strip() == str(path)
    assert path.read_bytes() == b'{"a":1}\n'


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_while_a_file_is_replaced_keeps_the_old_one(tmp_path, number):
    path = _precious(tmp_path)

    with pytest.raises(PathError), atomic_write(path):
        raise OSError(number, os.strerror(number))

    assert [file.read_text() for file in tmp_path.iterdir()] == ["keep me"]


@posix
def test_a_cache_that_others_may_write_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache"

    (tmp_path / "cache").chmod(0o777)

    with pytest.raises(FormatError):
        cache_folder()


def _fail_half_way(folder):
    with replace_folder(folder) as fresh:
        (fresh / "a").write_text("half")
        raise ZeroDivisionError
