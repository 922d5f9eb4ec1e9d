"""Conversations as token ids: by the model's template as transformers does it, with the tokens of answers told apart."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from gotd_assets.errors import InputError
from gotd_assets.fingerprint import document_id
from gotd_assets.models.batches import AnsweredIds
from gotd_assets.models.conversations import encode_documents
from gotd_assets.models.heldout import LIKELIHOODS, heldout_documents, measured
from gotd_assets.models.objectives import Objective
from gotd_assets.settings.training import ChatSettings
from gotd_assets.training.pre_fine_tuning import pre_fine_tune
from gotd_assets_tests.models import tiny
from gotd_assets_tests.once import mlflow_database

# `generation` is how a template tells transformers itself which tokens are answers.
TEMPLATE = (
    "{% for m in messages %}"
    "{% if m.role == 'assistant' %}w2 {% generation %}{{ m.content }} w3{% endgeneration %} "
    "{% else %}w1 {{ m.content }} w3 {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}w2 {% endif %}"
)
WORDS = st.lists(st.sampled_from(tiny.WORDS[10:]), min_size=1, max_size=5).map(" ".join)


def chat_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    found = tiny.tokenizer()
    found.chat_template = template
    return found


def messages(*said: str, roles: tuple[str, str] = ("user", "assistant")) -> list[dict[str, str]]:
    return [{"role": roles[number % 2], "content": text} for number, text in enumerate(said)]


def documents(*conversations: object, **columns: list[str | None]) -> pl.DataFrame:
    texts = [f"w5 w6 w{7 + number}" for number in range(len(conversations) or 1)]
    kept = (
        {"messages": [None if one is None else json.dumps(one) for one in conversations]} if conversations else columns
    )
    return pl.DataFrame({"doc_id": [document_id(text) for text in texts], "text": texts, **kept})


def settings(**chat: object):
    return tiny.settings(Path("m"), chat=ChatSettings(**{"messages": "messages", **chat}))


@given(st.lists(WORDS, min_size=2, max_size=6))
def test_answers_are_those_that_transformers_finds_by_the_template(said: list[str]) -> None:
    tokenizer = chat_tokenizer()
    (found,) = encode_documents(tokenizer, documents(messages(*said)), settings())
    oracle = tokenizer.apply_chat_template(messages(*said), return_dict=True, return_assistant_tokens_mask=True)
    assert isinstance(found, AnsweredIds)
    assert found.ids.tolist() == oracle["input_ids"][:32]
    assert found.answered.tolist() == [bool(mask) for mask in oracle["assistant_masks"]][:32]


def test_the_loss_is_that_of_the_answers_alone(tmp_path: Path) -> None:
    model = GPT2LMHeadModel.from_pretrained(tiny.model_folder(tmp_path / "m", "gpt2")).eval()
    tokenizer = chat_tokenizer()
    encoded = encode_documents(
        tokenizer, documents(messages("w20 w21", "w30 w31 w32"), messages("w22", "w33"), None), settings()
    )
    objective = Objective(tokenizer, "causal")
    batch = objective.batch(encoded, [0] * 3, corrupt=False, device=torch.device("cpu"))
    losses = objective.loss(model)(batch).detach()
    for row, document in enumerate(encoded):
        ids, mask = (document.ids, document.answered) if isinstance(document, AnsweredIds) else (document, None)
        labels = torch.tensor(np.where(np.ones(len(ids), bool) if mask is None else mask, ids, -100))[None]
        expected = model(input_ids=torch.tensor(ids)[None], labels=labels).loss
        own = losses[torch.from_numpy(batch.documents == row)]
        assert len(own) == objective.predicted(document)
        torch.testing.assert_close(own.mean(), expected.detach(), rtol=1e-4, atol=1e-5)
    # A record without messages is a text, all of which is predicted.
    assert encoded[2].tolist() == tokenizer("w5 w6 w9")["input_ids"]


@pytest.mark.parametrize("roles", [("user", "assistant"), ("human", "gpt")])
def test_plainly_the_answers_are_what_follows_their_speaker(roles: tuple[str, str]) -> None:
    tokenizer = chat_tokenizer(None)
    said = ("w20 w21", "w30 w31", "w22", "w32")
    (found,) = encode_documents(tokenizer, documents(messages(*said, roles=roles)), settings(template="plain"))
    assert isinstance(found, AnsweredIds)
    assert tokenizer.decode(found.ids[found.answered]) == "w30 w31 w32"
    (whole,) = encode_documents(tokenizer, documents(messages(*said)), settings(template="plain", loss_on="all"))
    assert whole.tolist() == found.ids.tolist()


def test_a_prompt_of_several_fields_and_its_completion() -> None:
    frame = documents(instruction=["w20"], input=["w21"], output=["w30 w31"])
    own = tiny.settings(Path("m"), chat=ChatSettings(prompt=["instruction", "input"], completion="output"))
    (found,) = encode_documents(chat_tokenizer(), frame, own)
    assert isinstance(found, AnsweredIds)
    assert chat_tokenizer().decode(found.ids) == "w1 w20 w21 w3 w2 w30 w31 w3"
    (without,) = encode_documents(chat_tokenizer(), frame.with_columns(input=pl.lit(None, pl.String)), own)
    assert chat_tokenizer().decode(without.ids) == "w1 w20 w3 w2 w30 w31 w3"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "training.model 'm' has no chat template: set training.chat.template to plain"),
        ("{{ raise_exception('turns must alternate') }}", "cannot render it: turns must alternate; leave such records"),
        ("{% if messages | length > 2 %}w5{% else %}{{ messages[0].content }}{% endif %}", "once others follow"),
    ],
)
def test_what_a_template_cannot_do_is_said(template: str | None, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        encode_documents(chat_tokenizer(template), documents(messages("w20", "w30", "w21", "w31")), settings())


def test_a_model_is_trained_and_measured_on_answers(tmp_path: Path) -> None:
    base = tiny.model_folder(tmp_path / "m", "gpt2")
    chat_tokenizer().save_pretrained(base)
    talks = [messages(f"w{20 + n} w{21 + n}", f"w{40 + n} w{41 + n}") for n in range(8)]
    cut = messages(" ".join(tiny.WORDS[10:50]), "w30")
    documents(*talks, cut).write_parquet(tmp_path / "subset.parquet")
    (tmp_path / "held").mkdir()
    documents(*talks[:3]).write_parquet(tmp_path / "held" / "documents-0.parquet")
    (tmp_path / "out").mkdir()
    shutil.copyfile(mlflow_database(), tmp_path / "mlflow.db")
    own = tiny.settings(base, epochs=1.0, max_tokens=32, chat=ChatSettings(messages="messages"))
    report = pre_fine_tune(
        tmp_path / "subset.parquet",
        own,
        root=tmp_path,
        cache=tmp_path / "cache",
        out=tmp_path / "out",
        scratch=tmp_path / "scratch",
        tracking=tiny.tracking(tmp_path),
        heldout=tmp_path / "held",
    )
    # Of each answer its two words and its end; the answer beyond max_tokens is not learned from.
    assert (report.documents, report.skipped_documents, report.tokens) == (8, 1, 8 * 3)
    assert pl.read_parquet(tmp_path / "out" / LIKELIHOODS)["tokens"].to_list() == [3, 3, 3]
    assert report.before is not None
    assert report.before.tokens == 9
    held = heldout_documents(tmp_path / "held", own)
    plain = own.model_copy(update={"chat": None})
    model = GPT2LMHeadModel.from_pretrained(base)
    assert measured((model, chat_tokenizer()), held, plain)["tokens"].to_list() == [2, 2, 2]
