"""Calls of a Batch API. Each returns plain data or raises one of three errors."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from evalkit.llm.batch.journal import sync_folder
from evalkit.llm.providers import connect_sync, find_key, hide_key, refusal
from evalkit.llm.rate_limit import read_wait
from evalkit.llm.responses import decode_json, is_retryable, read_error
from evalkit.util.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from evalkit.llm.providers import BatchLimits, Provider

ENDED: Final = frozenset({"completed", "failed", "expired", "cancelled"})
"""Final statuses of a batch. `cancelling` is not final."""

KNOWN: Final = ENDED | {"validating", "in_progress", "finalizing", "cancelling"}

_FORBIDDEN: Final = frozenset({401, 402, 403})
# The IDs are part of an address, and some proxies cut those at 4 KB.
_IDS_PER_CALL: Final = 90
_MAX_PAGES: Final = 200
_PAGE_SIZE: Final = 100
_POLL_TIMEOUT_S: Final = 60.0
_TRANSFER_TIMEOUT_S: Final = 600.0


class RetryableError(Exception):
    """A temporary error. Unless `had_no_effect`, the call may have been executed."""

    def __init__(self, message: str, *, status: int | None = None, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.wait_s = wait_s
        self.had_no_effect = status in (425, 429)


class RejectedError(Exception):
    """The provider rejects the call permanently."""

    def __init__(self, status: int, message: str | None) -> None:
        super().__init__(f"{message or 'no reason given'} ({status})")
        self.status = status


class BatchApi:
    """Call the Batch API of one provider. Use it in a `with` block.

    Raises `RetryableError`, `RejectedError`, or `ProviderError` if the API key or its plan is rejected.
    """

    def __init__(self, provider: Provider) -> None:
        if provider.batch is None:
            raise ProviderError(
                f"{provider.name} ({provider.base_url}) has no known Batch API. Send live requests, or pass "
                "provider('groq', base_url=...) or provider('openai', base_url=...) for a compatible endpoint."
            )
        self.provider = provider
        self.limits: BatchLimits = provider.batch
        self._key = find_key(provider)
        self._client = connect_sync(provider, timeout=_POLL_TIMEOUT_S)

    def __enter__(self) -> BatchApi:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def upload(self, path: Path, name: str) -> dict[str, Any]:
        """Upload a file of requests."""
        with path.open("rb") as file:
            return self._call(
                "post",
                "/files",
                expected="id",
                body={"purpose": "batch"},
                files=[("file", (name, file))],
                options={
                    "headers": {"Content-Type": "multipart/form-data"},
                    "timeout": _TRANSFER_TIMEOUT_S,
                },
            )

    def download(self, file_id: str, path: Path, *, on_short: Callable[[], None] | None) -> None:
        """Download a file, resuming a partial one. It gets its name when complete.

        `on_short` is called before a file shorter than its stated size is accepted; None rejects such a file.
        """
        if path.exists():
            return
        partial = path.with_name(f"{path.name}.part")
        try:
            size = self._call("get", f"/files/{file_id}").get("bytes")
        except (RetryableError, RejectedError):
            size = 0
        size = size if type(size) is int else 0
        start = partial.stat().st_size if partial.exists() else 0
        start = start if start < size else 0
        # Uncompressed: a partial compressed file could not be resumed.
        headers = {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}
        with (
            self._errors_translated(),
            self._client.files.with_streaming_response.content(
                file_id, extra_headers=headers, timeout=_TRANSFER_TIMEOUT_S
            ) as response,
            partial.open("r+b" if start and response.status_code == 206 else "wb") as file,
        ):
            file.seek(0, os.SEEK_END)
            for chunk in response.iter_bytes():
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        received = partial.stat().st_size
        if received < size:
            if on_short is None:
                # The response was complete, so this is not a beginning to resume from.
                partial.unlink()
                raise RetryableError(f"a result file has {received:,} bytes instead of {size:,}")
            on_short()
        partial.replace(path)
        sync_folder(path.parent)

    def delete_file(self, file_id: str) -> None:
        """Delete a file. Ignore one that is gone."""
        try:
            self._call("delete", f"/files/{file_id}")
        except RejectedError as error:
            if error.status != 404:
                raise

    def create(self, file_id: str, *, window: str, metadata: dict[str, str]) -> dict[str, Any]:
        """Create a batch. Never retried here: after an error only `find` tells whether it exists."""
        body = {
            "input_file_id": file_id,
            "endpoint": self.limits.endpoint,
            "completion_window": window,
            "metadata": metadata,
        }
        return self._call("post", "/batches", expected="id", body=body)

    def batch(self, batch_id: str) -> dict[str, Any] | None:
        """Return a batch; None if the provider does not know it."""
        try:
            return self._call("get", f"/batches/{batch_id}")
        except RejectedError as error:
            if error.status != 404:
                raise RetryableError(str(error), status=error.status) from None
            return None

    def batches(self, batch_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return the batches that few calls can fetch; none if the provider has no call for several."""
        rows_by_id: dict[str, dict[str, Any]] = {}
        step = min(self.limits.many_ids, _IDS_PER_CALL)
        if not step or len(batch_ids) < 2:
            return rows_by_id
        for start in range(0, len(batch_ids), step):
            wanted = batch_ids[start : start + step]
            try:
                # Written out: the client would send id[]=, which is another parameter.
                page = self._call("get", "/batches?" + "&".join(f"id={batch_id}" for batch_id in wanted))
            except RejectedError:
                continue
            rows_by_id |= {row["id"]: row for row in _rows(page) if row["id"] in wanted}
        return rows_by_id

    def cancel(self, batch_id: str) -> None:
        """Cancel a batch. Ignore one that has ended."""
        try:
            self._call("post", f"/batches/{batch_id}/cancel")
        except RejectedError:
            return
        except RetryableError as error:
            if error.status != 409:
                raise

    def find(self, file_ids: Sequence[str], *, since: float) -> dict[str, list[dict[str, Any]]]:
        """Return the batches of input files, oldest first; raise RetryableError for an incomplete list."""
        batches: dict[str, list[dict[str, Any]]] = {file_id: [] for file_id in file_ids}
        seen: set[str] = set()
        query: dict[str, object] = {}
        for _ in range(_MAX_PAGES):
            try:
                page = self._call("get", "/batches", options={"params": {"limit": _PAGE_SIZE, **query}})
            except RejectedError as error:
                raise RetryableError(f"the list of batches cannot be read: {error}") from None
            rows = _rows(page)
            new = [row for row in rows if row["id"] not in seen]
            seen.update(row["id"] for row in rows)
            for row in new:
                if row.get("input_file_id") in batches:
                    batches[row["input_file_id"]].append(row)
            query = _next_page(page, rows)
            if not query or _ends_before(rows, since):
                return {file_id: sorted(rows, key=_created_at) for file_id, rows in batches.items()}
            if not new:
                break
        raise RetryableError("the list of batches could not be read to its end")

    def _call(self, method: str, path: str, *, expected: str = "", **options: Any) -> dict[str, Any]:
        """Return the JSON of a response without the API key: the journal stores it."""
        import httpx2

        with self._errors_translated():
            # Unparsed: the client's own types change Groq's fields.
            response = getattr(self._client, method)(path, cast_to=httpx2.Response, **options)
        value = decode_json(hide_key(response.content.decode("utf-8", "replace"), self._key))
        if not isinstance(value, dict):
            raise RetryableError("the response is not a JSON object")
        if expected and not value.get(expected):
            raise RetryableError(f"the response has no {expected}")
        return value

    @contextmanager
    def _errors_translated(self) -> Iterator[None]:
        import httpx2
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            # Its message may repeat the API key, and a long traceback shows each value that it passed.
            error.args = (f"status {error.status_code}",)
            raise self._translate(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            raise RetryableError(f"the connection failed ({type(cause).__name__})") from None

    def _translate(self, error: Any) -> Exception:
        status, headers = error.status_code, error.response.headers
        try:
            content = error.response.read()
        except Exception:  # the body of an interrupted stream: the status is enough
            content = b""
        code, message = read_error(decode_json(content) if content else None)
        message = hide_key(message or "", self._key)
        if is_retryable(status):
            wait_s = None
            if status in (429, 503):
                wait_s = read_wait(headers, message if status == 429 else None, now=time.time())
            return RetryableError(f"{message or 'no reason given'} ({status})", status=status, wait_s=wait_s)
        if status not in _FORBIDDEN:
            return RejectedError(status, message)
        if code != "not_available_for_plan":
            return ProviderError(refusal(self.provider, status, message))
        where = f" ({self.provider.plan_help})" if self.provider.plan_help else ""
        return ProviderError(
            f"The plan of your {self.provider.name} API key has no Batch API ({status} {code}). Change the "
            f"plan{where}, or send live requests."
        )


def _rows(page: dict[str, Any]) -> list[dict[str, Any]]:
    rows = page.get("data")
    return [row for row in rows if isinstance(row, dict) and row.get("id")] if isinstance(rows, list) else []


def _next_page(page: dict[str, Any], rows: list[dict[str, Any]]) -> dict[str, object]:
    """Return the next page's query; empty on the last. The client's own paging never ends at Groq."""
    paging = page.get("paging")
    cursor = paging.get("next_cursor") if isinstance(paging, dict) else None
    if cursor:
        return {"cursor": cursor}
    return {"after": rows[-1]["id"]} if page.get("has_more") and rows else {}


def _created_at(row: dict[str, Any]) -> float:
    created_at = row.get("created_at")
    return float(created_at) if isinstance(created_at, int | float) else 0.0


def _ends_before(rows: list[dict[str, Any]], since: float) -> bool:
    times = [_created_at(row) for row in rows]
    return bool(since and times) and times == sorted(times, reverse=True) and 0 < times[-1] < since - 60
