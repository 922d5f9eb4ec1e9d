"""Telling others of a run, by a POST of JSON; whatever becomes of it, the run goes on."""

import dataclasses
import json
import urllib.error
import urllib.request
from typing import Literal

from gotd_assets.settings.operation import NotifySettings


@dataclasses.dataclass(frozen=True)
class Notification:
    """What is told, as the fields of a JSON object; what does not apply is null.

    Attributes:
        event: 'failure' or 'success'.
        run_id: Dagster run.
        job: its job, or what launched it.
        link: the run in the Dagster UI.
        source: source of candidates that the run read.
        target: target it worked for.
        method: selection method.
        selection_version: selection that it made or trained on.
        model_version: model that it made.
        reason: why it was started.
        error: what went wrong.
    """

    event: Literal["failure", "success"]
    run_id: str
    job: str
    link: str
    source: str | None = None
    target: str | None = None
    method: str | None = None
    selection_version: str | None = None
    model_version: str | None = None
    reason: str | None = None
    error: str | None = None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A webhook that redirects is misconfigured: following would send the content somewhere else, as a GET."""

    def redirect_request(self, *_: object, **__: object) -> None:
        return None


def send(settings: NotifySettings, notification: Notification) -> str | None:
    """POST `notification` to `settings.webhook`; nothing if there is none.

    Returns:
        None if it was accepted, else a sentence that says why not. It never raises and never shows the address, which
        usually holds a secret.
    """
    if settings.webhook is None:
        return None
    try:
        request = urllib.request.Request(  # noqa: S310 - the settings allow http and https only
            settings.webhook.get_secret_value(),
            data=json.dumps(dataclasses.asdict(notification)).encode(),
            headers={"Content-Type": "application/json"},
            method="POST",
        )
        opener = urllib.request.build_opener(_NoRedirects)
        with opener.open(request, timeout=settings.timeout_seconds):
            return None
    except urllib.error.HTTPError as error:
        return f"notify.webhook answered {error.code} {error.reason}: nobody was told of run {notification.run_id}"
    except Exception as error:  # noqa: BLE001 - a notification must not end a run, whatever the address does
        return (
            f"notify.webhook cannot be reached ({type(error).__name__}): nobody was told of run {notification.run_id}"
        )
