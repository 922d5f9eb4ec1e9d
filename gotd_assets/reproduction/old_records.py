"""Settings behind records that do not hold them whole, put together from what shaped each artifact's content."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from gotd_assets.reproduction.record import Recorded
from gotd_assets.reproduction.validation import available_device, known, recorded_files
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.evaluation import ClassificationSettings, EvaluationSettings
from gotd_assets.settings.project import Settings
from gotd_assets.settings.selection import SelectionSettings
from gotd_assets.settings.texts import DuplicateSettings, PreparationSettings, SourceSettings, TargetSettings
from gotd_assets.settings.transport import TransportSettings

_Section = TypeVar("_Section")


def put_together(record: Sequence[Recorded], today: Settings, root: Path) -> Settings:
    """Settings that make the last artifact of `record`, a selection, out of the user's files below `root`.

    From today's come only what shapes no selection (training, tracking, estimates) and, for records of the first
    release, which lack them, where the encoder is, its device and its batch size.

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
            "sources": [_read_from(made, SourceSettings, root) for made in sources],
            "targets": [
                _read_from(made, TargetSettings, root) for made in record if made.key.asset == "target_documents"
            ],
            "preparation": known(PreparationSettings, sources[0], sources[0].parameters["preparation"]),
            "duplicates": known(DuplicateSettings, pool, of["candidate_scores", target].parameters["contamination"]),
            "encoder": _encoder(
                of["candidate_embeddings", sources[0].key.partition], of.get(("tuned_encoder", None)), today
            ),
            "transport": known(
                TransportSettings,
                solve,
                {
                    **solve.parameters,
                    # The launchpad sets a solve's epsilon; the distances of sources go by the project's own.
                    **(relevance.parameters["transport"] if relevance else {}),
                    "sketch": of["target_sketch", target].parameters["sketch"],
                    "device": available_device(solve.conditions.get("transport.device")),
                    "memory_budget_gb": solve.conditions.get(
                        "transport.memory_budget_gb", today.transport.memory_budget_gb
                    ),
                    "products": solve.conditions.get("transport.products", "float32"),
                },
            ),
            "selection": known(
                SelectionSettings,
                selection,
                {
                    **shaping,
                    "methods": [method],
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
        }
    )


def _read_from(made: Recorded, section: Callable[..., _Section], root: Path) -> _Section:
    """A source or target that reads the recorded files, in their order, and no files that came since."""
    reading = made.parameters["reading"]
    apart = reading.get("holdout", {}).get("path")
    return known(section, made, {**reading, "path": recorded_files(made, apart, root)})


def _labelled(made: Recorded, tuned: Recorded) -> ClassificationSettings:
    """The labelled texts that the encoder was fine-tuned on."""
    where = {"target": made.key.partition, "path": list(made.source_files)}
    return known(ClassificationSettings, made, {**made.parameters["task"], **tuned.parameters["labelled"], **where})


def _encoder(made: Recorded, tuned: Recorded | None, today: Settings) -> EncoderSettings:
    then = made.conditions
    return known(
        EncoderSettings,
        made,
        {
            **made.parameters["encoder"],
            "model": then.get("encoder.model", today.encoder.model),
            "device": available_device(then.get("encoder.device")),
            "batch_tokens": _number(then.get("encoder.batch_tokens", today.encoder.batch_tokens)),
            **({} if tuned is None else {"tune": tuned.parameters["tune"]}),
        },
    )


def _number(recorded: str | int | None) -> str | int | None:
    """A condition is recorded as text, a setting that was not given as 'None'."""
    return None if recorded == str(None) else recorded
