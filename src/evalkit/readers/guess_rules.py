"""What names and values of columns say: the decision table of the guess.

A name is compared by `plain_name`: lower case, no accents, every run of other characters as one underscore.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z][a-z])")


def plain_name(name: str) -> str:
    """Return a name to compare by; dots stay.

    >>> (
    ...     plain_name("Höflichkeit (1-5)"),
    ...     plain_name("answerRelevancy"),
    ...     plain_name("outputs.Groundedness Score"),
    ... )
    ('hoflichkeit_1_5', 'answer_relevancy', 'outputs.groundedness_score')
    """
    text = unicodedata.normalize("NFKD", _CAMEL.sub("_", name)).encode("ascii", "ignore").decode()
    return re.sub(r"_*\._*", ".", re.sub(r"[^a-z0-9.]+", "_", text.lower())).strip("_")


# Each role with its names, the likeliest first, and a pattern of likely ones.
ROLES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "input": (
        (
            *("input", "inputs", "question", "query", "user_input", "prompt", "user_msg", "user_message"),
            *("user_query", "instruction", "chat_input", "user_question", "problem", "goal", "frage"),
            *("pregunta", "source_text", "post", "message", "request"),
        ),
        r"(^|_)(question|query|prompt|instruction)$|^(customer|user)_(text|input|message|msg)$",
    ),
    "output": (
        (
            *("output", "answer", "response", "completion", "actual_output", "prediction", "model_output"),
            *("bot_reply", "reply", "assistant_answer", "model_answer", "generated_answer", "generated_text"),
            *("antwort", "reponse", "respuesta", "solution", "final_answer", "agent_response"),
            "actual",
        ),
        r"(^|_)(answer|response|output|reply|completion)$|^(generated|actual)_",
    ),
    "messages": (
        (
            *("messages", "conversation", "conversations", "transcript", "dialog", "dialogue", "chat"),
            *("trajectory", "turns", "contents"),
        ),
        r"(^|_)(messages|conversation|transcript)$",
    ),
    "ideal_behavior": (
        (
            *("ground_truth", "ground_truths", "reference", "truth", "expected", "expected_output"),
            *("expected_answer", "reference_answer", "ideal", "ideal_behavior", "target", "gold"),
            *("gold_answer", "gt", "correct_answer", "reference_output"),
        ),
        r"^(expected|reference|gold|ground_truth)_|_(gt|truth)$",
    ),
    "grader": (
        (
            *("grader", "judge", "judge_name", "judge_model", "rater", "annotator", "reviewer", "evaluator"),
            *("scorer", "labeler", "labeller", "worker_id", "annotator_id", "rater_id"),
        ),
        r"(^|_)(grader|judge|rater|annotator|reviewer)$",
    ),
    "model": (
        ("model", "model_name", "model_id", "llm", "generator", "target_model", "engine"),
        r"(^|\.)(llm|model)$",
    ),
    "agent_version": (
        (
            *("agent_version", "version", "variant", "release", "prompt_version", "prompt_rev", "revision"),
            *("build", "commit", "branch", "experiment", "config_name", "sheet", "run_version"),
            *("system_version", "agent", "agent_name"),
        ),
        r"(^|_)(version|release|variant|revision)$",
    ),
    "run": (("run", "run_id", "run_name", "experiment_id", "eval_run", "experiment_name"), r"^run(_|$)"),
    "case": (
        (
            *("case", "case_id", "sample_id", "question_id", "item_id", "example_id", "test_case_id"),
            *("test_id", "task_id", "doc_id", "custom_id", "ticket_id", "instance_id", "query_id"),
            *(
                "prompt_id",
                "qid",
                "id",
                "ticket",
                "fall",
                "caso",
                "cas",
                "item",
                "example",
                "sample",
                "frage_nr",
                "test_name",
                "test_case",
                "task",
                "name",
                "uid",
                "index",
            ),
        ),
        r"(^|_)(id|nr|no|key)$",
    ),
    "epoch": (
        (
            *("epoch", "attempt", "trial", "repetition", "repeat", "replicate", "iteration", "sample_idx"),
            *("repetition_number", "seed"),
        ),
        r"(?!)",
    ),
    "severity": (
        ("severity", "prio", "priority", "schweregrad", "sev", "impact"),
        r"(^|_)(severity|priority)$",
    ),
    "tags": (
        (
            *("tags", "tag", "category", "topic", "slice", "slices", "question_type", "query_type"),
            *("attack_type", "language", "test_category", "subject", "difficulty", "domain", "dataset"),
            *("split", "type", "behavior"),
        ),
        r"(^|_)(category|topic|type|split|language)$",
    ),
    "latency_s": (
        (
            *("latency_s", "latency", "latency_seconds", "duration_s", "response_time"),
            "response_time_seconds",
        ),
        r"(?!)",
    ),
    "cost_usd": (("cost_usd", "cost"), r"(?!)"),
}
METRIC: Final = ("metric", "metric_name", "criterion", "criteria", "dimension", "criterion_name")
SCORE: Final = ("score", "rating", "value", "score_value", "metric_value")

REFERENCE: Final = re.compile(
    r"(^|_|\.)(expected|reference|gold|ground|truth|ideal|target|base|correct|golden)(_|$)"
)
"""Words of a name that is not an answer's."""

