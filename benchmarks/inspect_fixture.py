"""Write the Inspect logs that `loading.py` reads: real ones, by inspect_ai and its mock model.

Usage: python benchmarks/inspect_fixture.py FOLDER LOGS SAMPLES
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

WORDS = [
    "the",
    "job",
    "was",
    "sent",
    "as",
    "one",
    "batch",
    "file",
    "and",
    "each",
    "line",
    "carries",
    "a",
    "custom",
    "id",
    "so",
    "that",
    "the",
    "answers",
    "which",
    "come",
    "back",
    "in",
    "any",
    "order",
    "can",
    "be",
    "joined",
    "to",
    "what",
    "was",
    "asked",
    "before",
    "anything",
    "is",
    "counted",
    "or",
    "shown",
    "to",
    "a",
    "person",
    "who",
    "waits",
]


def text(rng: random.Random, words: int) -> str:
    """Return some made-up words, in lines."""
    made = [rng.choice(WORDS) for _ in range(words)]
    return "\n".join(" ".join(made[at : at + 40]) for at in range(0, words, 40))


def main(folder: str, logs: int, samples: int) -> None:
    """Run an evaluation `logs` times."""
    import os

    os.environ["INSPECT_DISPLAY"] = "none"
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ChatMessageTool, ChatMessageUser, ModelOutput, ModelUsage, get_model
    from inspect_ai.scorer import CORRECT, INCORRECT, Score, accuracy, mean, scorer, stderr
    from inspect_ai.solver import solver, system_message

    rng = random.Random(7)

    def answer(input, tools, tool_choice, config):
        name = "mockllm/model"
        if input[-1].role == "tool":
            output = ModelOutput.from_content(name, text(rng, 160))
        elif len(input) < 4:
            output = ModelOutput.for_tool_call(name, "look_up", {"query": text(rng, 30)})
        else:
            output = ModelOutput.from_content(name, text(rng, 140))
        # Without it the model would count, with an encoding that it fetches from the network.
        sent, received = rng.randint(50, 900), rng.randint(20, 400)
        output.usage = ModelUsage(input_tokens=sent, output_tokens=received, total_tokens=sent + received)
        return output

    @solver
    def conversation():
        async def solve(state, generate):
            state = await generate(state, tool_calls="none")
            call = state.messages[-1].tool_calls[0]
            state.messages.append(
                ChatMessageTool(content=text(rng, 150), tool_call_id=call.id, function=call.function)
            )
            state = await generate(state, tool_calls="none")
            state.messages.append(ChatMessageUser(content=text(rng, 60)))
            return await generate(state, tool_calls="none")

        return solve

    def make(name, draw, metrics):
        @scorer(metrics=metrics, name=name)
        def build():
            async def score(state, target):
                return Score(
                    value=draw(),
                    answer=text(rng, 8),
                    explanation=" ".join(text(rng, 60).split()),
                    metadata={"took": 3},
                )

            return score

        return build()

    scorers = [
        make("correct", lambda: rng.choice([CORRECT, INCORRECT]), [accuracy(), stderr()]),
        make("tone", lambda: rng.randint(1, 5), [mean(), stderr()]),
        make("facts", lambda: rng.randint(1, 5), [mean(), stderr()]),
    ]
    for log in range(len(list(Path(folder).glob("*.eval"))), logs):
        dataset = MemoryDataset(
            [
                Sample(
                    id=f"case-{n:04}",
                    input=text(rng, 120),
                    target=text(rng, 30),
                    metadata={"severity": "high"},
                )
                for n in range(samples)
            ]
        )
        task = Task(
            name=f"support_{log:02}",
            dataset=dataset,
            solver=[system_message(text(rng, 100)), conversation()],
            scorer=scorers,
        )
        model = get_model("mockllm/model", custom_outputs=answer)
        eval(
            task,
            model=model,
            log_dir=folder,
            display="none",
            log_level="error",
            log_realtime=False,
            max_samples=20,
        )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
