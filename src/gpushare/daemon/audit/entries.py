# SPDX-License-Identifier: Apache-2.0
"""Turns calls and events into audit records: who did what to which object, without secrets."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import PurePath

import msgspec

from gpushare.config.settings import Settings
from gpushare.daemon.present.views import user_name
from gpushare.model.audit import OK, Actor, Deed
from gpushare.model.errors import DeniedError
from gpushare.model.event import Event
from gpushare.model.share import Caller
from gpushare.model.value import Value
from gpushare.store.audit import DAEMON, EVENT

# Fields of requests and answers that may be recorded; no others are.
_RECORDED = frozenset(
    "spec memory compute request limit priority isolation mechanism gpus gpu ttl turns borrow at"  # noqa: SIM905 (words are read, a list of them is not)
    " gang size select allow_unverified name program wait holder pid deep timeout"
    " force role user scopes reason drain"
    " tenant parent users groups guaranteed gpu_hours shares weight".split()
)
# False and 0 are recorded of these; of all others they are what is usual.
_MEANT = frozenset({"borrow", "request"})
_DENIED = DeniedError.code[:4]  # GS13: every denial
# Memory turns change every few seconds, by the clock and by no one's decision.
_QUIET = frozenset({"share.waits", "share.turn"})
_OURS = "audit."


@dataclass(frozen=True)
class RecordDraft:
    """What becomes a record when it is written."""

    at: datetime
    actor: Actor
    action: str
    object: str
    result: str
    detail: dict[str, str]


def of_deed(deed: Deed, at: datetime) -> RecordDraft | None:
    """None for reads that were allowed: they are not recorded."""
    if deed.method == "GET" and not deed.result.startswith(_DENIED):
        return None
    detail = dict(_recorded(deed.body)) | _answered(deed.answer)
    if deed.caller and deed.caller.remote is not None:
        detail["from"] = deed.caller.remote
    action = f"{deed.method} {deed.path}"
    about = _about(deed.answer) or deed.ref
    return RecordDraft(at, actor(deed.caller), action, about, deed.result, detail)


def of_event(event: Event) -> RecordDraft | None:
    """None for events about the log itself, and for those that come by the clock."""
    if event.type in _QUIET or event.type.startswith(_OURS):
        return None
    detail = {"message": event.message, EVENT: str(event.seq)}
    detail |= {"gpu": event.gpu} if event.gpu else {}
    return RecordDraft(event.at, DAEMON, event.type, event.share or event.gpu or "", OK, detail)


def actor(caller: Caller | None) -> Actor:
    """Who a caller is in the records; a caller that could not be identified is `unknown`."""
    if caller is None:
        return Actor(user="unknown")
    return Actor(user=user_name(caller.uid), uid=caller.uid, token=caller.token)


def digest(settings: Settings) -> str:
    """Shows whether a daemon was started with other settings, without showing them."""
    return sha256(msgspec.json.encode(settings, enc_hook=str, order="sorted")).hexdigest()


def _recorded(body: object, path: str = "") -> Iterator[tuple[str, str]]:
    plain = msgspec.to_builtins(body, enc_hook=str) if isinstance(body, Value) else body
    name = path.rpartition(".")[2]
    if isinstance(plain, dict):
        for key, value in plain.items():
            if key in _RECORDED:
                yield from _recorded(value, f"{path}.{key}" if path else key)
    elif isinstance(plain, list | tuple):
        if plain:
            yield path, ", ".join(map(str, plain))
    elif path and (plain or (plain is not None and name in _MEANT)):
        yield path, PurePath(str(plain)).name if path == "program" else str(plain)


def _about(answer: object) -> str:
    """The id of the share or token in an answer; the id of a token is not secret."""
    answer = getattr(answer, "token", answer)
    return str(getattr(answer, "id", None) or getattr(answer, "share", None) or "")


def _answered(answer: object) -> dict[str, str]:
    detail = {"name": getattr(answer, "name", ""), "tenant": getattr(answer, "tenant", "")}
    if getattr(answer, "ok", None) is False:
        detail["holds"] = "no"
    return {key: str(value) for key, value in detail.items() if value}