NOT_A_SCORE: Final = re.compile(
    r"(^|_)(index|idx|line_number|row_number|row|temp|temperature|seed|n|count|counts|num|number|total|length|len"
    r"|chars|words|tokens|time|timestamp|tstamp|created|created_at|updated_at|date|ts|threshold|stderr|decided_by"
    r"|procedure|rank|offset|page|step_count|steps|filter_out|completed|batch|price|top_k|k|hash|url|uuid|conf"
    r"|confidence|mae|rmse|kappa|spearman\w*|pearson\w*|kendall\w*|auc|brier\w*|latency\w*|cost\w*|duration\w*|id"
    r"|version|year|age|ms|seconds)(_|$)"
    r"|^(do|has|use|with|needs|num|number_of|queries_to|n)_|^is_(attack|test|train|multi|cached|stream)"
)
TOTAL_COLUMN: Final = re.compile(
    r"(^|_|\.)(average|avg|mean|overall|aggregate\w*|summary|stderr|defect_rate|std|stdev|median)(_|$|\.)"
)
BESIDE: Final = re.compile(
    r"(_|\.)(reason|reasons|reasoning|rationale|explanation|explanations|justification|comment|comments|notes"
    r"|feedback|analysis|critique|thought|raw|verbose|why|begrundung)$"
)
CONTEXTS: Final = (
    *("retrieved_contexts", "contexts", "retrieval_context", "retrieved_context", "context", "documents"),
    *("source_documents", "retrieved_documents"),
)
SHARED_REASON: Final = frozenset(
    {
        *("reason", "reasons", "reasoning", "rationale", "explanation", "justification", "comment"),
        *("comments", "feedback", "critique", "begrundung", "notes"),
    }
)
SCORE_PARENTS: Final = re.compile(
    r"^(scores?|metrics|ratings?|grades?|evals?|evaluation|evaluations|feedback_scores|assertions|results?"
    r"|judge_scores|outputs)$"
)
REASON_PARENTS: Final = re.compile(
    r"^(reasons?|explanations?|rationales?|justifications?|comments?|feedback|notes)$"
)
ANSWER_PARENTS: Final = re.compile(r"(^|_)(response|output|completion|answer)s?$")
WIDE_PARENTS: Final = frozenset({"outputs", "result", "results"})
DOCUMENTED: Final = frozenset(
    {"comments", "properties", "definitions", "schema", "parameters", "description"}
)
"""Objects of documentation: their fields are no answers."""
WEAK_CASES: Final = frozenset({"name", "index", "uid", "key", "no", "nr"})
SETTINGS: Final = frozenset(
    {"inputs", "input", "config", "params", "parameters", "settings", "kwargs", "options"}
)
"""Objects whose fields are no judgements."""
METRICS_01: Final = frozenset(
    {
        *("faithfulness", "answer_relevancy", "answer_relevance", "response_relevancy", "context_precision"),
        *(
            "context_recall",
            "context_relevancy",
            "context_relevance",
            "context_entity_recall",
            "hallucination",
        ),
        *(
            "context_utilization",
            "answer_correctness",
            "answer_similarity",
            "semantic_similarity",
            "toxicity",
        ),
        *("factual_correctness", "noise_sensitivity", "groundedness", "contextual_precision", "bias"),
        *("contextual_recall", "contextual_relevancy", "llm_context_precision_with_reference", "rougel"),
        *("llm_context_precision_without_reference", "non_llm_context_recall", "exact_match", "em", "f1"),
        *("rouge", "rouge1", "rouge2", "rouge_l", "rouge_1", "rouge_2", "bleu", "bertscore", "accuracy"),
        *("acc", "pass_rate", "summarization_score", "nv_accuracy", "nv_response_groundedness"),
        "nv_context_relevance",
    }
)
RETRIEVAL: Final = re.compile(
    r"(^|_)(hit|recall|precision|ndcg|success|pass|mrr)(_at)?_(k|\d+)$|(^|_)(hit|reciprocal_rank|mrr|ndcg)$"
)
"""Metrics of a search, 0 to 1."""
SCORE_NAME: Final = re.compile(
    r"(^|_)(scores?|rating|grade|quality|correct(ness)?|relevan\w*|coherence|fluency|accuracy|helpful\w*"
    r"|harmless\w*|harmful\w*|safety|tone|clarity|concis\w*|complete\w*|faithful\w*|groundedness|factual\w*"
    r"|similarity|precision|recall|f1|empathy|hoflichkeit|korrektheit|naturalness|realism|plausibility"
    r"|friendliness|politeness|toxicity|bias|hallucination\w*|violence|sexual|self_harm|hate_unfairness"
    r"|jailbroken\w*|pass|passed|resolved|solved|valid|success|ok|verdict|label|judg\w*|decision|status|outcome"
    r"|coverage|cites_source|match|reject|refus\w*|result|reward|grounded\w*|bewertung|urteil|ergebnis|bestanden|puntuacion|valoracion|vollstandigkeit|qualite|exactitude)(_|$)"
)
YES: Final = frozenset(
    {
        *("pass", "passed", "true", "yes", "y", "correct", "correct answer", "right", "good", "success"),
        *("successful", "resolved", "accept", "accepted", "ok", "compliant", "safe", "helpful", "relevant"),
        *("factual", "grounded", "supported", "oui", "ja", "si", "sí", "richtig", "korrekt", "bestanden"),
    }
)
NO: Final = frozenset(
    {
        *("fail", "failed", "false", "no", "n", "incorrect", "incorrect answer", "wrong", "bad", "failure"),
        *("unresolved", "reject", "rejected", "not ok", "noncompliant", "unsafe", "unhelpful", "irrelevant"),
        *("unfactual", "hallucinated", "ungrounded", "unsupported", "non", "nein", "falsch"),
        "nicht bestanden",
    }
)
UNSCORED: Final = frozenset(
    {
        *("n/a", "na", "nan", "none", "null", "-", "not attempted", "not_attempted", "skip", "skipped"),
        *("unscored", "pending", "missing", "not applicable", "not scored", "k. a.", "k.a."),
    }
)
"""Words of a judgement that nobody made: no score, and no problem."""
OPEN_WORDS: Final = frozenset(
    {"refusal", "refused", "refuse", "unknown", "error", "timeout", "unsure", "dangerous"}
)
"""Words that may be a failure or no judgement: asked."""

