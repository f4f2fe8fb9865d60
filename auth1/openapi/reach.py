"""What a handler or guard can come to: the refusals, headers and query of it and of all that it calls, read from the
sources.

Whatever a function of ours names counts as reached, so a description may name a refusal that in truth cannot come; one
that can come and is not named fails the tests.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

import msgspec

from auth1.core.http.query import read_query
from auth1.core.http.request import Request
from auth1.errors import ApiError


@dataclass
class Reached:
    """What was found."""

    refusals: set[type[ApiError]] = field(default_factory=set)
    queries: list[type[msgspec.Struct]] = field(default_factory=list)
    words: set[bytes] = field(default_factory=set)  # every literal of bytes, names of headers among them
    read: set[bytes] = field(default_factory=set)  # headers of the request
    queries_by_hand: set[str] = field(default_factory=set)  # functions that read a query without a Struct


class _Some(NamedTuple):
    """An object of a class, known by an annotation."""

    kind: type


def reach(*functions: Callable[..., object]) -> Reached:
    """Follow functions to the end."""
    walk = _Walk()
    for function in functions:
        walk.enter(function, None)
    return walk.found


class _Walk:
    def __init__(self) -> None:
        self.found = Reached()
        self._seen: set[CodeType] = set()

    def enter(self, function: Callable[..., object], owner: type | None) -> None:
        function = inspect.unwrap(function)
        if not isinstance(function, FunctionType) or not function.__module__.startswith("auth1"):
            return
        if function.__code__ in self._seen or function.__name__ == "<lambda>":
            return
        self._seen.add(function.__code__)
        tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
        assert isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef)
        scope = _Scope(function, owner, tree)
        for node in _nodes(tree.body):
            self._look_at(node, scope)

    def _look_at(self, node: ast.AST, scope: "_Scope") -> None:
        if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
            self.found.words.add(node.value)
        elif isinstance(node, ast.Call):
            self._look_at_call(node, scope)
        elif isinstance(node, ast.Name | ast.Attribute):
            thing, owner = scope.resolve(node)
            if isinstance(thing, property):
                thing = thing.fget
            if callable(thing) and not isinstance(thing, type):
                self.enter(thing, owner)
            self.found.refusals |= set(_refusals(thing))
            self.found.words |= set(_bytes(thing))

    def _look_at_call(self, node: ast.Call, scope: "_Scope") -> None:
        called = scope.resolve(node.func)[0]
        if called is read_query:
            kind = scope.resolve(node.args[1])[0]
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in self.found.queries:
                self.found.queries.append(kind)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "header" and node.args:
            name = node.args[0]
            value = name.value if isinstance(name, ast.Constant) else scope.resolve(name)[0]
            if isinstance(value, bytes):
                self.found.read.add(value)
        if called is Request.query and scope.function is not read_query:
            self.found.queries_by_hand.add(scope.function.__name__)


class _Scope:
    """What names stand for inside a function."""

    def __init__(
        self, function: FunctionType, owner: type | None, tree: ast.FunctionDef | ast.AsyncFunctionDef
    ) -> None:
        self.function = function
        closed_over = inspect.getclosurevars(function).nonlocals
        self._names: dict[str, Any] = {**function.__globals__, **closed_over}
        arguments = [*tree.args.posonlyargs, *tree.args.args, *tree.args.kwonlyargs]
        for argument in arguments:
            self._names[argument.arg] = None
            if argument.annotation is not None:
                self._names[argument.arg] = self._some(ast.unparse(argument.annotation))
        if owner is not None and arguments and arguments[0].arg == "self":
            self._names["self"] = _Some(owner)

    def resolve(self, node: ast.AST) -> tuple[Any, type | None]:
        """What an expression stands for, and the class that it was found in."""
        if isinstance(node, ast.Name):
            return self._names.get(node.id), None
        if not isinstance(node, ast.Attribute):
            return None, None
        base = self.resolve(node.value)[0]
        if isinstance(base, ModuleType | type):
            return getattr(base, node.attr, None), None
        if not isinstance(base, _Some):
            return None, None
        found = inspect.getattr_static(base.kind, node.attr, None)
        if isinstance(found, FunctionType | property):
            return found, base.kind
        for kind in base.kind.__mro__:
            annotation = inspect.get_annotations(kind).get(node.attr)
            if annotation is not None:
                return (_Some(annotation) if isinstance(annotation, type) else self._some(str(annotation))), None
        return None, None

    def _some(self, annotation: str) -> _Some | None:
        """An object of the class of ours that an annotation names; it may be known to other modules only."""
        name = annotation.strip("'\"").partition("[")[0].partition(" |")[0]
        kind = self._names.get(name)
        if not isinstance(kind, type):
            ours = [module for title, module in sys.modules.items() if title.startswith("auth1.")]
            known = (getattr(module, name, None) for module in ours)
            kind = next((one for one in known if isinstance(one, type)), None)
        return _Some(kind) if isinstance(kind, type) and kind.__module__.startswith("auth1") else None


def _nodes(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """All nodes but what is caught: `except NotFound` raises nothing, and nothing comes out of `except ApiError`."""
    waiting: list[ast.AST] = list(statements)
    while waiting:
        node = waiting.pop()
        yield node
        left_out: list[ast.AST] = []
        if isinstance(node, ast.ExceptHandler) and node.type is not None:
            left_out = [node.type]
        elif isinstance(node, ast.Try) and any(_is_refusal(handler.type) for handler in node.handlers):
            left_out = list(node.body)
        waiting += [child for child in ast.iter_child_nodes(node) if child not in left_out]


def _is_refusal(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Name) and node.id == ApiError.__name__


def _refusals(thing: object) -> Iterator[type[ApiError]]:
    """A refusal, or those in a table."""
    if isinstance(thing, type) and issubclass(thing, ApiError) and thing is not ApiError:
        yield thing
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from _refusals(value)
    elif isinstance(thing, list | tuple | set | frozenset):
        for value in thing:
            yield from _refusals(value)


def _bytes(thing: object) -> Iterator[bytes]:
    """A literal that has a name, or those in a tuple that has one."""
    if isinstance(thing, bytes):
        yield thing
    elif isinstance(thing, tuple):
        for value in thing:
            yield from _bytes(value)
