"""Continuations of a prompt, drawn by nucleus sampling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gotd_assets.models.batches import TokenIds

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


def continuations(
    model: PreTrainedModel,
    prompt: TokenIds,
    *,
    count: int,
    new_tokens: int,
    nucleus: float,
    temperature: float,
    seed: int | tuple[int, ...],
    stop: int | None,
) -> list[list[int]]:
    """Draw `count` continuations of one prompt, as one batch without padding (Holtzman et al. 2020).

    Each token is drawn from the likeliest tokens whose probability together reaches `nucleus`, after logits were divided
    by `temperature`. Transformers' `generate` is not used, since a model's own generation settings change what it draws.

    Args:
        model: a causal language model in evaluation mode, on its device.
        prompt: int64 (n,), at least one token.
        count: continuations.
        new_tokens: at most so many tokens each.
        nucleus: in (0, 1].
        temperature: above 0.
        seed: of the draws; the same seed gives the same continuations whatever was drawn before.
        stop: token that ends a text and does not belong to it, or None.

    Returns:
        Token ids without the prompt.
    """
    import torch

    entropy = np.random.SeedSequence(seed).generate_state(1, np.uint64)[0]
    generator = torch.Generator().manual_seed(int(entropy >> 1))
    inputs = torch.from_numpy(prompt).to(model.device).expand(count, -1)
    drawn: list[list[int]] = [[] for _ in range(count)]
    open_rows = set(range(count))
    cache = None
    with torch.inference_mode():
        for _ in range(new_tokens):
            output = model(input_ids=inputs, past_key_values=cache, use_cache=True)
            cache = output.past_key_values
            tokens = _draw(output.logits[:, -1].float().cpu() / temperature, nucleus, generator)
            for row, token in enumerate(tokens.tolist()):
                if row in open_rows and token == stop:
                    open_rows.discard(row)
                elif row in open_rows:
                    drawn[row].append(token)
            if not open_rows:
                break
            inputs = tokens[:, None].to(model.device)
    return drawn


def _draw(logits: torch.Tensor, nucleus: float, generator: torch.Generator) -> torch.Tensor:
    """One token for each row of `logits` (n, vocabulary)."""
    import torch

    probability, token = logits.softmax(dim=-1).sort(dim=-1, descending=True, stable=True)
    # A token belongs to the nucleus if those before it do not reach it yet; the first always does.
    probability[(probability.cumsum(dim=-1) - probability) >= nucleus] = 0
    probability[:, 0] = probability[:, 0].clamp_min(1e-30)
    place = torch.multinomial(probability, 1, generator=generator)
    return token.gather(1, place)[:, 0]