SEVERITIES: Final[dict[str, str]] = {
    word: level
    for level, words in {
        "critical": "p0 sev0 sev-0 sev1 sev-1 s1 blocker critical kritisch urgent fatal",
        "high": "p1 sev2 sev-2 s2 major high hoch severe",
        "medium": "p2 sev3 sev-3 s3 medium moderate normal mittel",
        "low": "p3 p4 sev4 sev-4 s4 minor low trivial niedrig cosmetic",
    }.items()
    for word in words.split()
}
LOWER: Final = re.compile(
    r"(^|_)(toxic\w*|bias(ed)?|hallucinat\w*|harm(ful(ness)?)?|self_harm|violence|sexual|hate\w*|hate_unfairness"
    r"|jailbroken\w*|jailbreak\w*|attack_success|unsafe|leak(age)?|error_rate|wer|cer|perplexity|defect_rate"
    r"|noise_sensitivity|misconception|insecure|vulnerable|stereotype)(_|$)"
)
NO_DIRECTION: Final = re.compile(
    r"(^|_)(refus\w*|reject\w*|abstain\w*|escalat\w*|issues|errors?|false_negative|false_positive"
    r"|underspecified)(_|$)"
)
NOT_LOWER: Final = re.compile(
    r"(^|_)(non|no|not|un|anti|free|free_of|without|avoid\w*|safety|harmless\w*|resist\w*|robust\w*|defen[cs]e)(_|$)"
    r"|_(quality|ok|correct|correctness|accuracy|appropriate|appropriateness|match)(_score)?$"
)
AZURE_SAFETY: Final = re.compile(r"^(violence|sexual|self_harm|hate_unfairness|hate)(_score)?$")
PEOPLE: Final = re.compile(r"human|annotat|rater|reviewer|expert|label+er|people|manual|gold_label|\bsme\b")
GRADERS: Final = re.compile(
    r"^(gpt[\w.]*|o[134](_?mini)?|claude\w*|gemini\w*|llama\w*|mistral\w*|qwen\w*|deepseek\w*|grok\w*|kimi\w*"
    r"|command\w*|judge\w*|human\w*|rater\w*|annotator\w*|reviewer\w*|expert\w*|llm\w*)$"
)
TOTALS: Final = frozenset(
    {
        *("average", "avg", "mean", "moyenne", "total", "totals", "overall", "gesamt", "mittelwert"),
        *("durchschnitt", "summe", "sum", "median", "promedio", "media", "std", "stdev", "moyenne generale"),
    }
)
RECORD_PLACES: Final = frozenset(
    {
        *("rows", "results", "records", "examples", "samples", "items", "data", "cases", "test_cases"),
        *("evaluations", "simulations", "eval", "runs", "details", "judgements", "judgments", "table"),
    }
)
ONE_SIDE: Final = re.compile(r"^(expected|expect|predicted|actual)_")
"""Names of one side of a comparison: no judgement, no severity, no tag."""
SIDES: Final = re.compile(
    r"(?i)original|optimi[sz]ed|baseline|improved|before|after|old|new|control|treatment"
)
TWO_ANSWERS: Final = re.compile(r"^(output|response|answer|completion|model|generator)_?([12ab])$")
LEADERBOARD: Final = re.compile(
    r"(^|_)(win_rate|elo|standard_error|n_total|n_wins|leaderboard|human_agreement|stderr)(_|$)"
)


def worth(word: str) -> float | None:
    """Return what a word of a judgement is worth, 0 to 1; None if it does not say.

    >>> worth("Passed"), worth("tie"), worth("timeout"), worth("blue")
    (1.0, 0.5, 0.0, None)
    """
    plain = word.casefold()
    if plain in YES | {"win", "won", "accepted"}:
        return 1.0
    if plain in NO | {"lose", "lost", "loss", "timeout"}:
        return 0.0
    return 0.5 if plain in ("tie", "draw", "partial") else None
