"""Texts, names and messages of others are shown as they are and act on nothing: terminal, Markdown, spreadsheet."""

import io
import json
import re
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.control import strip_control_codes
from rich.table import Table
from rich.text import Text

from gotd_assets.catalogue.foreign import markdown, spreadsheet, visible
from gotd_assets.catalogue.shown import Description, Markdown
from gotd_assets.catalogue.tables import frame_table, in_page
from gotd_assets.cli.terminal import Terminal
from gotd_assets.settings.file import load_project
from gotd_assets.stations.partition import Partition
from gotd_assets.stations.workshop import Workshop
from gotd_assets_tests.end_to_end.project import make_project, sentences, write_jsonl

HOSTILE = (
    "![](https://evil.example/p.png) [/INST] [/quote] [bold]x[/] [link=https://evil.example]here[/link] "
    "<img src=https://evil.example/q.png> [a](javascript:alert(1)) <https://evil.example> `| a | b |` "
    "\x1b[31mred\x1b]8;;https://evil.example\x07 \x9b2J \u202egnp &lt;script&gt; =HYPERLINK(1) :smile:"
)
ANY = st.text(st.characters(exclude_categories=[]), max_size=40) | st.just(HOSTILE)
SHELL = {"terminal.py"}


def shown_by(print_all) -> str:
    file = io.StringIO()
    console = Terminal(file=file, force_terminal=True, color_system="truecolor", width=10_000)
    print_all(console)
    # Our own styles: the only sequences that may be there.
    return re.sub(r"\x1b\[[0-9;]*m", "", file.getvalue())


@given(ANY)
def test_nothing_printed_acts_on_the_terminal(text: str) -> None:
    def print_all(console: Terminal) -> None:
        console.print(text, style="bold")
        console.print(Text(text, "red"), text)
        console.rule(text)
        table = Table(text, title=text)
        table.add_row(text)
        console.print(table)

    shown = shown_by(print_all)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
    if len(text.split()) == 1 and len(text.splitlines()) == 1 and text == text.strip():
        assert shown.count(visible(strip_control_codes(text))) >= 5


def test_a_style_of_a_text_is_not_ours() -> None:
    file = io.StringIO()
    Terminal(file=file, force_terminal=True, color_system="truecolor", width=200).print(
        "\x1b[31mred [bold]x[/] [/quote]"
    )
    assert file.getvalue() == "\\x1b[31mred [bold]x[/] [/quote]\n"


def test_everything_that_commands_print_goes_through_the_terminal() -> None:
    root = Path(__file__).parents[2] / "gotd_assets"
    around = re.compile(r"\bConsole\(|\becho\(|\bsecho\(|(?<![.\w])print\(|from_markup|markup=True")
    found = [
        f"{path.relative_to(root)}:{number}"
        for path in root.rglob("*.py")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if around.search(line) and not (path.parent.name == "cli" and path.name in SHELL)
    ]
    assert found == []


def acting_tokens(text: str) -> list[str]:
    """What a Markdown renderer would make of `text` beyond text: links, pictures, HTML, emphasis."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    inner = [child for token in tokens for child in (token.children or [token])]
    return [
        f"{token.type} {token.content} {token.attrs}"
        for token in inner
        if token.type
        in {"link_open", "image", "html_inline", "html_block", "em_open", "strong_open", "s_open", "code_inline"}
        and not str(token.attrs.get("src", "")).startswith("data:image/svg+xml,")
    ]


@given(st.lists(st.sampled_from(["-", "+", "=", "---", "===", "1.", "23)", "a", "word" * 9, "# x", "> y"]), min_size=1))
def test_where_a_paragraph_is_broken_nothing_begins(words: list[str]) -> None:
    # A sentence of ours begins with a word.
    tokens = MarkdownIt("commonmark").enable("table").parse(in_page(f"check: {markdown(' '.join(words))}"))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]


@given(ANY)
def test_text_stands_for_itself_in_markdown(text: str) -> None:
    assert acting_tokens(f"x{markdown(text)}") == []
    table = frame_table(pl.DataFrame({"text": [text.encode("utf-8", "replace").decode()], "n": [1]})).text
    assert acting_tokens(table) == []
    rows = [token for token in MarkdownIt("commonmark").enable("table").parse(table) if token.type == "td_open"]
    assert len(rows) == 2


def test_what_assets_show_of_a_project_full_of_hostile_texts_acts_on_nothing(tmp_path: Path) -> None:
    path = make_project(tmp_path, duplicates={"jaccard": 1.0})
    for name, topic in (("mixed", "sport"), ("target", "film"), ("news", "news")):
        texts = [f"{number} {HOSTILE} {text}" for number, text in enumerate(sentences(topic, 24, 5))]
        write_jsonl(tmp_path / "data" / f"{name}.jsonl", texts)
    with (tmp_path / "data" / "mixed.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"text": HOSTILE, HOSTILE: 1}) + "\n" + HOSTILE.replace("\n", " ") + "\n")
    workshop = Workshop(load_project(path))
    described: dict[str, Description] = {}
    for source in ("news", "mixed"):
        for asset in ("raw_candidates", "candidate_embeddings"):
            described[f"{asset} {source}"] = workshop.make(asset, Partition(source=source)).description
    described["candidate_pool"] = workshop.make("candidate_pool").description
    for asset in ("target_documents", "target_embeddings", "target_sketch", "ot_potentials", "candidate_scores"):
        described[asset] = workshop.make(asset, Partition(target="film")).description
    described["selected_subset"] = workshop.make("selected_subset", Partition(target="film", method="gotd")).description
    texts = {
        f"{asset} {name}": value.text
        for asset, told in described.items()
        for name, value in told.items()
        if isinstance(value, Markdown) and name != "certificate"  # a sentence of our own, with emphasis
    }
    assert len(texts) > 10
    assert {name: acting_tokens(text) for name, text in texts.items() if acting_tokens(text)} == {}
    assert sum("evil" in text for text in texts.values()) >= 3, "the hostile texts are not among what is shown"


@pytest.mark.parametrize("text", ["=1+1", "+1", "-2", "@SUM(A1)", "\tx", "plain", "a=b", ""])
def test_no_cell_of_a_spreadsheet_is_a_formula(text: str) -> None:
    (cell,) = pl.DataFrame({"x": [text]}).select(spreadsheet(pl.col("x")))["x"]
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell.removeprefix("'") == text
