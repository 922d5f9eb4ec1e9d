"""`gotd explain`: why a document was selected, or what would have to change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from gotd_assets.catalogue.foreign import one_line
from gotd_assets.settings.project import Project

if TYPE_CHECKING:
    from gotd_assets.selection.analysis.explain import Explanation

_WIDTH = 110


def explain(project: Project, document: str, target: str, method: str, console: Console) -> None:
    """Print where `document` stands in the current selection for `target` by `method`.

    Raises:
        SettingsError: there is no such target.
        InputError: no source holds the document, or the id fits several.
        ArtifactError: nothing was selected yet, or what it was selected from is gone from disk.
    """
    from gotd_assets.selection.analysis.recorded import explain_recorded

    explanation, recorded = explain_recorded(project, document, target, method)
    _show(explanation, method, recorded, console)


def _show(found: Explanation, method: str, recorded: dict[str, Any], console: Console) -> None:
    document = found.document
    console.rule(Text(document.doc_id, "bold"), align="left")
    console.print(f"{document.source}, {document.origin}")
    console.print(one_line(document.text, 4 * _WIDTH))
    console.print()
    for line in _standing(found, method, recorded):
        console.print(line, soft_wrap=True)
    console.print()
    pulls = Table("share of its mass", "share of target", "target document nearest to the point")
    pulls.title, pulls.title_justify = "what pulls it: its row of the transport plan", "left"
    for pull in found.pulls:
        pulls.add_row(f"{pull.share:.1%}", f"{pull.weight:.2%}", one_line(pull.text, _WIDTH))
    console.print(pulls)
    text, similarity = found.nearest_target
    console.print("nearest target document", f"(cosine {similarity:.3f}):", one_line(text, _WIDTH))
    if found.neighbours:
        near = Table("cosine", "rank", "doc_id", "text", title="nearest selected documents", title_justify="left")
        for neighbour in found.neighbours:
            near.add_row(
                f"{neighbour.similarity:.3f}",
                str(neighbour.rank),
                neighbour.doc_id[:12],
                one_line(neighbour.text, _WIDTH),
            )
        console.print(near)


def _standing(found: Explanation, method: str, recorded: dict[str, Any]) -> list[str]:
    from gotd_assets.selection.methods import method_named

    lines = []
    if found.rank is not None:
        lines.append(f"selected by {method}: number {found.rank:,} of {found.selected:,}")
    elif found.position is None:
        lines.append(str(recorded.get("reason") or "left out: not among the candidates that may be selected"))
        match = recorded.get("matched_doc_id")
        if match:
            lines.append(f"it repeats {match}; `gotd explain {match[:12]}` tells of that one where it is a candidate")
        lines.append(
            "to select it, that reason has to go (duplicates.*, the target's text, or the record of `gotd forget`)"
        )
    else:
        lines.append(f"not selected by {method}, which took {found.selected:,}")
    if recorded.get("forgotten_at"):
        lines.append(f"forgotten on {recorded['forgotten_at']:%Y-%m-%d}: it stays out of everything built since")
    if found.score is not None and found.position is not None and found.percentile is not None:
        lines.append(
            f"score {found.score:.6g} (negative helps); number {found.position:,} of {found.selectable:,} by score, "
            f"better than {found.percentile:.2f}% of them"
        )
        lines.append(f"score of the last one selected: {found.cut_gradient:.6g}")
    change = found.what_would_have_to_change()
    if change and method_named(method).gradient == "ranks":
        lines.append(f"to be selected it would need {change}")
    elif change:
        lines.append(f"{method} does not go by this score alone; by 'gotd' it would need {change}")
    return lines
