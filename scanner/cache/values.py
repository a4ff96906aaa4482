"""Values made of frozen dataclasses as JSON and back, by their types: results that are kept between runs."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union

T = TypeVar("T")


def dumped(value: object) -> bytes:
    """A dataclass of strings, numbers, enumerations, tuples, mappings and dataclasses of such."""
    return b"".join(_parts(value))


def _parts(value: object) -> Iterator[bytes]:
    """The same in parts, so that of thousands of findings one at a time is there as lists."""
    if not is_dataclass(value) or isinstance(value, type):
        yield _encoded(value)
        return
    for number, field in enumerate(fields(value)):
        yield b"," if number else b"["
        inner = getattr(value, field.name)
        if isinstance(inner, tuple) and inner:
            for place, item in enumerate(inner):
                yield (b"," if place else b"[") + _encoded(item)
            yield b"]"
        else:
            yield from _parts(inner)
    yield b"]"


def _encoded(value: object) -> bytes:
    return json.dumps(_plain(value), separators=(",", ":")).encode("ascii")


def loaded(kind: type[T], raw: bytes) -> T:
    """The value of *kind* that `dumped` made *raw* of. Raises ValueError if it made it of nothing such."""
    try:
        make: Callable[[Any], T] = _maker(kind)  # type: ignore[arg-type]  # classes are hashable
        return make(json.loads(raw))
    except (KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(type(error).__name__) from None


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return [_plain(getattr(value, field.name)) for field in fields(value)]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return value


@cache
def _maker(kind: Any) -> Callable[[Any], Any]:
    """What makes a value of a type out of what JSON has for it."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (Union, types.UnionType):
        others = [each for each in inner if each is not type(None)]
        if len(others) != 1:
            raise TypeError(str(kind))
        make = _maker(others[0])
        return lambda value: None if value is None else make(value)
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        make = _maker(inner[0])
        return lambda value: tuple([make(item) for item in value])
    if origin is tuple:
        makers = [_maker(each) for each in inner]
        return lambda value: tuple([make(item) for make, item in zip(makers, value, strict=True)])
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        makers = [_maker(hints[field.name]) for field in fields(kind)]
        return lambda value: kind(*[make(item) for make, item in zip(makers, value, strict=True)])
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return lambda value: value
