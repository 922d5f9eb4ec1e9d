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
        # Below the curve there are folders of this machine.
        below = metadata(page, "model").bounding_box()
        _settled(page, folder / "model.png", height=int(below["y"]) if below else 500)
        link = metadata(page, "mlflow_run").get_by_role("link").first.get_attribute("href") or ""
        # The run may have been made while MLflow had another port.
        page.goto(f"{at.mlflow}/#{link.partition('#')[2]}")
        page.get_by_text("Finished", exact=True).wait_for()
        # To the right MLflow opens a panel on a first visit; below there are folders of this machine.
        _settled(page, folder / "mlflow-run.png", width=1070, height=490)


def _graph(page: Page, at: Servers, path: Path) -> None:
    page.goto(at.dagster)
    click(page, "link", "Lineage")
    click(page, "button", "Hide navigation")
    page.get_by_text("1_candidates", exact=True).last.wait_for()
    page.mouse.click(900, 800)
    page.keyboard.press("Alt+e")
    page.get_by_text("evaluation_report", exact=True).first.wait_for()
    page.wait_for_timeout(2000)
    click(page, "button", "zoom_out")
    # Without the lists and buttons around it, so that names can be read in a README.
    _settled(page, path, x=475, y=240, width=860, height=450)


def _settled(page: Page, path: Path, *, x: int = 0, y: int = 0, width: int = 1440, height: int = 900) -> None:
    """A picture of the page from the place (x, y), once nothing moves any more."""
    page.wait_for_timeout(4000)
    page.screenshot(path=path, clip={"x": x, "y": y, "width": width, "height": height})


if __name__ == "__main__":
    take(Path(sys.argv[1]).resolve(), Path(sys.argv[2]))
