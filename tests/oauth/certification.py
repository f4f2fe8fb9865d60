"""The modules of the OpenID certification's plans for providers, and the tests here that assert the same.

The lists are those of the conformance suite (openid-certification/conformance-suite, OIDCCBasicTestPlan,
OIDCCConfigTestPlan, OIDCCRpInitiatedLogoutTestPlan and OIDCCBackchannelRpInitiatedLogoutTestPlan, August 2026). Of the
plan for FAPI 2.0 they are the modules about pushed authorization requests.
The suite itself needs Java and a server that the internet reaches.

Three of its warnings remain by decision:
- ID tokens contain the claims of the scopes `email`, `phone` and `profile`, as several clients read them only there.
- There is no scope `address`; it is dropped like any unknown one.
- A claim that `claims` requests adds its whole scope.
"""

_OWN = "oauth/test_certification.py::"
_AUTHORIZE, _EXCHANGE = "oauth/test_authorize.py::", "oauth/test_code_exchange.py::"
_GRANTS, _LOGOUT = "oauth/test_grants.py::", "oauth/test_logout.py::"
_SUCCEEDS = f"{_OWN}test_request_succeeds"
_SCOPE = f"{_OWN}test_userinfo_has_exactly_the_claims_of_a_scope"
_SAME_LOGIN = f"{_OWN}test_next_login_without_a_page_is_the_same_login"
_NEW_LOGIN = f"{_OWN}test_new_login_has_a_later_time"
_REPORTED = f"{_AUTHORIZE}test_invalid_request_is_reported_to_the_application"
_REUSE = (f"{_EXCHANGE}test_second_use_of_a_code_revokes_the_tokens",)
_USERINFO_POST = f"{_GRANTS}test_userinfo_by_post_takes_the_token_in_header_or_form"
_PUSHED = "oauth/test_pushed_requests.py::"
_NOT_STORED = f"{_PUSHED}test_invalid_request_is_not_stored"
_DISCOVERY = (
    f"{_OWN}test_discovery_document_is_json_of_its_issuer",
    f"{_OWN}test_discovery_document_has_what_the_plans_check",
)
_LOGGED_OUT = f"{_OWN}test_no_login_without_a_page_succeeds_after_the_logout"
_WITHOUT_HINT = f"{_OWN}test_logout_without_a_hint_signs_out_after_a_confirmation"
_UNREGISTERED = f"{_LOGOUT}test_unregistered_uri_is_not_followed"
_CONFIRM = f"{_LOGOUT}test_user_must_confirm_without_a_valid_id_token"
_FORGED = f"{_OWN}test_forged_hint_signs_no_user_out_and_leads_nowhere"

