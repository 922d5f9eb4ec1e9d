"""`type: gotd_assets.SelectionPipeline` in somebody else's project: the one in examples/."""

import contextlib
import json
import os
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner, Result

from gotd_assets.artifacts.artifact import ArtifactKey
from gotd_assets.artifacts.store import ArtifactStore
from gotd_assets_tests.end_to_end.project import gotd, set_up_mlflow
from gotd_assets_tests.end_to_end.run_history import REPOSITORY
from gotd_assets_tests.end_to_end.test_dagster import GRAPH

EXAMPLE = REPOSITORY / "examples" / "selection_project"
# Without the external assets, which are called as the project's own files are.
STATIONS = {
    name: (group, [asset for asset in deps if "/" not in asset])
    for name, (group, deps) in GRAPH.items()
    if "/" not in name
}
STAGES = (
    ("raw_candidates", "candidate_embeddings"),
    ("candidate_pool",),
    (
        "target_documents",
        "target_embeddings",
        "target_sketch",
        "domain_relevance",
        "ot_potentials",
        "candidate_scores",
    ),
    ("selected_subset", "pre_fine_tuned_model"),
    ("evaluation_report",),
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("example") / "selection_project"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "models", ".gotd", "__pycache__"))
    runpy.run_path(str(folder / "prepare.py"), run_name="__main__")
    set_up_mlflow(folder / ".gotd" / "support")
    return folder


