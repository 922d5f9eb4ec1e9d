"""Models of transformers, whole and finite, or a sentence that says what is wrong: the one way in which they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import GotdError, InputError

if TYPE_CHECKING:
    import torch


def load_tokenizer(where: Path | str, subject: str, **options: Any) -> Any:
    """The tokenizer of the model in folder or hub id `where`; `subject` is what names it: "training.model 'x'".

    Raises:
        InputError: there is none, or it cannot be loaded.
    """
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(where, **options)
    except Exception as error:  # every kind of tokenizer raises errors of its own, and so does remote code
        raise InputError(
            f"{subject} cannot be loaded: its tokenizer is missing or damaged ({_first(error)}); copy the model's "
            "tokenizer files again"
        ) from error


def load_config(where: Path | str, subject: str, **options: Any) -> Any:
    """The configuration of the model in folder or hub id `where`.

    Raises:
        InputError: there is none, or it cannot be loaded.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(where, **options)
    except Exception as error:  # configurations of every kind check themselves, and remote code is run
        raise InputError(f"{subject} cannot be loaded: {_first(error)}") from error


def load_weights(
    architecture: Any,
    where: Path | str,
    subject: str,
    kind: str,
    *,
    remedy: str,
    may_lack: Callable[[str], bool] = lambda _: False,
    **options: Any,
) -> Any:
    """The model in folder or hub id `where`, with all of its weights.

    Args:
        architecture: a class with `from_pretrained`.
        where: folder or hub id.
        subject: what names it, for errors: "training.model 'x'".
        kind: what is wanted: 'a causal language model'.
        remedy: what to do if weights are missing.
        may_lack: tensors that are not used, by name.
        options: for `from_pretrained`.

    Raises:
        InputError: it cannot be loaded, lacks weights, which transformers would make up, or has some that are no numbers.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()
    if "gguf_file" not in options:
        options["use_safetensors"] = True
    verbosity = logging.get_verbosity()
    # It reports what is missing at length, and goes on with random numbers; here that is an error of one sentence.
    logging.set_verbosity_error()
    try:
        model, report = architecture.from_pretrained(where, output_loading_info=True, **options)
    except GotdError:
        raise
    except Exception as error:  # files of any kind pass through several libraries here
        raise InputError(f"{subject} cannot be loaded as {kind}: {_first(error)}") from error
    finally:
        logging.set_verbosity(verbosity)
    missing = sorted(name for name in report["missing_keys"] if not may_lack(name))
    if missing:
        raise InputError(
            f"{subject} lacks {len(missing)} of the weights of {kind} ({_some(missing)}): "
            f"{_elsewhere(missing, report['unexpected_keys'])}{remedy}"
        )
    _refuse_nan(model, subject)
    return model


def positions_of(model: Any) -> int | None:
    """How many tokens a text may have, None if the model sets no bound.

    RoBERTa and its kin count positions from the padding token's number on, so that they have fewer than they say.
    """
    from torch.nn import Embedding

    said = getattr(model.config, "max_position_embeddings", None)
    limits = [said] if isinstance(said, int) and said > 0 else []
    for name, part in model.named_modules():
        place = name.rpartition(".")[2]
        if place == "position_embeddings" and isinstance(part, Embedding) and part.padding_idx is not None:
            limits.append(part.num_embeddings - part.padding_idx - 1)
    return min(limits, default=None)


def _elsewhere(missing: Collection[str], others: Collection[str]) -> str:
    """Where the missing weights stand, if they all do under other names that end like theirs."""
    prefixes = None
    for name in missing:
        found = {other.removesuffix(name) for other in others if other.endswith(name)}
        prefixes = found if prefixes is None else prefixes & found
    if not prefixes:
        return ""
    names = " and ".join(f"'{prefix}'" for prefix in sorted(prefixes)[:3])
    return (
        f"they stand there under {names}, as of a part of a larger model; take that off their names, or save that part "
        "with save_pretrained. Else: "
    )


def _refuse_nan(model: torch.nn.Module, subject: str) -> None:
    import torch

    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            wrong = int((~torch.isfinite(weight)).sum())
            raise InputError(
                f"{subject}: {wrong:,} of {weight.numel():,} numbers of its weights {name} are NaN or infinite: the file is "
                "damaged, or what trained it diverged; copy it again or take another model"
            )


def _first(error: Exception) -> str:
    """How an error begins; those of transformers go on for pages."""
    lines = str(error).strip().splitlines() or [""]
    said = lines[0] if len(lines[0]) <= 300 else lines[0][:299] + "…"
    return said if isinstance(error, (OSError, ValueError)) else f"{type(error).__name__}: {said}"


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
