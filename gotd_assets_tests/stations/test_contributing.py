"""What docs/contributing.md shows works as it stands there: a station added in that way brings everything with it."""

import dataclasses
import importlib.util
import re
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from gotd_assets.artifacts.artifact import ArtifactFile
from gotd_assets.lineage import LineageStore, Materialisation
from gotd_assets.pipeline.graph import build_pipeline
from gotd_assets.pipeline.placement import Placement
from gotd_assets.settings.file import load_project
from gotd_assets.stations.all import GRAPH
from gotd_assets.stations.graph import Graph
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.reads import One
from gotd_assets.stations.station import Recipe, Station
from gotd_assets.stations.work import Work
from gotd_assets.stations.workshop import Workshop
from gotd_assets_tests.end_to_end.project import make_project

GUIDE = Path(__file__).parents[2] / "docs" / "contributing.md"
STATION = "A station (an asset)"


def shown(heading: str) -> str:
    """The code below a heading of the guide."""
    section = GUIDE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    found = re.search(r"```(?:python|sql)\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    file = tmp_path_factory.mktemp("station") / "target_lengths.py"
    file.write_text(shown(STATION), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("target_lengths", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return Graph((*GRAPH.stations, module.STATION))


@pytest.mark.parametrize("heading", [STATION, "A selection method", "An encoder", "A check", "An audit", "A setting"])
def test_each_takes_at_most_ten_lines(heading: str) -> None:
    assert len([line for line in shown(heading).splitlines() if line.strip()]) <= 10


def test_the_station_is_in_the_graph_with_what_it_reads_and_in_the_job_of_its_partitions(
    graph: Graph, tmp_path: Path
) -> None:
    project = load_project(make_project(tmp_path))
    definitions = build_pipeline(Placement(project, lambda: project, graph=graph))
    dg.Definitions.validate_loadable(definitions)
    spec = {spec.key.to_user_string(): spec for spec in definitions.resolve_all_asset_specs()}["target_lengths"]
    assert [dep.asset_key.to_user_string() for dep in spec.deps] == ["target_documents"]
    assert spec.group_name == "2_target"
    assert spec.description == "How many characters the target's texts have."
    job = definitions.resolve_job_def("rescore_target")
    assert dg.AssetKey("target_lengths") in job.asset_layer.executable_asset_keys


def test_it_is_made_in_a_run_of_everything_after_what_it_reads(graph: Graph, tmp_path: Path) -> None:
    project = load_project(make_project(tmp_path))
    stages = graph.stages(project.settings, ["film"])
    order = [asset for stage in stages for asset in stage.assets]
    assert order.index("target_documents") < order.index("target_lengths")
    assert any("measure texts" in stage.title for stage in stages)
    workshop = Workshop(project, graph=graph)
    workshop.make("target_documents", Partition(target="film"))
    outcome = workshop.make("target_lengths", Partition(target="film"))
    texts = (tmp_path / "data" / "target.jsonl").read_text(encoding="utf-8").splitlines()
    assert outcome.description["characters"] == sum(len(line) - len('{"text": ""}') for line in texts)
    assert outcome.artifact.manifest.inputs.keys() == {"target_documents[film]"}
    assert workshop.make("target_lengths", Partition(target="film")).made.reused


def test_what_a_station_does_not_declare_it_cannot_open(graph: Graph, tmp_path: Path) -> None:
    def prepare(work: Work) -> Recipe:
        """Opens another's artifact."""
        work.open(One("ot_potentials"))
        return Recipe({}, lambda _: None)

    station: Station = dataclasses.replace(graph.named("target_lengths"), prepare=prepare)
    workshop = Workshop(load_project(make_project(tmp_path)), graph=Graph((*GRAPH.stations, station)))
    with pytest.raises(ValueError, match="does not declare that it reads"):
        workshop.make("prepare", Partition(target="film"))


def test_the_audit_answers(tmp_path: Path) -> None:
    store = LineageStore(tmp_path / "lineage.duckdb")
    store.record(
        Materialisation(
            asset="raw_candidates", version="0" * 32, code_version="1", files=[ArtifactFile("a", 7, "0" * 64)]
        )
    )
    with duckdb.connect(store.path) as connection:
        connection.execute(shown("An audit"))
        (row,) = connection.execute("FROM largest_artifacts(asset := 'raw_candidates')").fetchall()
    assert row[-1] == 7
