# moves
# %%
from abc import ABC, abstractmethod
from functools import cached_property, total_ordering
from typing import Generic, Protocol, TypeVar
T = TypeVar("T")
class Meta(type):
    def __new__(mcls, name, bases, body, **more):
        kind = super().__new__(mcls, name, bases, body)
        kind.tag = name.lower()
        return kind
class Base(metaclass=Meta):
    pass
class Shape(ABC):
    @abstractmethod
    def area(self): ...
class Square(Shape):
    __slots__ = ("side",)
    def __init__(self, side):
        self.side = side
    def area(self):
        return self.side ** 2
    @property
    def double(self):
        return self.side * 2
    @staticmethod
    def unit():
        return Square(1)
    @classmethod
    def of(cls, n):
        return cls(n)
class Box(Generic[T]):
    def __init__(self, item: T):
        self.item = item
    @cached_property
    def twice(self):
        return [self.item] * 2
class Sized(Protocol):
    def size(self) -> int: ...
class Stack(list):
    def top(self):
        return self[-1]
class Names(dict):
    def __missing__(self, key):
        return key
# %%
square, box, stack, names = Square(3), Box("x"), Stack([1, 2]), Names(a=1)
box.twice
stack.note = "hm"
# %%
print(square.area(), square.double, Square.unit().side, Square.of(4).side, box.twice, Base.tag)
print(stack, stack.top(), stack.note, names["zz"], names, isinstance(square, Shape))
