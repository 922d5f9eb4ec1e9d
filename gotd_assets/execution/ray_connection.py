"""The connection of this process to Ray: to a cluster that is there, or to one of this machine alone, started for it.

Ray runs what it is sent, so the one started here is nobody else's: it listens on loopback, and wants a token that only this
process and its workers know.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import socket
import sys
from typing import TYPE_CHECKING

from gotd_assets.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SECONDS_TO_ANSWER = 10.0
_INSTALL = "pip install 'gotd-assets[ray]'"
# Despite its name: without it Ray takes 127.0.0.1 for the address of the machine, and listens there alone.
_IS_REACHABLE = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"


@contextlib.contextmanager
def connected(address: str | None, cpus_per_actor: float, namespace: str) -> Iterator[None]:
    """Connected to the cluster at `address`, or without one to a Ray of this machine, for as long as the block takes.

    A connection that this process has already is used and left open.

    Raises:
        ClusterError: Ray is not installed, nothing answers at the address, or it is another version.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ClusterError(f"compute.engine is 'ray', which is not installed: {_INSTALL}") from error
    connects = not ray.is_initialized()
    if connects:
        _connect(address, cpus_per_actor, namespace)
    try:
        yield
    finally:
        if connects:
            ray.shutdown()


def _connect(address: str | None, cpus_per_actor: float, namespace: str) -> None:
    import ray

    if address is not None and address != "auto":
        _require_answer(address)
    environment = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "POLARS_MAX_THREADS": "1",
        "OMP_NUM_THREADS": str(max(1, int(cpus_per_actor))),
    }
    try:
        with _started_alone() if address is None else contextlib.nullcontext():
            ray.init(
                address=address or "local",
                include_dashboard=None if address else False,
                namespace=namespace,
                runtime_env={"env_vars": environment},
                log_to_driver=False,
                logging_level="ERROR",
            )
    except Exception as error:
        if address is None:
            raise ClusterError(
                f"compute.engine is 'ray', and no Ray could be started on this machine ({_one_line(error)}): "
                "compute.engine: local needs none"
            ) from error
        raise ClusterError(
            f"compute.address {address!r} cannot be used as a Ray cluster ({_one_line(error)}): nodes and this process must "
            "have the same versions of Ray and Python, see `ray status` there"
        ) from error


@contextlib.contextmanager
def _started_alone() -> Iterator[None]:
    """A Ray that is started in the block listens on loopback alone, and wants a token of our own."""
    from ray._private import ray_constants

    ours = {_IS_REACHABLE: "0"}
    if "RAY_AUTH_TOKEN_PATH" not in os.environ:
        ours["RAY_AUTH_TOKEN"] = os.environ.get("RAY_AUTH_TOKEN") or _token()
    # What Ray sets itself when it begins to ask for tokens is of this Ray alone, too.
    with _environment(ours, also=("RAY_AUTH_MODE",)):
        is_reachable = ray_constants.ENABLE_RAY_CLUSTER
        # Read when Ray was imported, which may be long ago.
        ray_constants.ENABLE_RAY_CLUSTER = False
        try:
            yield
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = is_reachable


@functools.cache
def _token() -> str:
    """The same for every Ray that this process starts: Ray reads it once."""
    return secrets.token_hex(32)


@contextlib.contextmanager
def _environment(variables: Mapping[str, str], also: tuple[str, ...]) -> Iterator[None]:
    """`variables` of the environment during the block; those and the ones in `also` are then what they were."""
    before = {name: os.environ.get(name) for name in (*variables, *also)}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _require_answer(address: str) -> None:
    """Ray itself takes a minute to notice that nobody is there."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if address.startswith("ray://"):
        raise ClusterError(
            f"compute.address {address!r} is one of Ray Client, which Ray's maintainers advise against for work like this: "
            "start gotd on a node of the cluster with compute.address: auto, or as a Ray job"
        )
    if not host or not port.isdigit():
        raise ClusterError(f"compute.address {address!r} is no 'host:port' of a Ray head node, and not 'auto'")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise ClusterError(
            f"compute.address {address!r}: nothing answers there ({error}): start Ray with `ray start --head`, or correct the address"
        ) from error


def _one_line(error: BaseException) -> str:
    """All of a short message, such as that of versions that differ, which Ray tells in lines."""
    return " ".join(str(error).split())[:500]
