"""Pictures of the UI for the README: python -m gotd_assets_tests.end_to_end.screenshots PROJECT FOLDER.

PROJECT is the folder of a gotd.yaml that was run; nothing in it is changed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from gotd_assets_tests.end_to_end.browser import Servers, browser, click, latest_event, metadata, servers

if TYPE_CHECKING:
    from playwright.sync_api import Page


def take(project: Path, folder: Path) -> None:
    """Write asset-graph.png, selection.png, model.png and mlflow-run.png to `folder`."""
    settings = yaml.safe_load((project / "gotd.yaml").read_text(encoding="utf-8"))
    partition = f"gotd|{settings['targets'][0]['name']}"
    folder.mkdir(parents=True, exist_ok=True)
    with servers(project) as at, browser(1440, 900) as page:
        _graph(page, at, folder / "asset-graph.png")
        latest_event(page, at, "selected_subset", partition)
        _settled(page, folder / "selection.png")
        latest_event(page, at, "pre_fine_tuned_model", partition)
        _settled(page, folder / "model.png")
        with page.context.expect_page() as opened:
            metadata(page, "mlflow_run").get_by_role("link").first.click()
        _mlflow(opened.value, folder / "mlflow-run.png")


def _graph(page: Page, at: Servers, path: Path) -> None:
    page.goto(at.dagster)
    click(page, "link", "Lineage")
    click(page, "button", "Hide navigation")
    page.get_by_text("1_candidates", exact=True).last.wait_for()
    page.mouse.click(900, 800)
    page.keyboard.press("Alt+e")
    page.get_by_text("evaluation_report", exact=True).first.wait_for()
    _settled(page, path)


def _mlflow(page: Page, path: Path) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_text("Finished", exact=True).wait_for()
    # A first visit opens a panel that this project has no use for.
    close = page.get_by_role("button", name="Close")
    if close.count():
        close.first.click()
    click(page, "tab", "Model metrics")
    _settled(page, path)


def _settled(page: Page, path: Path) -> None:
    """A picture of the page once nothing moves any more."""
    page.wait_for_timeout(4000)
    page.screenshot(path=path)


if __name__ == "__main__":
    take(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
