"""`select`: the method in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gotd_assets.api.making import EncoderLike
    from gotd_assets.api.selection import Selection


def select(
    pool: Any,
    target: Any,
    k: int | str,
    *,
    encoder: EncoderLike = None,
    method: str = "gotd",
    text: str = "text",
    seed: int = 0,
    home: str | Path | None = None,
    progress: bool | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Selection:
    """Choose from `pool` what best prepares a model for the task that `target` is a sample of.

    Duplicates among the pool and texts of the target in it are kept out, as in the pipeline, whose stations do the
    work: the same rows come out.

    Args:
        pool: texts (list, polars or pandas frame or series, Hugging Face or Arrow dataset), vectors (an array (n, D)),
            paths of files, or a mapping of several of these by name.
        target: some tens to thousands of examples of the task, in any of these forms.
        k: how many: a number of rows, a share ('2%'), tokens ('50k tokens') or 'until-zero' (all that help).
        encoder: what turns texts into vectors: a folder with a transformers or model2vec model, 'package:NAME', a hub id
            as 'ORGANISATION/NAME@COMMIT', a function from a list of texts to an array (n, D), or the section `encoder`
            of gotd.yaml. Not needed for vectors.
        method: of docs/selection.md.
        text: column or field that holds the text.
        seed: of methods that draw at random.
        home: folder to keep texts, vectors and lineage in: the next selection with it embeds only what is new. By
            default all is gone with the selection that is returned.
        progress: whether a bar is shown; by default in notebooks and on terminals.
        settings: further sections of gotd.yaml, {"transport": {"epsilon": 0.01}}; `target` holds settings of the target.

    Raises:
        InputError: pool, target or encoder cannot be used.
        SettingsError: an argument or a setting is wrong.
        GotdError: something else cannot be done; the message says what to do.
    """
    from gotd_assets.api.making import Making
    from gotd_assets.api.selection import Selection

    given = dict(settings or {})
    selection = {**given.pop("selection", {}), "methods": [method], "budget": k, "seed": seed}
    making = Making(pool, target, text=text, encoder=encoder, home=home, settings={**given, "selection": selection})
    making.run("selected_subset", progress=progress)
    return Selection(making, method)
