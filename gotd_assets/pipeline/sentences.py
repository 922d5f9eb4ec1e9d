"""Errors made for people, as Dagster shows them: the sentence alone, without its frames and ours around it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import dagster as dg
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from gotd_assets.catalogue.foreign import visible
from gotd_assets.errors import GotdError
from gotd_assets.settings.orchestration import OrchestrationSettings


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
        raise _sentence(error) from None


@contextlib.contextmanager
def step_errors_as_sentences(
    context: dg.AssetExecutionContext, settings: OrchestrationSettings, warn: Callable[[str], None]
) -> Iterator[None]:
    """The same for a step; one whose trouble may pass is tried again.

    Dagster's own policy for retries would also try what was canceled, and what nobody foresaw.

    Raises:
        SentenceError: an error made for people was raised in the block.
        dagster.RetryRequested: the same may succeed a little later.
    """
    try:
        yield
    except GotdError as error:
        attempt = context.retry_number
        if error.may_pass and attempt < settings.retries:
            seconds = settings.retry_seconds * 2**attempt
            warn(f"{error}\nIt is tried again in {seconds:g} s, {settings.retries - attempt} time(s) more at most")
            raise dg.RetryRequested(settings.retries, seconds) from None
        raise _sentence(error) from None


def _sentence(error: GotdError) -> SentenceError:
    return SentenceError(visible(str(error), keep="\n"))
