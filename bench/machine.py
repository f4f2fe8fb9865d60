"""The line that says on what a measurement ran: cores, load, and the build of Python.

    python -m bench.machine          print it
    python -m bench.machine DIR      exit with 1 unless this virtual environment is of the same interpreter

Builds of Python differ, for example in profile-guided optimisation (PGO). So services that are compared must run on one
interpreter. docs/performance.md has what was measured of two builds.
"""

import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

OPTIMISATIONS = ("--enable-optimizations", "--with-lto")
_IDENTITY = "import sys; print(sys.base_prefix, sys.version)"


def machine_line() -> str:
    """Return cores, load average and Python's build in one line."""
    load = " ".join(f"{average:.1f}" for average in os.getloadavg())
    return f"{platform.machine()}, {os.cpu_count()} cores, load average {load}, {python_build()}"


def python_build() -> str:
    """Return version, compiler and build options of this Python.

    Debian's packages have PGO without the option of `configure`, so its absence proves nothing for them.
    """
    configured = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    options = [option for option in OPTIMISATIONS if option in configured]
    build = " ".join(options) or ("as Debian builds it" if _is_of_debian() else "without PGO")
    return f"Python {platform.python_version()} ({platform.python_compiler()}, {build})"


def _is_of_debian() -> bool:
    """Return whether this Python is a package of Debian or of a system that is made of it."""
    return sys.base_prefix == "/usr" and Path("/etc/debian_version").exists()


def is_same_python(other: Path) -> bool:
    """Return whether another program runs on the interpreter of this process; false where it cannot be started."""
    if not other.exists():
        return False
    done = subprocess.run([other, "-c", _IDENTITY], capture_output=True, text=True, check=False)
    return done.stdout == f"{sys.base_prefix} {sys.version}\n"


def main() -> int:
    """Print the line. With the folder of a virtual environment: 1 unless it is of this interpreter."""
    if len(sys.argv) > 1:
        return 0 if is_same_python(Path(sys.argv[1], "bin", "python")) else 1
    print(machine_line())
    return 0


if __name__ == "__main__":
    sys.exit(main())
