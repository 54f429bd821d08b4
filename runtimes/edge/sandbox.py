"""A template engine for templates that nobody vouches for: closed to the interpreter, bounded in time and size.

The one home of `jinja2` at run time. The library's sandbox closes attributes; here loops, calls, filters, joined text
and every list a template builds draw on a budget, so no template runs long or grows large. Called by
`runtimes.edge.chat`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from jinja2 import Template, TemplateError, Undefined, nodes
from jinja2.ext import loopcontrols
from jinja2.filters import FILTERS
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from runtimes.errors import Invalid

LARGEST_TEXT = 4 << 20  # characters of a prompt, or of any text made on the way to it
LARGEST_NUMBER = 1 << 63
BUDGET_STEPS = 200_000  # loop turns, calls and list items of one rendering
FILTERS_OF_TEXT = frozenset({"capitalize", "int", "lower", "replace", "string", "title", "trim", "upper"})
FILTERS_OF_LISTS = frozenset(
    {"count", "d", "default", "dictsort", "first", "items", "join", "last", "length", "list", "map"}
    | {"reject", "rejectattr", "reverse", "select", "selectattr", "sort", "unique"}
)
METHODS_ALLOWED = frozenset(
    {"capitalize", "count", "endswith", "find", "get", "index", "isdigit", "items", "join", "keys", "lower", "lstrip"}
    | {"replace", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper", "values"}
)

_steps_left: ContextVar[int] = ContextVar("steps_left")


class _Stopped(TemplateError):
    """A template is stopped; the message completes the sentence "The chat template ..."."""


class BoundedTemplate:
    """A compiled template whose rendering is bounded."""

    def __init__(self, source: str) -> None:
        """Compile it.

        Raises:
            Invalid: it is not a template.
        """
        try:
            self._template: Template = _Sandbox(
                trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols], finalize=_printable
            ).from_string(source)
        except (TemplateError, RecursionError, SyntaxError, ValueError, OverflowError, MemoryError) as exc:
            raise Invalid(f"The chat template cannot be read: {_sentence(exc)}.") from exc

    def render(self, values: Mapping[str, Any]) -> str:
        """Text of the template for these values.

        Raises:
            Invalid: the template refuses the values, fails, or takes too long or too much.
        """
        mark = _steps_left.set(BUDGET_STEPS)
        try:
            return _concat(self._template.generate(values))
        except _Stopped as exc:
            raise Invalid(f"The chat template {exc.message}.") from exc
        except Exception as exc:  # a template can raise whatever an operator or method of a plain value raises
            raise Invalid(f"The chat template failed: {_sentence(exc)}.") from exc
        finally:
            _steps_left.reset(mark)


def stop(message: object = "") -> None:
    """Refuse the messages in the template's own words; templates call it `raise_exception`."""
    raise _Stopped(f"says: {str(message)[:200].rstrip('.')}")


def _spend(steps: int = 1) -> None:
    left = _steps_left.get() - steps
    if left < 0:
        raise _Stopped(f"takes more than {BUDGET_STEPS} steps")
    _steps_left.set(left)


def _bounded(value: Any) -> Any:
    """Refuse what has grown too large; a list pays for everything in it, however deep."""
    if isinstance(value, str):
        if len(value) > LARGEST_TEXT:
            raise _Stopped(f"makes a text of more than {LARGEST_TEXT} characters")
    elif isinstance(value, int):
        if abs(value) > LARGEST_NUMBER:
            raise _Stopped("makes a number that is too large")
    elif isinstance(value, Mapping):
        _spend(len(value) + 1)
        for item in value.values():
            _bounded(item)
    elif isinstance(value, list | tuple):
        _spend(len(value) + 1)
        for item in value:
            _bounded(item)
    return value


def _printable(value: Any) -> Any:
    """Only plain values become text by themselves; lists go through `tojson`."""
    if isinstance(value, str | int | float | Undefined) or value is None:
        return _bounded(value)
    raise _Stopped(f"prints a {type(value).__name__} as if it were text")


def _concat(parts: Iterable[str]) -> str:
    made: list[str] = []
    size = 0
    for part in parts:
        size += len(part)
        if size > LARGEST_TEXT:
            raise _Stopped(f"makes a text of more than {LARGEST_TEXT} characters")
        made.append(part)
    return "".join(made)


def _joined(*parts: Any) -> str:
    return _concat(str(_printable(part)) for part in parts)


def _turns(things: Any) -> list[Any]:
    """What a loop goes over, paid for in advance."""
    turns = list(things)
    _spend(len(turns))
    return turns


def _range(*bounds: int) -> list[int]:
    numbers = range(*bounds)
    _spend(len(numbers) if all(abs(bound) < LARGEST_NUMBER >> 1 for bound in bounds) else BUDGET_STEPS + 1)
    return list(numbers)


