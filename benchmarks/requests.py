"""Time live judge requests: evalkit beside a bare openai client, inspect_ai and phoenix evals, on one server.

A server on loopback, a process of its own, answers each request after 50 ms with what a judge would say. Each
contender asks it in a fresh process, evalkit and the bare client in turns; the slow ones ask fewer, rates are
compared. Memory: the peak of evalkit's process with a list of requests that is made as it is read.

Usage: python benchmarks/requests.py [REQUESTS] [ROUNDS]
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

LATENCY = 0.05
AT_ONCE = 256
SLOW = {"inspect_ai": 400, "phoenix evals": 1_000}
TARGETS = {"bare": 0.9, "inspect_ai": 8.0, "phoenix evals": 2.5}
MEMORY_TARGET = 1.15

RULES = "You judge the work of an agent against one criterion, with written anchors for each score. " * 12
TRANSCRIPT = "The agent maps the lines of the output file to the requests by their order. " * 40
VERDICT = {
    "evidence": "maps the lines by their order",
    "reasoning": "The output is not in the order of the input; the custom_id has to be used. " * 4,
    "score": 2,
    "label": "bad",
    "explanation": "It goes by line order.",
}


def body(seed: int) -> dict[str, Any]:
    """Return what a judge sends: about 4 KB."""
    messages = [{"role": "system", "content": RULES}, {"role": "user", "content": f"{seed}: {TRANSCRIPT}"}]
    return {"model": "judge", "seed": seed, "messages": messages, "max_completion_tokens": 500}


def serve(port: int) -> None:
    """Answer after 50 ms, whatever is asked."""
    from aiohttp import web

    message = {"role": "assistant", "content": json.dumps(VERDICT)}
    usage = {"prompt_tokens": 900, "completion_tokens": 150, "total_tokens": 1_050}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    said = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "judge"}
    content = json.dumps({**said, "choices": [choice], "usage": usage}).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(LATENCY)
        return web.Response(body=content, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    web.run_app(app, host="127.0.0.1", port=port, print=None, access_log=None)


def run_bare(url: str, n: int) -> float:
    """Loop over an `AsyncOpenAI` client on its aiohttp transport, nothing else."""
    import openai

    async def main() -> float:
        async with openai.AsyncOpenAI(
            base_url=url, api_key="none", max_retries=0, http_client=openai.DefaultAioHttpClient()
        ) as client:
            numbers = iter(range(n))

            async def work() -> None:
                for seed in numbers:
                    done = await client.chat.completions.create(**body(seed))
                    assert done.choices[0].message.content

            start = time.perf_counter()
            await asyncio.gather(*(work() for _ in range(AT_ONCE)))
            return time.perf_counter() - start

    return asyncio.run(main())


def run_evalkit(url: str, n: int) -> float:
    """Ask with everything on: pace, cache, counting."""
    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.ask import ask
    from evalkit.llm.providers import connect, provider
    from evalkit.llm.requests import Request, custom_id

    here = provider(url)
    asyncio.run(connect(here).close())  # the client is imported before the clock starts, as for the others
    with tempfile.TemporaryDirectory() as folder, Cache(Path(folder) / "answers.sqlite") as cache:
        requests = (Request(custom_id(seed), body(seed)) for seed in range(n))
        start = time.perf_counter()
        good = 0
        for reply in ask(requests, provider=here, cache=cache, concurrency=AT_ONCE):
            good += reply.outcome == "success"
        took = time.perf_counter() - start
        assert good == n == len(cache)
    return took


def run_inspect(url: str, n: int) -> float:
    """Let inspect_ai's `eval` generate one answer a sample, without a scorer."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser, GenerateConfig
    from inspect_ai.solver import generate

    def sample(seed: int) -> Sample:
        system, user = (message["content"] for message in body(seed)["messages"])
        return Sample(input=[ChatMessageSystem(content=system), ChatMessageUser(content=user)])

    task = Task(
        dataset=[sample(seed) for seed in range(n)], solver=generate(), config=GenerateConfig(max_tokens=500)
    )
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        [log] = eval(
            task,
            model="openai/judge",
            model_base_url=url,
            model_args={"responses_api": False},
            max_connections=AT_ONCE,
            max_samples=AT_ONCE,
            log_dir=folder,
            display="none",
        )
        took = time.perf_counter() - start
        assert log.status == "success"
        assert len(log.samples or []) == n
    return took


