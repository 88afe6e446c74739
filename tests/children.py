"""Child processes that do not outlive the tests, whatever ends those: also kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tests.coverage import saving

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["start", "stop"]

# The shell becomes the command. What it leaves behind reads a pipe that only we can write to, and never do: at our end
# it kills the process group, so that workers go as well. It is there before the command is, so nothing slips through.
_GUARDED = 'exec 3<&0 </dev/null; { read _ <&3; kill -KILL 0; } >/dev/null 2>&1 & exec "$@" 3<&-'


def start(command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
    """Start `command` in a process group of its own, that ends with us at the latest.

    `options` are those of `subprocess.Popen`, without `stdin`: there is nothing to read there.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", _GUARDED, "sh", *command], stdin=subprocess.PIPE, start_new_session=True, **options
    )


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process that `start` has started, and its group: at once, since no test looks at what happens now."""
    if saving.is_measured() and saving.SIGNAL is not None:
        with suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.killpg(process.pid, saving.SIGNAL)
            process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)
    assert process.stdin is not None
    process.stdin.close()
