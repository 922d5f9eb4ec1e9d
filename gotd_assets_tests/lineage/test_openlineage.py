"""Exported events are OpenLineage events, by the judgement of the OpenLineage client's own classes."""

import importlib
import re
from typing import Any

import attr
import pytest
from openlineage.client.generated import base

from gotd_assets.fingerprint import fingerprint
from gotd_assets.lineage import Materialisation
from gotd_assets_tests.lineage.conftest import World, version

FACETS = {
    "version": ("dataset_version_dataset", "DatasetVersionDatasetFacet"),
    "dataSource": ("datasource_dataset", "DatasourceDatasetFacet"),
    "outputStatistics": ("output_statistics_output_dataset", "OutputStatisticsOutputDatasetFacet"),
    "jobType": ("job_type_job", "JobTypeJobFacet"),
    "tags": ("tags_run", "TagsRunFacet"),
    "parent": ("parent_run", "ParentRunFacet"),
}


def major(schema_url: str) -> str:
    """The address with only the major version of the schema: minor ones are compatible."""
    return re.sub(r"/(\d+)-\d+-\d+/", r"/\1/", schema_url)


def parsed_facet(name: str, content: dict[str, Any]) -> Any:
    """`content` as the client's class for that facet; fails if it lacks or exceeds the class's fields."""
    module, kind = FACETS[name]
    facet_class = getattr(importlib.import_module(f"openlineage.client.generated.{module}"), kind)
    assert major(content["_schemaURL"]) == major(facet_class._get_schema())
    assert content["_producer"].startswith("https://")
    fields = {key: value for key, value in content.items() if not key.startswith("_")}
    assert fields.keys() <= {field.name for field in attr.fields(facet_class)}
    return facet_class(**fields)


def parsed_event(event: dict[str, Any]) -> base.RunEvent:
    def facets(item: dict[str, Any], key: str = "facets") -> dict[str, Any]:
        return {name: parsed_facet(name, content) for name, content in item.get(key, {}).items()}

    assert major(event["schemaURL"]) == major(base.RunEvent._get_schema())
    return base.RunEvent(
        eventTime=event["eventTime"],
        producer=event["producer"],
        eventType=base.EventType(event["eventType"]),
        run=base.Run(event["run"]["runId"], facets(event["run"])),
        job=base.Job(event["job"]["namespace"], event["job"]["name"], facets(event["job"])),
        inputs=[base.InputDataset(item["namespace"], item["name"], facets=facets(item)) for item in event["inputs"]],
        outputs=[
            base.OutputDataset(
                item["namespace"], item["name"], facets=facets(item), outputFacets=facets(item, "outputFacets")
            )
            for item in event["outputs"]
        ],
    )


def test_every_materialisation_is_one_valid_event_in_order(world: World) -> None:
    events = [parsed_event(event) for event in world.store.openlineage_events()]
    assert len(events) == 24
    assert len({event.run.runId for event in events}) == 24
    assert [event.eventTime for event in events] == sorted(event.eventTime for event in events)


def test_an_event_names_its_inputs_with_versions_and_its_files(world: World) -> None:
    events = [parsed_event(event) for event in world.store.openlineage_events(run_id="run-imdb-1", namespace="team")]
    assert len(events) == 6
    scores = next(event for event in events if event.job.name == "candidate_scores")
    assert {(item.namespace, item.name, item.facets["version"].datasetVersion) for item in scores.inputs} == {
        ("team", "raw_candidates[news]", version("raw_candidates[news]", 1)),
        ("team", "raw_candidates[reviews]", version("raw_candidates[reviews]", 1)),
        ("team", "target_documents[imdb]", version("target_documents[imdb]")),
        ("team", "encoder", "minilm@abc"),
    }
    assert {(tag["key"], tag["value"]) for tag in scores.run.facets["tags"].tags if tag["source"] == "CONDITIONS"} == {
        ("torch_threads", "3"),
        ("processor", "a processor"),
    }
    (output,) = scores.outputs
    assert output.name == "candidate_scores[imdb]"
    assert output.outputFacets["outputStatistics"].rowCount == world.scored["imdb", 1].height
    raw = next(event for event in events if event.outputs[0].name == "raw_candidates[news]")
    assert {(item.namespace, item.name) for item in raw.inputs} == {
        ("file", f"/data/news/part-{part}.jsonl") for part in range(3)
    }


@pytest.mark.parametrize(
    ("run_id", "has_parent"), [("4f6d0a3e-3c52-4a8f-9a53-0d8c4bb0d0c1", True), ("by-hand", False), (None, False)]
)
def test_the_dagster_run_is_the_parent_if_it_has_a_proper_id(
    world: World, run_id: str | None, has_parent: bool
) -> None:
    made = Materialisation(asset="a", version=fingerprint("a"), code_version="1", run_id=run_id)
    world.store.record(made)
    (event,) = [event for event in world.store.openlineage_events() if event["job"]["name"] == "a"]
    parsed_event(event)
    assert ("parent" in event["run"]["facets"]) is has_parent