PLANS: dict[str, dict[str, tuple[str, ...]]] = {
    "oidcc-basic-certification-test-plan": {
        "oidcc-server": (
            *(_SUCCEEDS, f"{_EXCHANGE}test_id_token_has_the_claims_of_the_login"),
            *(f"{_EXCHANGE}test_token_response_has_its_fields", f"{_OWN}test_secret_may_be_in_the_form"),
        ),
        "oidcc-response-type-missing": (_REPORTED,),
        "oidcc-idtoken-signature": (f"{_OWN}test_application_signs_with_rs256_by_default",),
        "oidcc-idtoken-unsigned": ("applications/test_applications.py::test_invalid_application_is_rejected",),
        "oidcc-userinfo-get": (f"{_GRANTS}test_userinfo_has_the_claims_of_the_scopes",),
        "oidcc-userinfo-post-header": (_USERINFO_POST,),
        "oidcc-userinfo-post-body": (_USERINFO_POST,),
        "oidcc-ensure-request-without-nonce-succeeds-for-code-flow": (
            *(_SUCCEEDS, f"{_EXCHANGE}test_id_token_without_a_nonce_in_the_request_has_none"),
        ),
        "oidcc-scope-profile": (_SCOPE,),
        "oidcc-scope-email": (_SCOPE,),
        "oidcc-scope-address": (_SCOPE,),
        "oidcc-scope-phone": (_SCOPE,),
        "oidcc-scope-all": (_SCOPE,),
        "oidcc-alternate-happy-flow": (_SUCCEEDS,),
        "oidcc-display-page": (_SUCCEEDS,),
        "oidcc-display-popup": (_SUCCEEDS,),
        "oidcc-prompt-login": (_NEW_LOGIN, f"{_AUTHORIZE}test_request_decides_what_a_session_is_enough_for"),
        "oidcc-prompt-none-not-logged-in": (_REPORTED,),
        "oidcc-prompt-none-logged-in": (_SAME_LOGIN,),
        "oidcc-max-age-1": (_NEW_LOGIN, f"{_AUTHORIZE}test_request_decides_what_a_session_is_enough_for"),
        "oidcc-max-age-10000": (_SAME_LOGIN,),
        "oidcc-ensure-request-with-unknown-parameter-succeeds": (_SUCCEEDS,),
        "oidcc-id-token-hint": (_SAME_LOGIN, f"{_AUTHORIZE}test_id_token_names_the_user_of_the_session"),
        "oidcc-login-hint": (_SUCCEEDS, "hosted/test_pages.py::test_hint_of_the_application_fills_the_field"),
        "oidcc-ui-locales": (
            *(_SUCCEEDS, "hosted/test_pages.py::test_language_follows_application_browser_and_choice"),
        ),
        "oidcc-claims-locales": (_SUCCEEDS,),
        "oidcc-ensure-request-with-acr-values-succeeds": (_SUCCEEDS,),
        "oidcc-codereuse": _REUSE,
        "oidcc-codereuse-30seconds": _REUSE,
        "oidcc-ensure-registered-redirect-uri": (f"{_AUTHORIZE}test_unregistered_client_or_redirect_uri_is_a_page",),
        "oidcc-ensure-post-request-succeeds": (f"{_OWN}test_request_by_post_ends_with_a_code",),
        "oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported": (_REPORTED,),
        "oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": (_REPORTED,),
        "oidcc-claims-essential": (f"{_OWN}test_essential_claim_is_returned",),
        "oidcc-ensure-request-object-with-redirect-uri": (
            f"{_OWN}test_request_object_does_not_replace_the_redirect_uri",
        ),
        "oidcc-refresh-token": (
            f"{_GRANTS}test_refresh_rotates_the_token_and_renews_the_others",
            f"{_GRANTS}test_refresh_token_of_another_client_is_rejected",
        ),
        "oidcc-ensure-request-with-valid-pkce-succeeds": (f"{_OWN}test_pkce_is_used_where_it_is_optional",),
    },
    "oidcc-config-certification-test-plan": {
        "oidcc-discovery-endpoint-verification": (
            *_DISCOVERY,
            "oauth/test_metadata.py::test_endpoints_of_the_metadata_exist",
        ),
    },
    "oidcc-rp-initiated-logout-certification-test-plan": {
        "oidcc-rp-initiated-logout-discovery-endpoint-verification": _DISCOVERY,
        "oidcc-rp-initiated-logout": (_LOGGED_OUT, f"{_LOGOUT}test_id_token_signs_out_and_leads_back"),
        "oidcc-rp-initiated-logout-bad-post-logout-redirect-uri": (_UNREGISTERED,),
        "oidcc-rp-initiated-logout-modified-id-token-hint": (_FORGED,),
        "oidcc-rp-initiated-logout-no-id-token-hint": (_CONFIRM,),
        "oidcc-rp-initiated-logout-no-params": (_WITHOUT_HINT,),
        "oidcc-rp-initiated-logout-no-post-logout-redirect-uri": (
            f"{_LOGOUT}test_id_token_without_a_uri_signs_out_and_says_so",
        ),
        "oidcc-rp-initiated-logout-no-state": (_LOGGED_OUT,),
        "oidcc-rp-initiated-logout-only-state": (_WITHOUT_HINT,),
        "oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri": (_UNREGISTERED,),
        "oidcc-rp-initiated-logout-bad-id-token-hint": (_FORGED,),
    },
    "oidcc-backchannel-rp-initiated-logout-certification-test-plan": {
        "oidcc-backchannel-logout-discovery-endpoint-verification": _DISCOVERY,
        "oidcc-backchannel-rp-initiated-logout": (
            f"{_OWN}test_logout_by_the_application_reaches_its_back_channel",
            "oauth/test_backchannel.py::test_application_gets_a_signed_logout_token",
        ),
    },
    "fapi2-security-profile-final-test-plan": {
        "par-ensure-reused-request-uri-prior-to-auth-completion-succeeds": (
            f"{_PUSHED}test_reload_shows_the_login_that_the_request_began",
            f"{_PUSHED}test_lost_first_response_is_repeated",
        ),
        "par-attempt-reuse-request_uri": (f"{_PUSHED}test_session_gets_a_code_which_a_reload_repeats",),
        "par-attempt-to-use-expired-request_uri": (f"{_PUSHED}test_request_expires",),
        "par-attempt-to-use-request_uri-for-different-client": (
            f"{_PUSHED}test_request_belongs_to_its_client_and_issuer",
        ),
        "par-authorization-request-containing-request_uri-form-param": (_NOT_STORED,),
        "par-attempt-invalid-http-method": (f"{_PUSHED}test_form_of_the_request_is_checked",),
        "par-ensure-pkce-required": (_NOT_STORED,),
        "par-plain-pkce-rejected": (_NOT_STORED,),
        "par-without-duplicate-parameters": (f"{_PUSHED}test_pushed_request_begins_the_same_login_as_its_parameters",),
    },
}
