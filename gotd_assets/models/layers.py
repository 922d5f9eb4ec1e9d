"""Which weights are trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gotd_assets.errors import InputError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from gotd_assets.settings.training import TrainingSettings


def choose_trainable(model: PreTrainedModel, settings: TrainingSettings) -> dict[str, torch.nn.Parameter]:
    """Mark the parameters to train, freeze the others, and return the marked ones by name.

    All of them, or with `trainable_layers` k those that a forward pass first uses in one of the last k transformer
    blocks or after: the blocks, the norm behind them, the output layer. An output layer that shares its weights with
    the input embeddings is used at the start too, so it stays frozen, and no gradient has to pass the frozen blocks.

    Raises:
        InputError: the model has fewer blocks than that.
    """
    parameters = dict(model.named_parameters())
    if settings.trainable_layers == "all":
        model.requires_grad_(True)
        return parameters
    blocks = blocks_of(model)
    if blocks is None:
        raise InputError(
            f"{type(model).__name__} has no list of layers, so training.trainable_layers can only be 'all'"
        )
    k = settings.trainable_layers
    if not 1 <= k <= len(blocks):
        raise InputError(
            f"training.trainable_layers is {k}, but training.model {settings.model!r} has {len(blocks)} layers: "
            "give a number from 1 to that, or 'all'"
        )
    late = _first_used_from(model, blocks[len(blocks) - k])
    model.requires_grad_(False)
    chosen = {name: parameter for name, parameter in parameters.items() if id(parameter) in late}
    for parameter in chosen.values():
        parameter.requires_grad_(True)
    return chosen


def blocks_of(model: PreTrainedModel) -> torch.nn.ModuleList | None:
    """The transformer blocks: of all lists of modules the one with the most weights; None if there is no list."""
    import torch

    lists = [module for module in model.modules() if isinstance(module, torch.nn.ModuleList)]
    return max(lists, key=lambda entries: sum(weight.numel() for weight in entries.parameters()), default=None)


def _first_used_from(model: PreTrainedModel, block: torch.nn.Module) -> set[int]:
    """Ids of the parameters that no module uses before `block` is called."""
    import torch

    early: set[int] = set()
    late: set[int] = set()
    reached = False

    def note(module: torch.nn.Module, _: object) -> None:
        nonlocal reached
        reached = reached or module is block
        (late if reached else early).update(id(parameter) for parameter in module.parameters(recurse=False))

    hooks = [module.register_forward_pre_hook(note) for module in model.modules()]
    # A model that was placed before has weights of two formats.
    is_mixed = any(weight.dtype is torch.bfloat16 for weight in model.parameters())
    try:
        with torch.no_grad(), torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=is_mixed):
            model(input_ids=torch.zeros((1, 2), dtype=torch.int64, device=model.device))
    finally:
        for hook in hooks:
            hook.remove()
    return late - early
