"""A PMML document as a tree of elements, read within bounds. Standard library alone.

A document can name entities, other files and a grammar of its own: all of that is refused before it is used.
What says how a model was checked (ModelVerification) is left out unless it is asked for: nothing that
evaluates a model sees an answer that its file holds.
"""

import xml.parsers.expat
from typing import Any, Dict, FrozenSet, Iterator, List, Optional

DEPTH = 5000  # elements within one another
COUNT = 5000000  # elements of a document
BYTES = 2**29  # of a document
_BLOCK = 2**16  # bytes
# They change no answer.
SKIPPED = frozenset({"ModelVerification", "ModelStats", "ModelExplanation", "Extension", "MiningBuildTask"})


class BadPmml(Exception):
    """The bytes are no PMML document that can be read. Says why."""


class Element:
    """One element: its name without a prefix, its attributes, its children, and its text."""

    __slots__ = ("attributes", "children", "tag", "text")

    def __init__(self, tag: str, attributes: Dict[str, str]) -> None:
        self.tag = tag
        self.attributes = attributes
        self.children: List[Element] = []
        self.text = ""

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def need(self, name: str) -> str:
        """Give an attribute. Raises BadPmml where it is not there."""
        if name not in self.attributes:
            raise BadPmml("a {} has no {}".format(self.tag, name))
        return self.attributes[name]

    def first(self, tag: str) -> "Optional[Element]":
        return next(self.all(tag), None)

    def all(self, tag: str) -> "Iterator[Element]":
        return (child for child in self.children if child.tag == tag)

    def below(self, *path: str) -> "List[Element]":
        """Give what lies below, by the names of the way there."""
        places = [self]
        for tag in path:
            places = [child for element in places for child in element.all(tag)]
        return places


class _Builder:
    """What the parser calls, element by element."""

    def __init__(self, skipped: FrozenSet[str]) -> None:
        self.root: Optional[Element] = None
        self.skipped = skipped
        self._open: List[Element] = []
        self._texts: List[List[str]] = []
        self._skipping = 0
        self._count = 0

    def start(self, name: str, attributes: Dict[str, str]) -> None:
        tag = name.rpartition(":")[2]
        self._count += 1
        if self._count > COUNT:
            raise BadPmml("it has more than {} elements".format(COUNT))
        if self._skipping or tag in self.skipped:
            self._skipping += 1
            if self._skipping > DEPTH:
                raise BadPmml("its elements are nested more than {} deep".format(DEPTH))
            return
        element = Element(tag, attributes)
        if self._open:
            self._open[-1].children.append(element)
        elif tag != "PMML":
            raise BadPmml("its outermost element is {}, not PMML".format(tag[:80]))
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])
        if len(self._open) > DEPTH:
            raise BadPmml("its elements are nested more than {} deep".format(DEPTH))

    def end(self, _name: str) -> None:
        if self._skipping:
            self._skipping -= 1
            return
        element = self._open.pop()
        element.text = "".join(self._texts.pop()).strip()

    def data(self, text: str) -> None:
        if not self._skipping:
            self._texts[-1].append(text)


def _refuse(*_: Any) -> int:
    raise BadPmml("it declares a document type or entities (<!DOCTYPE …>): remove the declaration")


def parse(stream: Any, skipped: FrozenSet[str] = SKIPPED) -> Element:
    """Read a document from a binary stream. Raises BadPmml.

    Args:
        skipped: elements that are left out, with all that is in them.
    """
    builder = _Builder(skipped)
    parser = xml.parsers.expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    size = 0
    try:
        while True:
            block = stream.read(_BLOCK)
            size += len(block)
            if size > BYTES:
                raise BadPmml("it has more than {} bytes".format(BYTES))
            parser.Parse(block, not block)
            if not block:
                break
    except (xml.parsers.expat.ExpatError, LookupError, ValueError) as error:
        raise BadPmml("it is no XML that can be read: {}".format(error))
    root = builder.root
    if root is None:
        raise BadPmml("it holds no element")
    return root
