"""Change to the user of the server, end with the parent process, then execute the server.

    python -I -S launch.py PARENT SIGNAL IDENTITY PROGRAM [ARGUMENT...]

It is a separate script, because Python code between fork and exec (`preexec_fn`) may deadlock in a process with
threads; Python 3.12 and later warn of that. It is small, because each start of a server waits for it, about 15 ms.
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
    """Change to the unprivileged user. This cannot be undone."""
    os.setgroups([])
    os.setgid(UNPRIVILEGED_UID)
    os.setuid(UNPRIVILEGED_UID)


def end_with_parent(parent: int, signal: int) -> None:
    """Let the kernel send `signal` to this process when the parent ends, even if the parent is killed.

    A change of credentials undoes this, so call it last. Only Linux supports it.
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
    """Change the user, end with the parent, and execute the command. Other orders of these steps fail."""
    try:
        if identity == "namespace":
            enter_namespace()
        elif identity == "nobody":
            drop_root()
        end_with_parent(int(parent), int(signal))
        os.execv(command[0], command)
    except OSError as error:
        sys.exit(f"cannot become {command[0]} as {identity}: {error}")


if __name__ == "__main__":
    main(*sys.argv[1:])
