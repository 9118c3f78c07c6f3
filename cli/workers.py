"""Several processes that convert the files of a batch; their number changes no result.

A process that is killed fails the file that it was working on, and another one takes its place.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import warnings
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from dcncodec.cli.failures import explain
from dcncodec.cli.plan import Job
from dcncodec.cli.streams import Ended, ended_by_signals
from dcncodec.cli.work import Outcome, Recorder, Work
from dcncodec.errors import DcnError
from dcncodec.notices import DcnWarning

KILLED = "its process was killed, probably for lack of memory; try fewer --jobs"


class _Worker:
    """A process and the line to it.

    Attributes:
        number: of the file that it works on.
    """

    def __init__(self, work: Work) -> None:
        # Not forked: threads of libraries do not survive it.
        context = multiprocessing.get_context("spawn")
        self.line, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_serve, args=(work, other), daemon=True)
        self.process.start()
        other.close()
        self.number = -1

    def give(self, number: int, job: Job) -> None:
        self.number = number
        self.line.send(job)

    def end(self) -> None:
        self.line.close()
        self.process.terminate()
        self.process.join()


def outcomes(
    work: Work, count: int, jobs: Iterable[tuple[int, Job]]
) -> Iterator[tuple[int, Outcome]]:
    """Convert files in several processes.

    Args:
        work: what is done with each.
        count: number of processes.
        jobs: the files, each with a number.

    Yields:
        The numbers in the order in which the files are finished, and what became of them.
    """
    waiting = iter(jobs)
    workers: dict[Connection, _Worker] = {}

    def start() -> None:
        if (following := next(waiting, None)) is not None:
            worker = _Worker(work)
            workers[worker.line] = worker
            worker.give(*following)

    try:
        for _ in range(count):
            start()
        while workers:
            for line in wait(list(workers)):
                assert isinstance(line, Connection)
                worker = workers[line]
                try:
                    outcome: Outcome = line.recv()
                except (EOFError, ConnectionError):
                    workers.pop(line).end()
                    yield worker.number, Outcome(error=DcnError(KILLED))
                    start()
                    continue
                yield worker.number, outcome
                if (following := next(waiting, None)) is not None:
                    worker.give(*following)
                else:
                    workers.pop(line).end()
    finally:
        for worker in workers.values():
            worker.end()


def _serve(work: Work, line: Connection) -> None:
    """What a process does until there is nothing left to do."""
    # Control-C reaches all processes of a terminal: the first one ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    recorder = Recorder()
    loaded: list[Any] = []
    try:
        with ended_by_signals():
            while True:
                line.send(_convert(work, line.recv(), loaded, recorder))
    except (EOFError, ConnectionError):
        return
    except Ended as end:
        os._exit(128 + end.number)


def _convert(work: Work, job: Job, loaded: list[Any], recorder: Recorder) -> Outcome:
    outcome = Outcome()
    recorder.notices = outcome.notices
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DcnWarning)
        try:
            content = work.read(job)
            if not loaded:
                outcome.fatal = True
                loaded.append(work.load(recorder))
                outcome.fatal = False
            outcome.result = work.convert(job, content, loaded[0], recorder)
        except Exception as error:
            outcome.error = explain(error)
    outcome.warned = [str(w.message) for w in caught if issubclass(w.category, DcnWarning)]
    return outcome
