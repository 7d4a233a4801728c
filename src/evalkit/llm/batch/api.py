"""The calls of a Batch API, one at a time: what came of each is plain data, or one of three kinds of failure."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.batch.journal import sync_folder
from evalkit.llm.providers import connect_sync, find_key, hide_key, refusal
from evalkit.llm.rate_limit import read_wait
from evalkit.llm.responses import decoded, passes, read_error
from evalkit.util.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import httpx2

    from evalkit.llm.providers import BatchLimits, Provider

TERMINAL: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""The statuses after which nothing more happens. `cancelling` is none of them."""

KNOWN: Final = TERMINAL | {"validating", "in_progress", "finalizing", "cancelling"}

_FORBIDDEN: Final = frozenset({401, 402, 403})
# A list of ids is part of an address, and some proxies cut those at 4 KB.
_IDS_A_CALL: Final = 90
_MOST_PAGES: Final = 200
_PAGE: Final = 100
_POLL_S: Final = 60.0
_TRANSFER_S: Final = 600.0


class Transient(Exception):
    """It may go well the next time. Without a status, or with one from 500, nobody knows whether it was done."""

    def __init__(self, words: str, *, status: int | None = None, wait: float | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.wait = wait

    @property
    def undone(self) -> bool:
        """Whether what was asked for certainly has not happened."""
        return self.status in (425, 429)


class Refused(Exception):
    """The endpoint will not, however often it is asked."""

    def __init__(self, status: int, code: str | None, words: str | None) -> None:
        super().__init__(f"{words or 'no reason given'} ({status})")
        self.status = status
        self.code = code
        self.words = words


class Remote:
    """The batches and files of one endpoint; close it with `with`.

    Each call raises `Transient` or `Refused`, or `ProviderError` where the key or its plan does not allow it.
    """

    def __init__(self, provider: Provider) -> None:
        if provider.batch is None:
            raise ProviderError(
                f"Nothing is known of a Batch API at {provider.name} ({provider.base_url}): ask live, or use "
                "provider='groq' or 'openai' with base_url= for an endpoint that behaves like theirs."
            )
        self.provider = provider
        self.limits: BatchLimits = provider.batch
        self._key = find_key(provider)
        self._client = connect_sync(provider, timeout=_POLL_S)

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    # --- files

    def upload(self, path: Path, name: str) -> dict[str, Any]:
        """Upload a file of requests."""
        with self._told(), path.open("rb") as file:
            answer = self._client.files.with_raw_response.create(
                file=(name, file), purpose="batch", timeout=_TRANSFER_S
            )
            made = self._object(answer.http_response)
        if not made.get("id"):
            raise Transient("the answer to an upload has no id")
        return made

    def file(self, key: str) -> dict[str, Any]:
        """Return what is known of a file."""
        return self._get(f"/files/{key}")

    def download(self, key: str, path: Path, *, short: Callable[[], None] | None = None) -> None:
        """Fetch a file: whole under its name, or not at all; what broke off is gone on with the next time.

        Parameters
        ----------
        key, path
            Which file, and where to.
        short
            Called before an answer is taken that is shorter than the file is said to be; None: it is not taken.
        """
        if path.exists():
            return
        part = path.with_name(f"{path.name}.part")
        try:
            size = _count(self.file(key).get("bytes"))
        except (Transient, Refused):
            size = 0
        have = part.stat().st_size if part.exists() else 0
        have = have if have < size else 0
        # As it is: a part of a compressed file could not be gone on with.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={have}-"} if have else {})}
        with (
            self._told(),
            self._client.files.with_streaming_response.content(
                key, extra_headers=headers, timeout=_TRANSFER_S
            ) as answer,
            part.open("r+b" if have and answer.status_code == 206 else "wb") as file,
        ):
            file.seek(0, os.SEEK_END)
            for chunk in answer.iter_bytes():
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        got = part.stat().st_size
        if got < size:
            if short is None:
                # Whole as answers go, so it is no beginning of the file to go on from.
                part.unlink()
                raise Transient(f"a result file has {got:,} bytes instead of {size:,}")
            short()
        part.replace(path)
        sync_folder(path.parent)

    def delete_file(self, key: str) -> None:
        """Delete a file; one that is gone already is fine."""
        import openai

        with self._told():
            try:
                self._client.files.with_raw_response.delete(key)
            except openai.NotFoundError:
                return

    # --- batches

    def create(self, file: str, *, window: str, metadata: dict[str, str]) -> dict[str, Any]:
        """Create a batch. It is asked once; whether an unanswered one exists, only `find` can say."""
        asked = {
            "input_file_id": file,
            "endpoint": self.limits.endpoint,
            "completion_window": window,
            "metadata": metadata,
        }
        with self._told():
            answer = self._client.post("/batches", cast_to=_raw(), body=asked)
            made = self._object(answer)
        if not made.get("id"):
            raise Transient("the answer to the creation of a batch has no id")
        return made

    def batch(self, key: str) -> dict[str, Any] | None:
        """Return a batch; None where the endpoint knows of none with this id."""
        try:
            return self._get(f"/batches/{key}")
        except Refused as error:
            if error.status != 404:
                raise Transient(str(error), status=error.status) from None
            return None

    def several(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return those of many batches that can be had with few calls: none where the endpoint has no such call."""
        found: dict[str, dict[str, Any]] = {}
        if self.limits.many_ids and len(keys) > 1:
            step = min(self.limits.many_ids, _IDS_A_CALL)
            for start in range(0, len(keys), step):
                found.update(self._several(keys[start : start + step]))
        return found

    def cancel(self, key: str) -> dict[str, Any] | None:
        """Ask a batch to stop; None where it has ended already."""
        try:
            with self._told():
                return self._object(self._client.post(f"/batches/{key}/cancel", cast_to=_raw()))
        except Refused:
            return None
        except Transient as error:
            if error.status == 409:
                return None
            raise

    def find(self, files: Sequence[str], *, since: float) -> dict[str, list[dict[str, Any]]]:
        """Return the batches that were made of these files, the oldest first.

        Parameters
        ----------
        files
            Ids of input files.
        since
            Seconds since 1970 by the endpoint's clock, before which none of them can have been made; 0:
            unknown.

        Raises
        ------
        Transient
            The list could not be read to its end: nobody can say that a batch is not there.
        """
        found: dict[str, list[dict[str, Any]]] = {file: [] for file in files}
        query: dict[str, object] = {"limit": _PAGE}
        seen: set[str] = set()
        for _ in range(_MOST_PAGES):
            page = self._get("/batches", query)
            rows = [row for row in page.get("data") or () if isinstance(row, dict) and row.get("id")]
            fresh = [row for row in rows if row["id"] not in seen]
            seen.update(row["id"] for row in rows)
            for row in fresh:
                if row.get("input_file_id") in found:
                    found[row["input_file_id"]].append(row)
            after = self._next(page, rows)
            if after is None or _before(rows, since):
                return {key: sorted(made, key=_age) for key, made in found.items()}
            if not fresh:
                break
            query = {"limit": _PAGE, **after}
        raise Transient("the list of batches could not be read to its end")

    def _next(self, page: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, object] | None:
        """Return what asks for the next page; None on the last one.

        The client's own paging is not used: on a page without `has_more`, as Groq's are, it never ends.
        """
        paging = page.get("paging")
        cursor = paging.get("next_cursor") if isinstance(paging, dict) else None
        if cursor:
            return {"cursor": cursor}
        if page.get("has_more") and rows:
            return {"after": rows[-1]["id"]}
        return None

    def _several(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return what one call says of many batches: those that it names, nothing where it cannot be used."""
        # Written out: the client would send id[]=, which is another parameter.
        query = "&".join(f"id={key}" for key in keys)
        try:
            page = self._get(f"/batches?{query}")
        except Refused:
            return {}
        wanted = set(keys)
        rows = page.get("data")
        return {row["id"]: row for row in rows if row.get("id") in wanted} if isinstance(rows, list) else {}

    # --- how it is asked

    def _get(self, path: str, query: dict[str, object] | None = None) -> dict[str, Any]:
        with self._told():
            options: Any = {"params": query} if query else {}
            return self._object(self._client.get(path, cast_to=_raw(), options=options))

    def _object(self, answer: httpx2.Response) -> dict[str, Any]:
        """Return the JSON object in an answer, without the key, should it repeat it: what is in it is written down."""
        made = decoded(hide_key(answer.content.decode("utf-8", "replace"), self._key))
        if not isinstance(made, dict):
            raise Transient("the answer is no JSON object", status=None)
        return made

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the client raises into the three kinds of failure."""
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            # Its words may repeat the key, and a long traceback shows each value that it passed.
            error.args = (f"status {error.status_code}",)
            raise self._failure(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            raise Transient(f"the connection failed ({type(cause).__name__})") from None

    def _failure(self, error: Any) -> Exception:
        """Return the failure that an answer with a status is."""
        status = error.status_code
        try:
            content = error.response.read()
        except Exception:  # the body of a stream that broke off: the status is enough
            content = b""
        code, words = read_error(decoded(content) if content else None)
        words = hide_key(words or "", self._key)
        if passes(status):
            wait = read_wait(error.response.headers, words, now=time.time()) if status == 429 else None
            if status == 503 and wait is None:
                wait = read_wait(error.response.headers, None, now=time.time())
            return Transient(f"{words or 'no reason given'} ({status})", status=status, wait=wait)
        if status in _FORBIDDEN:
            if code == "not_available_for_plan":
                where = f" ({self.provider.plan_help})" if self.provider.plan_help else ""
                return ProviderError(
                    f"The plan behind the key for {self.provider.name} has no Batch API ({status} {code}): change "
                    f"the plan{where}, or ask live."
                )
            return ProviderError(refusal(self.provider, status, words))
        return Refused(status, code, words or None)


def _raw() -> Any:
    """Return the type that asks the client for an answer as it is: its own types change what Groq sends."""
    import httpx2

    return httpx2.Response


def _count(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _age(row: dict[str, Any]) -> float:
    made = row.get("created_at")
    return float(made) if isinstance(made, int | float) else 0.0


def _before(rows: list[dict[str, Any]], since: float) -> bool:
    """Whether a page that goes back in time has come to what is older than it can be."""
    ages = [_age(row) for row in rows]
    return bool(since and ages) and ages == sorted(ages, reverse=True) and 0 < ages[-1] < since - 60
