"""Link tokens are derived again for the outbox, also during a secret rotation."""

from auth1.challenges import magic_link
from auth1.core.crypto import Keyring, digest, s256

OLD, NEW = "an old secret that only the tests know", "a new secret that only the tests know"
APP_URL = "https://auth.example.com"


def address(keyring: Keyring, token: str, message_id: str = "msg_1") -> str | None:
    return magic_link.address(APP_URL, keyring, "tn_1", message_id, digest(token))


def test_link_can_be_derived_again_while_its_secret_is_known() -> None:
    [token] = magic_link.derive(Keyring(OLD), "tn_1", "msg_1")

    assert len(token) == 43
    assert address(Keyring(OLD), token) == f"{APP_URL}/api/auth/link/{token}"
    assert address(Keyring(NEW, OLD), token) == f"{APP_URL}/api/auth/link/{token}"
    assert address(Keyring(NEW), token) is None


def test_each_message_has_its_own_link() -> None:
    names = [("tn_1", "msg_1"), ("tn_1", "msg_2"), ("tn_2", "msg_1"), ("tn_1:test", "msg_1")]

    assert len({magic_link.derive(Keyring(OLD), *name)[0] for name in names}) == len(names)


def test_code_challenge_matches_the_rfc_example() -> None:
    # RFC 7636, appendix B.
    assert s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk") == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
