"""What a run would make, and why: versions worked out from settings and manifests, without making anything."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey, Manifest, artifact_version
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets.errors import ArtifactError
from gotd_assets.fingerprint import Json

Verdict = Literal["current", "cached", "would be made"]


@dataclasses.dataclass(frozen=True)
class Planned:
    """One artifact of a dry run.

    Attributes:
        name: 'asset[partition]'.
        version: that it would have.
        verdict: it is current; it was made earlier and would become current again; or it would be made.
        reasons: what differs from the current one.
    """

    name: str
    version: str
    verdict: Verdict
    reasons: tuple[str, ...]


class PlannedArtifact(Artifact):
    """An artifact that does not exist yet: its version is known, its files are not."""

    def file(self, name: str) -> Path:
        """Where the file will be."""
        return self.path / name


class Plan:
    """The artifacts of a dry run so far, in the order in which they would be made."""

    def __init__(self) -> None:
        self.entries: list[Planned] = []

    def read(self, store: ArtifactStore, key: ArtifactKey) -> Artifact:
        """The artifact that a station would read.

        Raises:
            ArtifactError: it is not part of the plan and was never made.
        """
        for entry in self.entries:
            if entry.name == str(key):
                return store.find(key, entry.version) or _not_yet(store, key, entry.version)
        return store.current(key)

    def add(
        self,
        store: ArtifactStore,
        key: ArtifactKey,
        code_version: str,
        inputs: Mapping[str, str],
        parameters: Mapping[str, Json],
    ) -> Planned:
        """Work out what would become of `key`, and remember it."""
        version = artifact_version(key.asset, code_version, inputs, parameters)
        try:
            current = store.current(key).manifest
        except ArtifactError:
            current = None
        verdict: Verdict = "would be made"
        if store.find(key, version) is not None:
            verdict = "current" if current is not None and current.version == version else "cached"
        reasons = () if verdict == "current" else differences(current, code_version, inputs, parameters)
        entry = Planned(str(key), version, verdict, tuple(reasons))
        self.entries.append(entry)
        return entry


def differences(
    current: Manifest | None, code_version: str, inputs: Mapping[str, str], parameters: Mapping[str, Json]
) -> list[str]:
    """What makes an artifact other than the current one: code, inputs, parameters; one phrase each."""
    if current is None:
        return ["it was never made"]
    found = []
    if current.code_version != code_version:
        found.append(f"code version {current.code_version} → {code_version}")
    for name in sorted({*current.inputs, *inputs}):
        before, after = current.inputs.get(name), inputs.get(name)
        if before != after:
            found.append(f"input {name} is {_change(before, after)}")
    before_flat, after_flat = _flat(current.parameters), _flat(parameters)
    found += [
        f"parameter {name}: {before_flat.get(name, 'none')} → {after_flat.get(name, 'none')}"
        for name in sorted({*before_flat, *after_flat})
        if before_flat.get(name) != after_flat.get(name)
    ]
    return found


def _change(before: str | None, after: str | None) -> str:
    if before is None:
        return "new"
    return "gone" if after is None else "another"


def _flat(parameters: Mapping[str, Json], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in parameters.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(value, ensure_ascii=False, default=str)
    return flat


def _not_yet(store: ArtifactStore, key: ArtifactKey, version: str) -> Artifact:
    manifest = Manifest(key.asset, key.partition, version, "", {}, {}, "", (), {})
    return PlannedArtifact(store.root / key.relative_path / version, manifest)
