"""Real logs of ten samples tried five times: the error is over the samples' means, not over fifty rows."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from evalkit import stats

LOGS = Path(__file__).parents[2].parent / "shared/data/inspect_logs/log-sets/set2"
FILES = sorted(LOGS.glob("*.eval"))


@pytest.mark.skipif(not FILES, reason="the shared real data is not on this machine")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem[-6:])
def test_the_published_accuracy_and_stderr_come_out_over_sample_means(path):
    with zipfile.ZipFile(path) as log:
        header, samples = (json.loads(log.read(f"{name}.json")) for name in ("header", "summaries"))
    metrics = header["results"]["scores"][0]["metrics"]
    tried: dict[object, list[float]] = {}
    for sample in samples:
        tried.setdefault(sample["id"], []).append(float(sample["scores"]["match"]["value"] == "C"))
    means = np.array([np.mean(epochs) for epochs in tried.values()])

    found = stats.t_mean(means)

    assert (len(samples), found.n) == (50, 10)
    assert found.estimate == pytest.approx(metrics["accuracy"]["value"])
    assert stats.standard_error(means) == pytest.approx(metrics["stderr"]["value"])
    # Taken as fifty rows, the error would look smaller by half.
    rows = np.array([value for epochs in tried.values() for value in epochs])
    assert stats.standard_error(rows) < 0.55 * metrics["stderr"]["value"]
