"""Keys derived from JWT_SECRET."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from auth1.core.crypto import Keyring

OLD, NEW = "the secret that was, long enough as it is", "the secret that is, long enough as it is too"


@given(secret=st.text(min_size=1), purpose=st.text())
def test_keys_are_hkdf_of_the_secret(secret: str, purpose: str) -> None:
    oracle = HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose.encode(errors="replace"))
    encoded = secret.encode(errors="replace").decode()
    assert Keyring(encoded).derive_all(purpose.encode(errors="replace").decode()) == [oracle.derive(encoded.encode())]


def test_sealed_box_opens_only_for_its_purpose_and_context() -> None:
    keyring = Keyring(NEW)
    box = keyring.seal("purpose", b"482913", b"context")

    assert keyring.open("purpose", box, b"context") == b"482913"
    assert keyring.open("other", box, b"context") is None
    assert keyring.open("purpose", box, b"other") is None
    assert keyring.open("purpose", box[:-1] + bytes([box[-1] ^ 1]), b"context") is None
    assert keyring.open("purpose", b"", b"context") is None
    assert keyring.seal("purpose", b"482913", b"context") != box


def test_previous_secret_opens_and_verifies_but_never_seals() -> None:
    old, both, new = Keyring(OLD), Keyring(NEW, previous=OLD), Keyring(NEW)
    box = old.seal("purpose", b"482913", b"")

    assert both.open("purpose", box, b"") == b"482913"
    assert new.open("purpose", box, b"") is None
    assert old.macs("purpose", b"message")[0] in both.macs("purpose", b"message")
    assert new.open("purpose", both.seal("purpose", b"482913", b""), b"") == b"482913"
