"""A mark for tests that compute in bfloat16, whether the processor has instructions for it or emulates it."""

import pytest
import torch


def _multiplies() -> bool:
    """It does not where oneDNN was told to use fewer instructions than PyTorch knows the processor to have."""
    matrix = torch.ones(64, 64, dtype=torch.bfloat16)
    try:
        return bool((matrix @ matrix == 64).all())
    except RuntimeError:
        return False


computes_in_bfloat16 = pytest.mark.skipif(not _multiplies(), reason="PyTorch cannot multiply bfloat16 matrices here")
