"""The specification's text: where it is, its code blocks and its described names.

Promises: every literal block, doctest session and code directive is found, in order, named by its section and its number in it;
a digest tells when its text changed. Every `function`, `class`, `method`, `attribute`, `exception` directive is found.
Not here: what is expected of them (`entries.py`, `signatures.py`). None of the text is in this repository.
"""

from __future__ import annotations

import hashlib
import os
import re
import textwrap
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

FOLDER_VARIABLE = "PROCESSION_SPEC"
CHECKOUT = Path(__file__).resolve().parents[2]
UNDERLINE = re.compile(r"([=\-~>])\1{3,}\s*")
CODE_DIRECTIVE = re.compile(r"\.\. (doctest|code-block|code|sourcecode|testcode|literalinclude)::\s*(.*)")
NAME_DIRECTIVE = re.compile(r"\.\. (module|currentmodule|function|class|method|attribute|data|exception):: (.+)")
ROLE = re.compile(r":\w+:`[~!]?([^`]+)`")


def folder() -> Path:
    """Where the specification should be: the folder that PROCESSION_SPEC names, or `shared/spec` beside the checkout."""
    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else CHECKOUT.parent / "shared" / "spec"


def missing() -> str | None:
    """Why the specification cannot be read here, and what to do; None if it can."""
    place = folder() / "multiprocessing.rst"
    if place.is_file():
        return None
    return f"the specification is not at {place}: set {FOLDER_VARIABLE} to the folder that has multiprocessing.rst"


def text() -> str:
    return (folder() / "multiprocessing.rst").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Block:
    """A piece of code (or of its output) in the text."""

    section: str
    number: int  # in its section, from 1
    source: str  # dedented; of an included file, its path
    line: int
    included: bool = False

    @property
    def name(self) -> str:
        return f"{self.section}/{self.number}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.source.encode()).hexdigest()[:10]

    @property
    def is_session(self) -> bool:
        return self.source.startswith(">>>")


@dataclass(frozen=True)
class Name:
    """A described name, with its signature as it is written."""

    kind: str
    module: str
    owner: str  # the class that it belongs to, or ""
    name: str
    signature: str  # with its parentheses; "" if there are none
    line: int

    @property
    def path(self) -> str:
        return ".".join(part for part in (self.module, self.owner, self.name) if part)


def blocks(source: str) -> list[Block]:
    """All blocks, in the order of the text."""
    lines = source.expandtabs().splitlines()
    found: list[Block] = []
    numbers: Counter[str] = Counter()
    section, at = "", 0
    while at < len(lines):
        line = lines[at]
        if at + 1 < len(lines) and line.strip() and UNDERLINE.fullmatch(lines[at + 1]):
            section, at = _plain(line), at + 2
            continue
        piece, included, end = _piece(lines, at)
        if piece:
            numbers[section] += 1
            found.append(Block(section, numbers[section], piece, at + 1, included))
        at = end
    return found


def _piece(lines: list[str], at: int) -> tuple[str, bool, int]:
    """The code that begins at or below line `at` ("" if none does), whether it is included, and where to go on."""
    line = lines[at]
    directive = CODE_DIRECTIVE.match(line.strip())
    if directive and directive[1] == "literalinclude":
        return directive[2], True, at + 1
    if line.lstrip().startswith(">>>"):
        end = at  # a session that no `::` announced ends with its paragraph
        while end < len(lines) and lines[end].strip():
            end += 1
        return _dedent(lines[at:end]), False, end
    if directive or (line.rstrip().endswith("::") and not line.lstrip().startswith("..")):
        begin = at + 1
        while directive and begin < len(lines) and lines[begin].strip().startswith(":"):
            begin += 1  # options of the directive
        while begin < len(lines) and not lines[begin].strip():
            begin += 1
        if begin < len(lines) and _indent(lines[begin]) > _indent(line):
            end = _end(lines, begin, _indent(lines[begin]))
            return _dedent(lines[begin:end]), False, end
    return "", False, at + 1


def _end(lines: list[str], at: int, indent: int) -> int:
    """The first line after `at` that is indented less than `indent`."""
    while at < len(lines) and (_indent(lines[at]) >= indent or not lines[at].strip()):
        at += 1
    return at


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _dedent(lines: list[str]) -> str:
    return textwrap.dedent("\n".join(line.rstrip() for line in lines)).strip("\n") + "\n"


def _plain(heading: str) -> str:
    return ROLE.sub(r"\1", heading).strip()


def names(source: str) -> list[Name]:
    """All described names, in the order of the text."""
    lines = source.expandtabs().splitlines()
    found: list[Name] = []
    module, owners = "multiprocessing", list[tuple[int, str]]()
    for at, line in enumerate(lines):
        directive = NAME_DIRECTIVE.match(line.strip())
        if not directive:
            continue
        kind, described = directive[1], directive[2].strip()
        if kind in ("module", "currentmodule"):
            module, owners = described, []
            continue
        indent = _indent(line)
        owners = [(where, owner) for where, owner in owners if where < indent]
        owner = owners[-1][1] if owners and kind in ("method", "attribute") else ""
        for signature in _signatures(described, lines[at + 1 :], indent):
            name, brackets, arguments = signature.partition("(")
            home, _, last = name.strip().rpartition(".")
            found.append(Name(kind, home or module, owner, last, brackets + arguments, at + 1))
        if kind in ("class", "exception"):
            owners.append((indent, found[-1].name))
    return found


def _signatures(first: str, following: list[str], indent: int) -> list[str]:
    """The directive's signatures: a backslash continues one on the next line, an indented next line is a further one."""
    signatures = [first]
    for line in following:
        if not line.strip() or _indent(line) <= indent:
            break
        if signatures[-1].endswith("\\"):
            signatures[-1] = signatures[-1][:-1].rstrip() + " " + line.strip()
        else:
            signatures.append(line.strip())
    return [signature.replace("\\*", "*") for signature in signatures]
