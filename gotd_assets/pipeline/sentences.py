"""Errors made for people, as Dagster shows them: the sentence alone, without its frames and ours around it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from gotd_assets.catalogue.foreign import visible
from gotd_assets.errors import GotdError


class SentenceError(DagsterUserCodeProcessError, dg.Failure):
    """A failure that was foreseen.

    To Dagster it is one that came from another process, whose description it shows as it is.
    """

    def __init__(self, sentence: str) -> None:
        # Dagster writes class and message in one line.
        told = SerializableErrorInfo(message=sentence, stack=[], cls_name=None)
        super().__init__(sentence, user_code_process_error_infos=[told])  # type: ignore[no-untyped-call]
        self.allow_retries = False


@contextlib.contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Turn an error made for people into its sentence.

    Raises:
        SentenceError: such an error was raised in the block.
    """
    try:
        yield
    except GotdError as error:
        raise SentenceError(visible(str(error), keep="\n")) from None
