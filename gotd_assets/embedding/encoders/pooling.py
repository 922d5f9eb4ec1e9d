"""From the hidden states of tokens to one vector per text."""

import torch
from torch import Tensor


def pooled(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """(n, D) float32 of hidden states (n, T, D) under `mask` (n, T): their mean, or the first ('cls')."""
    hidden = hidden.float()
    if pooling == "cls":
        return hidden[:, 0]
    weights = mask.unsqueeze(-1).to(torch.float32)
    return (hidden * weights).sum(dim=1) / weights.sum(dim=1)
