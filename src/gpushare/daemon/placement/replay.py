# SPDX-License-Identifier: Apache-2.0
"""Decisions with everything they were made from, so that they can be made again and compared."""

from datetime import datetime

import msgspec

from gpushare.model.errors import GpushareError
from gpushare.model.share import Decision
from gpushare.model.value import Value
from gpushare.model.view import DecisionView
from gpushare.scheduler import Request, Snapshot, Waiting, decide, place_gang


class DecisionRecord(Value):
    """Everything that a decision was made from, and the decision.

    `requests`: one, or a gang; the decision is about the request at index `number`.
    """

    state: Snapshot
    requests: tuple[Request, ...]
    decision: Decision
    number: int = 0

    def encode(self) -> bytes:
        """As JSON, as the store keeps it."""
        return msgspec.json.encode(self)


_decode = msgspec.json.Decoder(DecisionRecord).decode


def replay(name: str, at: datetime, body: bytes) -> DecisionView:
    """Decide again from the same; a different answer means that the scheduler has changed."""
    record = _decode(body)
    again = _again(record)
    return DecisionView(
        share=name,
        at=at,
        decision=record.decision,
        same=again == record.decision,
        again=_described(again),
        shares=tuple(share.name for share in record.state.shares),
        ahead=len(record.state.queue),
    )


def _again(record: DecisionRecord) -> Decision | Waiting | GpushareError:
    try:
        if len(record.requests) == 1:
            return decide(record.state, record.requests[0])
        answers = place_gang(record.state, record.requests)
    except GpushareError as error:
        return error
    return answers if isinstance(answers, Waiting) else answers[record.number]


def _described(answer: Decision | Waiting | GpushareError) -> str:
    if isinstance(answer, Waiting):
        return f"it would wait for {answer.waits_for}"
    if isinstance(answer, GpushareError):
        return str(answer)
    return f"{'+'.join(answer.mechanisms)} on {', '.join(answer.gpus)}"
