import subprocess
import sys

from gotd_assets.settings import Project, Settings
from gotd_assets.training import TrackingContext

_PREPARE = """
import sys
from pathlib import Path
from gotd_assets.training import prepare_tracking
from gotd_assets_tests.training import tiny
print(prepare_tracking(tiny.tracking(Path(sys.argv[1]))))
"""


def test_processes_that_start_together_share_one_experiment(tmp_path):
    command = [sys.executable, "-c", _PREPARE, str(tmp_path / "new")]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {process.communicate()[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1
    assert answers != {""}


def test_default_is_a_sqlite_file_in_the_home_folder(tmp_path):
    settings = Settings(
        sources=[{"name": "a", "path": "a"}],
        targets=[{"name": "t", "path": "t"}],
        encoder={"model": "m"},
        training={"model": "m"},
    )
    project = Project(root=tmp_path, settings=settings)
    context = TrackingContext.of(project, run_name="r", selection_version="v", tags={"a": "b"})
    assert context.uri == f"sqlite:///{tmp_path}/.gotd/mlflow/mlflow.db"
    assert context.artifact_location == (tmp_path / ".gotd/mlflow/artifacts").as_uri()
