"""deploy/ as far as it can be run without containers: settings are accepted, programs and their options exist."""

import re
from typing import Any

import click
import pytest
import typer.main
import yaml

from gotd_assets_tests.end_to_end.project import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def known_options(words: list[str]) -> set[str]:
    """Options of the program that a command of compose.yaml starts."""
    if words[:3] == ["python", "-m", "gotd_assets.cli.webserver"]:
        from gotd_assets.cli.webserver import serve

        app = typer.Typer()
        app.command()(serve)
        return options(typer.main.get_command(app))
    if words[:2] == ["dagster-daemon", "run"]:
        from dagster._daemon.cli import run_command

        return options(run_command)
    assert words[:2] == ["mlflow", "server"]
    from mlflow.cli import server

    assert isinstance(server, click.Command)
    return options(server)


def test_dagster_accepts_the_instance() -> None:
    from dagster._core.instance.config import dagster_instance_config

    settings, _ = dagster_instance_config(str(DEPLOY))
    ours, _ = dagster_instance_config(str(REPOSITORY))
    # The containers change where things are kept, not how runs are.
    for section in ("concurrency", "run_retries", "telemetry", "nux"):
        assert settings[section] == ours[section]
    assert settings["storage"]["postgres"]["postgres_db"]["scheme"] == "postgresql+psycopg2"


@pytest.mark.parametrize("service", ["web", "daemon", "mlflow"])
def test_each_program_of_the_containers_exists_and_knows_its_options(service: str) -> None:
    words = read("compose.yaml")["services"][service]["command"]
    given = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert given
    assert given <= known_options(words)


def test_what_the_image_takes_is_there_and_of_one_release() -> None:
    content = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = [name for line in re.findall(r"^COPY (.*)$", content, re.MULTILINE) for name in line.split()[:-1]]
    assert copied
    for name in copied:
        assert (REPOSITORY / name).exists(), name
    release = re.search(r"^dagster==1\.(\d+)\.(\d+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert release is not None
    # Dagster's integrations count 16 releases behind it.
    beside = f"0.{int(release[1]) + 16}.{release[2]}"
    assert set(re.findall(r"dagster-(?:postgres|k8s)==([\d.]+)", content)) == {beside}


def test_the_chart_starts_this_package_on_the_projects_volume() -> None:
    (deployment,) = read("helm/values.yaml")["dagster-user-deployments"]["deployments"]
    arguments = deployment["dagsterApiGrpcArgs"]
    from dagster._cli.api import grpc_command

    assert {word for word in arguments if word.startswith("--")} <= options(grpc_command)
    mounted = {mount["name"]: mount["mountPath"] for mount in deployment["volumeMounts"]}
    assert {volume["name"] for volume in deployment["volumes"]} == set(mounted)
    variables = {variable["name"]: variable["value"] for variable in deployment["env"]}
    assert variables["GOTD_SETTINGS"].startswith(mounted["project"])
