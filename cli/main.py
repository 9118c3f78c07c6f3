"""The entry of the ``dcn`` command, whose parts are loaded as they are needed: it is to start at
once."""

from __future__ import annotations

import gc
import os
import signal
import sys

from dcncodec.cli import quick
from dcncodec.cli.lines import complain, say
from dcncodec.cli.streams import Ended, ended_by_signals, standard_streams
from dcncodec.errors import DcnError


def process() -> None:
    """``main`` as all that a process does."""
    if _run_whole():
        # Python would take apart what was loaded, piece by piece, for a fifth of its start's time.
        os._exit(0)


def main() -> None:
    """Run the command line; every error that a user can cause ends in one line."""
    _run_whole()


def _run_whole() -> bool:
    """``main``; gives whether nothing is left to be put in order, such as other threads."""
    code, at_once = 0, False
    try:
        with ended_by_signals(), standard_streams():
            at_once = _decoded()
            if not at_once:
                code = _run()
    except Ended as end:
        complain(f"ended by {signal.Signals(end.number).name}")
        code = 128 + end.number
    except KeyboardInterrupt:
        complain("interrupted")
        code = 130
    except DcnError as error:
        complain(str(error))
        code = error.exit_code
    if code:
        sys.exit(code)
    return at_once


def _decoded() -> bool:
    """Whether the command line was a plain decoding, which is done."""
    # Little of what is loaded for one picture becomes garbage: looking for that takes longer.
    gc.disable()
    done = quick.decode(sys.argv[1:])
    if done is None:
        gc.enable()
        return False
    say(done)
    return True


def _run() -> int:
    """Run the command line; gives its exit code."""
    from dcncodec.cli.group import notices_shown, run

    with notices_shown():
        return run()
