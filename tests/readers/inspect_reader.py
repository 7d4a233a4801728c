"""What inspect_ai itself makes of a log; run as a script, for importing it changes asyncio for the whole process.

Usage: python inspect_reader.py LOG WHAT OUT. WHAT is samples, scores, messages or evals: OUT gets inspect_ai's
dataframe as a pickle; or edited: OUT gets the log with one score edited.
"""

from __future__ import annotations

import sys


def main(log: str, what: str, out: str) -> None:
    from inspect_ai.analysis import SampleScores, SampleSummary, evals_df, messages_df, samples_df

    if what == "edited":
        _edit(log, out)
        return
    frames = {
        "samples": lambda: samples_df(log, quiet=True),
        "scores": lambda: samples_df(log, columns=[*SampleSummary, *SampleScores], quiet=True),
        "messages": lambda: messages_df(log, quiet=True),
        "evals": lambda: evals_df(log, quiet=True),
    }
    frames[what]().to_pickle(out)


def _edit(log: str, out: str) -> None:
    from inspect_ai.log import ProvenanceData, edit_score, read_eval_log, write_eval_log
    from inspect_ai.scorer import ScoreEdit

    read = read_eval_log(log)
    provenance = ProvenanceData(author="ann", reason="unfair")
    edit_score(
        read,
        "a/b",
        "correct",
        ScoreEdit(value="C", explanation="looked again", provenance=provenance),
        epoch=1,
    )
    write_eval_log(read, out)


if __name__ == "__main__":
    main(*sys.argv[1:])
