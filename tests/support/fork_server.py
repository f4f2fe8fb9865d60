"""Run commands of `auth1` in forks of a process that has imported them: a new interpreter takes a second of CPU.

The process gets requests on a socket: arguments and environment in JSON, and the descriptors of stdin, stdout, stderr
and of a pipe for the answer. A fork runs `main` as `python -m auth1` does. Its parent answers with the process id and,
later, the exit code. A fork that is a server has a process group and a directory, and stops when the tests end.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
from contextlib import suppress

import auth1.cli
from auth1.__main__ import main
from auth1.dev.launch import end_with_parent

MAX_REQUEST_BYTES = 1 << 17


def import_commands() -> None:
    """Import what the commands import. `serve` with several workers is not run here: it prepares metrics before."""
    for module in pkgutil.iter_modules(auth1.cli.__path__):
        importlib.import_module(f"auth1.cli.{module.name}")
    gc.freeze()


def next_command(control: socket.socket) -> list[str] | None:
    """Return the arguments in each fork that is to run a command; null in the server, when the tests have ended."""
    server = os.getpid()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 4)
        if not data:
            return None
        if os.fork() == 0:
            control.close()
            answer = descriptors.pop()
            request, between = json.loads(data), os.getpid()
            is_server = "directory" in request
            if is_server:
                end_with_parent(server, signal.SIGTERM)
            command = os.fork()
            if command == 0:
                os.close(answer)
                if is_server:
                    os.setpgid(0, 0)
                    os.chdir(request["directory"])
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    end_with_parent(between, signal.SIGTERM)
                return _become(request, descriptors)
            if is_server:
                with suppress(PermissionError, ProcessLookupError):  # the child does the same, and neither may be late
                    os.setpgid(command, command)
            os.write(answer, f"{command}\n".encode())
            _, status = os.waitpid(command, 0)
            os.write(answer, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        _reap()


def _become(request: dict[str, object], descriptors: list[int]) -> list[str]:
    """Take over the environment and the standard streams of a command; return its arguments."""
    arguments, environment = request["arguments"], request["environment"]
    assert isinstance(arguments, list)
    assert isinstance(environment, dict)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(environment)
    return arguments


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    import_commands()
    if (command := next_command(socket.socket(fileno=int(sys.argv[1])))) is not None:
        main(command)
