"""What each method is given beside the candidates, for readers who compare them."""

from __future__ import annotations

from gotd_assets.selection.methods import METHODS

_VECTORS = {("candidate_scores", "score"), ("ot_potentials", "g"), ("target_embeddings", "vector")}


def uses_vectors(name: str) -> bool:
    """Whether method `name` would select otherwise with other vectors."""
    method = METHODS[name]
    return bool(_VECTORS & {*method.made_of}) or bool(
        {"relevance", "potentials", "shared", "away_scores"} & method.needs
    )


def given(name: str) -> str:
    """What method `name` goes by, in a few words; empty for one that there is no longer."""
    method = METHODS.get(name)
    if method is None:
        return ""
    told = ["which source each document is of"] if "relevance" in method.needs or name == "all-domains" else []
    told += ["words of the target's texts"] if name == "dsir" else []
    told += ["words of the candidates"] if "learned" in method.settings else []
    told += ["vectors of the target's texts"] if _VECTORS & {*method.made_of} or "relevance" in method.needs else []
    told += ["states of the base model"] if "states" in method.needs else []
    told += ["the base model, trained on the target's texts"] if "loss_drops" in method.needs else []
    told += ["gradients of the base model on the target's texts"] if "gradients" in method.needs else []
    told += ["a classifier of toxicity, no target"] if "toxicity" in method.needs else []
    return ", ".join(told) or "nothing"
