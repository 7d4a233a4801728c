"""Files of a batch: 50,000 requests written beside bare orjson, their shuffled results read beside a bare parse.

Both end on the disk (fsync). Each pair runs in turn in the same process, so that the ratios hold on a busy machine; the memory is that of a process
of its own with 10,000 and with 50,000 requests.

    python benchmarks/batch_files.py
"""

from __future__ import annotations

import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import orjson

from evalkit.llm.batch.input_files import BatchFileWriter, check_ids, requests_path
from evalkit.llm.batch.job import Job
from evalkit.llm.batch.journal import JobSettings, Journal
from evalkit.llm.batch.output_files import read_shard, result_path
from evalkit.llm.providers import provider
from evalkit.llm.requests import Request, custom_id

COUNT = 50_000
RUNS = 5
TEXT = "A transcript with a few thousand characters, as a judge reads it. " * 40
GROQ = provider("groq")


def requests(count):
    for number in range(count):
        messages = [
            {"role": "system", "content": "Judge by the rubric."},
            {"role": "user", "content": f"{number} {TEXT}"},
        ]
        body = {
            "model": "openai/gpt-oss-20b",
            "seed": number,
            "max_completion_tokens": 512,
            "messages": messages,
        }
        yield Request(custom_id(number), body, {"case": f"{number}", "epoch": 1})


def pack(folder, made):
    writer = BatchFileWriter(folder, GROQ, GROQ.batch)
    return writer.write((request, "", None) for request in check_ids(made))


def pack_bare(path, made):
    with path.open("wb") as file:
        for request in made:
            line = {
                "custom_id": request.custom_id,
                "method": "POST",
                "url": "/v1/chat/completions",
                "body": request.body,
            }
            file.write(orjson.dumps(line) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def answer(shard, folder):
    """Write the results of a shard, shuffled."""
    lines = []
    for line in requests_path(folder, shard).open("rb"):
        key = orjson.loads(line)["custom_id"]
        message = {"role": "assistant", "content": TEXT}
        body = {
            "id": f"chatcmpl-{key}",
            "object": "chat.completion",
            "created": 1,
            "model": "openai/gpt-oss-20b",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 700, "completion_tokens": 650, "total_tokens": 1350},
        }
        response = {"status_code": 200, "request_id": f"req_{key}", "body": body}
        lines.append(
            orjson.dumps({"id": f"batch_req_{key}", "custom_id": key, "response": response, "error": None})
        )
    random.Random(1).shuffle(lines)
    result_path(folder, shard, "output").write_bytes(b"\n".join(lines) + b"\n")


def collect(folder, shards):
    """Bring every request to its outcome, as the job does once for each shard."""
    return sum(
        reply.outcome == "success" for shard in shards for reply in read_shard(folder, shard, full=False)
    )


def give(job):
    """Read every answer, as a judge does."""
    return sum(reply.body is not None for reply in job.replies())


def parse_bare(folder, shards):
    found = {}
    for shard in shards:
        found = {}
        with result_path(folder, shard, "output").open("rb") as file:
            for line in file:
                record = orjson.loads(line)
                found[record["custom_id"]] = record["response"]["body"]["choices"]
    return len(found)


def seconds(call, *given):
    start = time.perf_counter()
    call(*given)
    return time.perf_counter() - start


def job_of(folder, shards):
    for shard in shards:
        shard.state, shard.again, shard.outcomes = "collected", {}, {"success": shard.lines}
    settings = JobSettings(id="x", content="x", created_at=0.0, provider="groq", base_url=GROQ.base_url)
    Journal(folder).write(0.0, job=settings, shards=shards)
    return Job(folder)


def memory(count):
    """Return the most memory, in MB, of a process that packs and reads so many requests."""
    done = subprocess.run(
        [sys.executable, __file__, "--memory", str(count)], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def measure_memory(count):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shards = pack(folder, requests(count))
        for shard in shards:
            answer(shard, folder)
        collect(folder, shards)
        give(job_of(folder, shards))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def main():
    made = list(requests(COUNT))
    times = {name: [] for name in ("pack", "orjson", "collect", "give", "parse")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(RUNS):
            times["orjson"].append(seconds(pack_bare, folder / "bare.jsonl", made))
            times["pack"].append(seconds(pack, folder, made))
        shards = pack(folder, made)
        for shard in shards:
            answer(shard, folder)
        job = job_of(folder, shards)
        for _ in range(RUNS):
            times["parse"].append(seconds(parse_bare, folder, shards))
            times["collect"].append(seconds(collect, folder, shards))
            times["give"].append(seconds(give, job))
    best = {name: statistics.median(found) for name, found in times.items()}
    print(f"{COUNT:,} requests in {len(shards)} files, median of {RUNS}:")
    for ours, theirs, limit in (("pack", "orjson", 1.5), ("collect", "parse", 1.5), ("give", "parse", 1.5)):
        ratio = best[ours] / best[theirs]
        print(
            f"  {ours:8} {best[ours]:.2f} s, {theirs} {best[theirs]:.2f} s: {ratio:.2f} times (limit {limit})"
        )
    few, many = memory(10_000), memory(COUNT)
    print(f"  memory   {few:.0f} MB with 10,000 requests, {many:.0f} MB with {COUNT:,}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory"]:
        measure_memory(int(sys.argv[2]))
    else:
        main()
