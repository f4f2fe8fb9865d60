"""Change to the user of the server, end with the parent, then execute the server.

    python -I -S launch.py PARENT SIGNAL IDENTITY PROGRAM [ARGUMENT...]

A script of its own, because Python code between fork and exec (`preexec_fn`) may deadlock in a process that has
threads, and warns of it since 3.12. It stays small: each start of a server waits for it, about 15 ms.
"""

import ctypes
import os
import sys

INSIDE = 1000  # the uid of root inside its namespace; PostgreSQL accepts any uid but 0
UNPRIVILEGED_UID = 65534  # the overflow uid: no system gives it files
CLONE_NEWUSER = 0x10000000  # sched.h
PR_SET_PDEATHSIG = 1  # sys/prctl.h


def enter_namespace() -> None:
    """Keep access to root's files without root's uid and capabilities (user_namespaces(7))."""
    _call("unshare", CLONE_NEWUSER)
    # The kernel requires setgroups to be disabled first, user_namespaces(7).
    for name, line in (("setgroups", "deny"), ("uid_map", f"{INSIDE} 0 1"), ("gid_map", f"{INSIDE} 0 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY)
        os.write(descriptor, line.encode())
        os.close(descriptor)


def drop_root() -> None:
    """Change to the unprivileged user for good."""
    os.setgroups([])
    os.setgid(UNPRIVILEGED_UID)
    os.setuid(UNPRIVILEGED_UID)


def die_with(parent: int, signal: int) -> None:
    """Have the kernel send `signal` when the parent ends, however it ends.

    The kernel forgets this at a change of credentials: call it last. Only Linux has it.
    """
    if sys.platform == "linux":
        _call("prctl", PR_SET_PDEATHSIG, signal)
        if os.getppid() != parent:
            sys.exit("the parent ended before the server began")


def _call(function: str, *arguments: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc[function](*map(ctypes.c_ulong, arguments)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


def main(parent: str, signal: str, identity: str, *command: str) -> None:
    """Run the steps in the only order that works."""
    try:
        if identity == "namespace":
            enter_namespace()
        elif identity == "nobody":
            drop_root()
        die_with(int(parent), int(signal))
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"cannot become {command[0]} as {identity}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
