"""nginx before several instances, with the retries of ops/nginx."""

import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from auth1.dev.processes import HOST, free_port

CONF = """\
daemon off; pid {folder}/pid; error_log {folder}/error.log crit; worker_processes 1;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  upstream auth1 {{ {servers} keepalive 64; keepalive_timeout 4s; }}
  server {{
    listen {host}:{port} backlog=4096;
    location / {{
      proxy_pass http://auth1; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_connect_timeout 2s; proxy_read_timeout 10s;
      proxy_next_upstream error timeout non_idempotent; proxy_next_upstream_timeout 5s;
    }}
  }}
}}
"""


class Proxy(NamedTuple):
    """A running nginx."""

    port: int
    pid: int


@contextmanager
def nginx(folder: Path, ports: Sequence[int]) -> Iterator[Proxy]:
    """Run nginx before some ports."""
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    servers = " ".join(f"server {HOST}:{upstream} max_fails=0;" for upstream in ports)
    folder.mkdir()
    conf = folder / "nginx.conf"
    conf.write_text(CONF.format(folder=folder, servers=servers, host=HOST, port=port))
    process = subprocess.Popen([program, "-p", str(folder), "-c", str(conf), "-e", str(folder / "error.log")])
    try:
        yield Proxy(port, process.pid)
    finally:
        process.terminate()
        process.wait()
