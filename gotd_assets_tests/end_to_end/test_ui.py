"""What a person does in the UI: look at the graph, launch by clicks, read an asset's metadata, go on to MLflow."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from gotd_assets_tests.end_to_end.browser import (
    RUN_SECONDS,
    Servers,
    begin,
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


def test_tables_and_sentences_fit_the_page(page: "Page", at: Servers) -> None:
    for asset, partition in (("selected_subset", _FILM), ("pre_fine_tuned_model", _FILM), ("raw_candidates", "news")):
        latest_event(page, at, asset, partition)
        wide = page.evaluate(
            "[...document.querySelectorAll('td table, td p, td img')].map(e => {"
            "  const words = document.createRange(); words.selectNodeContents(e);"
            "  return words.getBoundingClientRect().right - innerWidth })"
        )
        assert wide
        assert max(wide) <= 0, asset


def test_the_graph_begins_with_the_users_files(page: "Page", at: Servers, project: Path) -> None:
    page.goto(f"{at.dagster}/assets/source/news")
    page.get_by_text((project / "data" / "news.jsonl").as_uri()).first.wait_for()


def test_a_failed_check_stands_first(page: "Page", at: Servers) -> None:
    latest_event(page, at, "selected_subset", _FILM)
    first = page.locator("table tr").first.inner_text()
    assert first.startswith("failed_checks")
    assert "source_share" in first


def test_a_typo_is_one_sentence(page: "Page", at: Servers, project: Path) -> None:
    settings = project / "gotd.yaml"
    right = settings.read_text(encoding="utf-8")
    settings.write_text(right.replace("budget:", "bugdet:"), encoding="utf-8")
    try:
        page.goto(f"{at.dagster}/deployment/locations")
        click(page, "button", "Reload all")
        told = page.get_by_role("dialog")
        told.get_by_text("bugdet").first.wait_for()
        assert "Traceback" not in told.inner_text()
        assert "ComponentTreeException" not in told.inner_text()
    finally:
        settings.write_text(right, encoding="utf-8")
        page.goto(f"{at.dagster}/deployment/locations")
        click(page, "button", "Reload all")
        page.get_by_text("Loaded", exact=True).first.wait_for()


def test_a_job_is_stopped_by_a_click_with_all_that_it_started(page: "Page", at: Servers, project: Path) -> None:
    settings = project / "gotd.yaml"
    right = settings.read_text(encoding="utf-8")
    long = {"model": "model", "max_tokens": 32, "epochs": 5000.0, "checkpoint_steps": 1}
    settings.write_text(yaml.safe_dump({**yaml.safe_load(right), "training": long}), encoding="utf-8")
    try:
        page.goto(f"{at.dagster}/deployment/locations")
        click(page, "button", "Reload all")
        page.get_by_text("Loaded", exact=True).first.wait_for()
        begin(page, at, "materialize_everything")
        deadline = time.monotonic() + RUN_SECONDS
        while not any((project / ".gotd" / "scratch").rglob("checkpoint.safetensors")):
            assert time.monotonic() < deadline, page.locator("body").inner_text()
            time.sleep(0.2)
        click(page, "button", "Terminate")
        page.get_by_role("dialog").get_by_role("button", name=re.compile("Terminate")).first.click()
        page.get_by_text("Canceled", exact=True).first.wait_for(timeout=60_000)
        page.goto(f"{at.dagster}/runs")
        page.get_by_text("Canceled", exact=True).nth(1).wait_for()
        assert page.get_by_text("Started", exact=True).count() == 0
        assert page.get_by_text("In progress (0)", exact=True).count() == 1
    finally:
        settings.write_text(right, encoding="utf-8")
