"""Bodies of the routes that manage hosts."""

from datetime import datetime
from typing import Annotated

import msgspec

from auth1.core.schemas import HostName, In, Out

_Host = Annotated[
    HostName,
    msgspec.Meta(
        description="Name in the public DNS, in lower case; an international one as xn--….",
        examples=["login.example.com"],
    ),
]
_Canonical = Annotated[
    bool,
    msgspec.Meta(
        description="The issuer, pages, links and emails of the tenant use this host. At most one host is canonical."
    ),
]


class HostIn(In):
    """A host of your own."""

    host: _Host


class HostPatch(In):
    """A change of a host. Without a canonical host the address of the tenant is `APP_URL/t/{slug}`."""

    canonical: _Canonical


class HostOut(Out):
    """A host, and the TXT record that verifies it."""

    host_id: str
    host: _Host
    canonical: _Canonical
    txt_name: Annotated[str, msgspec.Meta(description="Name of the TXT record.", examples=["_auth1.login.example.com"])]
    txt_value: Annotated[str, msgspec.Meta(description="Its text.", examples=["auth1-host=4n7p1w9k2c5v8x3z6b0d1f4h7j"])]
    created_at: datetime
    verified_at: datetime | None


class HostPage(Out):
    """A page of a tenant's hosts, oldest first; `next_cursor` is the start of the next page."""

    data: list[HostOut]
    next_cursor: str | None
