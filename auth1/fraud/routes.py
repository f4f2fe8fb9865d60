"""The routes that manage fraud rules: of a tenant, and of the operator for all tenants."""

from auth1.authn.guards import operator
from auth1.authn.management import managed
from auth1.core.http.router import Route
from auth1.core.postgres import REPORT_S
from auth1.fraud import handlers
from auth1.fraud.decision_list import DecisionQuery, list_decisions
from auth1.fraud.policy import Policy

DEFAULTS_PATH = "/api/admin/fraud"

FRAUD_ROUTES = (
    *managed("GET", "/fraud/policy", handlers.get_policy),
    *managed("PUT", "/fraud/policy", handlers.put_policy, body=Policy),
    *managed("DELETE", "/fraud/policy", handlers.delete_policy),
    *managed("GET", "/fraud/decisions", list_decisions, query=DecisionQuery, deadline_s=REPORT_S + 2.0),
    Route("GET", DEFAULTS_PATH + "/policy", handlers.get_default_policy, auth=operator),
    Route("PUT", DEFAULTS_PATH + "/policy", handlers.put_default_policy, auth=operator, body=Policy),
)
