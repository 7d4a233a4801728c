"""Every public verb of evalkit, called on the demo data and on real data: what tools/compare_frames.py writes down.

Only public names are used, and each is looked up when it is called, so that this file outlives a change of the house.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

Call = Callable[[], Any]


class Dataset(NamedTuple):
    """What is loaded, how it is judged, what is compared with what."""

    path: str  # in the tree where it starts with data/, else in the folder of the real data
    rule: Mapping[str, Any]
    sides: tuple[str, ...] = ("no", "sides")  # baseline, candidate, perhaps a rerun of the baseline
    grader: str | None = None
    mapping: str | None = None


SHARE: Final = {"mean": 0.75, "floor": 0.5, "scale": (0, 1)}
TEN: Final = {"mean": 7, "floor": 5, "scale": (1, 10)}
STARS: Final = {"mean": 4, "floor": 3, "scale": (1, 5)}
GATES: Final = {"mean": 3.5, "floor": 2, "scale": (1, 5), "gates": {"Groq": 3}}
MODELS: Final = ("openai/gpt-5", "google/gemini-2.5-pro")
VICUNA: Final = ("gpt-3.5-turbo:20230327", "vicuna-13b:20230322-clean-lang")
FEBRUARY: Final = ("baseline_3", "badprompt_ignoresources_1")
AUGUST: Final = ("baseline", "prompt_nomarkdownmention", "baseline2")
COLUMNS: Final = "docs/mappings/azure_rag.yaml"
DATASETS: Final = {
    "demo": Dataset("data/demo", {}, ("v1", "v2")),
    "demo_gates": Dataset("data/demo", GATES, ("v2", "v3"), grader="demo-judge"),
    "azure_2024_02": Dataset("azure_rag/2024-02", {}, FEBRUARY, mapping=COLUMNS),
    "azure_2024_08": Dataset("azure_rag/2024-08", STARS, AUGUST, mapping=COLUMNS),
    "inspect_set": Dataset("inspect_logs/log-sets/set", SHARE, MODELS),
    "inspect_epochs": Dataset("inspect_logs/log-sets/set2", SHARE, MODELS),
    "inspect_all": Dataset("inspect_logs", SHARE),
    "fastchat": Dataset("fastchat_vicuna_bench/table", TEN, VICUNA, grader="gpt-4"),
    "lm_eval": Dataset("lm_eval_and_helm/lm_eval", SHARE),
    "helm": Dataset("lm_eval_and_helm/helm", SHARE),
    "openai_evals": Dataset("openai_evals", SHARE),
    "promptfoo": Dataset("promptfoo", SHARE, ("smollm2-t0", "smollm2-t1")),
    "tau_bench": Dataset("tau_bench", SHARE),
    "deepeval": Dataset("deepeval", SHARE),
}

# The options of each verb; the dataset adds the rule and the grader, in PAIRED the two sides, in MANY the first.
BY: Final = ("severity", "criterion", "domain", "tags", ("severity", "criterion"))
LOSSES: Final = {"pass_rate": 0.05, "mean_score": 0.25}
Options = dict[str, list[dict[str, Any]]]
VERBS: Final[Options] = {
    "grade": [{}],
    "grade_criteria": [{}],
    "summarize": [
        {"by": by, **more}
        for by in ("agent_version", "run", "case", ("model", "severity"), (), *BY)
        for more in ({}, {"missing": "fail", "level": 0.8})
    ],
    "distribution": [{"by": by} for by in ("agent_version", "severity", "model")],
    "agreement": [
        {"reference": reference, "by": by}
        for reference in ("human", "itself", "gpt-3.5-turbo")
        for by in (None, "severity", "agent_version")
    ],
    "correct_for_judge": [{}, {"by": "agent_version"}, {"population": "other"}, {"labels": "selected"}],
    "judge_forensics": [{}, {"level": 0.8}],
    "variance": [{}, {"by": "model"}, {"metric": "pass_rate"}, {"case_cost": 0.5}],
    "plan": [{"difference": 0.1}, {"difference": 0.2, "metric": "mean_score", "power": 0.9, "alpha": 0.1}],
    "find_failures": [{}, {"clusters": 3}],
    "explore": [{}, {"where": {"verdict": "fail"}, "search": "the", "sort": "case"}, {"high": 2.5}],
    "tune": [{"target": 0.9}],
}
PAIRED: Final[Options] = {
    "compare": [
        {},
        {"margin": LOSSES, "level": 0.9},
        {"judge": "any", "criteria": "shared"},
        {"by": "criterion", "adjust": "bh"},
        {"by": "severity", "weights": {"critical": 3, "high": 2, "medium": 1}},
        *({"by": by} for by in BY),
    ],
    "plan": [{}, {"margin": 0.05}],
}
MANY: Final[Options] = {"compare_many": [{}, {"adjust": "bh", "margin": LOSSES}, {"sequential": True}]}


class Calls(dict[str, Call]):
    """The calls on one dataset, by names that stay."""

    def __init__(self, ek: Any, at: Dataset, source: str, tmp: Path) -> None:
        self.ek, self.at, self.source, self.tmp = ek, at, source, tmp
        self.columns = {"mapping": at.mapping} if at.mapping else {}
        self.evals = ek.load(source, cache=False, **self.columns)
        self.how = {"rule": ek.PassRule(**at.rule)} | ({"grader": at.grader} if at.grader else {})
        self.pair = dict(zip(("baseline", "candidate"), at.sides, strict=False))
        many = {"baseline": at.sides[0], "resamples": 2000}
        for common, verbs in (({}, VERBS), (self.pair, PAIRED), (many, MANY)):
            for verb, given in ((verb, given) for verb, options in verbs.items() for given in options):
                self.add(verb, self.evals, told=given, **self.how, **common)
        self.add("compare", self.evals, told={"rerun": at.sides[-1]}, **self.how, **self.pair)
        self.collections()
        self.widgets()
        self.charts()
        self.commands()
        self.suites()

    def add(self, verb: str, *given: Any, told: Mapping[str, Any] | str = "", **named: Any) -> None:
        """Keep a call, named by its verb and what is told; what is given as a function is called first."""
        options = {} if isinstance(told, str) else told
        words = [told] if isinstance(told, str) else [f"{name}={value}" for name, value in told.items()]

        def call() -> Any:
            home = self.ek
            for step in verb.split("."):
                home = getattr(home, step)
            return home(*(one() if callable(one) else one for one in given), **{**named, **options})

        self[" ".join([verb, *words]).strip()] = call

    def collections(self) -> None:
        """Load, keep and choose; grade other frames than those of a collection."""
        evals, kept = self.evals, self.tmp / "kept"
        self["load"] = lambda: evals
        self["attempts"] = lambda: [evals.attempts(), evals.judged]
        self["filter"] = lambda: evals.filter(run=str(evals.runs["run"][0]))
        self["sum"] = lambda: evals.filter(epoch=1) + evals
        self["save"] = lambda: self.ek.Evals.load(evals.save(kept))
        self["scan"] = lambda: self.ek.scan(kept).collect()
        self.add("load", self.source, told={"tables": ("scores",)}, cache=False, **self.columns)
        failing = {**self.how, "rule": self.ek.PassRule(**self.at.rule, missing="fail")}
        for verb in ("grade", "grade_criteria", "summarize"):
            self.add(verb, evals, told="missing", **failing)
            run = {"by": "run"} if verb == "summarize" else {}
            self.add(verb, evals.scores.to_pandas, told="pandas", **self.how, **run)
            self.add(verb, evals.scores.lazy, told="lazy", **self.how, **run)
            self.add(verb, lambda: self.ek.scan(kept), told="scanned", **self.how)
        for name in [name for name in self if name.startswith("grade_criteria") or name == "grade lazy"]:
            self[name] = partial(_in_order, self[name])

    def widgets(self) -> None:
        """Show each widget; give two of them a message of the front end."""
        trials = self.evals.attempts().select("run", "case", "epoch")
        first = trials.row(0, named=True)
        last = trials.filter(case=first["case"])["run"][-1]
        self["judge"] = judge = partial(self.ek.Judge, model="openai/gpt-oss-20b", samples=2)
        self.add("Judge.estimate", judge, self.evals.filter(run=first["run"]))
        self.add("explore", self.evals, told="flips", flips=self.at.sides[:2], **self.how)
        self.add("transcript", self.evals, **first)
        self.add("transcript_diff", self.evals, first["case"], baseline=first["run"], candidate=last)
        self.add("rubric_lab", self.evals, judge, folder=self.tmp / "lab", rule=self.how["rule"])
        for order in ("information", "random"):
            self.add(
                "label", self.evals, told=order, order=order, rater="me", path=self.tmp / order, **self.how
            )
        move = {"kind": "set", "mean": self.how["rule"].mean * 0.9}
        self["tune moved"] = partial(_handled, self["tune target=0.9"], move)
        self["label given"] = partial(_handled, self["label random"], {"kind": "give", "score": 1})

    def charts(self) -> None:
        """Draw what is drawn from a collection or a frame; a result's own chart is written down with the result."""
        scores = self.evals.filter(grader=self.at.grader) if self.at.grader else self.evals
        for name, by in itertools.product(
            ("cases", "criteria", "severity", "trend"), ("agent_version", "model")
        ):
            self.add(f"charts.{name}", scores, told={"by": by}, rule=self.how["rule"])
        for name in ("forest", "flips", "regression"):
            self.add(f"charts.{name}", self["compare by=severity"])
        self.add("charts.evidence", lambda: self["compare_many sequential=True"]().looks)
        self.add("charts.spec", self["charts.severity by=agent_version"])
        self.add("charts.version_colors", lambda: ["v1", "v2", "v3"])

    def commands(self) -> None:
        """Type commands, write the report."""
        scores = self.evals.filter(grader=self.at.grader) if self.at.grader else self.evals
        rule, sides = self.how["rule"], [f"--{side}={name}" for side, name in self.pair.items()]
        candidate = f"--candidate={self.evals.runs['run'][-1]}"
        columns = [f"--mapping={self.at.mapping}"] if self.at.mapping else []
        how = [f"--mean={rule.mean}", f"--floor={rule.floor}", *columns]
        how += ["--scale={},{}".format(*rule.scale)] if rule.scale else []
        how += [f"--grader={self.at.grader}"] if self.at.grader else []
        to = {kind: self.tmp / kind for kind in ("native", "parquet", "every-eval-ever")}
        for typed in (
            ["summary", "--by=agent_version,model", "--missing=fail", "--format=json", *how],
            ["agree", "--by=agent_version", "--format=json", *how],
            ["gate", "--pass-rate-at-least=0.5", "--critical-must-pass", "--format=json", candidate, *how],
            ["gate", "--no-regressions", "--margin=pass_rate=0.05", "--format=json", *sides, *how],
            ["compare", "--by=severity", "--format=json", *sides, *how],
            ["plan", "--format=json", *sides, *how],
            *(["convert", f"--to={kind}", f"--output={to[kind]}", *columns] for kind in to),
        ):
            self[f"command {' '.join(typed[:2])}"] = partial(_command, typed[0], self.source, *typed[1:])
        for kind in ("native", "parquet"):
            self.add("load", to[kind], told=kind, cache=False)
        self["exported"] = partial(_exported, to["every-eval-ever"])
        for name, given in {"plain": {}, "sides": self.pair}.items():
            self.add("report", scores, self.tmp / f"{name}.html", told=name, **self.how, **given)

    def suites(self) -> None:
        """Read the suites of the tree and run them with a function; estimate a judge."""
        if self.at.path != "data/demo":
            return
        for path in map(Path, ("data/demo/suite.yaml", "data/suites/groq-batch-api.yaml")):
            self[f"suite {path.stem}"] = partial(_suite, self.ek, path)
            self[f"run_suite {path.stem}"] = partial(_run, self.ek, path, self.tmp / path.stem)
        typed = ("--model=a-model", "--dry-run", f"--output={self.tmp / 'judged'}")
        self["command judge"] = partial(_command, "judge", self.source, *typed)


