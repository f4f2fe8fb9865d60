"""A real nginx with one of the configurations of ops/nginx.

Only local values are changed: the ports, the certificate, the log paths and Auth1's addresses.
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
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

FOLDER = Path(__file__).parents[2] / "ops/nginx"
HOST = "auth.yourdomain.com"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")


@dataclass
class Proxy:
    """A running nginx."""

    folder: Path
    https_port: int
    http_port: int
    context: ssl.SSLContext

    def connect(self) -> http.client.HTTPSConnection:
        return http.client.HTTPSConnection("127.0.0.1", self.https_port, context=self.context, timeout=300)

    def send(
        self, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Send one request on its own connection."""
        connection = self.connect()
        try:
            connection.request(method, path, body=body, headers={"Host": HOST} | (headers or {}))
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def send_raw(self, data: bytes) -> bytes:
        """Send bytes that no HTTP client would send, and return the whole response."""
        with (
            socket.create_connection(("127.0.0.1", self.https_port), timeout=300) as plain,
            self.context.wrap_socket(plain, server_hostname=HOST) as secure,
        ):
            secure.sendall(data)
            answer = b""
            while chunk := secure.recv(65536):
                answer += chunk
            return answer

    def access_lines(self, number: int) -> list[dict[str, Any]]:
        """Wait until the access log has a number of lines, and return all of them."""
        log = self.folder / "auth1.log"
        wait_until(lambda: log.exists() and log.read_text().count("\n") >= number)
        return [json.loads(line) for line in log.read_text().splitlines()]

    def logs(self) -> str:
        """Return all that nginx has logged anywhere."""
        return "".join(file.read_text() for file in sorted(self.folder.glob("*.log")))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], timeout_s: float = 300) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def write_certificate(folder: Path) -> None:
    """Write a self-signed certificate for HOST, with certbot's file names."""
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
    """Replace a text that must be present."""
    assert old in text
    return text.replace(old, new)


def configure(
    folder: Path, *, https_port: int, http_port: int, upstream_ports: Sequence[int], trust_peer: bool = False
) -> list[str]:
    """Write the configuration for one or two instances of Auth1; return the command that runs nginx with it.

    With `trust_peer` nginx takes the client's address from X-Forwarded-For, so that a test can have any address.
    """
    assert NGINX is not None
    write_certificate(folder)
    site = (FOLDER / ("auth1.conf" if len(upstream_ports) == 1 else "auth1-two-instances.conf")).read_text()
    site = replace(site, f"/etc/letsencrypt/live/{HOST}", str(folder))
    site = replace(site, "/var/log/nginx/", f"{folder}/")
    for number, port in enumerate(upstream_ports):
        site = replace(site, f"server 127.0.0.1:{3000 + number} ", f"server 127.0.0.1:{port} ")
    site = re.sub(r"^ *listen \[::\].*\n", "", site, flags=re.MULTILINE)  # not every machine has IPv6
    site = replace(site, "listen 443 ", f"listen 127.0.0.1:{https_port} ")
    site = replace(site, "listen 80;", f"listen 127.0.0.1:{http_port};")
    (folder / "auth1.conf").write_text(site)
    temporary = "\n".join(
        f"    {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    real_ip = "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;" if trust_peer else ""
    user = "user root root;" if os.geteuid() == 0 else ""  # the temporary directory is for its owner alone
    (folder / "nginx.conf").write_text(
        f"{user}\ndaemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log warn;\n"
        f"events {{}}\nhttp {{\n{temporary}\naccess_log {folder}/access.log;\n{real_ip}\n"
        f"include {FOLDER}/conf.d/*.conf;\ninclude {folder}/auth1.conf;\n}}\n"
    )
    return [NGINX, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(folder / "nginx.conf")]


@contextmanager
def running(folder: Path, *upstream_ports: int, trust_peer: bool = False) -> Iterator[Proxy]:
    """Run nginx in front of one or two instances of Auth1."""
    https_port, http_port = free_port(), free_port()
    command = configure(
        folder, https_port=https_port, http_port=http_port, upstream_ports=upstream_ports, trust_peer=trust_peer
    )
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: process.poll() is not None or (listens(https_port) and listens(http_port)))
        assert process.poll() is None, (folder / "error.log").read_text()
        context = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
        context.check_hostname = False  # clients connect by address; the certificate itself is checked
        yield Proxy(folder, https_port, http_port, context)
    finally:
        process.terminate()
        process.wait(timeout=300)
