"""From the hidden states of tokens to one vector per text, as the Pooling of sentence-transformers."""

import torch
from torch import Tensor

from gotd_assets.models.encoder_folder import Pooling


def pooled(hidden: Tensor, mask: Tensor, pooling: Pooling) -> Tensor:
    """(n, D) float32 of hidden states (n, T, D) under `mask` (n, T), padded on the right; D is longer with several modes."""
    hidden = hidden.float()
    if pooling.skipped:
        mask = mask * (torch.arange(mask.shape[1], device=mask.device) >= pooling.skipped)
    return torch.cat([_pooled(hidden, mask, mode, pooling.skipped) for mode in pooling.modes], dim=1)


def token_weights(mask: Tensor, mode: str, skipped: int) -> Tensor:
    """(n, T) float32 by which the tokens' vectors are added in `mode`, any but 'max'; `mask` has no skipped tokens.

    Position weights of 'weightedmean' count from the text's start, whatever is skipped.
    """
    weights = mask.to(torch.float32)
    places = torch.arange(mask.shape[1], device=mask.device)
    if mode == "cls":
        return weights * (places == skipped)
    if mode == "lasttoken":
        return weights * (places == (weights * (places + 1)).argmax(dim=1, keepdim=True))
    if mode == "weightedmean":
        weights = weights * (places + 1)
    total = weights.sum(dim=1, keepdim=True)
    return weights / (total.sqrt() if mode == "mean_sqrt_len_tokens" else total)


def _pooled(hidden: Tensor, mask: Tensor, mode: str, skipped: int) -> Tensor:
    if mode == "max":
        return hidden.masked_fill(mask.unsqueeze(-1) == 0, float("-inf")).amax(dim=1)
    if mode == "cls":
        return hidden[:, min(skipped, hidden.shape[1] - 1)]
    if mode == "mean":
        # Divided last, so that vectors made by earlier releases are found again to the bit.
        weights = mask.unsqueeze(-1).to(torch.float32)
        return (hidden * weights).sum(dim=1) / weights.sum(dim=1)
    return (hidden * token_weights(mask, mode, skipped).unsqueeze(-1)).sum(dim=1)
