"""Request and response bodies of allow and block lists."""

from datetime import datetime
from typing import Annotated

import msgspec

from auth1.core.http.pagination import PageQuery
from auth1.core.schemas import ONE_LINE, In, Out
from auth1.core.timestamps import Timestamp
from auth1.fraud.lists.entries import Kind, ListName

_List = Annotated[ListName, msgspec.Meta(examples=["block"])]
_Kind = Annotated[Kind, msgspec.Meta(examples=["prefix"])]
_Value = Annotated[str, msgspec.Meta(min_length=1, max_length=253, examples=["+22507"])]
_Reason = Annotated[
    str,
    msgspec.Meta(
        max_length=200,
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z",
        extra=ONE_LINE,
        examples=["300 unanswered messages on 2026-01-14"],
    ),
]


class ListEntryIn(In):
    """A new entry of a list.

    `value` by `kind`: a number or its beginning in E.164, an ISO 3166-1 alpha-2 country, an IP address, a network in
    CIDR notation, or an email domain, which includes its subdomains. Without `expires_at` an entry does not expire.
    """

    list: _List
    kind: _Kind
    value: _Value
    reason: _Reason | None = None
    expires_at: Timestamp | None = None


class ListEntryOut(Out):
    """An entry of a list. `author`: the id of the API key that added it, or `operator`."""

    entry_id: Annotated[str, msgspec.Meta(examples=["fl_01kf0fv2qd8x7r3n5w1mzt9c4h"])]
    list: _List
    kind: _Kind
    value: _Value
    reason: _Reason | None
    expires_at: datetime | None
    author: Annotated[str, msgspec.Meta(examples=["key_01kf0fv2pjhdzzhmns4181skmx"])]
    created_at: datetime


class ListEntryPage(Out):
    """Entries, newest first; `next_cursor` is for the next page."""

    data: list[ListEntryOut]
    next_cursor: str | None


class ListEntryQuery(PageQuery):
    """Filters of a list of entries."""

    list: ListName | None = None
    kind: Kind | None = None
