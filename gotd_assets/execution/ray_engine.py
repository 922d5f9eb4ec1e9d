"""Workers on a Ray cluster: named actors, which are started again elsewhere when a node is lost."""

from __future__ import annotations

import contextlib
import errno
import itertools
import reprlib
import socket
import uuid
from typing import TYPE_CHECKING, Any

from gotd_assets.errors import ClusterError, GotdError
from gotd_assets.execution.ray_connection import connected
from gotd_assets.execution.turn import require_package, turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gotd_assets.execution.engine import Worker

# How often an item is begun again after its worker was lost. A node takes many items with it only once.
_ATTEMPTS = 8
_SECONDS_FOR_A_PLACE = 20.0
_NAMESPACE = "gotd"
_GIB = 2**30


class RayEngine:
    """Actors of the cluster that this process is connected to. Made by `ray_engine`."""

    name = "ray"
    is_local = False

    def __init__(
        self, actors: int | None, cpus_per_actor: float, gpus_per_actor: float, memory_gb: float | None
    ) -> None:
        # What is lost is started again by us: Ray would wait for as much room as there was.
        self._options: dict[str, Any] = {"num_cpus": cpus_per_actor, "num_gpus": gpus_per_actor, "max_restarts": 0}
        if memory_gb is not None:
            self._options["memory"] = int(memory_gb * _GIB)
        self._session = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()
        self._open = 0
        room = self._room()
        if room < 1:
            raise ClusterError(
                f"no node of the Ray cluster has what one actor asks for ({cpus_per_actor:g} CPUs, {gpus_per_actor:g} GPUs and "
                f"{memory_gb or 0:g} GiB; nodes have {_nodes_told()}): lower compute.cpus_per_actor, compute.gpus_per_actor or "
                "compute.memory_gb, or add nodes"
            )
        self.workers = room if actors is None else min(actors, room)

    def _room(self) -> int:
        """How many actors fit on the nodes that are there now, each on one of them."""
        names = {"num_cpus": "CPU", "num_gpus": "GPU", "memory": "memory"}
        asked = {names[option]: size for option, size in self._options.items() if option in names and size}
        return sum(min(int(node.get(name, 0) / size) for name, size in asked.items()) for node in _nodes())

    def lacks_room(self) -> bool:
        """Whether nodes went, so that not all workers that are open fit any more."""
        return self._room() < self._open

    def actor(self, name: str, *, crowded: bool = False) -> Any:
        """A new actor, named after what it does; a `crowded` one asks for no processor of its own."""
        import ray

        options = self._options | ({"num_cpus": 0, "memory": None} if crowded else {})
        return ray.remote(_Actor).options(name=f"gotd {name} {self._session}-{next(self._numbers)}", **options).remote()

    @contextlib.contextmanager
    def worker(self, function: Callable[[Any], Any], name: str) -> Iterator[Worker]:
        """An actor for `function`, named after what it does."""
        import ray
        from ray import cloudpickle

        worker = _ActorWorker(self, ray.put(cloudpickle.dumps(function)), name)
        self._open += 1
        try:
            yield worker
        finally:
            self._open -= 1
            worker.end()


def _nodes() -> list[dict[str, float]]:
    import ray

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _nodes_told() -> str:
    found = (f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in _nodes())
    return ", ".join(sorted(set(found)))


class _Actor:
    """Where the function is applied; what it raises goes back as a value, with the node it was raised on."""

    def __init__(self) -> None:
        self._function: Callable[[Any], Any] | None = None

    def is_there(self) -> None:
        """Answers once the actor is on a node."""

    def compute(self, packed: list[Any], item: object) -> tuple[Any, BaseException | None, str]:
        """`packed` holds a reference to the function, which is fetched once by each process that the actor has."""
        import ray

        try:
            if self._function is None:
                self._function = _loaded(ray.get(packed[0]))
            return self._function(item), None, ""
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller must hear of it
            return None, error, socket.gethostname()


