"""`gotd gc`: what can be removed from disk."""

import datetime as dt

from rich.console import Console
from rich.table import Table

from gotd_assets.retention import size_of, unreferenced
from gotd_assets.settings import Project
from gotd_assets.storage import ArtifactStore


def collect(project: Project, *, delete: bool, older_than: float, console: Console) -> None:
    """Show artifacts of `project` that nothing needs and are older than so many days; with `delete`, remove them."""
    store = ArtifactStore(project.home / "artifacts")
    found = unreferenced(store, older_than=dt.timedelta(days=older_than))
    table = Table("artifact", "version", "made", "MB", box=None)
    for artifact in found:
        made = artifact.manifest.created_at[:16].replace("T", " ")
        table.add_row(str(artifact.key), artifact.version, made, f"{size_of(artifact) / 1e6:,.1f}")
        if delete:
            store.remove(artifact)
    if found:
        console.print(table)
    total = f"{len(found)} artifacts, {sum(map(size_of, found)) / 1e6:,.1f} MB"
    console.print(
        f"removed {total}"
        if delete
        else f"{total} that nothing needs" + ("; gotd gc --delete removes them" if found else "")
    )
