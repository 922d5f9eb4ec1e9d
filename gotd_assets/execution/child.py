"""A process of our own at the other end of a pipe.

It is started anew rather than forked (the libraries in use have threads), does not import the caller's main module, and
ends when its pipe closes, so that a killed caller leaves none behind.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO

_PROGRAM = """
import importlib, sys
from multiprocessing.connection import Connection
importlib.import_module(sys.argv[2]).serve(Connection(int(sys.argv[1])))
"""


def started(
    module: str, *, environment: Mapping[str, str] | None = None, stderr: int | IO[bytes] | None = None
) -> tuple[subprocess.Popen[bytes], Connection]:
    """Start a process that runs `serve(pipe)` of `module`, and return it with our end of the pipe.

    Raises:
        OSError: no process can be started.
    """
    ours, other = Pipe()
    variables = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path),
        **(environment or {}),
    }
    # Without -P a file of the working directory would be taken for the module of that name.
    command = [sys.executable, "-P", "-c", _PROGRAM, str(other.fileno()), module]
    try:
        process = subprocess.Popen(command, pass_fds=[other.fileno()], env=variables, stderr=stderr)
    except OSError:
        ours.close()
        raise
    finally:
        other.close()
    return process, ours
