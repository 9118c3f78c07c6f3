"""Runs a plan, every file by itself: results and errors as lines or JSON, progress on terminals."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from dcncodec.cli.bar import Bar
from dcncodec.cli.failures import explain
from dcncodec.cli.lines import complain, json_line, say, tell
from dcncodec.cli.plan import Job, Plan
from dcncodec.cli.streams import STREAM, on_terminal, read_stream, write_stream
from dcncodec.cli.warned import shown_by, take_warnings, warned
from dcncodec.cli.work import Outcome, Work
from dcncodec.errors import UsageError
from dcncodec.formats.files import atomic_write, make_folder, read_bytes
from dcncodec.notices import DcnWarning, Notice

Content = TypeVar("Content")
Loaded = TypeVar("Loaded")

LARGE_PIXELS = 4_000_000
"""Pictures from this size on have a progress bar of their own."""


class Display:
    """What people see of a batch: results, errors, notices, and a progress bar below them.

    Used as a context manager, it shows the bar where standard error is a terminal.

    Args:
        total: number of files.
        quiet: show neither notices nor progress.
    """

    def __init__(self, total: int, quiet: bool) -> None:
        self._total, self._quiet = total, quiet
        self._stack = ExitStack()
        self._bar: Bar | None = None

    def __enter__(self) -> Display:
        if on_terminal() and not self._quiet:
            self._bar = Bar(self._total)
            self._stack.callback(self._bar.clear)
        self._stack.enter_context(shown_by(_nowhere if self._quiet else self.error))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()
        self._bar = None

    def result(self, text: str) -> None:
        """A line on standard output."""
        with self._line():
            say(text)

    def error(self, text: str) -> None:
        """A line on standard error."""
        with self._line():
            complain(text)

    def notice(self, notice: Notice) -> None:
        """See ``warned``."""
        warned(notice)

    def _line(self) -> AbstractContextManager[None]:
        """While a line is written the bar is away."""
        return nullcontext() if self._bar is None else self._bar.away()

    def file_done(self) -> None:
        """One more file is finished, or has failed."""
        if self._bar is not None:
            self._bar.file_done()

    def begin(self, name: str, pixels: int) -> None:
        """The work on a picture begins: ``advance`` will count up to its pixels."""
        if self._bar is not None and pixels >= LARGE_PIXELS:
            self._bar.begin(Path(name).name, pixels)

    def advance(self, pixels: int) -> None:
        """So many pixels are finished."""
        if self._bar is not None:
            self._bar.advance(pixels)


def _nowhere(_: str) -> None:
    """Nobody wants to know."""


class Batch:
    """The files of one command.

    Args:
        plan: what to do.
        as_json: print JSON objects instead of lines.
        quiet: show no notices.
    """

    def __init__(self, plan: Plan, as_json: bool, quiet: bool) -> None:
        self.plan, self.as_json = plan, as_json
        self.display = Display(plan.total, quiet)
        self._failed = 0
        self._code = 0

    def run(
        self,
        read: Callable[[Job], Content],
        load: Callable[[], Loaded],
        convert: Callable[[Job, Content, Loaded], dict[str, Any]],
        describe: Callable[[dict[str, Any]], str],
    ) -> None:
        """Convert every file; one that fails does not stop the others.

        Args:
            read: gives what is in an input.
            load: gives what conversions need, called once when the first input has been read. What
                it raises ends the batch.
            convert: writes the output, gives the facts for JSON.
            describe: those facts as a line.

        Raises:
            SystemExit: 1 if any file failed; for a single file the error's code.
        """
        with self.display:
            self._show_plan()
            loaded: list[Loaded] = []
            taken: set[str] = set()
            for job in self.plan.jobs:
                try:
                    place = self._reserve(job, taken)
                    content = read(job)
                except Exception as error:
                    self._fail(job, error)
                    continue
                if not loaded:
                    loaded.append(load())
                try:
                    result = convert(job, content, loaded[0])
                except Exception as error:
                    self._fail(job, error)
                    continue
                finally:
                    del content
                if place:
                    taken.add(place)
                self.display.file_done()
                self._show(job, result, describe)
        self._end()

    def run_work(
        self, work: Work, describe: Callable[[dict[str, Any]], str], processes: int
    ) -> None:
        """The same in several processes; results come in the order of the files.

        Raises:
            DcnError: what the work needs cannot be loaded.
            SystemExit: as ``run``.
        """
        if processes == 1:
            load = partial(work.load, self.display)
            self.run(work.read, load, partial(work.convert, watch=self.display), describe)
            return
        finished: dict[int, Outcome] = {}
        with self.display:
            self._show_plan()
            following = 0
            for number, outcome in self._outcomes(work, processes):
                if outcome.fatal and outcome.error is not None:
                    raise outcome.error
                finished[number] = outcome
                while following in finished:
                    self._tell(self.plan.jobs[following], finished.pop(following), describe)
                    following += 1
        self._end()

    def _outcomes(self, work: Work, processes: int) -> Iterator[tuple[int, Outcome]]:
        """Of all files. Those whose outputs are other files' outputs, too, come last: whether there
        is anything to do depends on whether the others fail."""
        from dcncodec.cli.workers import outcomes

        places = [os.path.realpath(job.target) for job in self.plan.jobs]
        first = {place: number for number, place in reversed(list(enumerate(places)))}
        numbered = list(enumerate(self.plan.jobs))
        taken: set[str] = set()
        alone = ((number, job) for number, job in numbered if first[places[number]] == number)
        for number, outcome in outcomes(work, processes, alone):
            if outcome.result is not None:
                taken.add(places[number])
            yield number, outcome
        for number, job in numbered:
            if first[places[number]] == number:
                continue
            try:
                self._reserve(job, taken)
            except UsageError as error:
                yield number, Outcome(error=error)
                continue
            for _, outcome in outcomes(work, 1, [(number, job)]):
                if outcome.result is not None:
                    taken.add(places[number])
                yield number, outcome

    def _tell(self, job: Job, outcome: Outcome, describe: Callable[[dict[str, Any]], str]) -> None:
        """Show what has become of a file elsewhere."""
        for text in outcome.warned:
            warnings.warn(DcnWarning(text), stacklevel=2)
        for notice in outcome.notices:
            self.display.notice(notice)
        if outcome.error is not None:
            self._fail(job, outcome.error)
        elif outcome.result is not None:
            self.display.file_done()
            self._show(job, outcome.result, describe)

    def _show_plan(self) -> None:
        """What is left out, and what has failed before the work begins."""
        if self.plan.skipped_line:
            self.display.notice(Notice("skipped", self.plan.skipped_line))
        for job, error in self.plan.failures:
            self._fail(job, error)

    def _end(self) -> None:
        if self._failed and self.plan.total > 1:
            complain(f"{self._failed} of {self.plan.total} files failed")
        if self._failed:
            sys.exit(1 if self.plan.total > 1 else self._code)

    def _reserve(self, job: Job, taken: set[str]) -> str:
        """The output's place, which no input of this run has; empty for none."""
        if job.target in {"", STREAM}:
            return ""
        place = os.path.realpath(job.target)
        if place in taken:
            raise UsageError("another input of this run has that output; skipped", job.target)
        return place

    def _fail(self, job: Job, error: Exception) -> None:
        failure = explain(error)
        failure.about(job.name, *([job.target] if job.target else []))
        text, self._code = str(failure), failure.exit_code
        self._failed += 1
        self.display.file_done()
        if self.as_json:
            facts = {"input": job.source, "error": text}
            if job.target:
                facts["output"] = job.target
            self._print_json(job, facts | {"warnings": take_warnings()})
        self.display.error(text)

    def _show(
        self, job: Job, result: dict[str, Any], describe: Callable[[dict[str, Any]], str]
    ) -> None:
        if self.as_json:
            self._print_json(job, result | {"warnings": take_warnings()})
        elif job.target != STREAM:
            self.display.result(describe(result))

    def _print_json(self, job: Job, facts: dict[str, Any]) -> None:
        text = json_line(facts)
        if job.target == STREAM:
            # Standard output holds the file itself.
            tell(text)
        else:
            self.display.result(text)


def read_input(source: str) -> bytes:
    """All bytes of a file, or of standard input (``-``)."""
    return read_stream() if source == STREAM else read_bytes(source)


def write_output(target: str, content: bytes | memoryview, force: bool) -> None:
    """Write a file whole or not at all, or standard output (``-``).

    A folder that does not exist is made.
    """
    if target == STREAM:
        write_stream(content)
        return
    make_folder(Path(target).parent)
    with atomic_write(target, overwrite=force) as file:
        file.write(content)
