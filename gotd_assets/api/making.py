"""A project made of what was handed over, and its stations run up to the one that is wanted."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gotd_assets.api.inputs import Given, given, names_of
from gotd_assets.api.progress import Bar
from gotd_assets.errors import InputError, SettingsError
from gotd_assets.models.location import model_setting
from gotd_assets.settings.project import Project, settings_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from gotd_assets.artifacts.artifact import Artifact
    from gotd_assets.stations.graph import Stage

Encode: TypeAlias = "Callable[[list[str]], Any]"
EncoderLike: TypeAlias = "str | Path | Mapping[str, Any] | Encode | None"
TARGET = "target"
POOL = "pool"
_BATCH = 1024
# Settings of a selection in one go: nothing is watched, nothing is warned of that a second look would show.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {"watch": {"warm_start": False}, "selection": {"stability_resamples": 0}}


class Making:
    """Everything that belongs to one selection: the inputs, a project around them, and the folder it lives in.

    Args:
        pool: what to select from; a mapping gives several sources their names.
        target: examples of the task.
        text: column or field that holds the text.
        encoder: what turns texts into vectors; None only where vectors were handed over.
        home: folder to keep everything in, so that a second selection embeds nothing again; None for a temporary one.
        settings: sections of gotd.yaml that differ from their defaults.

    Raises:
        InputError: pool or target cannot be used.
        SettingsError: a setting is wrong.
    """

    def __init__(
        self,
        pool: Any,
        target: Any,
        *,
        text: str,
        encoder: EncoderLike,
        home: str | Path | None,
        settings: Mapping[str, Any],
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="gotd-") if home is None else None
        self.root = Path(home or str(self._temporary and self._temporary.name)).expanduser().resolve()
        inputs = self.root / "inputs"
        several = isinstance(pool, Mapping) and not type(pool).__module__.startswith("datasets")
        self.sources = {
            name: given(value, name, inputs / "pool", text)
            for name, value in (pool if several else {POOL: pool}).items()
        }
        self.target = given(target, TARGET, inputs, text)
        self._encode = self._encoder_function(encoder)
        self.project = Project.of(settings_of(self._content(encoder, settings)), self.root)

    def run(self, wanted: str, *, progress: bool | None) -> None:
        """Make the asset `wanted` and all that it needs.

        Raises:
            GotdError: something cannot be made; the message says what to do.
        """
        from gotd_assets.stations.all import GRAPH
        from gotd_assets.stations.workshop import Workshop

        stages = list(self._stages(wanted))
        assets = [(stage, asset) for stage in stages for asset in stage.assets]
        if self._encode is not None:
            # Its vectors are a file that is written once all texts are known.
            read = [entry for entry in assets if entry[1] in ("raw_candidates", "target_documents")]
            assets = [*read, *(entry for entry in assets if entry not in read)]
        bar = Bar(len(assets), shown=progress)
        workshop = Workshop(self.project, journal=bar)
        try:
            for stage, asset in assets:
                if self._encode is not None and asset.endswith("_embeddings"):
                    self._write_vectors(self._encode, bar)
                bar.begin(GRAPH.named(asset).verb)
                outcome = workshop.make(asset, stage.partition)
                for one in outcome.evaluated:
                    if not one.finding.passed:
                        bar.warn(f"{one.check.name}: {one.finding.sentence}")
                bar.end()
        finally:
            bar.close()

    def artifact(self, asset: str, partition: str | None) -> Artifact:
        """What was made."""
        from gotd_assets.artifacts.artifact import ArtifactKey
        from gotd_assets.artifacts.store import ArtifactStore

        return ArtifactStore.of(self.project).current(ArtifactKey(asset, partition))

    def _stages(self, wanted: str) -> Iterator[Stage]:
        """The stages that lead to `wanted`, without what only some methods need."""
        import dataclasses

        from gotd_assets.selection.methods import method_named
        from gotd_assets.stations.all import GRAPH

        selection = self.project.settings.selection
        needs_relevance = (
            selection.nearest_sources is not None or "relevance" in method_named(selection.methods[0]).needs
        )
        names = [station.name for station in GRAPH.stations]
        needed = set(names[: names.index(wanted) + 1]) - (set() if needs_relevance else {"domain_relevance"})
        for stage in GRAPH.stages(self.project.settings, [TARGET], lambda station: station.name in needed):
            yield dataclasses.replace(stage, assets=tuple(asset for asset in stage.assets if asset in needed))

    def _content(self, encoder: EncoderLike, settings: Mapping[str, Any]) -> dict[str, Any]:
        fixed = sorted({"sources", "targets", "targets_folder", "encoder", "home"} & set(settings))
        if fixed:
            raise SettingsError(f"settings: {', '.join(fixed)} follow from the other arguments; leave them out")
        content: dict[str, Any] = {name: dict(section) for name, section in _DEFAULTS.items()}
        for name, section in settings.items():
            content[name] = {**content.get(name, {}), **section} if isinstance(section, Mapping) else section
        target = {"name": TARGET, **_entry(self.target), "holdout": {"share": 0}, **content.pop(TARGET, {})}
        if self._vectors_given:
            content["duplicates"] = {**content.get("duplicates", {}), "near": False}
        return {
            **content,
            "home": str(self.root / ".gotd"),
            "sources": [{"name": name, **_entry(source)} for name, source in self.sources.items()],
            "targets": [target],
            "encoder": self._encoder_section(encoder),
        }

    @property
    def _vectors_given(self) -> bool:
        return self.target.vectors is not None

    def _encoder_function(self, encoder: EncoderLike) -> Encode | None:
        """What makes vectors here and now, rather than a model of the settings."""
        everything = [self.target, *self.sources.values()]
        arrays = [one.vectors for one in everything if one.vectors is not None]
        if not arrays:
            return encoder if callable(encoder) else None
        widths = {array.shape[1] for array in arrays}
        if len(arrays) < len(everything) or len(widths) > 1:
            raise InputError(
                "vectors and texts cannot be compared, nor vectors of different length: give arrays of shape (n, D) "
                "for the whole pool and for the target"
            )
        if encoder is not None:
            raise InputError("encoder: there are no texts to encode, vectors were given; leave it out")
        return _Looked(arrays)

    def _encoder_section(self, encoder: EncoderLike) -> dict[str, Any]:
        if self._encode is not None:
            return {"model": str(self._vectors), "kind": "precomputed"}
        if encoder is None:
            raise InputError(
                "encoder: texts need one: a folder with a transformers or model2vec model, 'package:NAME', a hub id as "
                "'ORGANISATION/NAME@COMMIT', or a function from a list of texts to an array (n, D)"
            )
        if isinstance(encoder, Mapping):
            return dict(encoder)
        name = str(encoder)
        place = Path(name).expanduser()
        return {"model": str(place.resolve())} if place.exists() else model_setting(name)

    @property
    def _vectors(self) -> Path:
        return self.root / "inputs" / "vectors"

    def _write_vectors(self, encode: Encode, bar: Bar) -> None:
        """Vectors of all documents as a file that the encoder of the settings reads."""
        import polars as pl

        from gotd_assets.corpus.shards import scan_documents

        if (self._vectors / "ids.txt").exists() and self._are_written:
            return
        bar.begin("encode")
        folders = [self.artifact("raw_candidates", name).path for name in self.sources]
        folders.append(self.artifact("target_documents", TARGET).path / "train")
        heldout = self.artifact("target_documents", TARGET).path / "heldout"
        frames = [scan_documents(folder).select("doc_id", "text").collect() for folder in [*folders, heldout]]
        documents = pl.concat(frames).unique("doc_id", keep="first").sort("doc_id")
        texts = documents.get_column("text").to_list()
        parts = []
        for start in range(0, len(texts), _BATCH):
            batch = texts[start : start + _BATCH]
            parts.append(_checked(encode(batch), len(batch)))
            bar.log(f"{min(start + _BATCH, len(texts)):,} of {len(texts):,} texts")
        shutil.rmtree(self._vectors, ignore_errors=True)
        self._vectors.mkdir(parents=True)
        np.save(self._vectors / "vectors.npy", np.concatenate(parts), allow_pickle=False)
        (self._vectors / "ids.txt").write_text("\n".join(documents.get_column("doc_id")), encoding="utf-8")
        self._are_written = True

    _are_written = False


class _Looked:
    """Vectors by the names that stations know them by."""

    def __init__(self, arrays: Sequence[npt.NDArray[np.float32]]) -> None:
        self._all = np.concatenate(list(arrays))
        self._row = {name: row for row, name in enumerate(names_of(self._all))}

    def __call__(self, names: list[str]) -> npt.NDArray[np.float32]:
        return self._all[[self._row[name] for name in names]]


def _entry(one: Given) -> dict[str, Any]:
    return {"path": one.path, "fields": {"text": one.field}}


def _checked(vectors: Any, count: int) -> npt.NDArray[np.float32]:
    """(n, D) float32 of what a function of the user's returned for `count` texts."""
    if hasattr(vectors, "detach"):
        vectors = vectors.detach().cpu().numpy()
    array = np.asarray(vectors, dtype=np.float32)
    if array.ndim != 2 or len(array) != count:
        raise InputError(f"encoder: it returned an array of shape {array.shape} for {count} texts, not ({count}, D)")
    return array
