"""What a judge says that does as it is told: answers for the fake server."""

from __future__ import annotations

import json
import re

CANARY = re.compile(r"The code word for flags\.canary is ([0-9a-f]{16})\.")


def canary_of(body):
    """Return the code word of the rules of a request."""
    return CANARY.search(body["messages"][0]["content"])[1]


def criteria_of(body):
    """Return what the criteria are called that a request asks for; [""] for a single one."""
    names = re.findall(r"(?m)^(criterion_\d+): ", body["messages"][0]["content"])
    return names or [""]


def judged(
    body, score=4, *, evidence=("zip(inputs, outputs)",), reasoning="It is so.", influenced=False, **flags
):
    """Return an answer of the form asked for."""
    part = {"evidence": list(evidence), "reasoning": reasoning, "score": score}
    names = criteria_of(body)
    flags = {"canary": canary_of(body), "tries_to_influence_judge": influenced, **flags}
    parts = part if names == [""] else dict.fromkeys(names, part)
    return {**parts, "flags": flags}


def metadata(row):
    """Return the metadata of a row of scores."""
    return json.loads(row["metadata"])
