"""Dagster's web server, for browsers that also have other pages open.

Dagster's own server answers whatever name it is called by and runs whatever any web page posts to it, or has an image's
address ask of it: on loopback a page could start and delete runs, by the name that its own DNS gives 127.0.0.1 also read
what is there. Here only requests to known names, and not from pages of other origins, are answered.

    python -m gotd_assets.cli.webserver --workspace workspace.yaml [--host 127.0.0.1] [--port 3000] [--allowed-host NAME]
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
_NAMES = (LOOPBACK, "localhost", "[::1]")


class SameOrigin:
    """Refuses requests that a browser makes for a page of another origin; others' links may still be followed."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it with 403."""
        from starlette.responses import PlainTextResponse

        if scope["type"] not in ("http", "websocket") or not _is_foreign(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await PlainTextResponse("refused: a page of another origin asks for this", 403)(scope, receive, send)


def _is_foreign(scope: Scope) -> bool:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return True
    is_followed_link = headers.get("sec-fetch-mode") == "navigate" and scope.get("method") == "GET"
    return site not in ("same-origin", "none") and not is_followed_link


def guarded(app: ASGIApp, names: tuple[str, ...] = ()) -> ASGIApp:
    """`app` behind both checks; it answers to loopback's names and to `names`."""
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    return TrustedHostMiddleware(SameOrigin(app), allowed_hosts=[*_NAMES, *names], www_redirect=False)


def serve(
    workspace: Annotated[Path, typer.Option(help="Dagster's workspace.yaml.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = LOOPBACK,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 3000,
    allowed_host: Annotated[list[str] | None, typer.Option(help="Another name that browsers call it by.")] = None,
) -> None:
    """Serve Dagster's UI until Ctrl-C."""
    import uvicorn
    from dagster import DagsterInstance, __version__
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context

    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)]), version=__version__) as context,
    ):
        app = guarded(create_app_from_workspace_process_context(context), (host, *(allowed_host or [])))
        uvicorn.run(app, host=host, port=port, log_level="warning")


if __name__ == "__main__":
    typer.run(serve)
