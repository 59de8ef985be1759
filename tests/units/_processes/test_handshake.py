"""What a starting child says: every word at every stage, whole frames, cut texts."""

from __future__ import annotations

import itertools

import pytest

from procession._processes.handshake import LONGEST_TEXT, NEXT, Conversation, Stage, Word, frame
from procession.errors import InternalError

TEXTS = {
    Word.BORN: "4711",
    Word.REFUSED: "11",
    Word.FAILED: "main\nTraceback",
    Word.LEFT: "3",
    Word.ENDED: "-9",
    Word.READY: "",
}


@pytest.mark.parametrize(("stage", "word"), list(itertools.product(Stage, Word)), ids=str)
def test_a_word_leads_on_as_the_table_says_or_is_refused(stage: Stage, word: Word) -> None:
    conversation = Conversation(stage)
    if (stage, word) in NEXT:
        conversation.feed(frame(word, TEXTS[word]))
        assert conversation.stage is NEXT[stage, word]
    else:
        with pytest.raises(InternalError, match=word.name):
            conversation.feed(frame(word, TEXTS[word]))
        assert conversation.stage is stage


def test_frames_are_understood_however_they_are_cut() -> None:
    said = frame(Word.BORN, "4711") + frame(Word.READY) + frame(Word.LEFT, "3") + frame(Word.ENDED, "-15")
    for size in range(1, len(said) + 1):
        conversation = Conversation()
        for start in range(0, len(said), size):
            conversation.feed(said[start : start + size])
        assert (conversation.pid, conversation.exit_code, conversation.was_reaped) == (4711, -15, True)


def test_what_the_child_announced_counts_until_the_system_says_otherwise() -> None:
    conversation = Conversation(Stage.READY)
    conversation.feed(frame(Word.LEFT, "3"))
    assert (conversation.exit_code, conversation.was_reaped) == (3, False)
    conversation.feed(frame(Word.ENDED, "-9"))
    assert (conversation.exit_code, conversation.was_reaped) == (-9, True)


def test_a_failure_keeps_its_kind_and_the_end_of_a_long_traceback() -> None:
    conversation = Conversation(Stage.BORN)
    said = frame(Word.FAILED, "load\n" + "é" * 5000 + "\nValueError: the last line")
    assert len(said) <= 4096
    conversation.feed(said)
    assert conversation.failure is not None
    assert conversation.failure.kind == "load"
    assert conversation.failure.text.endswith("ValueError: the last line")
    assert len(conversation.failure.text.encode()) <= LONGEST_TEXT
