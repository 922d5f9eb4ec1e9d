"""Products of matrices, by whichever library computes them."""

import pytest
import torch

from gotd_assets.transport import products


@pytest.mark.parametrize("library", ["oneDNN", "PyTorch"])
@pytest.mark.parametrize(("rows", "columns", "inner"), [(0, 3, 2), (1, 1, 1), (257, 31, 65), (3, 200, 384)])
def test_a_product_is_that_of_exact_numbers(
    library: str, rows: int, columns: int, inner: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if library == "PyTorch":
        monkeypatch.setattr(products, "_ONEDNN", None)
    generator = torch.Generator().manual_seed(0)
    # Cut out of a larger matrix, so that rows are not one after the other in memory.
    left = torch.randn(rows, inner + 3, generator=generator)[:, 1 : inner + 1]
    right = torch.randn(columns, inner, generator=generator)
    expected = left.double() @ right.double().T
    torch.testing.assert_close(products.product(left, right).double(), expected, atol=2e-5, rtol=1e-5)
    place = torch.empty(rows, columns)
    assert products.product(left, right, place) is place
    torch.testing.assert_close(place.double(), expected, atol=2e-5, rtol=1e-5)
    torch.testing.assert_close(products.gram(left).double(), left.double().T @ left.double(), atol=2e-4, rtol=1e-5)
