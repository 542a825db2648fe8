"""Telling a chat room or a monitor how a night went: one POST of a JSON object to an address that the user gave."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fmnist_ray.errors import SettingError, SourceError

_TIMEOUT_S = 10


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """What was meant for one address goes to no other."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def check_webhook(url: str) -> None:
    """`SettingError` for an address that can't be posted to. It may hold a secret, so it is not repeated."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise SettingError("The webhook is no http:// or https:// address.")


def post_webhook(url: str, text: str, facts: Mapping[str, Any]) -> None:
    """Post `facts` with the sentence `text`, which chat rooms show. `SourceError` when it isn't taken."""
    check_webhook(url)
    body = json.dumps({"text": text, **facts}, default=str).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"}, method="POST")
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=_TIMEOUT_S):
            return
    except (urllib.error.URLError, OSError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()
        raise SourceError(f"The webhook of {urlsplit(url).hostname} did not take the message ({error}).") from error
