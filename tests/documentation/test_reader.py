"""The reader of the specification misses no code and no name; the runner notices what is left behind."""

from __future__ import annotations

import pytest

from tests.documentation import running, specification
from tests.documentation.entries import Entry

TEXT = """
Title
=====

A paragraph that announces ::

   first = 1

   second = 2

and, in the same section:

.. doctest::
   :options: +ELLIPSIS

   >>> 1 + 1
   2

.. literalinclude:: ../includes/program.py

:mod:`other` section
~~~~~~~~~~~~~~~~~~~~

.. module:: package.other

.. class:: Thing(first=None, \\
                 *, last=True)

   .. method:: do(what[, how])

      It supports sessions::

      >>> Thing().do(1)
      1
      >>> 3
      3

   .. attribute:: size

.. function:: make()
              make(\\*parts)
"""


def test_every_form_of_code_is_found() -> None:
    assert [(block.name, block.source, block.included) for block in specification.blocks(TEXT)] == [
        ("Title/1", "first = 1\n\nsecond = 2\n", False),
        ("Title/2", ">>> 1 + 1\n2\n", False),
        ("Title/3", "../includes/program.py", True),
        ("other section/1", ">>> Thing().do(1)\n1\n>>> 3\n3\n", False),
    ]


def test_every_described_name_is_found_with_its_signature() -> None:
    assert [(name.kind, name.path, name.signature) for name in specification.names(TEXT)] == [
        ("class", "package.other.Thing", "(first=None, *, last=True)"),
        ("method", "package.other.Thing.do", "(what[, how])"),
        ("attribute", "package.other.Thing.size", ""),
        ("function", "package.other.make", "()"),
        ("function", "package.other.make", "(*parts)"),
    ]


def test_a_changed_block_has_another_digest() -> None:
    before, after = specification.blocks(TEXT)[0], specification.blocks(TEXT.replace("second = 2", "second = 3"))[0]
    assert before.name == after.name
    assert before.digest != after.digest


@pytest.mark.skipif(specification.missing() is not None, reason=str(specification.missing()))
def test_no_prompt_and_no_announced_code_of_the_specification_is_missed() -> None:
    text = specification.text()
    blocks = specification.blocks(text)
    assert sum(block.source.count(">>> ") for block in blocks) == text.count(">>> ")
    announced = [
        number
        for number, line in enumerate(text.splitlines(), 1)
        if line.rstrip().endswith("::") and not line.lstrip().startswith("..")
    ]
    starts = {block.line for block in blocks}
    assert [number for number in announced if not starts & {number, number + 2}] == []


def test_only_the_import_is_changed() -> None:
    source = "from multiprocessing.pool import Pool\nimport multiprocessing, os\nimport multiprocessing as mp\n"
    assert running.change_import(source) == (
        "from procession.pool import Pool\nimport procession as multiprocessing, os\nimport procession as mp\n"
    )


def test_the_method_is_chosen_in_the_guarded_part() -> None:
    chosen = "__import__('procession').set_start_method('spawn', force=True)\n"
    assert running.choose_method("if __name__ == '__main__':\n    go()\n", "spawn") == (
        f"if __name__ == '__main__':\n    {chosen}    go()\n"
    )
    assert running.choose_method("go()\n", "spawn") == chosen + "go()\n"


def test_a_scaffold_stands_round_its_fragment() -> None:
    entry = Entry("some/1", "", scaffold="if True:\n    {code}\n    print(x)\n", replace=((r"\b1\b", "{port}"),))
    assert entry.prepare("x = 1\ny = x\n", "fork", 7).splitlines() == [
        "if True:",
        "    x = 7",
        "    y = x",
        "",
        "    print(x)",
    ]
    with pytest.raises(AssertionError, match="there is no"):
        entry.prepare("x = 2\n", "fork", 7)


@pytest.mark.slow
def test_a_program_that_leaves_a_process_behind_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "DEADLINE", 2.0)
    source = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE); import os; os._exit(0)\n"
    source = source.replace("'input()'", "'import signal; signal.pause()'")
    assert running.run_script(source, "fork", "import").problem == "left processes behind"


@pytest.mark.slow
def test_what_is_typed_is_answered_turn_by_turn() -> None:
    source = (
        ">>> 1 + 1\n2\n>>> for i in range(2):\n...     print(i)\n...\n0\n1\n>>> class A: pass\n>>> 1 / 0\nTraceback\n"
    )
    outcome = running.run_session(source, "fork", "import")
    answers = [came for _, came, _ in outcome.turns]
    assert answers[:3] == ["2\n", "0\n1\n", ""]
    assert answers[3].endswith("ZeroDivisionError: division by zero\n")
    assert [wanted for _, _, wanted in outcome.turns] == ["2\n", "0\n1\n", "", "Traceback\n"]