def _loaded(packed: bytes) -> Callable[[Any], Any]:
    """What the driver packed: as Ray sends every function, but here a node that cannot load it is told of in a sentence."""
    from ray import cloudpickle

    try:
        function: Callable[[Any], Any] = cloudpickle.loads(packed)
    except Exception as error:
        raise ClusterError(
            f"a worker cannot load what it was sent ({type(error).__name__}: {_first_line(error)}): every node needs the same "
            "versions of Python, Ray and gotd-assets, and the same extras of it"
        ) from error
    return function


class _ActorWorker:
    """The caller's side of an actor, which is another one after the first was lost."""

    def __init__(self, engine: RayEngine, packed: Any, name: str) -> None:
        self._engine = engine
        self._packed = packed
        self._name = name
        self._actor = engine.actor(name)
        self._is_placed = False

    def end(self) -> None:
        """It is not waited for: what it did not commit does not exist."""
        import ray

        with contextlib.suppress(ray.exceptions.RayError):
            ray.kill(self._actor)

    def _replace(self, *, crowded: bool) -> None:
        self.end()
        self._actor = self._engine.actor(self._name, crowded=crowded)
        self._is_placed = False

    def _placed(self) -> Any:
        """The actor, once it is on a node: beside others if nodes went and left no room for it."""
        import ray

        while not self._is_placed:
            try:
                ray.get(self._actor.is_there.remote(), timeout=_SECONDS_FOR_A_PLACE)
                self._is_placed = True
            except ray.exceptions.GetTimeoutError:
                if self._engine.lacks_room():
                    self._replace(crowded=True)
        return self._actor

    def _answer(self, item: object) -> tuple[Any, BaseException | None, str]:
        import ray

        lost: ray.exceptions.RayError | None = None
        for _ in range(_ATTEMPTS + 1):
            try:
                answer: tuple[Any, BaseException | None, str] = ray.get(
                    self._placed().compute.remote([self._packed], item)
                )
            except ray.exceptions.RayError as cause:
                require_package(cause)
                lost = cause
                self._replace(crowded=False)
            else:
                return answer
        if "memory" in str(lost):
            raise ClusterError(
                f"{self._name}: Ray ended the worker because its node ran out of memory, on {reprlib.repr(item)}: give workers "
                "more with compute.memory_gb, have fewer on a node with compute.cpus_per_actor, or lower max_record_bytes"
            ) from lost
        raise ClusterError(
            f"{self._name}: the worker was lost {_ATTEMPTS + 1} times on {reprlib.repr(item)} ({_first_line(lost)}); "
            "Ray's dashboard and logs say why; what was done until now is kept, so run again"
        ) from lost

    def compute(self, item: object) -> Any:
        result, error, node = self._answer(item)
        if error is None:
            return result
        if isinstance(error, GotdError):
            raise type(error)(f"{error} (on node {node})") from error
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise ClusterError(
                f"{self._name}: no space left on the disk of node {node} for {error.filename}: free some there, and run again; "
                "what was done until now is kept"
            ) from error
        error.add_note(f"on node {node}, at {reprlib.repr(item)}")
        raise error


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().partition("\n")[0][:300]


@contextlib.contextmanager
def ray_engine(
    *,
    address: str | None = None,
    actors: int | None = None,
    cpus_per_actor: float = 1.0,
    gpus_per_actor: float = 0.0,
    memory_gb: float | None = None,
    purpose: str = "",
    tell: Callable[[str], None] | None = None,
) -> Iterator[RayEngine]:
    """An engine of actors in the cluster at `address` ("host:port" or "auto"), for as long as the block takes.

    Without an address a Ray of this machine alone is started, and ended with the block: nobody reaches it from elsewhere,
    nor without its token. A connection that this process has already, such as a Dagster resource's, is used and left open.
    `actors` defaults to as many as there is room for. While another step works on the cluster it is waited for: `tell` hears
    of it at once and every minute, and others that wait for this one hear its `purpose`.

    Raises:
        ClusterError: Ray is not installed, nothing answers at the address, it is another version, or there is no room.
    """
    with connected(address, cpus_per_actor, _NAMESPACE), turn(_NAMESPACE, purpose, tell):
        yield RayEngine(actors, cpus_per_actor, gpus_per_actor, memory_gb)
