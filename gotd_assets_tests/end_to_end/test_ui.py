"""What a person does in the UI: look at the graph, launch by clicks, read an asset's metadata, go on to MLflow."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gotd_assets_tests.end_to_end.browser import (
    Servers,
    browser,
    click,
    latest_event,
    launch,
    metadata,
    picture_size,
    servers,
)
from gotd_assets_tests.end_to_end.project import make_project, sentences, write_jsonl
from gotd_assets_tests.end_to_end.run_history import keep_history_as_shipped
from gotd_assets_tests.end_to_end.test_dagster import GRAPH

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [pytest.mark.ui, pytest.mark.slow]
_FILM = "gotd|film"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing was made yet."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder)
    keep_history_as_shipped(folder)
    return folder


@pytest.fixture(scope="module")
def at(project: Path) -> Iterator[Servers]:
    with servers(project) as addresses:
        yield addresses


@pytest.fixture
def page() -> Iterator["Page"]:
    with browser() as opened:
        yield opened


def test_everything_is_made_by_clicks_and_leads_to_mlflow(page: "Page", at: Servers) -> None:
    page.goto(at.dagster)
    click(page, "link", "Lineage")
    groups = sorted({group for group, _ in GRAPH.values()})
    page.get_by_text(groups[-1], exact=True).first.wait_for()
    shown = [line for line in page.locator("body").inner_text().splitlines() if line in groups]
    assert list(dict.fromkeys(shown)) == groups

    launch(page, at, "materialize_everything")

    latest_event(page, at, "selected_subset", _FILM)
    version = metadata(page, "version").inner_text()
    for picture in ("scores", "sources", "budget_curve"):
        width, height = picture_size(page, picture)
        assert width > 300
        assert height > 40
    latest_event(page, at, "pre_fine_tuned_model", _FILM)
    assert picture_size(page, "loss")[0] > 300
    with page.context.expect_page() as opened:
        metadata(page, "mlflow_run").get_by_role("link").first.click()
    mlflow = opened.value
    mlflow.get_by_text(re.compile(f"^film · gotd · {version[:8]}")).first.wait_for()
    assert mlflow.url.startswith(at.mlflow)
    assert mlflow.get_by_text("Finished", exact=True).count() == 1


def test_checks_are_seen_with_what_they_found(page: "Page", at: Servers) -> None:
    page.goto(f"{at.dagster}/assets/selected_subset?view=checks")
    page.get_by_text("8 documents, each once and with its text").first.wait_for()
    assert page.get_by_text("Not Evaluated", exact=True).count() == 0
    assert page.get_by_text("Passed", exact=True).count() == 1


def test_a_target_that_changed_is_selected_for_by_clicks(page: "Page", at: Servers, project: Path) -> None:
    latest_event(page, at, "selected_subset", _FILM)
    before = metadata(page, "version").inner_text()
    write_jsonl(project / "data" / "target.jsonl", sentences("film", 30, 2))
    launch(page, at, "reselect_target")
    latest_event(page, at, "selected_subset", _FILM)
    assert metadata(page, "version").inner_text() != before
