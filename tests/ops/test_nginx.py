"""ops/nginx/auth1.conf: accepted by a real nginx, and proxying through one.

Only what belongs to the machine is changed: the ports, the paths of the certificate, and where Auth1 listens.
"""

import datetime
import http.client
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from auth1.cli.serve import HEADER_READ_TIMEOUT_MS

CONF = (Path(__file__).parents[2] / "ops/nginx/auth1.conf").read_text()
HOST = "auth.yourdomain.com"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@dataclass
class Seen:
    """A request as it reached the server behind nginx."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # the port from which nginx came


@dataclass
class Behind:
    """A small HTTP server that stands where Auth1 would."""

    seen: list[Seen] = field(default_factory=list)
    port: int = 0


@dataclass
class Proxy:
    """A running nginx."""

    https_port: int
    http_port: int
    context: ssl.SSLContext

    def ask(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection("127.0.0.1", self.https_port, context=self.context, timeout=10)
        try:
            connection.request(method, path, body=body, headers={"Host": HOST} | (headers or {}))
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def write_certificate(folder: Path) -> None:
    """Write a self-signed certificate for HOST, as certbot would name its files."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (folder / "fullchain.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def replace(text: str, old: str, new: str) -> str:
    assert old in text, f"{old!r} is not in auth1.conf any more"
    return text.replace(old, new)


def configure(folder: Path, *, https_port: int, http_port: int, upstream_port: int) -> list[str]:
    """Write the configuration with what belongs to this machine; return the command that runs nginx on it."""
    assert NGINX is not None
    write_certificate(folder)
    site = replace(CONF, f"/etc/letsencrypt/live/{HOST}", str(folder))
    site = replace(site, "server 127.0.0.1:3000;", f"server 127.0.0.1:{upstream_port};")
    site = re.sub(r"^ *listen \[::\].*\n", "", site, flags=re.MULTILINE)  # not every machine has IPv6
    site = replace(site, "listen 443 ", f"listen 127.0.0.1:{https_port} ")
    site = replace(site, "listen 80;", f"listen 127.0.0.1:{http_port};")
    (folder / "auth1.conf").write_text(site)
    temporary = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root root;" if os.geteuid() == 0 else ""  # the temporary directory is for its owner alone
    (folder / "nginx.conf").write_text(
        f"{user}\ndaemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log warn;\n"
        f"events {{}}\nhttp {{\n{temporary}\naccess_log {folder}/access.log;\ninclude {folder}/auth1.conf;\n}}\n"
    )
    return [NGINX, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    """Serve 201 to everything, slowly enough to keep connections open, and remember what arrived."""
    here = Behind()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            here.seen.append(Seen(self.command, self.path, headers, body, self.client_address[1]))
            if self.path == "/refused":
                self.reply(502, b'{"code":"delivery_failed"}')
            else:
                self.reply(201, b'{"here":true}')

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer()

        def do_POST(self) -> None:
            self.answer()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True  # nginx keeps its connections open
    here.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


def run(folder: Path, upstream_port: int) -> Iterator[Proxy]:
    https_port, http_port = free_port(), free_port()
    command = configure(folder, https_port=https_port, http_port=http_port, upstream_port=upstream_port)
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: process.poll() is not None or (listens(https_port) and listens(http_port)))
        assert process.poll() is None, (folder / "error.log").read_text()
        context = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
        context.check_hostname = False  # we connect by address; the certificate itself is checked
        yield Proxy(https_port, http_port, context)
    finally:
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture(scope="module")
def proxy(behind: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    yield from run(tmp_path_factory.mktemp("nginx"), behind.port)


@pytest.fixture(scope="module")
def orphan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """An nginx behind which nobody listens."""
    yield from run(tmp_path_factory.mktemp("orphan"), free_port())


def test_nginx_accepts_the_configuration_without_a_warning(tmp_path: Path) -> None:
    command = configure(tmp_path, https_port=free_port(), http_port=free_port(), upstream_port=3000)
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    newer = 'the "listen ... http2" directive is deprecated'  # from 1.25.1 on; the file says so
    assert [line for line in done.stderr.splitlines() if "warn" in line and newer not in line] == []


def test_auth1_learns_who_called_by_which_name_and_how(proxy: Proxy, behind: Behind) -> None:
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.8", "X-Forwarded-Proto": "gopher"}
    status, _, body = proxy.ask("/api/auth/request?a=%2F", "POST", forged | {"x-api-key": "k"}, b'{"phone":"+1"}')
    assert (status, body) == (201, b'{"here":true}')
    seen = behind.seen[-1]
    assert (seen.method, seen.path, seen.body) == ("POST", "/api/auth/request?a=%2F", b'{"phone":"+1"}')
    assert seen.headers["host"] == HOST
    assert seen.headers["x-real-ip"] == "127.0.0.1"
    assert seen.headers["x-forwarded-proto"] == "https"
    assert seen.headers["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"  # Auth1 believes it from the right only
    assert seen.headers["x-api-key"] == "k"
    assert "connection" not in seen.headers


def test_connections_to_auth1_are_kept_open(proxy: Proxy, behind: Behind) -> None:
    behind.seen.clear()
    for _ in range(3):
        proxy.ask("/health")
    assert len({seen.connection for seen in behind.seen}) == 1


def test_browsers_may_speak_http2(proxy: Proxy) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", proxy.https_port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"


def test_old_protocols_and_ciphers_without_forward_secrecy_are_refused(proxy: Proxy) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:AES128-SHA:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", proxy.https_port), timeout=10) as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname=HOST),
    ):
        pass


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "/%6detrics", "//metrics", "/health/../metrics", "/metrics?a=1"]
)
def test_metrics_are_refused(path: str, proxy: Proxy, behind: Behind) -> None:
    behind.seen.clear()
    status, headers, body = proxy.ask(path)
    assert (status, headers["content-type"]) == (403, "application/problem+json")
    assert json.loads(body)["code"] == "forbidden"
    assert behind.seen == []


