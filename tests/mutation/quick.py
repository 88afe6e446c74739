"""Tries mutants in forks of one pytest that has collected its tests: most are killed without importing anything again.

A mutant changes one function. In the fork, each function of the module whose code has changed gets its new code. Only
the tests that run the changed statement are run.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from importlib import import_module
from types import CodeType, FunctionType
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.mutation.mutants import Mutant

__all__ = ["Trial"]

_PAUSE = 0.005  # seconds between two looks at a fork


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
        self._lines = source.splitlines()
        self._statements = list(_statements(ast.parse(source)))
        self._codes = list(_functions_of(_compile(source)))
        self._mutants = mutants
        self._results = results
        self._durations: dict[str, float] = {}
        self._watching = False
        self._ran: dict[str, list[int]] = {}  # the lines of the module, by test

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take note of how long a test takes."""
        self._durations[report.nodeid] = self._durations.get(report.nodeid, 0) + report.duration

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run the tests for each mutant, in place of the usual loop."""
        import_module(self._module)  # some are imported only when a test runs
        outcome = self._fork(session, None, 600)
        self._tell("", outcome)
        if outcome == "survived":
            durations, ran = json.loads(self._timing.read_text())
            self._durations = durations
            # The quickest first: most mutants die early.
            session.items.sort(key=lambda item: durations.get(item.nodeid, 0))
            everything = list(session.items)
            for mutant in self._mutants:
                if ran:
                    lines = self._changed_lines(mutant)
                    session.items[:] = [item for item in everything if not lines.isdisjoint(ran[item.nodeid])]
                    if not session.items:
                        self._tell(mutant.name, "unknown")  # it has run when the module was imported, or never
                        continue
                longest = 5 * sum(durations.get(item.nodeid, 0) for item in session.items) + 10
                self._tell(mutant.name, self._fork(session, mutant, longest))
        return True

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Take note of the lines that a test runs. Before Python 3.12 all tests are run for each mutant."""
        if not self._watching:
            # A mutant may loop for ever. Processor time tells, on a busy machine too: the signal ends the fork.
            signal.setitimer(signal.ITIMER_VIRTUAL, 5 * self._durations.get(item.nodeid, 0) + 2)
            try:
                return (yield)
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        if sys.version_info < (3, 12):
            return (yield)
        lines = set[int]()

        def note(code: CodeType, line: int) -> object:
            lines.add(line)
            return monitoring.DISABLE  # it is enough to know that it has run

        monitoring = sys.monitoring
        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, note)
        monitoring.restart_events()
        result = yield
        self._ran[item.nodeid] = sorted(lines)
        return result

    def _watch(self) -> None:
        self._watching = True
        if sys.version_info >= (3, 12):
            monitoring = sys.monitoring
            monitoring.use_tool_id(monitoring.COVERAGE_ID, "mutation")
            waiting = [function.__code__ for function in _live_functions(import_module(self._module))]
            while waiting:
                code = waiting.pop()
                monitoring.set_local_events(monitoring.COVERAGE_ID, code, monitoring.events.LINE)
                waiting += [const for const in code.co_consts if isinstance(const, CodeType)]

    def _changed_lines(self, mutant: Mutant) -> set[int]:
        """The lines of the statement that a mutant changes."""
        after = mutant.source.splitlines()
        first, last = 0, 0
        shorter = min(len(self._lines), len(after))
        while first < shorter and self._lines[first] == after[first]:
            first += 1
        while last < shorter - first and self._lines[-1 - last] == after[-1 - last]:
            last += 1
        changed = set(range(first + 1, max(first + 1, len(self._lines) - last) + 1))
        return changed.union(*[each for each in self._statements if not changed.isdisjoint(each)])

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
        left = timeout / _PAUSE  # pauses, not seconds: somebody may stop us both for a while
        while not (ended := os.waitpid(child, os.WNOHANG))[0]:
            if left < 0:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "timeout"
            time.sleep(_PAUSE)
            left -= 1
        return {0: "survived", 2: "unknown"}.get(os.waitstatus_to_exitcode(ended[1]), "killed")

    def _run(self, session: pytest.Session, mutant: Mutant | None) -> None:
        code = 2
        try:
            os.setsid()  # what it starts is killed with it
            if mutant is None:
                self._watch()
            elif not self._put_in(mutant.source):
                return
            from _pytest.main import pytest_runtestloop

            code = 1
            pytest_runtestloop(session)
            code = 1 if session.testsfailed else 0
            if mutant is None:
                self._timing.write_text(json.dumps([self._durations, self._ran]))
        except BaseException:
            if code == 2:  # that was not a test
                traceback.print_exc()
            raise
        finally:
            sys.stdout.flush()
            os._exit(code)

    def _put_in(self, source: str) -> bool:
        """Give the module's functions the code of a mutant; say whether that could be done."""
        live = {function.__code__.co_firstlineno: function for function in _live_functions(import_module(self._module))}
        changed = False
        for before, after in zip(self._codes, _functions_of(_compile(source)), strict=True):
            if _essence(before) == _essence(after):
                continue
            function = live.get(before.co_firstlineno)
            if function is None or before.co_freevars != after.co_freevars:
                return False
            function.__code__ = after
            changed = True
        return changed


def _statements(tree: ast.AST) -> Iterator[range]:
    """The lines of each statement; of one with a body, those of its head."""
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            end = (body[0].lineno - 1 if body else node.end_lineno) or node.lineno
            yield range(node.lineno, max(node.lineno, end) + 1)


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
