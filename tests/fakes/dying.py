"""A program that submits a batch job and kills itself at a given fact of the journal, as often as it is told.

It reads one JSON object a line: where the server is, the folder, and at which write, `before` or `after` it, the
process that it forks is to die by SIGKILL. It answers with how that process ended. What has to be imported is
imported once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace

from evalkit.llm.answer_cache import Cache
from evalkit.llm.batch import journal
from evalkit.llm.batch.submit import submit
from evalkit.llm.providers import PROVIDERS, connect_sync
from fakes.clock import FakeClock
from fakes.jobs import ask


def live(told):
    """Submit a job and wait for it, unless death comes first."""
    write, count = journal.Journal.write, 0

    def counted(self, at, **fact):
        nonlocal count
        count += 1
        if (count, told["when"]) == (told["at"], "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, at, **fact)
        if (count, told["when"]) == (told["at"], "after"):
            os.kill(os.getpid(), signal.SIGKILL)

    journal.Journal.write = counted
    provider = replace(PROVIDERS["groq"], base_url=told["url"], key_variable=None)
    with Cache(told["cache"]) as cache:
        submit(
            ask(3, start=told["start"]),
            provider=provider,
            folder=told["folder"],
            clock=FakeClock(),
            cache=cache,
            shard_lines=2,
        ).wait()


def import_all(url):
    """Import what the first request would: the parts of openai, and what they send through."""
    with connect_sync(replace(PROVIDERS["groq"], base_url=url, key_variable=None)) as client:
        client.models.list()
        _ = client.files, client.batches


def main():
    """Let one process live for each line."""
    imported = False
    for line in sys.stdin:
        told = json.loads(line)
        if not imported:
            import_all(told["url"])
            imported = True
        child = os.fork()
        if not child:
            live(told)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