def run_phoenix(url: str, n: int) -> float:
    """Let phoenix evals classify, its limit on the rate raised out of the way."""
    import pandas as pd
    from phoenix.evals import LLM, async_evaluate_dataframe, create_classifier

    llm = LLM(
        provider="openai", model="gpt-4o", client="openai", base_url=url, initial_per_second_request_rate=1e6
    )
    judge = create_classifier("judge", RULES + "{text}", llm, choices={"good": 1.0, "bad": 0.0})
    frame = pd.DataFrame({"text": [body(seed)["messages"][1]["content"] for seed in range(n)]})
    start = time.perf_counter()
    done = asyncio.run(
        async_evaluate_dataframe(frame, [judge], concurrency=AT_ONCE, hide_tqdm_bar=True, exit_on_error=True)
    )
    took = time.perf_counter() - start
    assert done["judge_score"].notna().all()
    return took


RUNS = {"bare": run_bare, "evalkit": run_evalkit, "inspect_ai": run_inspect, "phoenix evals": run_phoenix}


def measure(name: str, url: str, n: int) -> dict[str, float]:
    """Run one of them in a fresh process; return its rate, its CPU time a request and its peak memory."""
    environment = {**os.environ, "OPENAI_API_KEY": "none"}
    # -P: this folder is not searched for modules, or `import requests` would find this file.
    command = [sys.executable, "-P", __file__, "run", name, url, str(n)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def run(name: str, url: str, n: int) -> None:
    """Run one of them here, and print what it took."""
    before = time.process_time()
    took = RUNS[name](url, n)
    cpu = (time.process_time() - before) / n
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rate": n / took, "cpu_ms": cpu * 1e3, "peak_mb": peak}))


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Start the server, wait until it listens, and end it."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-P", __file__, "serve", str(port)])
    try:
        while True:
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def main() -> int:
    """Measure all of them; print a table, the ratios that were promised, and the memory."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    found: dict[str, list[dict[str, float]]] = {name: [] for name in RUNS}
    with server() as url:
        for _ in range(rounds):
            for name in RUNS:
                found[name].append(measure(name, url, min(n, SLOW.get(name, n))))
        few, many = (measure("evalkit", url, size)["peak_mb"] for size in (n, 10 * n))
    rates = {name: statistics.median(one["rate"] for one in each) for name, each in found.items()}
    print(
        f"{n:,} requests, {AT_ONCE} at once, {LATENCY * 1e3:.0f} ms each, medians of {rounds} rounds in turns\n"
    )
    print(f"{'client':16}{'a second':>10}{'CPU ms each':>13}{'peak MB':>9}")
    for name, each in found.items():
        cpu, peak = (statistics.median(one[what] for one in each) for what in ("cpu_ms", "peak_mb"))
        print(f"{name:16}{rates[name]:10.0f}{cpu:13.2f}{peak:9.0f}")
    print()
    good = True
    for name, target in TARGETS.items():
        ratio = rates["evalkit"] / rates[name]
        good &= ratio >= target
        print(f"evalkit : {name} = {ratio:.2f} (at least {target})")
    good &= many / few <= MEMORY_TARGET
    print(
        f"peak memory: {few:.0f} MB for {n:,} requests, {many:.0f} MB for {10 * n:,}: {many / few:.2f} times "
        f"(at most {MEMORY_TARGET})"
    )
    return 0 if good else 1


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(int(sys.argv[2]))
    elif sys.argv[1:2] == ["run"]:
        run(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        sys.exit(main())
