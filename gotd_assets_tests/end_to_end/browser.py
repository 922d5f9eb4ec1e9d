"""The UI as a person has it: the servers of `gotd ui`, and their pages in headless Chromium."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gotd_assets_tests.end_to_end.project import environment

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
_START_SECONDS = 600
RUN_SECONDS = 400


@dataclasses.dataclass(frozen=True)
class Servers:
    """Addresses of the two servers, without a slash at the end."""

    dagster: str
    mlflow: str


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """`gotd ui` in the project of `folder`, on free ports of the loopback; stopped at the end as Ctrl-C does."""
    dagster, mlflow = _free_ports()
    command = [sys.executable, "-c", "from gotd_assets.cli.main import main; main()", "ui"]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [*command, "--port", str(dagster), "--mlflow-port", str(mlflow)],
            cwd=folder,
            env=environment(folder),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _START_SECONDS
            while "Ctrl-C" not in (said := os.pread(log.fileno(), 100_000, 0).decode()):
                assert process.poll() is None, f"gotd ui ended: {said}"
                assert time.monotonic() < deadline, f"gotd ui did not start within {_START_SECONDS} s: {said}"
                time.sleep(0.5)
            yield Servers(f"http://127.0.0.1:{dagster}", f"http://127.0.0.1:{mlflow}")
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0
        finally:
            # Runs are processes of their own; none outlives the test.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextlib.contextmanager
def browser(width: int = 1440, height: int = 900) -> Iterator[Page]:
    """A page of Chromium, `width` × `height` CSS pixels."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    assert program is not None, f"none of {', '.join(_PROGRAMS)} is installed; on Debian: apt-get install chromium"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            page = chromium.new_page(viewport={"width": width, "height": height})
            page.set_default_timeout(60_000)
            yield page
        finally:
            chromium.close()


def click(page: Page, role: Literal["button", "link", "tab"], text: str) -> None:
    """Click on the first button, link or tab called `text`; beside its name there may be those of icons."""
    page.get_by_role(role, name=re.compile(rf"\b{re.escape(text)}\b")).first.click()


def begin(page: Page, at: Servers, job: str) -> None:
    """Launch `job` as its launchpad opens, with clicks only, and go on to its run."""
    page.goto(at.dagster)
    click(page, "link", "Jobs")
    click(page, "link", job)
    click(page, "tab", "Launchpad")
    click(page, "button", "Launch Run")
    page.wait_for_url("**/runs/*")


def launch(page: Page, at: Servers, job: str) -> None:
    """`begin` it, and wait until its run has ended green."""
    begin(page, at, job)
    ended = page.get_by_text("Success", exact=True).or_(page.get_by_text("Failure", exact=True)).first
    ended.wait_for(timeout=RUN_SECONDS * 1000)
    assert ended.inner_text() == "Success", page.locator("body").inner_text()


def latest_event(page: Page, at: Servers, asset: str, partition: str) -> None:
    """Open the latest materialisation of `partition` (as Dagster writes it) of `asset`."""
    page.goto(f"{at.dagster}/assets/{asset}?view=events")
    page.get_by_text(partition, exact=True).first.click()
    page.get_by_text("Metadata", exact=True).first.wait_for()


def metadata(page: Page, name: str) -> Locator:
    """The row of metadata called `name` on the page of a materialisation."""
    return page.locator("tr", has=page.get_by_text(name, exact=True)).locator("td").nth(1)


def picture_size(page: Page, name: str) -> tuple[int, int]:
    """Natural width and height in pixels of the picture shown in the row `name`, once Chromium has decoded it."""
    image = metadata(page, name).locator("img")
    size: list[int] = image.evaluate("image => image.decode().then(() => [image.naturalWidth, image.naturalHeight])")
    return size[0], size[1]


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
