"""Dagster's UI on loopback answers its own pages and tools, and nothing that another page makes a browser ask."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from gotd_assets.cli.webserver import guarded


async def answer(request: Request) -> PlainTextResponse:
    return PlainTextResponse("answered")


async def talk(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("answered")


@pytest.fixture
def client() -> TestClient:
    app = Starlette(routes=[Route("/graphql", answer, methods=["GET", "POST"]), WebSocketRoute("/graphql-ws", talk)])
    return TestClient(guarded(app, ("gotd.example",)), base_url="http://127.0.0.1:3000")


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", {}),
        ("POST", {"host": "localhost:3000"}),
        ("POST", {"host": "gotd.example:3000"}),
        ("POST", {"origin": "http://127.0.0.1:3000", "sec-fetch-site": "same-origin"}),
        ("GET", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate"}),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}),
    ],
)
def test_own_pages_tools_and_followed_links_are_answered(
    client: TestClient, method: str, headers: dict[str, str]
) -> None:
    response = client.request(method, "/graphql", headers=headers)
    assert (response.status_code, response.text) == (200, "answered")


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET", {"host": "evil.example"}),
        ("POST", {"host": "127.0.0.1.evil.example:3000"}),
        ("POST", {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}),
        ("POST", {"origin": "http://127.0.0.1:5000", "sec-fetch-site": "same-site"}),
        ("POST", {"origin": "null"}),
        ("POST", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}),
        ("GET", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}),
    ],
)
def test_what_other_pages_ask_for_is_refused(client: TestClient, method: str, headers: dict[str, str]) -> None:
    response = client.request(method, "/graphql", headers=headers)
    assert response.status_code in (400, 403)
    assert response.text != "answered"


def test_a_websocket_is_opened_for_own_pages_only(client: TestClient) -> None:
    with client.websocket_connect(
        "/graphql-ws", headers={"host": "127.0.0.1:3000", "origin": "http://127.0.0.1:3000"}
    ) as websocket:
        assert websocket.receive_text() == "answered"
    with (
        pytest.raises(WebSocketDisconnect),
        client.websocket_connect("/graphql-ws", headers={"host": "127.0.0.1:3000", "origin": "https://evil.example"}),
    ):
        pass
