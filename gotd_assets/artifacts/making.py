"""Making an artifact: found if it exists, else written; checked; recorded; published. In this order, and only once."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping

from gotd_assets.artifacts.artifact import Artifact, ArtifactKey, artifact_version
from gotd_assets.artifacts.leases import Lease
from gotd_assets.artifacts.store import ArtifactStore, ArtifactWriter
from gotd_assets.fingerprint import Json


@dataclasses.dataclass(frozen=True)
class Made:
    """What came of making an artifact.

    Attributes:
        artifact: it.
        reused: it existed already, and nothing was written.
        seconds: that it took to write; 0 if it was reused.
    """

    artifact: Artifact
    reused: bool
    seconds: float


def make(
    store: ArtifactStore,
    key: ArtifactKey,
    *,
    code_version: str,
    inputs: Mapping[str, str],
    parameters: Mapping[str, Json],
    write: Callable[[ArtifactWriter], None],
    check: Callable[[Artifact], None] = lambda _: None,
    record: Callable[[Made], None] = lambda _: None,
    run_id: str | None = None,
    aside: bool = False,
    lease: Lease | None = None,
) -> Made:
    """Make the artifact that `inputs`, `parameters` and code make of `key`, and publish it.

    A kill at any moment leaves either the old world or the new one: what is written and not published yet is found by the
    next attempt, which goes on from there.

    Args:
        store: where artifacts are.
        key: which artifact.
        code_version: of the code that writes it.
        inputs: version of everything that it is made of, by name.
        parameters: every setting that shapes its content.
        write: fills the writer's folder and summary; not called if the version exists already.
        check: looks at the finished artifact; an exception keeps it from being recorded and published, so that nothing
            reads it.
        record: told of it before it is published.
        run_id: the run that reads it from now on, beside everybody else.
        aside: only that run; for everybody else what is current stays so.
        lease: of the step, so that nobody removes it before it is published.

    Raises:
        ArtifactError: the disk is full, or an artifact on disk is damaged.
        StorageError: the project's object store cannot be used; what was made is here, and put there by the next attempt.
    """
    version = artifact_version(key.asset, code_version, inputs, parameters)
    if lease is not None:
        with lease.opening():
            lease.hold(key, version)
    artifact = store.find(key, version)
    reused = artifact is not None
    started = time.monotonic()
    if artifact is None:
        store.sweep()
        with store.write(key, version, code_version=code_version, inputs=inputs, parameters=parameters) as writer:
            write(writer)
            seconds = time.monotonic() - started
        artifact = writer.artifact
        if artifact is None:
            raise RuntimeError(f"{key} was written but cannot be opened")
    made = Made(artifact, reused, 0.0 if reused else seconds)
    check(artifact)
    record(made)
    store.keep(artifact)
    store.publish(artifact, run_id, aside=aside)
    return made
