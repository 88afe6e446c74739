"""The mutants of a module: mutmut's operators, and some of our own for what is left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import ByteSpanPositionProvider, MetadataWrapper
from mutmut.mutation import mutators
from mutmut.mutation.file_mutation import MutationVisitor
from mutmut.mutation.pragma_handling import IgnoredCode

__all__ = ["Mutant", "make_mutants"]

_LOG = m.Call(func=m.Attribute(value=m.Name("logger")))
Change = tuple[cst.CSTNode, cst.CSTNode]
# Statements whose absence somebody should notice.
_DISPENSABLE = m.Expr(value=m.Call() | m.Await()) | m.Return() | m.Raise() | m.Continue() | m.Break()


@dataclass(frozen=True)
class Mutant:
    """One change of a module.

    Attributes:
        name: The function, what stands there, and what the change makes of it: not its line, which moves.
        source: The whole module with the change.
    """

    name: str
    source: str


def make_mutants(source: str) -> list[Mutant]:
    """All mutants of the functions in a module.

    Not of what is only read by people (log lines, texts of errors), nor of types, nor of `assert`.

    Args:
        source: The module.
    """
    wrapper = MetadataWrapper(cst.parse_module(source), unsafe_skip_copy=True)
    visitor = _Visitor()
    wrapper.visit(visitor)
    spans = wrapper.resolve(ByteSpanPositionProvider)
    code = source.encode()
    lines = source.splitlines()
    found: list[Mutant] = []
    seen = Counter[str]()
    for function, original, mutated in visitor.found:
        start, end = spans[original].start, spans[original].start + spans[original].length
        # The span of a node leaves its parentheses out.
        bare = mutated.with_changes(lpar=(), rpar=()) if getattr(original, "lpar", ()) else mutated
        changed = (code[:start] + wrapper.module.code_for_node(bare).encode() + code[end:]).decode()
        if changed == source:
            continue
        name = f"{function}: {_describe(lines, changed.splitlines())}"
        seen[name] += 1
        found.append(Mutant(name if seen[name] == 1 else f"{name} ({seen[name]})", changed))
    return found


class _Visitor(MutationVisitor):  # type: ignore[misc]  # the types have no mutmut
    def __init__(self) -> None:
        super().__init__(_OPERATORS, IgnoredCode(set(), set(), set()))
        self.found: list[tuple[str, cst.CSTNode, cst.CSTNode]] = []
        self._around: list[str] = []
        self._functions = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._around.append(node.name.value)
            self._functions += isinstance(node, cst.FunctionDef)
        return bool(super().on_visit(node))

    def on_leave(self, original_node: cst.CSTNode) -> None:
        super().on_leave(original_node)
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self._around.pop()
            self._functions -= isinstance(original_node, cst.FunctionDef)

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef):
            return False  # mutmut leaves decorated ones out, because it wraps them
        return (
            m.matches(node, _LOG | m.Assert() | m.Decorator() | m.Raise(exc=m.Call()))
            or m.matches(node, m.Expr(value=m.SimpleString() | _LOG))
            or bool(super()._skip_node_and_children(node))
        )

    def _should_mutate_node(self, node: cst.CSTNode) -> bool:
        return self._functions > 0

    def _create_mutations(self, node: cst.CSTNode) -> None:
        for kind, operator in _OPERATORS:
            if isinstance(node, kind):
                self.found += [(".".join(self._around), node, mutated) for mutated in operator(node)]
        for kinds, changes in _CHANGES:
            if isinstance(node, kinds):
                self.found += [(".".join(self._around), *change) for change in changes(node)]


def _text(node: cst.BaseString) -> Iterator[cst.BaseString]:
    yield from list(mutators.operator_string(node))[:1]  # the others differ in upper and lower case


def _arguments(node: cst.Call) -> Iterator[cst.Call]:
    for index, argument in enumerate(node.args):
        if argument.star == "" and not m.matches(argument.value, m.Name("None")):
            changed = argument.with_changes(value=cst.Name("None"))
            yield node.with_changes(args=[*node.args[:index], changed, *node.args[index + 1 :]])
        if argument.keyword is not None:
            yield node.with_changes(args=[*node.args[:index], *node.args[index + 1 :]])


def _condition(node: cst.If | cst.While) -> Iterator[Change]:
    """The other way round, which catches a guard that nothing needs."""
    test = node.test.with_changes(lpar=[cst.LeftParen()], rpar=[cst.RightParen()])
    yield node.test, cst.UnaryOperation(cst.Not(), test, lpar=node.test.lpar, rpar=node.test.rpar)


def _statement(node: cst.SimpleStatementLine) -> Iterator[Change]:
    if len(node.body) == 1 and m.matches(node.body[0], _DISPENSABLE):
        yield node.body[0], cst.Pass()


_REPLACED = (
    mutators.operator_string,
    mutators.operator_arg_removal,
    mutators.operator_dict_arguments,
    mutators.operator_match,
)
_OPERATORS: list[tuple[type, Any]] = [
    *((kind, operator) for kind, operator in mutators.mutation_operators if operator not in _REPLACED),
    (cst.BaseString, _text),
    (cst.Call, _arguments),
]
_CHANGES: list[tuple[Any, Any]] = [((cst.If, cst.While), _condition), (cst.SimpleStatementLine, _statement)]


def _describe(before: list[str], after: list[str]) -> str:
    """The lines that differ: one run of them, since a mutant changes one place."""
    shorter = min(len(before), len(after))
    start = 0
    while start < shorter and before[start] == after[start]:
        start += 1
    end = 0
    while end < shorter - start and before[-1 - end] == after[-1 - end]:
        end += 1
    runs = before[start : len(before) - end], after[start : len(after) - end]
    return " => ".join(" ".join(line.strip() for line in run) for run in runs)
