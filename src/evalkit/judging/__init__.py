"""Judging: a rubric and transcripts into requests, replies into rows of scores.

`Judge` is the way in. What cannot be judged, asked or read is a row without a score, with its reason.
"""

from __future__ import annotations

from evalkit.judging.batch_judge import JudgeJob, settle_job
from evalkit.judging.controls import Controls
from evalkit.judging.cost_estimate import Estimate
from evalkit.judging.judge import Judge

__all__ = ["Controls", "Estimate", "Judge", "JudgeJob", "settle_job"]


def __dir__() -> list[str]:
    return __all__
