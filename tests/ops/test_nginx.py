"""ops/nginx: accepted by a real nginx, and proxying through one."""

import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from auth1.cli.serve import HEADER_READ_TIMEOUT_MS
from auth1.routes import ROUTES
from tests.ops.nginx import FOLDER, HOST, NGINX, Proxy, configure, free_port, running, wait_until

CONF = (FOLDER / "auth1.conf").read_text()
TWO_INSTANCES = (FOLDER / "auth1-two-instances.conf").read_text()
CONNECTIONS_PER_ADDRESS = 100
MIB = 1024 * 1024
LOGOS = ["/api/tenant/logo", "/api/admin/tenants/tn_1/logo"]
IMPORTS = ["/api/tenant/users/import", "/api/admin/tenants/tn_1/users/import"]

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@dataclass
class Seen:
    """A request as it reached the server behind nginx."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    connection: int  # the port from which nginx connected


@dataclass
class Behind:
    """A small HTTP server in Auth1's place."""

    seen: list[Seen] = field(default_factory=list)
    port: int = 0
    waiting: int = 0  # requests of /slow in progress
    go_on: threading.Event = field(default_factory=threading.Event)  # lets /slow respond


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    """Respond 201 to every request and remember it."""
    here = Behind()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def respond(self) -> None:
            if "chunked" in self.headers.get("transfer-encoding", ""):
                body = self.read_chunks()
            else:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            here.seen.append(Seen(self.command, self.path, headers, body, self.client_address[1]))
            if self.path == "/slow":
                here.waiting += 1
                here.go_on.wait(20)
            if self.path == "/rejected":
                self.reply(502, b'{"code":"delivery_failed"}')
            else:
                self.reply(201, b'{"here":true}')

        def read_chunks(self) -> bytes:
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def reply(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.respond()

        def do_POST(self) -> None:
            self.respond()

        def do_PUT(self) -> None:
            self.respond()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True  # nginx keeps its connections open
        request_queue_size = 2 * CONNECTIONS_PER_ADDRESS

    server = Server(("127.0.0.1", 0), Handler)
    here.port = server.server_port
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield here
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def proxy(behind: Behind, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with running(tmp_path_factory.mktemp("nginx"), behind.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def orphan(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """An nginx without Auth1."""
    with running(tmp_path_factory.mktemp("orphan"), free_port()) as proxy:
        yield proxy


@pytest.mark.parametrize("upstream_ports", [[3000], [3000, 3001]], ids=["one instance", "two instances"])
def test_nginx_accepts_the_configuration_without_a_warning(upstream_ports: list[int], tmp_path: Path) -> None:
    command = configure(tmp_path, https_port=free_port(), http_port=free_port(), upstream_ports=upstream_ports)
    done = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    newer = 'the "listen ... http2" directive is deprecated'  # from 1.25.1 on; the file says so
    assert [line for line in done.stderr.splitlines() if "warn" in line and newer not in line] == []


def test_two_configurations_differ_in_the_upstream_only() -> None:
    def rest(text: str) -> str:
        return re.sub(r"\A.*?    keepalive 64;", "", text, flags=re.DOTALL)

    assert rest(CONF) == rest(TWO_INSTANCES)


def test_nginx_keeps_instances_in_service_after_a_failure() -> None:
    for text, instances in ((CONF, 1), (TWO_INSTANCES, 2)):
        servers = re.findall(r"^    server (\S+) (.*);$", text, re.MULTILINE)
        assert [options for _, options in servers] == ["max_fails=0"] * instances


def test_client_address_host_and_scheme_are_forwarded(proxy: Proxy, behind: Behind) -> None:
    forged = {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.8", "X-Forwarded-Proto": "gopher"}
    status, _, body = proxy.send("/api/auth/request?a=%2F", "POST", forged | {"x-api-key": "k"}, b'{"phone":"+1"}')
    assert (status, body) == (201, b'{"here":true}')
    seen = behind.seen[-1]
    assert (seen.method, seen.path, seen.body) == ("POST", "/api/auth/request?a=%2F", b'{"phone":"+1"}')
    assert seen.headers["host"] == HOST
    assert seen.headers["x-real-ip"] == "127.0.0.1"
    assert seen.headers["x-forwarded-proto"] == "https"
    assert seen.headers["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"  # Auth1 trusts it from the right only
    assert seen.headers["x-api-key"] == "k"
    assert "connection" not in seen.headers


def test_connections_to_auth1_are_kept_open(proxy: Proxy, behind: Behind) -> None:
    behind.seen.clear()
    for _ in range(3):
        proxy.send("/health")
    assert len({seen.connection for seen in behind.seen}) == 1


def test_browsers_can_use_http2(proxy: Proxy) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", proxy.https_port), timeout=300) as plain,
        context.wrap_socket(plain, server_hostname=HOST) as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"


def test_old_protocols_and_ciphers_without_forward_secrecy_are_rejected(proxy: Proxy) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-SHA:AES128-SHA:@SECLEVEL=0")
    with (
        socket.create_connection(("127.0.0.1", proxy.https_port), timeout=300) as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname=HOST),
    ):
        pass


@pytest.mark.parametrize(
    "path", ["/metrics", "/metrics/", "/%6detrics", "//metrics", "/health/../metrics", "/metrics?a=1"]
)
def test_metrics_are_rejected(path: str, proxy: Proxy, behind: Behind) -> None:
    behind.seen.clear()
    status, headers, body = proxy.send(path)
    assert (status, headers["content-type"]) == (403, "application/problem+json")
    assert json.loads(body)["code"] == "forbidden"
    assert behind.seen == []


# --- bodies


def test_body_of_17_kib_reaches_auth1(proxy: Proxy, behind: Behind) -> None:
    assert proxy.send("/api/auth/request", "POST", body=b"x" * 17 * 1024)[0] == 201
    assert len(behind.seen[-1].body) == 17 * 1024


@pytest.mark.parametrize("path", IMPORTS)
def test_import_of_4_mib_reaches_auth1(path: str, proxy: Proxy, behind: Behind) -> None:
    assert proxy.send(path, "POST", body=b"x" * 4 * MIB)[0] == 201
    assert len(behind.seen[-1].body) == 4 * MIB


@pytest.mark.parametrize("path", LOGOS)
def test_logo_of_64_kib_reaches_auth1(path: str, proxy: Proxy, behind: Behind) -> None:
    assert proxy.send(path, "PUT", body=b"x" * 64 * 1024)[0] == 201
    assert len(behind.seen[-1].body) == 64 * 1024


def test_every_upload_route_accepts_its_documented_body_size() -> None:
    limits = re.findall(r"location ~ (\S+) \{\n *client_max_body_size +(\d+)k;", CONF)
    uploads = {route.path: route.limit.max_bytes for route in ROUTES if route.limit.max_bytes > 32 * 1024}
    assert uploads != {}
    for path, size in uploads.items():
        actual = re.sub(r"\{\w+\}", "tn_1", path)
        (limit,) = [int(kib) * 1024 for pattern, kib in limits if re.fullmatch(pattern.strip("^$"), actual)]
        assert size <= limit <= size + 5 * 1024


@pytest.mark.parametrize(
    ("path", "kib", "limit"),
    [
        ("/api/auth/request", 33, "16 KiB"),
        ("/api/tenant/users/import/", 33, "16 KiB"),
        ("/api/tenant/users", 33, "16 KiB"),
        (IMPORTS[0], 4101, "4 MiB"),
        (LOGOS[0], 66, "64 KiB"),
    ],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["sized", "chunked"])
def test_larger_body_is_rejected_with_a_problem_document(
    path: str, kib: int, limit: str, chunked: bool, proxy: Proxy, behind: Behind
) -> None:
    behind.seen.clear()
    if chunked:
        head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        size = kib * 1024
        answer = proxy.send_raw(head.encode() + b"%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n")
        head_of_answer, _, body = answer.partition(b"\r\n\r\n")
        status = int(head_of_answer.split()[1])
        assert b"content-type: application/problem+json" in head_of_answer.lower()
    else:
        status, headers, body = proxy.send(path, "POST", body=b"x" * kib * 1024)
        assert headers["content-type"] == "application/problem+json"
    problem = json.loads(body)
    assert (status, problem["status"], problem["code"]) == (413, 413, "payload_too_large")
    assert limit in problem["detail"]
    assert len(problem["request_id"]) == 32
    assert behind.seen == []


# --- nginx's own errors


def test_unavailable_auth1_is_a_503_with_retry_after(orphan: Proxy) -> None:
    for path in ("/api/auth/verify", IMPORTS[0]):
        status, headers, body = orphan.send(path, "POST", body=b"{}")
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert headers["retry-after"] == "1"
        assert json.loads(body)["code"] == "unavailable"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (f"GET /{'x' * 9000} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", 414, "uri_too_long"),
        (f"GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Long: {'x' * 9000}\r\n\r\n", 400, "bad_request"),
        (f"GET / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: ten\r\n\r\n", 400, "bad_request"),
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
    ],
)
def test_malformed_request_returns_a_problem_document(data: str, status: int, code: str, proxy: Proxy) -> None:
    head, _, body = proxy.send_raw(data.encode()).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert b"content-type: application/problem+json" in head.lower()
    assert json.loads(body)["code"] == code


def test_error_of_auth1_passes_unchanged(proxy: Proxy) -> None:
    status, _, body = proxy.send("/rejected")
    assert (status, body) == (502, b'{"code":"delivery_failed"}')


@pytest.mark.parametrize("path", ["/health", "/metrics", "/rejected"])
def test_every_response_has_strict_transport_security(path: str, proxy: Proxy) -> None:
    assert proxy.send(path)[1]["strict-transport-security"] == "max-age=31536000"


def test_plain_http_redirects_to_the_configured_host(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http_port, timeout=300)
    connection.request("GET", "/docs?a=1", headers={"Host": "evil.example"})
    response = connection.getresponse()
    assert (response.status, response.getheader("location")) == (301, f"https://{HOST}/docs?a=1")
    connection.close()


def test_one_address_has_at_most_100_requests_in_progress(proxy: Proxy, behind: Behind) -> None:
    behind.go_on.clear()
    with ExitStack() as stack:
        stack.callback(behind.go_on.set)
        waiting = []
        for _ in range(CONNECTIONS_PER_ADDRESS):
            connection = proxy.connect()
            stack.callback(connection.close)
            connection.request("GET", "/slow", headers={"Host": HOST})
            waiting.append(connection)
        wait_until(lambda: behind.waiting == CONNECTIONS_PER_ADDRESS)

        status, headers, body = proxy.send("/health")
        assert (status, headers["content-type"]) == (429, "application/problem+json")
        assert headers["retry-after"] == "1"
        assert json.loads(body)["code"] == "rate_limited"

        behind.go_on.set()
        assert {connection.getresponse().status for connection in waiting} == {201}
    assert proxy.send("/health")[0] == 201


# --- times


def seconds(directive: str, text: str = CONF) -> int:
    found = re.search(rf"^\s*{directive}\s+(\d+)s;", text, re.MULTILINE)
    assert found is not None
    return int(found[1])


def test_nginx_closes_idle_connections_before_auth1() -> None:
    assert seconds("keepalive_timeout") * 1000 < HEADER_READ_TIMEOUT_MS  # granian counts it for idle connections too


def test_nginx_waits_longer_than_auth1_takes() -> None:
    """A stream (an export) only has to begin in time: nginx counts from one read to the next."""
    ordinary = [route for route in ROUTES if route.limit.max_bytes <= 32 * 1024 and not route.path.endswith("/export")]
    assert seconds("proxy_read_timeout") > max(route.deadline_s for route in ordinary)
    uploads = [route for route in ROUTES if route.limit.max_bytes > 32 * 1024]
    imports = CONF[CONF.index("/users/import$") :]
    assert seconds("proxy_read_timeout", imports) > max(route.deadline_s + route.limit.seconds for route in uploads)
