"""List a tenant's decisions."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import Request
from auth1.core.postgres import Queries
from auth1.core.schemas import Out
from auth1.core.timestamps import Timestamp
from auth1.fraud.decisions.statements import ListDecisions, ListedDecision
from auth1.fraud.rules import Decision
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin

_QUERIES = Queries("decisions")
_LIST = _QUERIES.statement("list_decisions", ListDecisions, ListedDecision)
_NEWEST = "fd_~"


class DecisionQuery(PageQuery):
    """Filters of a list of decisions."""

    decision: Decision | None = None
    reason: (
        Annotated[
            str,
            msgspec.Meta(
                max_length=64,
                pattern=r"^[a-z0-9_]+\Z",
                description="The name of a reason, such as block_of_10000.",
                extra={"message": "Must be the name of a reason, such as block_of_10000."},
            ),
        ]
        | None
    ) = None
    since: Annotated[Timestamp | None, msgspec.Meta(description="Created at or after this time.")] = None
    until: Annotated[Timestamp | None, msgspec.Meta(description="Created before this time.")] = None


class DecisionOut(Out):
    """A decision of the fraud rules.

    `features`: what the rules saw: counts, prices, blocks of numbers and networks. `scopes`: the load of each scope.
    `outcome`: whether the code was verified; `unknown` until it has expired, and where no code was sent.
    """

    decision_id: str
    decision: Decision
    score: float
    reasons: list[str]
    features: dict[str, Any]
    scopes: dict[str, float]
    outcome: Literal["verified", "unverified", "unknown"]
    created_at: datetime
    request_id: str | None


class DecisionPage(Out):
    """A page of decisions, newest first; `next_cursor` is for the next page."""

    data: list[DecisionOut]
    next_cursor: str | None


_decode_features = msgspec.json.Decoder(dict[str, Any]).decode
_decode_scopes = msgspec.json.Decoder(dict[str, float]).decode


async def list_decisions(app: Services, request: Request[TenantAdmin], query: DecisionQuery) -> DecisionPage:
    """List decisions of the last 30 days, newest first. Filter by decision, reason or time."""
    rows = await app.reads.report(
        _LIST,
        ListDecisions(
            tenant_id=request.caller.tenant_id,
            before=query.cursor or _NEWEST,
            since=query.since,
            until=query.until,
            decision=query.decision,
            reason=query.reason,
            max_rows=query.rows,
        ),
    )
    return DecisionPage(*query.split([_out(row) for row in rows], lambda one: one.decision_id))


def _out(row: ListedDecision) -> DecisionOut:
    return DecisionOut(
        decision_id=row.decision_id,
        decision=row.decision,
        score=round(row.score, 4),
        reasons=row.reasons,
        features=_decode_features(row.features),
        scopes=_decode_scopes(row.scopes),
        outcome=row.outcome,
        created_at=row.created_at,
        request_id=row.request_id,
    )
