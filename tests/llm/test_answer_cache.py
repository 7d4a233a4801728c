"""The cache of answers: kept once, for its owner alone, by several threads and processes at once."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import threading

import pytest

from evalkit.llm.answer_cache import Cache
from evalkit.util.cache_folder import cache_folder
from evalkit.util.errors import FormatError


@pytest.fixture
def cache(tmp_path):
    with Cache(tmp_path / "deep" / "answers.sqlite") as cache:
        yield cache


def body(n):
    return {"choices": [], "n": n, "text": "ü\u2028\x00"}


def test_what_is_put_in_comes_out_as_it_was(cache):
    cache.put("a", body(1), model="m")

    assert cache.get("a") == body(1)
    assert cache.get("b") is None


def test_the_first_answer_stays(cache):
    cache.put("a", body(1), model="m")
    cache.put("a", body(2), model="m")

    assert (cache.get("a"), len(cache)) == (body(1), 1)


def test_it_is_there_when_it_is_opened_again(cache):
    cache.put("a", body(1), model="m")

    with Cache(cache.path) as again:
        assert again.get("a") == body(1)


@pytest.mark.skipif(sys.platform == "win32", reason="files have no such modes there")
def test_it_is_for_its_owners_eyes_only(cache):
    cache.put("a", body(1), model="m")

    files = sorted(cache.path.parent.iterdir())
    assert [path.name for path in files] == ["answers.sqlite", "answers.sqlite-shm", "answers.sqlite-wal"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700


def test_its_size_and_its_number_are_seen(cache):
    empty = cache.size
    for n in range(200):
        cache.put(str(n), body(n), model="m")

    assert cache.size > empty > 0
    assert repr(cache) == f"Cache({str(cache.path)!r}): 200 answers, {cache.size / 1e6:.1f} MB"


def test_purge_forgets_all_and_gives_the_room_back(cache):
    for n in range(2_000):
        cache.put(str(n), body(n), model="m")
    full = cache.size

    assert cache.purge() == 2_000
    assert len(cache) == 0
    assert cache.size < full / 4


def test_purge_forgets_only_a_model_or_only_what_is_old(cache):
    cache.put("a", body(1), model="old")
    cache.put("b", body(2), model="new")

    assert cache.purge(model="old") == 1
    assert cache.purge(older_than_days=1) == 0
    assert cache.get("b") == body(2)
    assert cache.purge(older_than_days=-1) == 1


def test_what_is_kept_of_each_model_is_told_and_counted(cache, monkeypatch):
    for day, (key, model) in enumerate([("a", "small"), ("b", "large"), ("c", "large")]):
        monkeypatch.setattr("time.time", lambda day=day: 86_400.0 * day)
        cache.put(key, body(1), model=model)

    assert [(row["model"], row["answers"], row["oldest"], row["newest"]) for row in cache.models()] == [
        ("large", 2, 86_400.0, 172_800.0),
        ("small", 1, 0.0, 0.0),
    ]
    assert cache.count(model="large", older_than_days=0.5) == 1
    assert cache.purge(model="large", older_than_days=0.5) == 1
    assert (len(cache), cache.count(model="small"), cache.get("b")) == (2, 1, None)


def test_a_purge_while_another_works_on_it_is_told_in_a_sentence(cache, monkeypatch):
    cache.put("a", body(1), model="m")
    monkeypatch.setattr("evalkit.llm.answer_cache._WAIT_S", 0.0)
    other = sqlite3.connect(cache.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with (
        Cache(cache.path) as impatient,
        pytest.raises(FormatError, match="cannot be purged: database is locked"),
    ):
        impatient.purge()

    other.close()
    assert len(cache) == 1


def test_several_threads_may_use_one(cache):
    def work(start):
        for n in range(start, start + 100):
            cache.put(str(n), body(n), model="m")
            assert cache.get(str(n)) == body(n)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(0, 400, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(cache) == 450


def test_two_processes_may_write_at_once(cache):
    script = (
        "import sys; from evalkit.llm.answer_cache import Cache; cache = Cache(sys.argv[1]); "
        "[cache.put(f'{sys.argv[2]}-{n}', {'n': n}, model='m') for n in range(500)]; "
        "[cache.put(f'both-{n}', {'n': n}, model='m') for n in range(500)]; cache.close()"
    )
    both = [subprocess.Popen([sys.executable, "-c", script, cache.path, name]) for name in ("x", "y")]

    assert [one.wait(60) for one in both] == [0, 0]
    assert len(cache) == 1_500
    assert cache.get("y-499") == {"n": 499}


def test_a_file_that_is_no_cache_is_said_to_be_none(tmp_path):
    path = tmp_path / "answers.sqlite"
    path.write_text("not a database" * 100, encoding="utf-8")

    with pytest.raises(FormatError, match=r"cannot be read: .* EVALKIT_CACHE_DIR"):
        Cache(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")

    with pytest.raises(FormatError, match=r"cache '.*answers.sqlite' cannot be opened: "):
        Cache(tmp_path / "file" / "answers.sqlite")


def test_what_went_wrong_with_the_file_is_told_with_its_name(cache):
    cache.close()

    with pytest.raises(FormatError, match=r"cache '.*answers.sqlite' cannot be read: "):
        cache.get("a")
    with pytest.raises(FormatError, match=r"cache '.*answers.sqlite' cannot be written: "):
        cache.put("a", body(1), model="m")


# --- where it is


def test_it_lies_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE_DIR", str(tmp_path / "mine"))

    with Cache() as cache:
        assert cache.path == tmp_path / "mine" / "answers.sqlite"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="caches have another place there")
def test_else_where_the_system_keeps_caches(tmp_path, monkeypatch):
    monkeypatch.delenv("EVALKIT_CACHE_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "evalkit"

    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "evalkit"
    assert stat.S_IMODE(cache_folder().stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("system", "parts"), [("darwin", ("Library", "Caches")), ("win32", ("AppData", "Local"))]
)
def test_other_systems_keep_them_elsewhere(tmp_path, monkeypatch, system, parts):
    for name in ("EVALKIT_CACHE_DIR", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)

    assert cache_folder() == tmp_path.joinpath(*parts, "evalkit")


def test_a_cache_that_is_closed_can_be_looked_at(tmp_path):
    """As in a long traceback, which shows every value."""
    with Cache(tmp_path / "answers.sqlite") as cache:
        pass

    assert repr(cache).endswith("answers.sqlite'): closed or unreadable")