def _in_order(make: Call) -> Any:
    """Return a frame by run and case: its rows came in another order each time on 2026-12-01."""
    import polars as pl

    made = make()
    frame = pl.from_pandas(made) if hasattr(made, "iloc") else made.lazy().collect()
    return frame.sort([name for name in ("run", "case", "epoch", "criterion") if name in frame.columns])


def _handled(make: Call, message: Mapping[str, Any]) -> Any:
    widget = make()
    widget.handle(message)
    return widget


def _command(*typed: str) -> dict[str, Any]:
    from evalkit.cli import main

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()):
        code = main(["--no-cache", *typed])
    said = out.getvalue()
    return (
        {"exit": code, "printed": json.loads(said)}
        if said[:1] in ("{", "[")
        else {"exit": code, "text": said}
    )


def _exported(folder: Path) -> dict[str, Any]:
    made = [json.loads(path.read_text(encoding="utf-8")) for path in folder.rglob("*.json")]
    return {f"{one['evaluation_id']}": one for one in made}


def _suite(ek: Any, path: Path) -> dict[str, Any]:
    suite = ek.Suite.read(path)
    pairs = itertools.product((one.id for one in suite.cases), (one.name for one in suite.criteria))
    hashes = {" ".join(pair): suite.rubric_hash(*pair) for pair in pairs}
    same = ek.Suite.parse(suite.to_yaml()) == suite
    return {"suite": suite.model_dump(mode="json"), "tables": suite.tables(), "hashes": hashes, "same": same}


def _run(ek: Any, path: Path, folder: Path) -> dict[str, Any]:
    def answer(case: Any) -> str:
        return f"{case.id}: {case.prompt[:40]}"

    evals = ek.run_suite(path, answer, folder, epochs=2, seed=1, concurrency=1, progress=False)
    # Without what tells the time.
    return {
        "trials": evals.trials.drop("started_at", "latency_s"),
        "turns": evals.turns,
        "cases": evals.cases,
    }
