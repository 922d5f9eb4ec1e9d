"""Packed layers compute what the layers they replace compute."""

import pytest
import torch
from torch import nn

from gotd_assets.embedding.encoders.packed_linear import PackedLinear, can_pack, pack_linear_layers
from gotd_assets_tests.models.bfloat16 import computes_in_bfloat16


class Scaled(nn.Linear):
    def forward(self, rows):
        return 2 * super().forward(rows)


@computes_in_bfloat16
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(3, 24), (1, 24), (5, 7, 24), (0, 24)])
def test_packed_layers_give_the_float64_product_to_rounding(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 40, bias=bias, dtype=torch.bfloat16), nn.Tanh())
    rows = torch.randn(shape).bfloat16()
    layer = model[0]
    exact = rows.double() @ layer.weight.double().T + (layer.bias.double() if bias else 0)
    pack_linear_layers(model, 1024)
    assert isinstance(model[0], PackedLinear) == can_pack()
    assert torch.equal(model[0].weight, layer.weight)
    with torch.inference_mode():
        found = model[0](rows)
    assert found.dtype is torch.bfloat16
    torch.testing.assert_close(found.double(), exact, rtol=2**-8, atol=2**-8)


def test_layers_stay_where_onednn_does_not_multiply_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("could not create a primitive descriptor")

    can_pack.cache_clear()
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", refuse)
    model = nn.Sequential(nn.Linear(4, 4, dtype=torch.bfloat16))
    pack_linear_layers(model, 8)
    can_pack.cache_clear()
    assert type(model[0]) is nn.Linear


def test_asking_whether_layers_can_be_packed_draws_no_numbers() -> None:
    can_pack.cache_clear()
    before = torch.get_rng_state()
    can_pack()
    assert torch.equal(torch.get_rng_state(), before)


def test_other_layers_stay() -> None:
    model = nn.ModuleDict(
        {"float32": nn.Linear(4, 4), "own": Scaled(4, 4, dtype=torch.bfloat16), "norm": nn.LayerNorm(4)}
    )
    pack_linear_layers(model, 8)
    assert [type(part) for part in model.values()] == [nn.Linear, Scaled, nn.LayerNorm]
