"""Secrets planted in every way that a user could: none is printed, logged, recorded, or seen in the list of processes."""

import json
from pathlib import Path

import duckdb
import pytest
import yaml
from typer.testing import CliRunner

from gotd_assets.cli.main import app
from gotd_assets.errors import GotdError, SettingsError
from gotd_assets.settings.file import load_project
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.workshop import Workshop
from gotd_assets_tests.end_to_end.project import make_project

SECRET = "s3cr3t-v4lue"  # noqa: S105 - not a real one
REFUSED: dict[str, dict[str, object]] = {
    "password of a tracking server": {"tracking": {"uri": f"https://me:{SECRET}@mlflow.example"}},
    "token before a tracking server": {"tracking": {"uri": f"https://{SECRET}@mlflow.example"}},
    "password of a tracking database": {"tracking": {"uri": f"postgresql://me:{SECRET}@db/mlflow"}},
    "token among a database's parameters": {"tracking": {"uri": f"mysql://db/mlflow?ssl_password={SECRET}"}},
    "webhook without https": {"notify": {"webhook": f"hooks.example/{SECRET}"}},
    "webhook under a wrong name": {"notify": {"webhok": f"https://hooks.example/{SECRET}"}},
    "webhook as the whole section": {"notify": f"https://hooks.example/{SECRET}"},
    "signed address of a source": {
        "sources": [{"name": "a", "path": f"https://x.example/a.jsonl?X-Sig=1&sig={SECRET}"}]
    },
    "password in a list of paths": {"targets": [{"name": "a", "path": ["a.txt", f"https://u:{SECRET}@x.example/a"]}]},
    "a setting that does not exist": {"api_key": SECRET},
}


@pytest.mark.parametrize("where", REFUSED)
def test_a_wrong_setting_is_told_without_its_secret(tmp_path: Path, where: str) -> None:
    path = make_project(tmp_path, **REFUSED[where])
    with pytest.raises(SettingsError) as told:
        load_project(path)
    shown = CliRunner().invoke(app, ["run", "--dry-run"], env={"GOTD_SETTINGS": str(path)})
    assert shown.exit_code == 2
    # Dagster shows the whole chain of an error in a code location.
    chain: BaseException | None = told.value
    said = shown.output
    while chain is not None:
        said += f"{chain} {chain.args}"
        chain = chain.__cause__
    assert SECRET not in said
    (name,) = REFUSED[where]
    assert name in said


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GOTD_NOTIFY", f'{{"webhook": "https://hooks.example/{SECRET}"'),
        ("GOTD_NOTIFY__WEBHOOK", SECRET),
        ("GOTD_TRACKING__URI", f"http://me:{SECRET}@h"),
    ],
)
def test_a_wrong_variable_is_told_without_its_secret(tmp_path: Path, name: str, value: str) -> None:
    path = make_project(tmp_path)
    shown = CliRunner().invoke(app, ["run", "--dry-run"], env={"GOTD_SETTINGS": str(path), name: value})
    assert shown.exit_code == 2
    assert SECRET not in shown.output
    assert name.removeprefix("GOTD_").partition("__")[0].lower() in shown.output.lower()


def test_accepted_secrets_are_written_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "GOTD_NOTIFY__WEBHOOK",
        "HF_TOKEN",
        "AWS_SECRET_ACCESS_KEY",
        "MLFLOW_TRACKING_PASSWORD",
        "MLFLOW_TRACKING_TOKEN",
        "HTTPS_PROXY",
        "PGPASSWORD",
    ):
        monkeypatch.setenv(name, f"https://me:{SECRET}@proxy.example/{SECRET}")
    path = make_project(tmp_path, notify={"webhook": f"https://hooks.example/{SECRET}"})
    project = load_project(path)
    workshop = Workshop(project)
    outcomes = [workshop.make("raw_candidates", Partition(source=source)) for source in ("news", "mixed")]
    outcomes += [workshop.make("candidate_embeddings", Partition(source=source)) for source in ("news", "mixed")]
    told = json.dumps([[str(value) for value in outcome.description.values()] for outcome in outcomes])
    assert SECRET not in told + repr(project)
    written = [file for file in project.home.path.rglob("*") if file.is_file()]
    assert len(written) > 10
    assert [file.name for file in written if SECRET.encode() in file.read_bytes()] == []
    # DuckDB compresses: what it holds is looked at as text too.
    with duckdb.connect(project.home.lineage, read_only=True) as connection:
        tables = [row[0] for row in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        content = "".join(str(connection.table(table).fetchall()) for table in tables)
    assert "candidate_embeddings" in content
    assert SECRET not in content
    recorded = yaml.safe_dump(project.settings.without_secrets())
    assert SECRET not in recorded


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        (f"no answer from https://me:{SECRET}@h/x", "no answer from https://me:***@h/x"),
        (f"('postgresql+psycopg://me:{SECRET}@h:5/x')", "('postgresql+psycopg://me:***@h:5/x')"),
        (f"https://{SECRET}@h", "https://***@h"),
        (f"s3://b/k?versionId=3&X-Amz-Signature={SECRET}&a=1", "s3://b/k?versionId=3&X-Amz-Signature=***&a=1"),
        ("git+ssh://git@h/x and a@b.example", "git+ssh://git@h/x and a@b.example"),
    ],
)
def test_what_errors_quote_of_others_shows_no_credentials(quoted: str, shown: str) -> None:
    assert str(GotdError(quoted)) == shown
