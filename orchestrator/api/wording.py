"""What pydantic found, in plain words: a field path and one sentence for each problem.

Pure. Called by `orchestrator.api.load` and by whoever validates a part of a document. No sentence names pydantic, its
error codes or its types.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.alias_generators import to_camel

from orchestrator.api.document import Part
from orchestrator.api.scalars import short

Step = str | int
_SIMPLE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def written(path: Iterable[Step]) -> str:
    """A path as people write it: `spec.pools[0].price`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _SIMPLE.fullmatch(step):
            text += f".{step}"
        else:
            text += f"[{short(step)}]"
    return text.removeprefix(".")


def wrong(model: type[Part], value: Any, error: ValidationError) -> list[tuple[tuple[Step, ...], str]]:
    """Path and sentence of each problem, one for a value that fits no branch of a union.

    Args:
        model: the class that was validated against.
        value: the plain value that was validated.
        error: what pydantic raised.
    """
    found: dict[tuple[tuple[Step, ...], str], None] = {}
    for item in error.errors(include_url=False):
        if item["type"] == "too_short" and len(item["input"]) >= item["ctx"]["min_length"]:
            continue  # pydantic counts good entries only; what is wrong with the others is said below
        path, branch = _placed(value, item["loc"], named=item["type"] == "missing")
        at = _value_at(value, path if branch is None else path[: branch[0]])
        if branch is not None and not _branch_fits(branch[1], at):
            continue
        sentence = _sentence(item, model, path, branch)
        found[path, sentence] = None
    return list(found)


def _placed(value: Any, location: tuple[Step, ...], *, named: bool) -> tuple[tuple[Step, ...], tuple[int, str] | None]:
    """The path that the user wrote, and where pydantic names a branch of a union; `named`: the field is absent."""
    path: list[Step] = []
    branch = None
    for index, step in enumerate(location):
        within = (isinstance(value, dict) and step in value) or (isinstance(value, list) and isinstance(step, int))
        if within:
            value = value[step]
            path.append(step)
        elif step == "[key]":
            continue
        elif named and index == len(location) - 1:
            path.append(step)
        else:
            branch = (len(path), str(step))
    return tuple(path), branch


def _value_at(value: Any, path: Iterable[Step]) -> Any:
    for step in path:
        if isinstance(value, dict):
            value = value.get(step) if isinstance(step, str) else None
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _branch_fits(branch: str, value: Any) -> bool:
    """Of the branches of a union, report the mapping for a mapping, and the text for everything else."""
    return branch[:1].isupper() == isinstance(value, dict)


def _sentence(item: Any, model: type[Part], path: tuple[Step, ...], branch: tuple[int, str] | None) -> str:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(str(path[-1]), _fields(model, path[:-1]))
    if kind == "missing":
        known = _fields(model, path[:-1]).get(str(path[-1]))
        meant = f" ({known})" if known else ""
        return f"is required{meant}"
    if kind == "value_error":
        return str(context["error"])
    sentence = _WORDS.get(kind, _other)(item["input"], context)
    if branch is not None and not branch[1][:1].isupper():
        other = _fields(model, path)
        if other:
            sentence += f"; or write a mapping with {' and '.join(other)}"
    return sentence


def _unknown(name: str, allowed: Mapping[str, str]) -> str:
    camel = to_camel(name.replace("-", "_").lower()) if "_" in name or "-" in name else name
    folded = {field.lower(): field for field in allowed}
    near = difflib.get_close_matches(camel.lower(), folded, n=1)
    meant = f"; did you mean {folded[near[0]]}?" if near else ";"
    return f"unknown field {short(name)}{meant} known here: {', '.join(sorted(allowed))}"


def _fields(annotation: Any, path: Iterable[Step]) -> dict[str, str]:
    """Fields that the schema knows at a path, with what they mean."""
    choices = _choices(annotation)
    for step in path:
        choices = [deeper for choice in choices for deeper in _within(choice, step)]
    return {
        field.alias or name: field.description or ""
        for choice in choices
        if isinstance(choice, type) and issubclass(choice, Part)
        for name, field in choice.model_fields.items()
    }


def _choices(annotation: Any) -> list[Any]:
    """The types an annotation allows, without None and without constraints."""
    if get_origin(annotation) is Annotated:
        return _choices(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [choice for part in get_args(annotation) for choice in _choices(part) if choice is not type(None)]
    return [annotation]


def _within(choice: Any, step: Step) -> list[Any]:
    if isinstance(choice, type) and issubclass(choice, Part):
        fields = {field.alias or name: field.annotation for name, field in choice.model_fields.items()}
        return _choices(fields[str(step)]) if str(step) in fields else []
    origin, arguments = get_origin(choice), get_args(choice)
    if origin is tuple and isinstance(step, int):
        return _choices(arguments[0])
    return _choices(arguments[1]) if origin is dict else []


def _got(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return short(value)
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else str(value)[:64]


def _expected(what: str) -> Callable[[Any, Mapping[str, Any]], str]:
    return lambda value, _context: f"expected {what}, got {_got(value)}"


def _whole_number(value: Any, _context: Mapping[str, Any]) -> str:
    hint = " without quotes" if isinstance(value, str) and value.strip().isdigit() else ""
    return f"expected a whole number{hint}, got {_got(value)}"


def _text(value: Any, _context: Mapping[str, Any]) -> str:
    hint = "; put it in quotes" if isinstance(value, int | float) else ""
    return f"expected text, got {_got(value)}{hint}"


def _one_of(value: Any, context: Mapping[str, Any]) -> str:
    allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
    near = difflib.get_close_matches(str(value).lower(), allowed, n=1) if isinstance(value, str) else []
    meant = f"; did you mean {near[0]}?" if near else ";"
    return f"{_got(value)} is not allowed{meant} write one of: {', '.join(allowed)}"


def _name(value: Any, _context: Mapping[str, Any]) -> str:
    fixed = re.sub(r"[^a-z0-9.-]+", "-", str(value).lower())[:63].strip("-.")
    such = f", such as {fixed}" if fixed else ""
    return (
        f"{_got(value)} is not a name; use at most 63 lower-case letters, digits, dots and dashes, "
        f"with a letter or digit at both ends{such}"
    )


def _bound(word: str, key: str) -> Callable[[Any, Mapping[str, Any]], str]:
    return lambda value, context: f"{_got(value)} must be {word} {context.get(key)}"


def _count(value: Any, context: Mapping[str, Any]) -> str:
    least, most = context.get("min_length"), context.get("max_length")
    what = "character" if isinstance(value, str) else "entry"
    bound = f"at least {least}" if least is not None else f"at most {most}"
    number = least if least is not None else most
    plural = what if number == 1 else what.replace("entry", "entrie") + "s"
    return f"needs {bound} {plural}"


def _other(value: Any, _context: Mapping[str, Any]) -> str:
    return f"{_got(value)} does not fit here"


_WORDS: Mapping[str, Callable[[Any, Mapping[str, Any]], str]] = {
    "string_type": _text,
    "int_type": _whole_number,
    "int_parsing": _whole_number,
    "int_from_float": _whole_number,
    "float_type": _expected("a number"),
    "bool_type": _expected("true or false"),
    "tuple_type": _expected("a list"),
    "dict_type": _expected("a mapping"),
    "model_type": _expected("a mapping"),
    "literal_error": _one_of,
    "string_pattern_mismatch": _name,
    "greater_than": _bound("more than", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("less than", "lt"),
    "less_than_equal": _bound("at most", "le"),
    "string_too_short": _count,
    "string_too_long": _count,
    "too_short": _count,
    "too_long": _count,
}
