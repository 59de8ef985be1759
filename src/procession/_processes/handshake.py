"""What a child that is being started says to the one who starts it, and in which order. No I/O.

A frame is a tag (1 byte), the length of its text (2 bytes, big-endian) and the text. One write, and one packet, carries whole frames.
Both the child and the fork server that made it may write to the same channel.

Promises: a word out of order raises `InternalError` and changes nothing. A text that is too long is cut, never the frame.
Not here: what the child is told at its start (`start_data.py`), the channel (`reaper.py`).
"""

from __future__ import annotations

from procession.errors import InternalError

TYPE_CHECKING = False  # typing costs every child 3 ms
if TYPE_CHECKING:
    from enum import Enum
else:
    from procession._processes.states import States as Enum

__all__ = ["NEXT", "Conversation", "Failure", "Stage", "Word", "frame"]

LONGEST_TEXT = 4000  # bytes; a frame stays below PIPE_BUF (4096), so that the writes of two do not mix


class Word(Enum):
    """What can be said; the values are the tags."""

    BORN = b"b"  # by the child: "I exist", with its process id
    REFUSED = b"x"  # by the fork server: the fork failed, with the errno
    READY = b"r"  # by the child: main module imported, process object loaded; from now on it runs the user's code
    FAILED = b"f"  # by the child: it could not get ready; why (see Failure)
    LEFT = b"l"  # by the child: it is about to exit with this code
    ENDED = b"e"  # by the fork server: it reaped the child, with this exit code


class Stage(Enum):
    """How far a start has come."""

    ASKED = "asked"
    REFUSED = "refused"
    BORN = "born"
    READY = "ready"
    FAILED = "failed"
    LEFT = "left"
    ENDED = "ended"


NEXT = {
    (Stage.ASKED, Word.BORN): Stage.BORN,
    (Stage.ASKED, Word.REFUSED): Stage.REFUSED,
    (Stage.ASKED, Word.LEFT): Stage.LEFT,  # it could not even say that it exists
    (Stage.ASKED, Word.ENDED): Stage.ENDED,  # killed before its first word
    (Stage.BORN, Word.READY): Stage.READY,
    (Stage.BORN, Word.FAILED): Stage.FAILED,
    (Stage.BORN, Word.ENDED): Stage.ENDED,
    (Stage.READY, Word.LEFT): Stage.LEFT,
    (Stage.READY, Word.ENDED): Stage.ENDED,
    (Stage.FAILED, Word.LEFT): Stage.LEFT,
    (Stage.FAILED, Word.ENDED): Stage.ENDED,
    (Stage.LEFT, Word.ENDED): Stage.ENDED,
}


class Failure:
    """Why a child could not get ready: `kind` is "unguarded", "main", "load" or "boot", `text` the traceback."""

    __slots__ = ("kind", "text")

    def __init__(self, kind: str, text: str) -> None:
        self.kind: str = kind
        self.text: str = text


def frame(word: Word, text: str = "") -> bytes:
    """The bytes that say a word."""
    payload = text.encode(errors="replace")
    if len(payload) > LONGEST_TEXT:  # the end of a traceback tells more than its beginning
        payload = payload[:64] + b" [...] " + payload[-(LONGEST_TEXT - 71) :]
    return word.value + len(payload).to_bytes(2, "big") + payload


class Conversation:
    """What has been heard from one child so far."""

    def __init__(self, stage: Stage = Stage.ASKED) -> None:
        self.stage = stage
        self.pid: int | None = None
        self.exit_code: int | None = None  # reaped, or at least announced
        self.failure: Failure | None = None
        self.refusal: int | None = None  # an errno
        self._unread = b""

    @property
    def was_reaped(self) -> bool:
        """Is the exit code the system's own word?"""
        return self.stage is Stage.ENDED

    def feed(self, received: bytes) -> None:
        """Take in what came over the channel."""
        self._unread += received
        while len(self._unread) >= 3:
            end = 3 + int.from_bytes(self._unread[1:3], "big")
            if len(self._unread) < end:
                return
            tag, text = self._unread[:1], self._unread[3:end].decode(errors="replace")
            self._unread = self._unread[end:]
            self._hear(Word(tag), text)

    def _hear(self, word: Word, text: str) -> None:
        following = NEXT.get((self.stage, word))
        if following is None:
            raise InternalError(
                f"a starting process said {word.name} at stage {self.stage.value}: please report this bug"
            )
        self.stage = following
        if word is Word.BORN:
            self.pid = int(text)
        elif word is Word.REFUSED:
            self.refusal = int(text)
        elif word is Word.FAILED:
            self.failure = Failure(*text.split("\n", 1))
        elif word in (Word.LEFT, Word.ENDED):
            self.exit_code = int(text)
