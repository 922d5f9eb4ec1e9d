"""The settings behind a recorded selection, put together from what each artifact says it was made with."""

from __future__ import annotations

import fnmatch
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from gotd_assets.errors import InputError
from gotd_assets.reproduction import Recorded
from gotd_assets.settings import (
    CheckSettings,
    ClassificationSettings,
    DuplicateSettings,
    EncoderSettings,
    EvaluationSettings,
    NotifySettings,
    PreparationSettings,
    SelectionSettings,
    Settings,
    SourceSettings,
    TargetSettings,
    TargetsFolderSettings,
    TransportSettings,
)

_Section = TypeVar("_Section")

# It passed its checks then; limits that were tightened since say nothing about whether it can be made again.
_NO_LIMITS = CheckSettings(
    max_quarantine_rate=1,
    max_marginal_error=math.inf,
    max_relative_gap=math.inf,
    max_contaminated=2**62,
    max_source_share=1,
    max_loss_growth=math.inf,
)


def recorded_settings(record: Sequence[Recorded], today: Settings, root: Path, home: Path) -> Settings:
    """Settings that make the last artifact of `record`, a selection, out of the user's files below `root` in `home`.

    From today's come only what shapes no selection (training, tracking, estimates) and, for records of the first
    release, which lack them, where the encoder stands, its device and its batch size.

    Raises:
        InputError: the record holds settings that this version does not know.
    """
    selection = record[-1]
    target, method = (selection.key.partition or "").split("/")
    of = {(made.key.asset, made.key.partition): made for made in record}
    pool = of["candidate_pool", None]
    sources = [of["raw_candidates", name] for name in pool.parameters["order"]]
    solve = of["ot_potentials", target]
    relevance = of.get(("domain_relevance", target))
    shaping = {name: value for name, value in selection.parameters.items() if name in SelectionSettings.model_fields}
    return today.model_copy(
        update={
            "home": home,
            "sources": [_read_from(made, SourceSettings, root) for made in sources],
            "targets": [
                _read_from(made, TargetSettings, root) for made in record if made.key.asset == "target_documents"
            ],
            "targets_folder": TargetsFolderSettings(),
            "preparation": _known(PreparationSettings, sources[0], sources[0].parameters["preparation"]),
            "duplicates": _known(DuplicateSettings, pool, of["candidate_scores", target].parameters["contamination"]),
            "encoder": _encoder(
                of["candidate_embeddings", sources[0].key.partition], of.get(("tuned_encoder", None)), today
            ),
            "transport": _known(
                TransportSettings,
                solve,
                {
                    **solve.parameters,
                    # The launchpad sets a solve's epsilon; the distances of sources go by the project's own.
                    **(relevance.parameters["transport"] if relevance else {}),
                    "sketch": of["target_sketch", target].parameters["sketch"],
                    "device": _device(solve.conditions.get("transport.device")),
                    "memory_budget_gb": solve.conditions.get(
                        "transport.memory_budget_gb", today.transport.memory_budget_gb
                    ),
                    "products": solve.conditions.get("transport.products", "float32"),
                },
            ),
            "selection": _known(
                SelectionSettings,
                selection,
                {
                    **shaping,
                    "methods": [method],
                    # A figure beside the selection that takes a solve for each.
                    "stability_resamples": 0,
                    **(
                        {"relevance_sample": relevance.parameters["sample"], "seed": relevance.parameters["seed"]}
                        if relevance
                        else {}
                    ),
                },
            ),
            # Nothing but an encoder that was fine-tuned on them leads from labelled texts to a selection.
            "evaluation": EvaluationSettings(
                classification=[
                    _labelled(made, of["tuned_encoder", None])
                    for made in record
                    if made.key.asset == "labelled_documents"
                ]
            ),
            "checks": _NO_LIMITS,
            "notify": NotifySettings(),
        }
    )


def _read_from(made: Recorded, section: Callable[..., _Section], root: Path) -> _Section:
    """A source or target that reads the recorded files, in their order, and no files that came since."""
    reading = made.parameters["reading"]
    apart = reading.get("holdout", {}).get("path")
    patterns = [] if apart is None else apart if isinstance(apart, list) else [apart]
    files = [name for name in made.source_files if not any(_means(pattern, name, root) for pattern in patterns)]
    return _known(section, made, {**reading, "path": files})


def _means(pattern: str, name: str, root: Path) -> bool:
    """Whether a path of gotd.yaml (file, folder, glob or URL) means the file `name`."""
    whole, file = (text if "://" in text else os.path.normpath(root / text) for text in (pattern, name))
    return file == whole or file.startswith(f"{whole.rstrip('/')}/") or fnmatch.fnmatch(file, whole)


def _labelled(made: Recorded, tuned: Recorded) -> ClassificationSettings:
    """The labelled texts that the encoder was fine-tuned on."""
    where = {"target": made.key.partition, "path": list(made.source_files)}
    return _known(ClassificationSettings, made, {**made.parameters["task"], **tuned.parameters["labelled"], **where})


def _encoder(made: Recorded, tuned: Recorded | None, today: Settings) -> EncoderSettings:
    then = made.conditions
    return _known(
        EncoderSettings,
        made,
        {
            **made.parameters["encoder"],
            "model": then.get("encoder.model", today.encoder.model),
            "device": _device(then.get("encoder.device")),
            "batch_tokens": _number(then.get("encoder.batch_tokens", today.encoder.batch_tokens)),
            **({} if tuned is None else {"tune": tuned.parameters["tune"]}),
        },
    )


def _number(recorded: str | int | None) -> str | int | None:
    """A condition is recorded as text, a setting that was not given as 'None'."""
    return None if recorded == str(None) else recorded


def _device(recorded: str | None) -> str:
    """The recorded device, or 'auto' where this machine has no such: that it is another is told if bytes differ."""
    if recorded is None or not recorded.startswith("cuda"):
        return recorded or "auto"
    import torch

    index = int(recorded.partition(":")[2] or 0)
    return recorded if index < torch.cuda.device_count() else "auto"


def _known(section: Callable[..., _Section], made: Recorded, values: Mapping[str, Any]) -> _Section:
    try:
        return section(**values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(
            f"{made.key} version {made.version} was made with settings that this version of gotd-assets does not know "
            f"({problems}): install gotd-assets {made.packages.get('gotd-assets', 'of that time')} to make it again"
        ) from error