def _tojson(value: Any, indent: int | None = None, **_ignored: Any) -> str:
    text = json.dumps(_bounded(value), ensure_ascii=False, indent=min(indent, 8) if indent else None)
    return str(_bounded(text))


def _guarded(name: str, plain: Callable[..., Any]) -> Callable[..., Any]:
    """A built-in filter that pays for its steps and whose text cannot multiply."""
    first = 1 if hasattr(plain, "jinja_pass_arg") else 0  # some take the environment before the value

    def guarded(*args: Any, **named: Any) -> Any:
        _spend()
        if name in FILTERS_OF_TEXT:
            _printable(args[first])
        if name == "join":
            things = _turns(args[first])
            args = (*args[:first], [_printable(thing) for thing in things], *args[first + 1 :])
        if name in {"join", "replace"}:
            _check_growth([*args[first:], *named.values()])
        made = plain(*args, **named)
        return _bounded(_turns(made) if name in {"map", "select", "selectattr", "reject", "rejectattr"} else made)

    if first:
        guarded.jinja_pass_arg = plain.jinja_pass_arg  # type: ignore[attr-defined]  # how the library marks them
    return guarded


def _check_growth(args: Sequence[Any]) -> None:
    """Refuse a replacement or a join whose text could be too large, before it is made."""
    sizes = sorted(sum(map(len, map(str, a))) + len(a) if isinstance(a, list) else len(str(a)) + 1 for a in args)
    if len(sizes) > 1 and sizes[-1] * sizes[-2] > LARGEST_TEXT * 16:
        raise _Stopped(f"makes a text of more than {LARGEST_TEXT} characters")


class _Sandbox(ImmutableSandboxedEnvironment):
    """The library's sandbox with the budget built in."""

    concat = staticmethod(_concat)  # used for macros and captured blocks as well
    intercepted_binops = frozenset({"+", "*", "**", "%"})
    paid_turns = staticmethod(_turns)
    paid_value = staticmethod(_bounded)
    paid_text = staticmethod(_joined)

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        chosen = sorted(FILTERS_OF_TEXT | FILTERS_OF_LISTS)
        self.filters = {name: _guarded(name, FILTERS[name]) for name in chosen} | {"tojson": _tojson}
        self.globals = {"namespace": self.globals["namespace"], "range": _range, "raise_exception": stop}

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree: nodes.Template = _Payer().visit(super()._parse(source, name, filename))
        return tree

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "**" or (operator != "+" and not numbers):
            raise _Stopped(f"uses {operator} on something that could grow without end")
        _spend()
        return _bounded(super().call_binop(context, operator, left, right))

    def call(__self, __context: Any, __obj: Any, *args: Any, **named: Any) -> Any:  # noqa: N805, PYI063 as in the library
        _spend()
        name = getattr(__obj, "__name__", "")
        of_a_value = isinstance(getattr(__obj, "__self__", None), str | bytes | int | float | list | tuple | dict)
        if (of_a_value and name not in METHODS_ALLOWED) or name in {"format", "format_map"}:
            raise _Stopped(f"calls {name}(), which is not open to templates")
        if name in {"replace", "join"}:
            lists = [_turns(arg) if name == "join" else arg for arg in args]
            _check_growth([getattr(__obj, "__self__", ""), *lists])
        made = super().call(__context, __obj, *args, **named)
        return made if __obj in {_turns, _bounded, _joined} else _bounded(made)


class _Payer(NodeTransformer):
    """Rewrites a parsed template so that loops, lists and joined text are paid for."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 the library's naming
        self.generic_visit(node)
        node.iter = _through("paid_turns", [node.iter])  # type: ignore[list-item]  # typed as Node, always an Expr
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Expr:  # noqa: N802 the library's naming
        self.generic_visit(node)
        return _through("paid_text", node.nodes)

    def visit_List(self, node: nodes.List) -> nodes.Expr:  # noqa: N802 the library's naming
        self.generic_visit(node)
        return _through("paid_value", [node])

    def visit_Dict(self, node: nodes.Dict) -> nodes.Expr:  # noqa: N802 the library's naming
        self.generic_visit(node)
        return _through("paid_value", [node])

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802 the library's naming
        self.generic_visit(node)
        return _through("paid_value", [node]) if node.ctx == "load" else node


def _through(attribute: str, args: list[nodes.Expr]) -> nodes.Expr:
    made = nodes.Call(nodes.EnvironmentAttribute(attribute), args, [], None, None)
    made.set_lineno(args[0].lineno)
    return made


def _sentence(exc: BaseException) -> str:
    return ((str(exc).strip().splitlines() or [type(exc).__name__])[0])[:200].rstrip(".")
