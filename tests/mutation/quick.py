"""Tries mutants in forks of one pytest that has collected its tests: most are killed without importing anything again.

A mutant changes one function. In the fork, each function of the module whose code has changed gets its new code. Only
the tests that call the function are run: which these are is found out by a run without a mutant.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mutation.mutants import Mutant

__all__ = ["Trial"]


class Trial:
    """A plugin of pytest that runs the collected tests once for each mutant, in a fork.

    Args:
        module: The module's name, to be imported.
        source: The module without a mutant.
        mutants: What to try.
        results: Gets a line of JSON for each: its name, and "killed", "timeout", "survived" or "unknown". Before them,
            a line about the tests without a mutant, whose name is empty.
    """

    def __init__(self, module: str, source: str, mutants: list[Mutant], results: Path) -> None:
        self._module = module
        self._codes = list(_functions_of(_compile(source)))
        self._mutants = mutants
        self._results = results
        self._durations: dict[str, float] = {}
        self._callers: dict[int, set[str]] = {}  # the tests that call a function, by its first line
        self._test = ""  # the one that is running

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Take note of which test runs."""
        self._test = nodeid

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of how long a test takes."""
        self._durations[report.nodeid] = self._durations.get(report.nodeid, 0) + report.duration

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests for each mutant, in place of the usual loop."""
        outcome = self._fork(session, None, 600)
        self._tell("", outcome)
        if outcome == "survived":
            self._durations, callers = json.loads(self._timing.read_text())
            self._callers = {int(line): set(tests) for line, tests in callers.items()}
            # The quickest first: most mutants die early.
            session.items.sort(key=lambda item: self._durations.get(item.nodeid, 0))
            gc.freeze()  # or each fork copies all the memory that its collector looks at
            for mutant in self._mutants:
                self._tell(mutant.name, self._fork(session, mutant, self._patience(mutant)))
        return True

    @property
    def _timing(self) -> Path:
        return self._results.with_suffix(".timing")

    def _tell(self, name: str, outcome: str) -> None:
        with self._results.open("a", encoding="utf-8") as file:
            file.write(json.dumps([name, outcome]) + "\n")

    def _fork(self, session: pytest.Session, mutant: Mutant | None, timeout: float) -> str:
        child = os.fork()
        if child == 0:
            self._run(session, mutant)
        deadline = time.monotonic() + timeout
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if time.monotonic() > deadline:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "timeout"
            time.sleep(0.005)
        return {0: "survived", 2: "unknown"}.get(os.waitstatus_to_exitcode(ended[1]), "killed")

    def _run(self, session: pytest.Session, mutant: Mutant | None) -> None:
        code = 1
        try:
            os.setsid()  # what it starts is killed with it
            if mutant is None:
                self._watch_calls()
            else:
                if not self._put_in(mutant.source):
                    code = 2
                    return
                tests = self._tests_of(mutant.source)
                session.items = [item for item in session.items if item.nodeid in tests]
            from _pytest.main import pytest_runtestloop

            pytest_runtestloop(session)
            code = 1 if session.testsfailed else 0
            if mutant is None:
                callers = {line: list(tests) for line, tests in self._callers.items()}
                self._timing.write_text(json.dumps([self._durations, callers]))
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _watch_calls(self) -> None:
        """Have each function of the module take note of the tests that call it."""
        monitoring = sys.monitoring
        path = sys.modules[self._module].__file__

        def note(code: CodeType, _: int) -> Any:
            if code.co_filename != path:
                return monitoring.DISABLE
            self._callers.setdefault(code.co_firstlineno, set()).add(self._test)
            return None

        monitoring.use_tool_id(monitoring.PROFILER_ID, "mutation")
        monitoring.register_callback(monitoring.PROFILER_ID, monitoring.events.PY_START, note)
        monitoring.set_events(monitoring.PROFILER_ID, monitoring.events.PY_START)

    def _put_in(self, source: str) -> bool:
        """Give the module's functions the code of a mutant; say whether that could be done."""
        live = {function.__code__.co_firstlineno: function for function in _live_functions(sys.modules[self._module])}
        changes = list(self._changes(source))
        for before, after in changes:
            function = live.get(before.co_firstlineno)
            if function is None or before.co_freevars != after.co_freevars:
                return False
            function.__code__ = after
        return bool(changes)

    def _changes(self, source: str) -> Iterator[tuple[CodeType, CodeType]]:
        """The functions that a mutant changes, before and after."""
        for before, after in zip(self._codes, _functions_of(_compile(source)), strict=True):
            if _essence(before) != _essence(after):
                yield before, after

    def _tests_of(self, source: str) -> set[str]:
        """The tests that call a function that a mutant changes."""
        lines = {line for before, _ in self._changes(source) for line in _lines_of(before)}
        return {test for line in lines for test in self._callers.get(line, ())}

    def _patience(self, mutant: Mutant) -> float:
        """How many seconds the tests of a mutant may take."""
        return 5 * sum(self._durations.get(test, 0) for test in self._tests_of(mutant.source)) + 10


def _compile(source: str) -> CodeType:
    return compile(source, "<mutant>", "exec", dont_inherit=True)


def _functions_of(code: CodeType) -> Iterator[CodeType]:
    """The functions of a module and of its classes, those within functions left out."""
    for const in code.co_consts:
        if isinstance(const, CodeType):
            if const.co_flags & 0x02:  # it has local variables of its own: CO_NEWLOCALS
                yield const
            else:
                yield from _functions_of(const)


def _lines_of(code: CodeType) -> Iterator[int]:
    """The first lines of a function and of those within it."""
    yield code.co_firstlineno
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _lines_of(const)


def _essence(code: CodeType) -> Any:
    """What a function does, without its lines."""
    consts = [_essence(const) if isinstance(const, CodeType) else (type(const), const) for const in code.co_consts]
    return code.co_code, repr(consts), code.co_names, code.co_varnames, code.co_freevars, code.co_stacksize


def _live_functions(module: Any) -> Iterator[FunctionType]:
    waiting, seen = list(vars(module).values()), set[int]()
    while waiting:
        value = waiting.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, FunctionType):
            if value.__globals__ is vars(module):
                yield value
        elif isinstance(value, type):
            if value.__module__ == module.__name__:
                waiting += vars(value).values()
        elif isinstance(value, property):
            waiting += [value.fget, value.fset]
        elif isinstance(value, staticmethod | classmethod):
            waiting.append(value.__func__)
        elif isinstance(value, functools.cached_property):
            waiting.append(value.func)
        if not isinstance(value, type) and hasattr(value, "__wrapped__"):
            waiting.append(value.__wrapped__)
