"""The entry of the ``dcn`` command, whose parts are loaded as they are needed: it is to start at
once."""

from __future__ import annotations

import gc
import signal
import sys

from dcncodec.cli import quick
from dcncodec.cli.lines import complain, say
from dcncodec.cli.streams import Ended, ended_by_signals, standard_streams
from dcncodec.errors import DcnError


def main() -> None:
    """Run the command line; every error that a user can cause ends in one line."""
    code = 1
    try:
        with ended_by_signals(), standard_streams():
            code = _run()
    except Ended as end:
        complain(f"ended by {signal.Signals(end.number).name}")
        code = 128 + end.number
    except KeyboardInterrupt:
        complain("interrupted")
        code = 130
    except DcnError as error:
        complain(str(error))
    if code:
        sys.exit(code)


def _run() -> int:
    """Run the command line; gives its exit code."""
    # Little of what is loaded for one picture becomes garbage: looking for that takes longer.
    gc.disable()
    done = quick.decode(sys.argv[1:])
    if done is not None:
        say(done)
        # Python would go through everything that was loaded once more at its end.
        gc.freeze()
        return 0
    gc.enable()
    from dcncodec.cli.group import notices_shown, run

    with notices_shown():
        return run()
