"""Results of ended batches: outcomes, costs, cached answers, and the requests of the next round."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from evalkit.llm.batch.input_files import BatchFileWriter, read_abouts, read_requests
from evalkit.llm.batch.output_files import Tally, is_worth_retrying, read_shard
from evalkit.llm.providers import cost
from evalkit.util.words import plural

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from evalkit.llm.answer_cache import Cache
    from evalkit.llm.batch.journal import JobRecord, Shard
    from evalkit.llm.providers import Provider


def collect_shard(
    folder: Path, shard: Shard, *, provider: Provider, cache: Cache | None
) -> tuple[dict[str, Any], list[str]]:
    """Cache the answers of a shard; return its changed fields and notes on unexpected lines."""
    tally, spent, unpriced = Tally(), 0.0, 0
    keys = {about.custom_id: about.key for about in read_abouts(folder, shard)} if cache is not None else {}
    for reply in read_shard(folder, shard, full=cache is not None, tally=tally):
        if reply.body is None:
            continue
        model = shard.model or str(reply.body.get("model") or "")
        dollars = cost(provider, model, reply.body.get("usage"), mode="batch")
        spent += dollars or 0.0
        unpriced += dollars is None
        if cache is not None and keys.get(reply.custom_id):
            cache.put(keys[reply.custom_id], reply.body, model=model)
    examples = f" ({', '.join(tally.examples)})" if tally.examples else ""
    unexpected = {
        "for a request that has a result already; the first line counts": tally.duplicates,
        "for a request that is not in the batch": tally.unknown,
        "without a readable ID": tally.unreadable,
    }
    notes = [
        f"The results of {shard.batch_id} have {plural(count, 'line')} {description}{examples}."
        for description, count in unexpected.items()
        if count
    ]
    changes = {"outcomes": dict(tally.outcomes), "spent": spent, "unpriced": unpriced}
    return {"state": "collected", **changes}, notes


def plan_next_round(
    folder: Path, record: JobRecord, provider: Provider
) -> tuple[list[Shard], dict[str, dict[str, int]]] | None:
    """Write the next round; return its shards and the retried requests, None if all is decided."""
    if record.cancelled or any(shard.state != "collected" for shard in record.shards):
        return None
    undecided = [shard for shard in record.shards if is_undecided(record, shard)]
    if not undecided or provider.batch is None:
        return None
    again: dict[str, dict[str, int]] = {}
    retries: list[tuple[Shard, set[str]]] = []
    for shard in undecided:
        outcomes: Counter[str] = Counter()
        ids = set()
        if set(shard.outcomes) - {"success"}:
            for reply in read_shard(folder, shard, full=False):
                if is_worth_retrying(reply):
                    outcomes[reply.outcome] += 1
                    ids.add(reply.custom_id)
        again[str(shard.number)] = dict(outcomes)
        retries.append((shard, ids))

    def requests() -> Iterator[Any]:
        for shard, ids in retries:
            if ids:
                yield from ((*pair, None) for pair in read_requests(folder, shard, only=ids))

    writer = BatchFileWriter(
        folder,
        provider,
        replace(provider.batch, shard_lines=record.settings.shard_lines),
        round=max(shard.round for shard in undecided) + 1,
        first=record.shards[-1].number + 1,
    )
    return writer.write(requests()), again


def is_undecided(record: JobRecord, shard: Shard) -> bool:
    """Return whether a round that may retry the shard is still unplanned."""
    return shard.number > 0 and shard.again is None and shard.round < record.settings.max_rounds
