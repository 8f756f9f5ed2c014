# SPDX-License-Identifier: Apache-2.0
"""The only place where what a caller writes becomes a share.

Order: an id, a name of the caller's own shares, the beginning of an id, the caller's shares first.
Shares of other users are found by id or as `USER/NAME`, never by a plain name: otherwise a user
could name a share so that a command of another user, or of root, means it. `USER/NAME` is found
only by callers who may see names; for others it is as if there were no such share.
"""

from collections.abc import Sequence

from gpushare.daemon.present.views import user_name
from gpushare.model.errors import ConflictError, NoSuchShareError
from gpushare.model.ids import ShareRef, parse_ref
from gpushare.model.share import Caller, Share
from gpushare.store import Store


class ShareLookup:
    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, ref: str, caller: Caller, *, names_visible: bool) -> Share:
        """Raises NoSuchShareError; ConflictError when the beginning of an id fits several."""
        parsed = parse_ref(ref)
        if parsed.id:
            share = self._by_id(parsed)
        elif parsed.user is not None:
            share = self._of_user(parsed, caller, names_visible=names_visible)
        else:
            share = self._store.shares.named(caller.uid, parsed.name) or self._begun(parsed, caller)
        if share is None:
            others = self._of_others(parsed) if names_visible else []
            raise _unknown(ref, others)
        return share

    def _by_id(self, ref: ShareRef) -> Share | None:
        # Not `get`, whose error says less: the caller typed it.
        return next(iter(self._store.shares.beginning(ref.id)), None)

    def _of_user(self, ref: ShareRef, caller: Caller, *, names_visible: bool) -> Share | None:
        owners = self._store.shares.owners() if names_visible else {caller.uid}
        uids = (uid for uid in owners if ref.user in {user_name(uid), str(uid)})
        shares = (self._store.shares.named(uid, ref.name) for uid in uids)
        return next(filter(None, shares), None)

    def _begun(self, ref: ShareRef, caller: Caller) -> Share | None:
        matches = self._store.shares.beginning(ref.beginning) if ref.beginning else []
        matches = [share for share in matches if share.uid == caller.uid] or matches
        if len(matches) > 1:
            ids = ", ".join(share.id for share in matches)
            raise ConflictError(
                f"{ref.beginning!r} fits several shares", ids, "give more of the id"
            )
        return matches[0] if matches else None

    def _of_others(self, ref: ShareRef) -> list[Share]:
        return [s for s in self._store.shares.living() if ref.user is None and s.name == ref.name]


def _unknown(ref: str, others: Sequence[Share]) -> NoSuchShareError:
    """The text is the same whether others have such a name or not, unless the caller may see it."""
    shown = ref.replace(":", "/", 1)  # as people write it; a path of the API has a colon
    if others:
        names = " or ".join(f"{user_name(share.uid)}/{share.name}" for share in others)
        return NoSuchShareError(
            f"no share {shown!r}", "you have none of this name; others do", f"theirs: {names}"
        )
    return NoSuchShareError(
        f"no share {shown!r}",
        "you have none of this name, and no id begins with it",
        "list them: gpushare ps -a",
    )
