"""An httpx request -> the bytes of an HTTP/1.1 request."""

import re

import httpx

from auth1.core.outbound.headers import Headers, write_headers

_METHOD = re.compile(r"[A-Z]{1,20}")
_TARGET = re.compile(rb"[!-~]+")


def serialize(request: httpx.Request, *, to_proxy: bool = False, proxy_headers: Headers | None = None) -> bytes:
    """Return the bytes of a request; a plain proxy gets the whole URL. Raises LocalProtocolError: nothing was sent."""
    target = request.url.raw_path
    if to_proxy:
        target = b"%b://%b%b" % (request.url.raw_scheme, request.url.netloc, target)
    if request.method == "CONNECT":
        raise httpx.LocalProtocolError("CONNECT is not supported.")
    if not isinstance(request.stream, httpx.ByteStream):
        raise httpx.LocalProtocolError("Streamed request bodies are not supported.")
    body = b"".join(request.stream)
    headers = request.headers.raw
    _check_framing(headers, len(body))
    return write_head(request.method, target, headers + proxy_headers if proxy_headers else headers) + body


def write_head(method: str, target: bytes, headers: Headers) -> bytes:
    """Return a request line and headers. Raises LocalProtocolError."""
    if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("Invalid method or target of the request.")
    try:
        return b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode(), target, write_headers(headers))
    except ValueError as error:
        raise httpx.LocalProtocolError(f"Invalid request: {error}.") from error


def _check_framing(headers: Headers, length: int) -> None:
    """Require one Host, and a Content-Length that matches the body. Raises LocalProtocolError."""
    hosts, lengths = 0, []
    for name, value in headers:
        match name.lower():
            case b"host":
                hosts += 1
            case b"content-length":
                lengths.append(value)
            case b"transfer-encoding" | b"upgrade":
                raise httpx.LocalProtocolError("Transfer-Encoding and Upgrade are not supported.")
    if hosts != 1:
        raise httpx.LocalProtocolError("The request needs one Host header.")
    if lengths != [b"%d" % length] and (lengths or length):
        raise httpx.LocalProtocolError("Content-Length does not match the body of the request.")