@pytest.fixture
def project(prepared: Path, tmp_path: Path) -> Path:
    """The example, prepared, to be changed at will."""
    return Path(shutil.copytree(prepared, tmp_path / "project"))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for sys.path that says of gotd-assets what an installation says, wherever the tests run."""
    folder = tmp_path_factory.mktemp("site")
    about = folder / "gotd_assets-0.1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: gotd-assets\nVersion: 0.1.0\n")
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{n} = {m}\n" for n, m in points.items()) for group, points in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(lines))
    return folder


@contextlib.contextmanager
def without_project_modules() -> Iterator[None]:
    """Neither what was imported of the example before nor what the block imports of it stays."""
    before = list(sys.path)
    _forget_project_modules()
    try:
        yield
    finally:
        _forget_project_modules()
        sys.path[:] = before


def _forget_project_modules() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "selection_project"]:
        del sys.modules[name]


def run_dg(folder: Path, *arguments: str, installed: Path | None = None) -> Result:
    """What `dg ARGUMENTS` does and says in `folder`, in this process, which has loaded what it needs."""
    from dagster_dg_cli.cli import ENV_PREFIX, cli

    with without_project_modules(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        if installed is not None:
            patch.syspath_prepend(installed)
        variables = {"COLUMNS": "200", "NO_COLOR": "1"}
        return CliRunner().invoke(cli, arguments, env=variables, auto_envvar_prefix=ENV_PREFIX)


def definitions_listed(folder: Path) -> dict[str, list[dict[str, Any]]]:
    listed = run_dg(folder, "list", "defs", "--json")
    assert listed.exit_code == 0, listed.stdout + listed.stderr
    found: dict[str, list[dict[str, Any]]] = json.loads(listed.stdout)
    return found


def gotd_about(settings: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    with without_project_modules():
        return gotd(folder, *arguments, settings=settings)


def definitions(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dg.Definitions:
    with without_project_modules():
        monkeypatch.syspath_prepend(folder)
        import selection_project.definitions as module

        loaded: dg.Definitions = module.defs()
    return loaded


def attributes(folder: Path, *replacements: tuple[str, str]) -> Path:
    path = folder / "selection_project" / "defs" / "support" / "defs.yaml"
    text = path.read_text()
    for old, new in replacements:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


def test_dg_finds_the_component_by_its_entry_point(installed: Path, tmp_path: Path) -> None:
    listed = subprocess.run(
        [Path(sys.executable).with_name("dg"), "list", "components", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(installed)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert listed.returncode == 0, listed.stderr
    keys = [component["key"] for component in json.loads(listed.stdout)["items"]]
    assert "gotd_assets.SelectionPipeline" in keys


def test_the_repository_itself_is_a_valid_location() -> None:
    checked = run_dg(REPOSITORY, "check", "defs")
    assert checked.exit_code == 0, checked.stdout + checked.stderr


def test_the_example_is_valid_and_its_pipelines_do_not_clash(project: Path) -> None:
    checked = run_dg(project, "check", "defs")
    assert checked.exit_code == 0, checked.stdout + checked.stderr
    listed = definitions_listed(project)
    keys = {asset["asset_key"] for asset in listed["assets"]}
    files = {key for key in keys if {"source", "target"} & {*key.split("/")}}
    assert {"support/source/notes", "support/source/chat", "support/target/tickets"} < files
    assert "kitchen/recipes/target/targets_folder" in files
    assert keys - files == {f"{prefix}/{name}" for prefix in ("support", "kitchen/recipes") for name in STATIONS} | {
        "release_notes"
    }
    for kind in ("jobs", "sensors"):
        names = [entry["name"] for entry in listed[kind]]
        assert len(names) == len(set(names))
        assert {name.split("_")[0] for name in names} == {"support", "kitchen"}
    checks = {check["key"] for check in listed["asset_checks"]}
    assert any("kitchen/recipes/selected_subset" in key for key in checks)


def test_the_graph_is_the_same_as_that_of_a_settings_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = definitions(project, monkeypatch)
    specs = {spec.key.to_user_string(): spec for spec in loaded.resolve_all_asset_specs()}
    found = {
        name.removeprefix("support/"): (
            str(spec.group_name).removeprefix("support_"),
            sorted(dep.asset_key.path[-1] for dep in spec.deps if len(dep.asset_key.path) == 2),
        )
        for name, spec in specs.items()
        if name.startswith("support/") and name.count("/") == 1
    }
    assert found == STATIONS
    recipes = specs["kitchen/recipes/target_documents"].partitions_def
    assert isinstance(recipes, dg.DynamicPartitionsDefinition)
    assert recipes.name == "kitchen_recipes_gotd_targets"
    for prefix in ("support", "kitchen__recipes"):
        op: Any = loaded.resolve_assets_def(dg.AssetKey([*prefix.split("__"), "selected_subset"])).op
        assert op.pool == "compute"


def run_everything(
    loaded: dg.Definitions, instance: dg.DagsterInstance, prefix: list[str], target: str, methods: list[str]
) -> None:
    job = loaded.resolve_implicit_global_asset_job_def()
    for stage, assets in enumerate(STAGES):
        partitions = {
            0: ["notes", "chat"],
            1: [None],
            3: [dg.MultiPartitionKey({"target": target, "method": method}) for method in methods],
        }.get(stage, [target])
        for partition in partitions:
            result = job.execute_in_process(
                instance=instance,
                partition_key=partition,
                asset_selection=[dg.AssetKey([*prefix, asset]) for asset in assets],
            )
            assert result.success


def test_both_pipelines_make_their_selections_side_by_side(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = definitions(project, monkeypatch)
    with dg.DagsterInstance.ephemeral() as instance:
        run_everything(loaded, instance, ["support"], "tickets", ["gotd", "random"])
        assert not (project / ".gotd" / "recipes").exists()
        set_up_mlflow(project / ".gotd" / "recipes")
        instance.add_dynamic_partitions("kitchen_recipes_gotd_targets", ["dinner"])
        run_everything(loaded, instance, ["kitchen", "recipes"], "dinner", ["gotd"])
        record = instance.get_latest_materialization_event(dg.AssetKey(["support", "evaluation_report"]))
    assert record is not None
    words = {
        "support": {"printer", "scanner", "router", "laptop"},
        "recipes": {"carrots", "lentils", "dough", "onions"},
    }
    for home, partition in (("support", "tickets/gotd"), ("recipes", "dinner/gotd")):
        store = ArtifactStore(project / ".gotd" / home / "artifacts")
        subset = pl.read_parquet(store.current(ArtifactKey("selected_subset", partition)).file("subset.parquet"))
        topical = [any(word in words[home] for word in text.split()) for text in subset["text"]]
        assert sum(topical) > 0.8 * len(topical)
        assert (project / ".gotd" / home / "lineage.duckdb").is_file()
        assert (project / ".gotd" / home / "mlflow").exists()
    settings = project / "selection_project" / "defs" / "support" / "defs.yaml"
    read = gotd_about(settings, project, "export", "tickets", "exported")
    assert read.returncode == 0, read.stdout + read.stderr
    assert pl.read_parquet(project / "exported" / "subset.parquet").height == 12
    run = gotd_about(settings, project, "run")
    assert run.returncode == 2
    assert "describes a component, which its own Dagster project runs" in " ".join(run.stderr.split())


def test_a_scaffolded_pipeline_is_valid_as_written(project: Path, installed: Path) -> None:
    made = run_dg(project, "scaffold", "defs", "gotd_assets.SelectionPipeline", "my_selection", installed=installed)
    assert made.exit_code == 0, made.stdout + made.stderr
    written = (project / "selection_project" / "defs" / "my_selection" / "defs.yaml").read_text()
    assert written.startswith("# ")
    assert "type: gotd_assets.SelectionPipeline" in written
    for arguments in (("check", "yaml"), ("check", "defs")):
        checked = run_dg(project, *arguments)
        assert checked.exit_code == 0, checked.stdout + checked.stderr
    listed = definitions_listed(project)
    assert "my_selection/selected_subset" in {asset["asset_key"] for asset in listed["assets"]}


@pytest.mark.parametrize(
    ("replacement", "line", "words"),
    [
        (("budget: 12", "budget: much"), "budget: 12", "'much' is no budget"),
        (("learning_rate: 0.01", "learning_speed: 0.01"), "learning_rate", "learning_speed"),
        (("methods: [gotd, random]", "methods: [best]"), "methods:", "there is no method 'best'"),
        (("max_tokens: 32", 'max_tokens: "{{ env.GOTD_TEST_TOKENS }}"'), "max_tokens", "greater than or equal to 8"),
        (("{name: tickets", "{naem: tickets"), "name: tickets", "naem"),
    ],
    ids=["value", "unknown name", "rule", "value of a template", "inside a list"],
)
def test_a_wrong_attribute_is_told_with_its_line(
    project: Path, monkeypatch: pytest.MonkeyPatch, replacement: tuple[str, str], line: str, words: str
) -> None:
    monkeypatch.setenv("GOTD_TEST_TOKENS", "3")
    path = attributes(project)
    number = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if line in text)
    attributes(project, replacement)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - dg's own, with the line
        definitions(project, monkeypatch)
    chain = [raised.value, raised.value.__cause__, raised.value.__context__]
    told = "\n".join(str(error) for error in chain)
    assert f"support/defs.yaml:{number}" in told
    assert words in told


def test_dg_shows_the_line_of_a_wrong_attribute(project: Path) -> None:
    (project / "selection_project" / "defs" / "cooking" / "defs.yaml").unlink()
    path = attributes(project, ("budget: 12", "budgets: 12"), ("max_tokens: 32", "max_tokens: many"))
    lines = path.read_text().splitlines()
    for command in ("yaml", "defs"):
        checked = run_dg(project, "check", command)
        assert checked.exit_code != 0
        for number, line in enumerate(lines, 1):
            if "budgets" in line or "many" in line:
                assert f"support/defs.yaml:{number}" in checked.stdout + checked.stderr


def test_text_may_be_a_template_and_numbers_too(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOTD_TEST_EPSILON", "0.125")
    monkeypatch.setenv("GOTD_TEST_HOOK", "http://127.0.0.1:9/hook")
    transport = 'transport: {epsilon: "{{ env.GOTD_TEST_EPSILON }}"}'
    notify = 'notify: {webhook: "{{ env.GOTD_TEST_HOOK }}"}'
    attributes(project, ("  selection:", f"  {transport}\n  {notify}\n  selection:"))
    checked = run_dg(project, "check", "yaml")
    assert checked.exit_code == 0, checked.stdout
    loaded = definitions(project, monkeypatch)
    op: Any = loaded.resolve_assets_def(dg.AssetKey(["support", "ot_potentials"])).op
    assert op.config_schema.config_type.fields["epsilon"].default_value == 0.125
    sensors = {sensor.name for sensor in loaded.get_repository_def().sensor_defs}
    assert {"support_notify_failure", "support_notify_success"} <= sensors
    assert "kitchen_recipes_notify_failure" not in sensors
