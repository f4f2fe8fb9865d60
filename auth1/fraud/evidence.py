"""Collect the evidence about a request that needs no round trip and no counting.

Each source adds its part to `Evidence`: the line type of the number, the entry of a list, the networks and the country
of the address, the proof. A source that decides by itself sets the least load of the request (`minimum`) and a reason.
"""

import time
from typing import Any, NamedTuple

import msgspec

from auth1.core.http.request import Request
from auth1.core.ratelimit import RateLimit
from auth1.events.log import EventContext, event_context
from auth1.fraud.constants import BLOCK_LOAD, PROOF_LOAD
from auth1.fraud.exposures.messages import Message
from auth1.fraud.line_types.types import ALLOWED, LineDecision, LineTypeResult, decide_line_type
from auth1.fraud.lists.entries import Entry, match
from auth1.fraud.policy import Action, FraudPolicy
from auth1.fraud.proofs.redeem import find_redemption
from auth1.fraud.proofs.schemas import Proof
from auth1.fraud.rules import Reason
from auth1.fraud.scopes import Scope
from auth1.fraud.signals import find_signals, is_in_country, signals_of_line
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.tenants.settings import Tenant

MICRO = 1_000_000
PRINTED = ("console",)
# The least load that an action sets.
MINIMUM_LOADS: dict[Action, float] = {
    "allow": 0.0,
    "flag": 0.0,
    "proof_required": 1.5 * PROOF_LOAD,
    "block": 2 * BLOCK_LOAD,
}


class Candidate(NamedTuple):
    """A request for a code.

    `microdollars`: the estimated price of its message. `rate_limits`: those of its purpose. `code_s`: seconds that its
    code is valid. `proof`: what it shows.
    """

    identifier: Identifier
    microdollars: int = 0
    rate_limits: tuple[RateLimit, ...] = ()
    code_s: int = 600
    proof: Proof | None = None


class Evidence(msgspec.Struct, frozen=True):
    """The facts about a request of a tenant under a policy.

    `message`: what it would send, as the rules read it. `line`: the line type of a phone, null until it is known;
    `line_decision`: what follows from it. `own_reasons`: of other sources that decide by themselves. `proof`: what the
    request shows, accepted or not.
    """

    tenant: Tenant
    policy: FraudPolicy
    context: EventContext
    identifier: Identifier
    message: Message
    line: LineTypeResult | None = None
    line_decision: LineDecision = ALLOWED
    own_reasons: tuple[Reason, ...] = ()
    is_on_allow_list: bool = False
    proof: Proof | None = None

    @property
    def features(self) -> dict[str, Any]:
        """Return the features that a decision stores: the block of the number, and the network of the address."""
        return {
            "mode": self.policy.mode,
            "sample": self.policy.sample,
            "channel": self.identifier.channel,
            "country": self.identifier.country,
            "block": self.identifier.block,
            "network": self.network,
            "line_type": self.line.type if self.line is not None else None,
        }

    @property
    def network(self) -> str | None:
        """Return the network of the address that the rules use."""
        return self.context.network if self.message.address is not None else None

    def subject_of(self, scope: Scope) -> str:
        """Return the subject of a scope: a block of numbers, a network or a country, never an address."""
        number = self.message.number or ""
        match scope:
            case "block_of_1000":
                return number[:-3]
            case "block_of_10000":
                return number[:-4]
            case "address" | "network":
                return self.network or ""
            case "country":
                return self.message.country_field
        return ""

    @property
    def reasons(self) -> tuple[Reason, ...]:
        """The reasons of sources that decide by themselves."""
        reason = self.line_decision.reason
        return self.own_reasons if reason is None else (*self.own_reasons, reason)

    def with_entry(self, entry: Entry) -> "Evidence":
        """Return the evidence with the entry of a list. An allow entry lets a request through, and it is counted."""
        reason = Reason(f"{entry.list}_list", entry.kind)
        evidence = msgspec.structs.replace(self, own_reasons=(*self.own_reasons, reason))
        if entry.list == "allow":
            return msgspec.structs.replace(evidence, policy=self.tenant.shadow_policy, is_on_allow_list=True)
        message = self.message._replace(minimum=MINIMUM_LOADS["block"])
        return msgspec.structs.replace(evidence, message=message)

    def with_line(self, line: LineTypeResult) -> "Evidence":
        """Return the evidence with the line type of the number, and what follows from it."""
        decision = decide_line_type(line, self.policy, voip_blocking=self.tenant.settings.voip_blocking)
        if decision is ALLOWED and not self.policy.signals:
            return msgspec.structs.replace(self, line=line, line_decision=decision)
        minimum = MINIMUM_LOADS[decision.action] if decision.action != "unavailable" else 0.0
        known = self.message
        signals = tuple(dict.fromkeys((*known.signals, *signals_of_line(self.policy, line))))
        message = known._replace(minimum=max(known.minimum, minimum), signals=signals)
        return msgspec.structs.replace(self, line=line, line_decision=decision, message=message)


def has_address(request: Request[Any], tenant: Tenant) -> bool:
    """Return whether the address of a request is the user's. A server that names none calls for all its users."""
    return tenant.key_kind != "sk" or request.header(b"auth1-forwarded-for") is not None


def policy_of(app: Services, tenant: Tenant) -> FraudPolicy:
    """Return the policy that holds. Where SMS are only printed, they cost nothing: no request is rejected."""
    return tenant.shadow_policy if app.settings.sms_providers == PRINTED else tenant.policy


async def gather(
    app: Services, request: Request[Any], tenant: Tenant, policy: FraudPolicy, candidate: Candidate
) -> Evidence:
    """Gather the facts about a request that are known in this process. Raises ValidationFailed for a bad proof."""
    identifier, sources = candidate.identifier, app.fraud_sources
    is_on = policy.mode != "off"
    has_scopes = is_on and identifier.channel == "sms"
    address = request.client if has_address(request, tenant) else None
    # NamedTuples take positions faster than names: this is the path of every request.
    message = Message(
        tenant.id,
        identifier.value,
        identifier.value if has_scopes else None,
        identifier.country,
        candidate.microdollars / MICRO,
        address,
        in_country=has_scopes and address is not None and is_in_country(sources, identifier, address),
        signals=find_signals(sources, policy, identifier, address) if is_on and policy.signals else (),
        code_s=candidate.code_s,
        proof=None if candidate.proof is None else await find_redemption(app, tenant, identifier, candidate.proof),
    )
    context = event_context(request, tenant.key_id)
    evidence = Evidence(tenant, policy, context, identifier, message, proof=candidate.proof)
    if is_on and any(tenant.list_versions):
        lists = await app.lists.get(tenant)
        found = match(lists, identifier, address, identifier.country, time.time())
        evidence = evidence.with_entry(found.entry) if found is not None else evidence
    if has_scopes:
        line = sources.line_types.get_known(identifier, policy, voip_blocking=tenant.settings.voip_blocking)
        evidence = evidence.with_line(line) if line is not None else evidence
    return evidence
