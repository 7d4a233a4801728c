"""Endpoints: addresses, limits, prices and clients."""

from __future__ import annotations

from evalkit.llm.client import check_model, connect, connect_sync, find_key, hide_key, refusal, unreachable
from evalkit.llm.endpoints import LOCAL_MODEL, LOCAL_PORT, PROVIDERS, BatchLimits, Provider, provider
from evalkit.llm.prices import MODELS, Model, cost, count_tokens, model_facts, obstacle, price, price_words

__all__ = [
    "LOCAL_MODEL",
    "LOCAL_PORT",
    "MODELS",
    "PROVIDERS",
    "BatchLimits",
    "Model",
    "Provider",
    "check_model",
    "connect",
    "connect_sync",
    "cost",
    "count_tokens",
    "find_key",
    "hide_key",
    "model_facts",
    "obstacle",
    "price",
    "price_words",
    "provider",
    "refusal",
    "unreachable",
]


def __dir__() -> list[str]:
    return __all__
