"""A real HTTP server in place of SNS (Query API, XML) and of the AWS credential services."""

import asyncio
import hashlib
import hmac
import json
import secrets
import socket
import struct
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit
from xml.sax.saxutils import escape

from tests.support.providers.twilio import Behaviour, Request, TwilioServer, hang, hang_up

__all__ = ["Behaviour", "Request", "SnsServer", "answer", "hang", "hang_up", "reject", "reset", "take"]

ACCESS_KEY_ID = "AKIDEXAMPLE"
SECRET_ACCESS_KEY = "a key that only the tests know"
NAMESPACE = "http://sns.amazonaws.com/doc/2010-03-31/"


def answer(status: int, body: bytes | str, headers: dict[str, str] | None = None) -> Behaviour:
    """Respond with a status and a body."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        payload = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} X", "content-type: text/xml", f"content-length: {len(payload)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        await writer.drain()

    return behave


def reject(code: str, message: str = "no", status: int = 400) -> Behaviour:
    """Respond with an error of the Query API."""
    sentence = f"<Type>Sender</Type><Code>{escape(code)}</Code><Message>{escape(message)}</Message>"
    return answer(status, f'<ErrorResponse xmlns="{NAMESPACE}"><Error>{sentence}</Error></ErrorResponse>')


def taken(message_id: str) -> Behaviour:
    """Return a behaviour that accepts the message under an id."""
    result = f"<PublishResult><MessageId>{escape(message_id)}</MessageId></PublishResult>"
    return answer(200, f'<PublishResponse xmlns="{NAMESPACE}">{result}</PublishResponse>')


async def take(request: Request, writer: asyncio.StreamWriter) -> None:
    """Accept the message."""
    await taken(str(uuid.uuid4()))(request, writer)


async def reset(request: Request, writer: asyncio.StreamWriter) -> None:
    """Read the request and reset the connection with RST."""
    no_goodbye = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, no_goodbye)
    writer.transport.abort()


def lend_role(access_key_id: str) -> Behaviour:
    """Respond to sts:AssumeRoleWithWebIdentity with credentials for an hour."""
    expires = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    fields = f"<AccessKeyId>{access_key_id}</AccessKeyId><SecretAccessKey>{SECRET_ACCESS_KEY}</SecretAccessKey>"
    fields += f"<SessionToken>{secrets.token_hex(8)}</SessionToken><Expiration>{expires}</Expiration>"
    name = "AssumeRoleWithWebIdentity"
    result = f"<{name}Result><Credentials>{fields}</Credentials></{name}Result>"
    return answer(200, f"<{name}Response>{result}</{name}Response>")


def lend(access_key_id: str, for_s: int) -> Behaviour:
    """Respond as a container's metadata endpoint, with temporary credentials."""
    expires = (datetime.now(UTC) + timedelta(seconds=for_s)).isoformat()
    document = {"AccessKeyId": access_key_id, "SecretAccessKey": SECRET_ACCESS_KEY, "Token": "t", "Expiration": expires}
    return answer(200, json.dumps(document))


@dataclass
class SnsServer(TwilioServer):
    """The same server with SNS responses. `behaviour` applies to every request, `script` to the next ones."""

    behaviour: Behaviour = take

    @property
    def published(self) -> list[dict[str, str]]:
        """Return the fields of every published message."""
        return [request.form for request in self.requests if request.form.get("Action") == "Publish"]

    def sent_to(self, phone: str) -> list[str]:
        """Return the texts of all messages to a number."""
        return [form["Message"] for form in self.published if form["PhoneNumber"] == phone]


def credential(request: Request) -> str:
    """Return the credential scope of a request: key id/date/region/service/aws4_request."""
    return authorization(request)["Credential"]


def is_signed(request: Request, secret: str = SECRET_ACCESS_KEY) -> bool:
    """Return whether the signature matches the request (AWS Signature Version 4)."""
    parts = authorization(request)
    names = parts["SignedHeaders"].split(";")
    headers = "".join(f"{name}:{' '.join(request.headers[name].split())}\n" for name in names)
    url = urlsplit(request.path)  # a proxy gets a whole one
    digest = hashlib.sha256(request.body).hexdigest()
    canonical = "\n".join([request.method, url.path, url.query, headers, parts["SignedHeaders"], digest])
    _, scope = parts["Credential"].split("/", 1)
    to_sign = "\n".join(
        ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return {"host", "x-amz-date"} <= set(names) and hmac.compare_digest(
        hmac.digest(key, to_sign.encode(), "sha256").hex(), parts["Signature"]
    )


def authorization(request: Request) -> dict[str, str]:
    """Return the fields of the Authorization header."""
    scheme, _, rest = request.headers["authorization"].partition(" ")
    assert scheme == "AWS4-HMAC-SHA256"
    return dict(part.strip().split("=", 1) for part in rest.split(","))
