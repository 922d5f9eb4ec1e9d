import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from gotd_assets.models.batches import encode
from gotd_assets.models.language import load_language_model
from gotd_assets.models.layers import choose_trainable
from gotd_assets.models.objectives import Objective
from gotd_assets.models.perplexity import Measuring, perplexity
from gotd_assets.models.placement import place
from gotd_assets.models.prefix import FrozenPrefix
from gotd_assets.training.loop import train
from gotd_assets_tests.models import tiny
from gotd_assets_tests.models.bfloat16 import computes_in_bfloat16


def calm_gpt2(folder):
    """GPT-2 without dropout."""
    torch.manual_seed(1)
    size = {"vocab_size": 95, "n_embd": 16, "n_layer": 3, "n_head": 2, "n_positions": 64}
    GPT2LMHeadModel(GPT2Config(**size, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


def make_model(folder, kind):
    return calm_gpt2(folder) if kind == "calm-gpt2" else tiny.model_folder(folder, kind)


def prepared(tmp_path, kind, precision=torch.float32, **changes):
    """Model, tokenizer, settings and prefix, ready to be trained."""
    settings = tiny.settings(tmp_path / "m", **({"trainable_layers": 1, "epochs": 2.0} | changes))
    model, tokenizer = load_language_model(settings, tmp_path, tmp_path / "cache")
    place(model, torch.device("cpu"), precision, exact=choose_trainable(model, settings))
    prefix = FrozenPrefix.of(model, tmp_path / "states", precision, causal=settings.objective == "causal")
    return model, tokenizer, settings, prefix


def trained(model, tokenizer, settings, prefix, precision=torch.float32):
    """Loss curve and trained weights."""
    curve, _, _ = train(
        model,
        Objective(tokenizer, settings.objective).behind(prefix),
        encode(tokenizer, tiny.texts(20), settings.max_tokens),
        settings,
        precision=precision,
        checkpoint=None,
        identity="",
        on_step=lambda _: None,
    )
    losses = torch.tensor([loss for _, loss in curve])
    return losses, {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("kind", ["llama", "calm-gpt2"])
@pytest.mark.parametrize(
    ("precision", "near"), [(torch.float32, 1e-5), pytest.param(torch.bfloat16, 2e-2, marks=computes_in_bfloat16)]
)
def test_a_training_is_the_same_with_states_kept(tmp_path, kind, precision, near):
    make_model(tmp_path / "m", kind)
    *whole, _ = prepared(tmp_path, kind, precision)
    *short, prefix = prepared(tmp_path, kind, precision)
    assert prefix is not None
    expected, weights = trained(*whole, None, precision)
    actual, others = trained(*short, prefix, precision)
    torch.testing.assert_close(actual, expected, rtol=near, atol=0)
    for name, weight in weights.items():
        # Adam divides by the root of the squared gradient, which magnifies rounding where gradients vanish.
        torch.testing.assert_close(others[name], weight, rtol=1e-2, atol=max(near, 1e-4))


def test_perplexity_is_the_same_with_states_kept(tmp_path):
    make_model(tmp_path / "m", "llama")
    model, tokenizer, _, prefix = prepared(tmp_path, "llama")
    expected, actual = (
        perplexity(model, tokenizer, tiny.texts(9), Measuring(32), prefix=kept).document_nll for kept in (None, prefix)
    )
    assert actual == pytest.approx(expected, rel=1e-5)


def test_frozen_blocks_run_once_for_a_document_whatever_is_trained(tmp_path):
    make_model(tmp_path / "m", "llama")
    documents = {tuple(ids) for ids in encode(tiny.tokenizer(), tiny.texts(20), 32)}
    # The loss looks with two passes for the output layer.
    for changes, expected in (({}, len(documents) + 2), ({"seed": 5, "batch_size": 3}, 2)):
        model, tokenizer, settings, prefix = prepared(tmp_path, "llama", **changes)
        runs = []
        model.model.layers[0].self_attn.register_forward_pre_hook(lambda *_, runs=runs: runs.append(1))
        trained(model, tokenizer, settings, prefix)
        assert len(runs) == expected


def test_other_frozen_weights_have_other_states(tmp_path):
    make_model(tmp_path / "m", "llama")
    model, tokenizer, settings, prefix = prepared(tmp_path, "llama")
    trained(model, tokenizer, settings, prefix)
    files = set((tmp_path / "states").iterdir())
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.add_(1)
    changed = FrozenPrefix.of(model, tmp_path / "states", torch.float32, causal=True)
    trained(model, tokenizer, settings, changed)
    assert len(set((tmp_path / "states").iterdir())) == 2 * len(files)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("gpt2", {}),  # dropout
        ("bert", {"objective": "masked"}),
        ("llama", {"trainable_layers": "all"}),
        ("llama", {"trainable_layers": 3}),
    ],
)
def test_no_states_are_kept_where_they_depend_on_more_than_the_document(tmp_path, kind, changes):
    make_model(tmp_path / "m", kind)
    assert prepared(tmp_path, kind, **changes)[-1] is None
