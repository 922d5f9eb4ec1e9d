"""Where everything is that a project writes."""

import dataclasses
import re
from pathlib import Path

from gotd_assets.errors import SettingsError

# SQLite's databases are named by addresses in Dagster and MLflow: a question mark ends the path, and %41 becomes A.
_CHANGED_IN_ADDRESSES = re.compile(r"[?\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


@dataclasses.dataclass(frozen=True)
class Home:
    """The folder for everything a project writes, and the places in it; `path` is absolute."""

    path: Path

    @property
    def artifacts(self) -> Path:
        """What stations made, by asset, partition and version."""
        return self.path / "artifacts"

    @property
    def lineage(self) -> Path:
        """The lineage database."""
        return self.path / "lineage.duckdb"

    @property
    def vectors(self) -> Path:
        """Vectors by doc_id, a folder per encoder version."""
        return self.path / "vectors"

    @property
    def models(self) -> Path:
        """Dequantised base models, and what was measured of base models."""
        return self.path / "cache" / "models"

    @property
    def toxicity(self) -> Path:
        """Toxicity of documents, a folder per classifier."""
        return self.path / "cache" / "toxicity"

    @property
    def checksums(self) -> Path:
        """Checksums of the user's files, remembered."""
        return self.path / "cache" / "checksums.json"

    @property
    def remote(self) -> Path:
        """Copies of files behind URLs."""
        return self.path / "cache" / "remote"

    @property
    def assets(self) -> Path:
        """Rows that assets of the user's own returned, as files."""
        return self.path / "cache" / "assets"

    @property
    def mlflow(self) -> Path:
        """MLflow's database and files, unless there is a server."""
        return self.path / "mlflow"

    @property
    def dagster(self) -> Path:
        """Dagster's own storage."""
        return self.path / "dagster"

    @property
    def logs(self) -> Path:
        """What the servers of `gotd ui` say."""
        return self.path / "logs"

    @property
    def temporary(self) -> Path:
        """What is being written; what killed processes left here is swept away."""
        return self.path / "tmp"

    @property
    def scratch(self) -> Path:
        """Checkpoints of unfinished attempts, by asset, partition and version."""
        return self.path / "scratch"

    @property
    def gc_lock(self) -> Path:
        """Held by the `gotd gc` that is working."""
        return self.path / "gc.lock"

    @property
    def run_lock(self) -> Path:
        """Held by the `gotd run` that is working."""
        return self.path / "run.lock"

    @property
    def demo(self) -> Path:
        """Text and models of the demonstration."""
        return self.path / "demo"


def require_addressable(folder: Path, what: str) -> None:
    """Refuse a folder in which databases could not be found again.

    Raises:
        SettingsError: its path is not UTF-8, or holds a character that the address of a database cannot.
    """
    path = str(folder)
    try:
        path.encode()
    except UnicodeEncodeError:
        raise SettingsError(f"{what} {path!a} has a name that is not UTF-8: use another folder") from None
    found = _CHANGED_IN_ADDRESSES.search(path)
    if found is not None:
        raise SettingsError(
            f"{what} {path!r} has {found.group()!r} in its path, which the addresses of Dagster's and MLflow's "
            "databases cannot hold: use another folder"
        )
