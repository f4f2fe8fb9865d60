"""A Patroni cluster on this machine: etcd, three nodes with PostgreSQL, and HAProxy, with the files of ops/patroni.

Ports and directories are replaced, and connections of the loopback need no password. PostgreSQL rejects root, so root
runs the nodes as the unprivileged user.
"""

import http.client
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from signal import SIGKILL, SIGSTOP, SIGTERM, SIGUSR1
from subprocess import Popen
from typing import Any

import yaml

from auth1.dev.launch import UNPRIVILEGED_UID
from auth1.dev.processes import HOST, children, exchange, free_port, launch, send, wait_until
from auth1.dev.server import LocalServer, ServerError, ServerNotFound
from bench.accounts import ROOT

NODES = 3
DATABASE = "auth1_bench"
FORM_S = 120.0
FILES = ROOT / "ops/patroni"
PATH = f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin"


def find(program: str) -> str:
    """Return the path of a program. Raises ServerNotFound."""
    if (found := shutil.which(program, path=PATH)) is None:
        raise ServerNotFound(
            f"{program} is not installed (Debian: apt install patroni etcd-server haproxy postgresql-15)"
        )
    return found


class Etcd(LocalServer):
    """One member of etcd; production has three."""

    name = "etcd"
    stop_signal = SIGTERM

    def _spawn(self, port: int, lock: int) -> Popen[bytes]:
        clients, peers = f"http://{HOST}:{port}", f"http://{HOST}:{free_port()}"
        command = [find("etcd"), "--name", "etcd", "--data-dir", str(self.data_dir / "data"), "--log-level", "warn"]
        command += ["--listen-client-urls", clients, "--advertise-client-urls", clients, "--listen-peer-urls", peers]
        command += ["--initial-advertise-peer-urls", peers, "--initial-cluster", f"etcd={peers}"]
        return launch(command, log=self.log, keep_open=[lock], death_signal=self.stop_signal)

    def _answers(self, pid: int, port: int) -> bool:
        del pid
        return b'"true"' in exchange(port, b"GET /health HTTP/1.0\r\n\r\n", b'"true"')


