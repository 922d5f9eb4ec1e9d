"""Conversations: the turns of a record, as plain text or through a model's own chat template, and what is learned of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from gotd_assets.errors import InputError
from gotd_assets.models.batches import AnsweredIds, TokenIds, encode

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedTokenizerBase

    from gotd_assets.settings.training import ChatSettings, TrainingSettings

    Encoded: TypeAlias = "TokenIds | AnsweredIds"

_BETWEEN_TURNS = "\n\n"
# As transformers and as ShareGPT call them.
_SPEAKER = ("role", "from")
_SAID = ("content", "value")
_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "chatgpt": "assistant", "model": "assistant"}
_ANSWERS = "assistant"


@dataclasses.dataclass(frozen=True)
class Turn:
    """What one side of a conversation says; `speaker` as the record calls it."""

    speaker: str
    said: str

    @property
    def role(self) -> str:
        """The speaker as chat templates call it: system, user, assistant or tool."""
        return _ROLES.get(self.speaker.lower(), self.speaker)

    @property
    def is_answer(self) -> bool:
        """Whether a model is to say it."""
        return self.role == _ANSWERS


def turns_of(messages: Any) -> list[Turn] | None:
    """The turns of a list of messages; None if `messages` is none."""
    if not isinstance(messages, list) or not messages:
        return None
    turns = [_turn(message) for message in messages]
    return None if any(turn is None for turn in turns) else [turn for turn in turns if turn is not None]


def plainly(turns: Sequence[Turn]) -> str:
    """'user: …', a blank line, 'assistant: …', and so on."""
    return _BETWEEN_TURNS.join(f"{turn.speaker}: {turn.said}" for turn in turns)


def encode_documents(
    tokenizer: PreTrainedTokenizerBase, documents: pl.DataFrame, settings: TrainingSettings
) -> list[Encoded]:
    """Token ids of each document, cut to `max_tokens`: of its conversation if `settings.chat` finds one, else of its text.

    Args:
        tokenizer: of the model.
        documents: doc_id, text and the fields that the settings name, as text or JSON.
        settings: of the training.

    Raises:
        InputError: the model has no chat template, or it cannot render a conversation or tell its answers.
    """
    chat = settings.chat
    texts = documents.get_column("text").to_list()
    if chat is None:
        return list(encode(tokenizer, texts, settings.max_tokens))
    if chat.template == "model" and tokenizer.chat_template is None:
        raise InputError(
            f"training.model {settings.model!r} has no chat template: set training.chat.template to plain, or take the "
            "instruction-tuned model of the family"
        )
    if chat.loss_on == "answers" and not tokenizer.is_fast:
        raise InputError(
            f"the tokenizer of training.model {settings.model!r} does not tell where tokens stand in the text, so answers "
            "cannot be told apart: set training.chat.loss_on to all"
        )
    records = documents.select("doc_id", *(name for name in chat.fields if name in documents.columns)).to_dicts()
    talks = [_conversation(record, chat) for record in records]
    others = iter(
        encode(
            tokenizer, [text for text, turns in zip(texts, talks, strict=True) if turns is None], settings.max_tokens
        )
    )
    return [
        next(others) if turns is None else _encoded(tokenizer, turns, chat, settings.max_tokens, record["doc_id"])
        for record, turns in zip(records, talks, strict=True)
    ]


def templated(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], *, asked: bool = False) -> str:
    """`turns` by the model's chat template; `asked` adds what begins an answer.

    Raises:
        InputError: the template cannot render them.
    """
    from jinja2 import TemplateError

    messages = [{"role": turn.role, "content": turn.said} for turn in turns]
    try:
        return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=asked))
    except (TemplateError, ValueError, TypeError) as error:
        raise InputError(f"the model's chat template cannot render it: {error}") from error


def _turn(message: Any) -> Turn | None:
    if not isinstance(message, Mapping):
        return None
    speaker = next((message[name] for name in _SPEAKER if isinstance(message.get(name), str)), None)
    said = next((message[name] for name in _SAID if message.get(name) is not None), None)
    if isinstance(said, list):
        parts = [part.get("text") if isinstance(part, Mapping) else part for part in said]
        said = "\n".join(part for part in parts if isinstance(part, str))
    return Turn(speaker, said) if speaker is not None and isinstance(said, str) else None


def _conversation(record: Mapping[str, str | None], chat: ChatSettings) -> list[Turn] | None:
    """The turns of a record, or None if it is none of a conversation."""
    if chat.messages is not None:
        try:
            return turns_of(json.loads(record.get(chat.messages) or "null"))
        except ValueError:
            return None
    asked = "\n".join(filter(None, (record.get(name) for name in chat.prompt)))
    answer = record.get(chat.completion or "")
    return [Turn("user", asked), Turn(_ANSWERS, answer)] if asked and answer else None


def _encoded(
    tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], chat: ChatSettings, max_tokens: int, doc_id: str
) -> Encoded:
    by_template = chat.template == "model"
    on_answers = chat.loss_on == "answers"
    try:
        text = templated(tokenizer, turns) if by_template else plainly(turns)
        answers = [] if not on_answers else _templated_answers(tokenizer, turns, text) if by_template else _plain(turns)
    except InputError as error:
        raise InputError(
            f"document {doc_id}: {error}; leave such records out (filter), or set training.chat.template to plain"
        ) from error
    # A template writes the special tokens itself.
    found = tokenizer(
        text,
        add_special_tokens=not by_template,
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=False,
        return_offsets_mapping=on_answers,
    )
    ids = np.asarray(found["input_ids"], dtype=np.int64)
    if not on_answers:
        return ids
    # A token may begin with the blank before an answer.
    answered = [any(end > first and begin < last for first, last in answers) for begin, end in found["offset_mapping"]]
    return AnsweredIds(ids, np.asarray(answered, dtype=bool))


def _plain(turns: Sequence[Turn]) -> list[tuple[int, int]]:
    """Where answers stand in `plainly(turns)`: first character and the one after the last."""
    spans = []
    for number, turn in enumerate(turns):
        end = len(plainly(turns[: number + 1]))
        if turn.is_answer:
            spans.append((end - len(turn.said), end))
    return spans


def _templated_answers(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn], text: str) -> list[tuple[int, int]]:
    """Where answers stand in `text`, what ends them included: what is there beyond the turns before and the answer's start."""
    spans = []
    for number, turn in enumerate(turns):
        if not turn.is_answer:
            continue
        before = templated(tokenizer, turns[:number], asked=True) if number else ""
        after = templated(tokenizer, turns[: number + 1])
        first, last = (_shared(part, text) for part in (before, after))
        if last <= first:
            raise InputError(f"the model's chat template writes turn {number + 1} otherwise once others follow")
        spans.append((first, last))
    return spans


def _shared(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))
