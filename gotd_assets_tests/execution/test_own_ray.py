"""A Ray that a step starts for itself: nobody else reaches it, and it is nobody else's."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ray")

STEP = """
import contextlib, json, os, psutil
from gotd_assets.execution.engine import mapped
from gotd_assets.execution.ray_connection import _token
from gotd_assets.execution.ray_engine import ray_engine

with ray_engine() as engine:
    import ray
    results = [result for _, result in mapped(engine, abs, [-1, -2], name="absolute")]
    step = psutil.Process()
    sockets = []
    for process in (step, *step.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess):
            listening = [each for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN]
            sockets += [(process.name(), each.laddr.ip) for each in listening]
    address = ray.get_runtime_context().gcs_address
    kept = sorted(name for name in os.environ if name.startswith("RAY_AUTH"))
    print(json.dumps({"results": results, "sockets": sockets, "address": address, "kept": kept, "token": _token()}), flush=True)
    input()
"""


@pytest.fixture(scope="module")
def step(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What a step tells that has a Ray of its own, for as long as it runs."""
    home = tmp_path_factory.mktemp("home")
    # The settings have no address, so this is none.
    environment = {**os.environ, "HOME": str(home), "RAY_ADDRESS": "127.0.0.1:1"}
    process = subprocess.Popen(
        [sys.executable, "-c", STEP], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    yield {**json.loads(process.stdout.readline()), "home": home}
    process.communicate("\n", timeout=120)
    assert process.returncode == 0


@pytest.mark.slow
def test_it_listens_on_loopback_alone(step: dict[str, Any]) -> None:
    assert step["results"] == [1, 2]
    assert {"gcs_server", "raylet"} <= {name for name, _ in step["sockets"]}
    assert {address.removeprefix("::ffff:") for _, address in step["sockets"]} == {"127.0.0.1"}


@pytest.mark.slow
def test_whoever_has_not_its_token_is_refused(step: dict[str, Any]) -> None:
    grpc = pytest.importorskip("grpc")
    with grpc.insecure_channel(step["address"]) as channel:
        # Asked for its nodes, with an empty message.
        ask = channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetAllNodeInfo")
        for known in ([], [("authorization", f"Bearer {'0' * 64}")]):
            with pytest.raises(grpc.RpcError) as refused:
                ask(b"", metadata=known, timeout=60)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert ask(b"", metadata=[("authorization", f"Bearer {step['token']}")], timeout=60)


@pytest.mark.slow
def test_its_token_is_neither_in_a_file_nor_handed_on(step: dict[str, Any]) -> None:
    assert step["kept"] == []
    assert not (step["home"] / ".ray").exists()
