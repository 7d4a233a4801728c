"""Score transcripts with a model, by a rubric."""

from __future__ import annotations

from evalkit.judging.batch_judge import JudgeJob, save_job_scores
from evalkit.judging.controls import Controls
from evalkit.judging.cost_estimate import JudgeEstimate
from evalkit.judging.judge import Judge

__all__ = ["Controls", "Judge", "JudgeEstimate", "JudgeJob", "save_job_scores"]


def __dir__() -> list[str]:
    return __all__
