"""What the fraud rules know about a request before they count anything: no round trips.

Each source adds a field to `Evidence` and a line to `gather`: the line type of the number, the entry of a list, the
networks and the country of the address.
"""

from typing import Any, NamedTuple

from phonenumbers import PhoneNumberType

from auth1.core.http.request import Request
from auth1.core.ratelimit import RateLimit
from auth1.fraud.proof_schemas import Proof
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.tenants.settings import Tenant

# Line types that `voip_blocking` rejects, and their names.
BLOCKED_LINES: dict[int | None, str] = {
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal_number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "universal_access_number",
    PhoneNumberType.VOICEMAIL: "voicemail",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.TOLL_FREE: "toll_free",
}


class Candidate(NamedTuple):
    """A request for a code.

    `microdollars`: the estimated price of its message. `rate_limits`: those of its purpose. `proof`: what it shows.
    """

    identifier: Identifier
    microdollars: int = 0
    rate_limits: tuple[RateLimit, ...] = ()
    proof: Proof | None = None


class Evidence(NamedTuple):
    """The facts about a request. `address` is null where a secret key names none: it has no scopes of addresses."""

    identifier: Identifier
    microdollars: int
    address: str | None
    network: str | None
    blocked_line: str | None


def gather(app: Services, request: Request[Any], tenant: Tenant, candidate: Candidate) -> Evidence:
    """Gather the facts about a request that are known in this process."""
    identifier = candidate.identifier
    names_address = tenant.key_kind != "sk" or request.header(b"auth1-forwarded-for") is not None
    return Evidence(
        identifier=identifier,
        microdollars=candidate.microdollars,
        address=request.client if names_address else None,
        network=request.network if names_address else None,
        blocked_line=BLOCKED_LINES.get(identifier.line) if tenant.settings.voip_blocking else None,
    )
