"""The routes that manage fraud rules: of a tenant, and of the operator for all tenants."""

from typing import Any

from auth1.authn.guards import operator
from auth1.authn.management import managed
from auth1.core.http.router import Route
from auth1.core.postgres import REPORT_S
from auth1.errors import Conflict, NotFound
from auth1.fraud import policy_handlers
from auth1.fraud.decisions import handlers as decision_handlers
from auth1.fraud.decisions import simulation
from auth1.fraud.decisions.feedback import FeedbackIn
from auth1.fraud.decisions.listing import DecisionQuery, list_decisions
from auth1.fraud.lists import handlers as list_handlers
from auth1.fraud.lists.schemas import ListEntryIn, ListEntryQuery
from auth1.fraud.policy import FraudPolicy

ADD_ENTRY: dict[str, Any] = {"body": ListEntryIn, "errors": (Conflict,), "status": 201, "idempotent": "yes"}
OPERATORS_PATH = "/api/admin/fraud"

FRAUD_ROUTES = (
    *managed("GET", "/fraud/policy", policy_handlers.get_policy),
    *managed("PUT", "/fraud/policy", policy_handlers.put_policy, body=FraudPolicy),
    *managed("DELETE", "/fraud/policy", policy_handlers.delete_policy),
    Route("GET", OPERATORS_PATH + "/policy", policy_handlers.get_default_policy, auth=operator),
    Route("PUT", OPERATORS_PATH + "/policy", policy_handlers.put_default_policy, auth=operator, body=FraudPolicy),
    *managed("GET", "/fraud/decisions", list_decisions, query=DecisionQuery, deadline_s=REPORT_S + 2.0),
    *managed("GET", "/fraud/lists", list_handlers.list_entries, query=ListEntryQuery),
    *managed("POST", "/fraud/lists", list_handlers.add_entry, **ADD_ENTRY),
    *managed(
        "POST",
        "/fraud/simulate",
        decision_handlers.simulate_policy,
        body=decision_handlers.SimulationIn,
        deadline_s=simulation.TIME_S + 4.0,
        max_concurrent=1,
    ),
    *managed(
        "POST",
        "/fraud/feedback",
        decision_handlers.give_feedback,
        body=FeedbackIn,
        errors=(NotFound, Conflict),
    ),
    *managed("DELETE", "/fraud/lists/{entry_id}", list_handlers.delete_entry, errors=(NotFound,)),
    Route("GET", OPERATORS_PATH + "/lists", list_handlers.list_shared_entries, auth=operator, query=ListEntryQuery),
    Route("POST", OPERATORS_PATH + "/lists", list_handlers.add_shared_entry, auth=operator, **ADD_ENTRY),
    Route(
        "DELETE",
        OPERATORS_PATH + "/lists/{entry_id}",
        list_handlers.delete_shared_entry,
        auth=operator,
        errors=(NotFound,),
    ),
)