def test_a_body_of_17_kib_reaches_auth1_which_gives_the_answer(proxy: Proxy, behind: Behind) -> None:
    assert proxy.ask("/api/auth/request", "POST", body=b"x" * 17 * 1024)[0] == 201
    assert len(behind.seen[-1].body) == 17 * 1024


def test_a_larger_body_is_refused_in_the_words_of_auth1(proxy: Proxy, behind: Behind) -> None:
    behind.seen.clear()
    status, headers, body = proxy.ask("/api/auth/request", "POST", body=b"x" * 33 * 1024)
    assert (status, headers["content-type"]) == (413, "application/problem+json")
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (413, "payload_too_large")
    assert len(problem["request_id"]) == 32
    assert behind.seen == []


def test_while_auth1_is_away_the_answer_says_when_to_come_back(orphan: Proxy) -> None:
    status, headers, body = orphan.ask("/api/auth/verify", "POST", body=b"{}")
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    assert headers["retry-after"] == "1"
    assert json.loads(body)["code"] == "unavailable"


def test_a_refusal_of_auth1_passes_untouched(proxy: Proxy) -> None:
    status, _, body = proxy.ask("/refused")
    assert (status, body) == (502, b'{"code":"delivery_failed"}')


@pytest.mark.parametrize("path", ["/health", "/metrics", "/refused"])
def test_every_answer_asks_browsers_to_stay_with_https(path: str, proxy: Proxy) -> None:
    assert proxy.ask(path)[1]["strict-transport-security"] == "max-age=31536000"


def test_plain_http_is_sent_to_our_own_name_whatever_host_was_asked_for(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http_port, timeout=10)
    connection.request("GET", "/docs?a=1", headers={"Host": "evil.example"})
    response = connection.getresponse()
    assert (response.status, response.getheader("location")) == (301, f"https://{HOST}/docs?a=1")
    connection.close()


def test_no_request_line_is_logged(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> None:
    proxy.ask("/api/tenant/users?phone=%2B15551234567")
    logs = [file.read_text() for file in tmp_path_factory.getbasetemp().glob("nginx*/access.log")]
    assert logs != []
    assert all("15551234567" not in log for log in logs)


def test_nginx_waits_longer_than_auth1_takes_and_closes_idle_connections_first() -> None:
    def seconds(directive: str) -> int:
        found = re.search(rf"^\s*{directive}\s+(\d+)s;", CONF, re.MULTILINE)
        assert found is not None
        return int(found[1])

    assert seconds("proxy_read_timeout") > 6
    assert seconds("keepalive_timeout") * 1000 < HEADER_READ_TIMEOUT_MS  # which granian counts for idle connections too
