"""Dagster's catalogue says what every column means and leads from the selected text back to what was read."""

from pathlib import Path

import dagster as dg
import pytest

from gotd_assets_tests.end_to_end.project import inside


@pytest.fixture(scope="module")
def metadata(finished: Path) -> dict[str, dict[str, dg.MetadataValue]]:
    """Metadata of the last materialisation by asset, as the instance keeps it."""
    with inside(finished), dg.DagsterInstance.get() as instance:
        found = {}
        for key in instance.all_asset_keys():
            for event in instance.fetch_materializations(key, limit=10).records:
                materialised = event.asset_materialization
                assert materialised is not None
                name = key.to_user_string()
                method = dict(getattr(materialised.partition, "keys_by_dimension", {})).get("method", "gotd")
                found.setdefault(name if method == "gotd" else f"{name} {method}", dict(materialised.metadata))
        return found


def columns(metadata: dict[str, dg.MetadataValue]) -> dict[str, dg.TableColumn]:
    schema = metadata["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchemaMetadataValue)
    return {column.name: column for column in schema.schema.columns}


def origins(metadata: dict[str, dg.MetadataValue]) -> dict[str, set[str]]:
    lineage = metadata["dagster/column_lineage"]
    assert isinstance(lineage, dg.TableColumnLineageMetadataValue)
    return {
        column: {f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps}
        for column, deps in lineage.column_lineage.deps_by_column.items()
    }


def test_every_column_has_a_type_and_a_meaning(metadata: dict[str, dict[str, dg.MetadataValue]]) -> None:
    with_tables = {name for name, shown in metadata.items() if "dagster/column_schema" in shown}
    assert with_tables >= {
        "raw_candidates",
        "candidate_embeddings",
        "candidate_pool",
        "target_documents",
        "target_embeddings",
        "target_sketch",
        "domain_relevance",
        "ot_potentials",
        "candidate_scores",
        "selected_subset",
    }
    for name in with_tables:
        for column in columns(metadata[name]).values():
            assert column.type
            assert column.description
            assert "of the record" not in column.description, (name, column)
    assert columns(metadata["candidate_embeddings"])["vector"].type == "float16[16]"
    assert columns(metadata["selected_subset"])["score"].type == "Float64"


def test_the_selected_text_leads_back_to_what_was_read(metadata: dict[str, dict[str, dg.MetadataValue]]) -> None:
    selected = origins(metadata["selected_subset"])
    for column in ("doc_id", "text", "source", "origin"):
        assert selected[column] == {f"raw_candidates.{column}"}
    assert selected["score"] == selected["rank"] == {"candidate_scores.score"}
    assert selected["nearest_target_text"] == {"target_documents.text"}
    assert "candidate_embeddings.vector" in origins(metadata["candidate_scores"])["score"]
    assert "ot_potentials.g" in origins(metadata["candidate_scores"])["score"]
    # Chance comes from no column.
    assert "score" not in origins(metadata["selected_subset random"])


def test_every_origin_is_a_column_of_its_asset(metadata: dict[str, dict[str, dg.MetadataValue]]) -> None:
    told = 0
    for shown in metadata.values():
        if "dagster/column_lineage" not in shown:
            continue
        own = columns(shown)
        for column, found in origins(shown).items():
            assert column in own
            for origin in found:
                asset, name = origin.split(".")
                assert name in columns(metadata[asset]), origin
                told += 1
    assert told > 20
