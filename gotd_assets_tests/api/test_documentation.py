"""What README.md and docs/python.md show runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yaml

from gotd_assets.settings.project import settings_of
from gotd_assets_tests.end_to_end.project import TOPICS, sentences, topic_encoder

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
README = Path(__file__).parents[2] / "README.md"


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    topic_encoder(tmp_path / "models" / "minilm")
    topics = {word: axis for axis, words in enumerate(TOPICS.values()) for word in words}

    def encode(texts: list[str]) -> np.ndarray:
        return np.stack([np.eye(3)[[topics[word] for word in text.split()]].sum(axis=0) for text in texts])

    names: dict[str, object] = {
        "pool": [*sentences("news", 150, 0), *sentences("film", 20, 0)],
        "archive": sentences("sport", 40, 0),
        "target": sentences("film", 24, 1),
        "encode": encode,
    }
    # A text of the stream is of the words that the encoder knows.
    page = PAGE.read_text(encoding="utf-8").replace("a text that nobody has seen", sentences("film", 1, 9)[0])
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 6
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - it is our own page
    # The columns that the first block names come first.
    frame = names["chosen"].frame
    listed = re.search(r"# polars: (.*)", blocks[0])[1].split(", ")
    assert frame.columns[: len(listed) - 1] == listed[:-1]
    assert frame.height == 100
    assert set(names["pool"][-20:]) & set(frame.filter(pl.col("rank") <= 20)["text"]) != set()
    assert names["why"].document.text == names["pool"][17]
    assert (tmp_path / "my-selection" / "subset.parquet").is_file()
    assert names["selector"].score([names["target"][0]])[0] < 0


def test_what_the_readme_shows_first_is_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    topic_encoder(tmp_path / "models" / "minilm")
    text = README.read_text(encoding="utf-8")
    (written,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(written.strip().splitlines()) <= 10
    settings = settings_of(yaml.safe_load(written))
    assert [source.name for source in settings.sources] == ["web", "books"]
    first = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    names: dict[str, object] = {
        "pool": [*sentences("news", 60, 0), *sentences("film", 20, 0)],
        "target": sentences("film", 24, 1),
    }
    exec(compile(first.replace("1000,", "8,"), str(README), "exec"), names)  # noqa: S102 - it is our own page
    assert names["chosen"].frame["text"].to_list() == names["chosen"].records()
    assert (tmp_path / "my-selection" / "subset.parquet").is_file()
