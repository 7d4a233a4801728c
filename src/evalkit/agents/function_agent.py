"""Function agents, called in threads of their own."""

from __future__ import annotations

import asyncio
import inspect
import queue
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.agents.attempt import failed, read_transcript

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from concurrent.futures import Future

    from evalkit.agents.attempt import Attempt
    from evalkit.agents.case_input import CaseInput, Function


class FunctionCaller:
    """Call a function per case, from several threads; async functions share one event loop.

    After `timeout` seconds a plain function is abandoned: it cannot be stopped.
    """

    def __init__(self, function: Function, *, timeout: float) -> None:
        self._function = function
        self._timeout = timeout
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_loop, name="evalkit-agent", daemon=True)
        self._thread.start()

    def attempt(self, case: CaseInput) -> Attempt:
        """Call the function for one case."""
        box: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()
        waiting: list[Future[tuple[bool, Any]]] = []
        threading.Thread(target=self._call, args=(case, box, waiting), daemon=True).start()
        try:
            went_well, value = box.get(timeout=self._timeout)
        except queue.Empty:
            for future in waiting:
                future.cancel()
            return failed(case, f"timeout: no transcript within {self._timeout:g} s")
        return read_transcript(value, case) if went_well else failed(case, _describe(value))

    def close(self) -> None:
        """Stop the event loop."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _call(
        self,
        case: CaseInput,
        box: queue.SimpleQueue[tuple[bool, Any]],
        waiting: list[Future[tuple[bool, Any]]],
    ) -> None:
        try:
            value = self._function(case)
            if inspect.isawaitable(value):
                waiting.append(asyncio.run_coroutine_threadsafe(_guarded(value), self._loop))
                box.put(waiting[0].result())
            else:
                box.put((True, value))
        except BaseException as error:  # an agent that exits must not end evalkit
            box.put((False, error))

    def _run_loop(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _guarded(awaitable: Awaitable[Any]) -> tuple[bool, Any]:
    """Await, and return what is raised: SystemExit would end the loop of all calls."""
    try:
        return True, await awaitable
    except BaseException as error:
        return False, error


def _describe(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename) != Path(__file__)]
    where = f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""
    try:
        text = str(error)
    except Exception:
        text = "unreadable message"
    return f"{type(error).__name__}{f': {text}' if text else ''}{where}"