class Node(LocalServer):
    """Patroni and its PostgreSQL. `port` is that of Patroni's REST API."""

    name = "Patroni"
    stop_signal = SIGTERM

    def __init__(self, data_dir: Path, etcd: Etcd) -> None:
        super().__init__(data_dir, None)
        self.label = data_dir.name
        self.postgres_port = free_port()
        self._etcd = etcd

    @property
    def address(self) -> str:
        return f"{HOST}:{self.postgres_port}"

    def url(self, database: str, user: str) -> str:
        return f"postgresql://{user}@{self.address}/{database}"

    def call(self, path: str, method: str = "GET", body: object = None) -> tuple[int, str]:
        """Call the REST API; return the status and the body. Status 0: it does not respond."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def is_primary(self) -> bool:
        return self.running and self.call("/primary")[0] == 200

    @property
    def postmaster(self) -> int:
        """The main process of PostgreSQL, which is no child of Patroni."""
        return int((self.data_dir / "data/postmaster.pid").read_text().partition("\n")[0])

    def crash_postgres(self) -> None:
        """Kill all processes of PostgreSQL (SIGKILL). Patroni stays."""
        with suppress(FileNotFoundError):
            postmaster = self.postmaster
            send(postmaster, SIGSTOP)  # it starts no other processes
            for pid in [*children(postmaster), postmaster]:
                send(pid, SIGKILL)

    def kill(self) -> None:
        """Kill Patroni and PostgreSQL (SIGKILL), as if the machine lost its power."""
        if self.running:
            send(self.pid, SIGSTOP)
            self.crash_postgres()
        super().kill()

    def stop(self) -> None:
        """Shut down in order; Patroni stops PostgreSQL."""
        super().stop()
        with suppress(ServerError, ValueError):
            self.crash_postgres()

    def _spawn(self, port: int, lock: int) -> Popen[bytes]:
        config = self.data_dir / "patroni.yml"
        config.write_text(json.dumps(self._configuration(port)))  # JSON is YAML
        identity = "ourselves"
        if os.geteuid() == 0:
            identity = "nobody"
            for path in (self.data_dir, config):
                os.chown(path, UNPRIVILEGED_UID, UNPRIVILEGED_UID)
        return launch(
            [find("patroni"), str(config)],
            log=self.log,
            keep_open=[lock],
            death_signal=self.stop_signal,
            identity=identity,
        )

    def _configuration(self, port: int) -> dict[str, Any]:
        """Return ops/patroni/patroni.yml with the values of this node."""
        made: dict[str, Any] = yaml.safe_load((FILES / "patroni.yml").read_text())
        made["name"] = self.label
        made["restapi"] = dict.fromkeys(made["restapi"], f"{HOST}:{port}")
        made["etcd3"] = {"hosts": f"{HOST}:{self._etcd.port}"}
        postgres = made["postgresql"]
        postgres |= {"listen": self.address, "connect_address": self.address, "data_dir": str(self.data_dir / "data")}
        postgres |= {"bin_dir": str(postgres_programs()), "pgpass": str(self.data_dir / "pgpass")}
        postgres["pg_hba"] = [f"host {database} all {HOST}/32 trust" for database in ("all", "replication")]
        made["bootstrap"]["dcs"]["postgresql"]["parameters"]["unix_socket_directories"] = ""
        return made

    def _answers(self, pid: int, port: int) -> bool:
        del pid
        return b"HTTP/" in exchange(port, b"GET /liveness HTTP/1.0\r\n\r\n", b"\r\n")


class HAProxy(LocalServer):
    """HAProxy in front of the nodes."""

    name = "HAProxy"
    stop_signal = SIGUSR1  # finishes; SIGTERM ends it at once, too

    def __init__(self, data_dir: Path, nodes: list[Node]) -> None:
        super().__init__(data_dir, None)
        self._nodes = nodes

    def _spawn(self, port: int, lock: int) -> Popen[bytes]:
        text = (FILES / "haproxy.cfg").read_text().replace("127.0.0.1:5000", f"{HOST}:{port}")
        for number, node in enumerate(self._nodes, 1):
            line = f"server {node.label} {node.address} check port {node.port}"
            text, count = re.subn(rf"server db{number} .*", line, text)
            assert count == 1, f"ops/patroni/haproxy.cfg has no server db{number}"
        config = self.data_dir / "haproxy.cfg"
        config.write_text(text)
        return launch([find("haproxy"), "-db", "-f", str(config)], log=self.log, keep_open=[lock], death_signal=SIGTERM)

    def _answers(self, pid: int, port: int) -> bool:
        """Return whether connections are accepted; without a primary they are closed at once."""
        del pid
        with suppress(OSError):
            http.client.HTTPConnection(HOST, port, timeout=1).connect()
            return True
        return False

    def stop(self) -> None:
        if self.running:
            send(self.pid, SIGTERM)
        super().stop()


class Cluster:
    """The nodes, in order of their start; the first primary is the first one."""

    def __init__(self, nodes: list[Node], proxy: HAProxy) -> None:
        self.nodes = nodes
        self.proxy = proxy

    @property
    def proxy_url(self) -> str:
        return f"postgresql://auth1@{HOST}:{self.proxy.port}/{DATABASE}"

    @property
    def hosts_url(self) -> str:
        hosts = ",".join(node.address for node in self.nodes)
        return f"postgresql://auth1@{hosts}/{DATABASE}?target_session_attrs=read-write"

    def primary(self) -> Node | None:
        return next((node for node in self.nodes if node.is_primary()), None)

    def set_synchronous(self, enabled: bool) -> None:
        """Turn synchronous replication on or off, and wait until it holds."""
        status, text = self.nodes[0].call("/config", "PATCH", {"synchronous_mode": enabled})
        if status != 200:
            raise ServerError(f"Patroni did not change its configuration: {status} {text}")
        self.wait_until_whole(synchronous=enabled)

    def switch_over(self, primary: Node) -> None:
        """Promote a healthy standby in the place of the primary. Returns when Patroni has finished."""
        status, text = primary.call("/switchover", "POST", {"leader": primary.label})
        if status != 200:
            raise ServerError(f"Patroni did not switch over: {status} {text}")

    def wait_until_whole(self, *, synchronous: bool) -> None:
        """Wait for a primary and standbys without lag, one of them synchronous if commits wait for one."""
        if not wait_until(lambda: self._is_whole(synchronous=synchronous), FORM_S):
            logs = "\n".join(node.log.read_text()[-2000:] for node in self.nodes)
            raise ServerError(f"the Patroni cluster did not become whole: {self._members()}\n{logs}")

    def _members(self) -> list[dict[str, Any]]:
        for node in self.nodes:
            status, text = node.call("/cluster") if node.running else (0, "")
            if status == 200:
                members: list[dict[str, Any]] = json.loads(text)["members"]
                return members
        return []

    def _is_whole(self, *, synchronous: bool) -> bool:
        members = self._members()
        roles = [member["role"] for member in members if member["state"] in ("running", "streaming")]
        lags = [member.get("lag") for member in members if member["role"] != "leader"]
        timelines = {member.get("timeline") for member in members}
        return (
            (len(roles), roles.count("leader"), len(timelines)) == (NODES, 1, 1)
            and roles.count("sync_standby") == int(synchronous)
            and all(lag == 0 for lag in lags)
        )


@contextmanager
def patroni_cluster() -> Iterator[Cluster]:
    """Run etcd, the nodes and HAProxy in a temporary directory."""
    directory = Path(tempfile.mkdtemp(prefix="auth1-patroni-"))
    directory.chmod(0o711)  # the unprivileged user passes through it
    try:
        with ExitStack() as stack:
            etcd = stack.enter_context(Etcd(directory / "etcd", None))
            nodes = [Node(directory / f"db{number}", etcd) for number in range(1, NODES + 1)]
            first = stack.enter_context(nodes[0])
            if not wait_until(first.is_primary, FORM_S):
                raise ServerError(f"Patroni made no primary:\n{first.log.read_text()[-4000:]}")
            for node in nodes[1:]:
                stack.enter_context(node)
            cluster = Cluster(nodes, stack.enter_context(HAProxy(directory / "haproxy", nodes)))
            cluster.wait_until_whole(synchronous=True)
            yield cluster
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def postgres_programs() -> Path:
    """Return the directory with all programs of PostgreSQL, of Debian's newest version. Raises ServerNotFound."""
    found = sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin/pg_rewind"), key=lambda path: int(path.parts[-3]))
    if not found:
        raise ServerNotFound("pg_rewind is not installed (Debian: apt install postgresql-15)")
    return found[-1].parent
