"""Classes of frozen fields, as ``dataclasses.dataclass(frozen=True)`` makes them.

Loading that module and making a dozen classes with it takes a tenth of the time in which a small
picture is decoded, and making them here a hundredth. What decoding does not need may use either.
"""

from __future__ import annotations

from dcncodec.typed import TYPE_CHECKING, dataclass_transform

if TYPE_CHECKING:
    from typing import Any, NoReturn, TypeVar

    T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def record(kind: type[T]) -> type[T]:
    """Give a class what its annotations ask for: initialisation by position or name, defaults,
    equality, a hash and a text; and refuse changes. ``__post_init__`` is called if there is one.
    """
    names = tuple(kind.__annotations__)
    defaults = {name: kind.__dict__[name] for name in names if name in kind.__dict__}
    prepare = getattr(kind, "__post_init__", None)

    def initialise(self: Any, *values: Any, **named: Any) -> None:
        given = dict(zip(names, values, strict=False))
        fields = defaults | given | named
        if len(values) > len(names) or given.keys() & named.keys() or fields.keys() != set(names):
            raise TypeError(f"{kind.__name__} takes {', '.join(names)}")
        self.__dict__.update(fields)
        if prepare is not None:
            prepare(self)

    def content(self: Any) -> tuple[Any, ...]:
        return tuple(self.__dict__[name] for name in names)

    def equals(self: Any, other: Any) -> bool:
        return content(self) == content(other) if type(other) is kind else NotImplemented

    def as_hash(self: Any) -> int:
        return hash(content(self))

    def as_text(self: Any) -> str:
        return f"{kind.__name__}({', '.join(f'{n}={self.__dict__[n]!r}' for n in names)})"

    def refuse(self: Any, name: str, *_: Any) -> NoReturn:
        raise AttributeError(f"cannot change {name} of a {kind.__name__}")

    methods = {"__init__": initialise, "__eq__": equals, "__hash__": as_hash, "__repr__": as_text}
    for name, method in (methods | {"__setattr__": refuse, "__delattr__": refuse}).items():
        setattr(kind, name, method)
    setattr(kind, "__match_args__", names)  # noqa: B010 - mypy knows it as a constant
    return kind


def replace(own: T, **changes: Any) -> T:
    """A record with other values in some of its fields."""
    kind: Any = type(own)
    other: T = kind(**{name: getattr(own, name) for name in kind.__match_args__} | changes)
    return other
