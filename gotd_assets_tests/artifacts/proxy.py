"""Stands before an S3 server, and makes it slow, full, forbidding, or late in its listings."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_FULL = b"<Error><Code>XMinioStorageFull</Code><Message>Storage backend has reached its minimum free disk.</Message></Error>"
_DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
_EMPTY = b"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>"


class Proxy:
    """What it does to the next requests.

    Attributes:
        seconds: before each answer.
        is_full: refuses what is put, from the `room`-th on.
        room: how many objects are put before the store is full.
        forbids: refuses what is put, as with keys that may only read.
        lists_late: lists nothing.
    """

    def __init__(self, endpoint: str) -> None:
        self.seconds = 0.0
        self.is_full = self.forbids = self.lists_late = False
        self.room = 0
        self.endpoint = ""
        self._to = urlsplit(endpoint).netloc

    def answer(self, method: str, path: str) -> tuple[int, bytes] | None:
        """Status and body where it answers itself."""
        time.sleep(self.seconds)
        if method == "PUT" and self.forbids:
            return 403, _DENIED
        if method == "PUT" and self.is_full:
            self.room -= 1
            return (507, _FULL) if self.room < 0 else None
        if method == "GET" and self.lists_late and "list-type" in parse_qs(urlsplit(path).query):
            return 200, _EMPTY
        return None

    def passed_on(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, bytes]:
        """What the server says; the signature holds, since nothing of the request is changed."""
        connection = http.client.HTTPConnection(self._to, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


@contextmanager
def proxy_before(endpoint: str) -> Iterator[Proxy]:
    """A proxy on a port of its own."""
    proxy = Proxy(endpoint)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:  # the other side gave up
                self.close_connection = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            own = proxy.answer(self.command, self.path)
            status, headers, content = (
                (own[0], [("Content-Type", "application/xml")], own[1])
                if own is not None
                else proxy.passed_on(self.command, self.path, dict(self.headers.items()), body)
            )
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                    self.send_header(name, value)
            length = {name.lower(): value for name, value in headers}.get("content-length", str(len(content)))
            self.send_header("Content-Length", length if self.command == "HEAD" else str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _serve  # noqa: N815 - names that http.server looks for

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()
