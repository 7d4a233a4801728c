"""Write Inspect logs with inspect_ai and its mock model, and what inspect_ai itself makes of them.

Usage: python inspect_peer.py FOLDER. Run as a script, once for all tests: importing inspect_ai takes seconds, changes
asyncio for the whole process, and it leaves streams open. FOLDER/eval and FOLDER/json get a log (its name begins with
the time), its dataframes as pickles, and edited.eval, the log with one score edited; FOLDER/chunked gets the log of
FOLDER/eval in chunks.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

LONG = "First line.\n\n" + "  and a second that goes on" * 80
PICTURE = "data:image/png;base64,iVBORw0KGgo="


def run_evaluation(folder: Path, **options: Any) -> str:
    from inspect_ai import Task
    from inspect_ai import eval as run
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import (
        ChatMessageTool,
        ChatMessageUser,
        ContentImage,
        ContentReasoning,
        ContentText,
        ModelOutput,
        ModelUsage,
        get_model,
    )
    from inspect_ai.scorer import CORRECT, INCORRECT, PARTIAL, Score, accuracy, mean, scorer, stderr
    from inspect_ai.solver import solver

    def answer(input: Any, tools: Any, tool_choice: Any, config: Any) -> ModelOutput:
        name = "mockllm/model"
        if input[-1].role != "tool":
            output = ModelOutput.for_tool_call(
                name, "look_up", {"query": "batch", "deep": {"n": [1, 2.5, None]}}
            )
        else:
            output = ModelOutput.from_content(
                name,
                [
                    ContentReasoning(reasoning="It says so."),
                    ContentText(text="Yes,"),
                    ContentText(text="so."),
                ],
            )
        output.usage = ModelUsage(
            input_tokens=len(input) * 100,
            output_tokens=7,
            total_tokens=len(input) * 100 + 7 + 40,
            input_tokens_cache_read=40,
            total_cost=0.25,
        )
        return output

    @solver
    def conversation() -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            if state.sample_id == "breaks":
                raise RuntimeError("the tool is gone")
            state = await generate(state, tool_calls="none")
            call = state.messages[-1].tool_calls[0]
            state.messages.append(
                ChatMessageTool(content="x" * 5000, tool_call_id=call.id, function=call.function)
            )
            state = await generate(state, tool_calls="none")
            state.messages.append(
                ChatMessageUser(content=[ContentText(text="Look:"), ContentImage(image=PICTURE)])
            )
            return state

        return solve

    def make(name: str, judge: Any, metrics: Any) -> Any:
        @scorer(metrics=metrics, name=name)
        def build() -> Any:
            async def score(state: Any, target: Any) -> Score:
                return judge(state)

            return score

        return build()

    letters = {"plain": CORRECT, "a/b": INCORRECT, "7": PARTIAL}
    scorers = [
        make(
            "correct",
            lambda state: Score(
                value=letters[str(state.sample_id)],
                answer="Yes,",
                explanation=LONG,
                metadata={"took": 3, "long": LONG},
            ),
            [accuracy(), stderr()],
        ),
        make("tone", lambda state: Score(value=4.5, explanation="fine"), [mean()]),
        make("parts", lambda state: Score(value={"facts": 3, "style": 1}), [{"*": [mean()]}]),
        make("unsure", lambda state: Score.unscored(reason="grader_failed", explanation="no JSON"), [mean()]),
    ]
    dataset = MemoryDataset(
        [
            Sample(id="plain", input="Why?", target="so", metadata={"severity": "high", "owner": "me"}),
            Sample(id="a/b", input="How?\nNow.", target=["so", "thus"]),
            Sample(id=7, input="y" * 9000, target="so", choices=["so", "no"]),
            Sample(id="breaks", input="When?", target="so"),
        ]
    )
    task = Task(
        name="peer", dataset=dataset, solver=conversation(), scorer=scorers, epochs=2, fail_on_error=False
    )
    (log,) = run(
        task,
        model=get_model("mockllm/model", custom_outputs=answer),
        log_dir=str(folder),
        display="none",
        log_level="error",
        **options,
    )
    return str(log.location)


def write_dataframes(log: Path) -> None:
    from inspect_ai.analysis import SampleScores, SampleSummary, evals_df, messages_df, samples_df

    frames = {
        "samples": samples_df(str(log), quiet=True),
        "scores": samples_df(str(log), columns=[*SampleSummary, *SampleScores], quiet=True),
        "messages": messages_df(str(log), quiet=True),
        "evals": evals_df(str(log), quiet=True),
    }
    for name, frame in frames.items():
        frame.to_pickle(log.with_name(f"{name}.pickle"))


def write_edited(log: Path) -> None:
    from inspect_ai.log import ProvenanceData, edit_score, read_eval_log, write_eval_log
    from inspect_ai.scorer import ScoreEdit

    read = read_eval_log(str(log))
    provenance = ProvenanceData(author="ann", reason="unfair")
    edit_score(
        read,
        "a/b",
        "correct",
        ScoreEdit(value="C", explanation="looked again", provenance=provenance),
        epoch=1,
    )
    write_eval_log(read, str(log.with_name("edited.eval")))


def main(folder: Path) -> None:
    from inspect_ai.log._recorders.chunked.convert import convert_eval_logs_to_chunked

    os.environ["INSPECT_EVAL_LOG_FILE_PATTERN"] = "log"
    logs = {}
    for log_format in ("eval", "json"):
        log = Path(run_evaluation(folder / log_format, log_format=log_format).removeprefix("file://"))
        write_dataframes(log)
        write_edited(log)
        logs[log_format] = str(log)
    convert_eval_logs_to_chunked(logs["eval"], str(folder / "chunked"), chunk_size=2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
