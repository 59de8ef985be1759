"""What can happen next: every move of a state, deaths included.

A state is a tuple of numbers: of its words, of each process, and how many may still be killed; `States` keeps the
words and the processes behind the numbers, each once.

Promises: all moves are given, but for those that provably lead nowhere new. A step is *quiet* if it touches nothing
but registers that no check reads and words that are guarded by what its process holds. Nobody else's move depends on
it, so where a process is at a quiet step only it moves, unless its death would show how far it had got: if it may
still be killed, that is so as soon as the step writes a word. `every_order=True` leaves nothing out.
Not here: which states were visited, and whether they are good (`explorer.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from .machine import Machine, Turn, View
from .state import DIED, WAITERS, Process, Processes, Status, Words, awake, join_queue, timed_out

State = tuple[int, ...]

GONE = (Status.FINISHED, Status.DEAD)


class Move(NamedTuple):
    """One thing that happens, and what it leads to."""

    who: int
    what: str
    state: State
    is_death: bool = False


class Alone(IntEnum):
    """Whether the others may stand still while a process makes its step."""

    NEVER = 0
    IF_IT_CANNOT_DIE = 1  # quiet, but it writes: its death would show how far it had got
    ALWAYS = 2


class Outcome(NamedTuple):
    """What a death, or a step that wakes nobody, does whatever the others are doing."""

    words: int
    process: int
    what: str = ""


class States:
    """Every words and every process that was ever seen, by number."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._word_numbers: dict[Words, int] = {}
        self._process_numbers: dict[Process, int] = {}
        self._words: list[Words] = []
        self._processes: list[Process] = []
        self.statuses: list[Status] = []

    def state(self, words: Words, processes: Processes, kills: int) -> State:
        """The tuple of numbers."""
        return (self.of_words(words), *[self.of_process(process) for process in processes], kills)

    def of_words(self, words: Words) -> int:
        """The number of these words."""
        number = self._word_numbers.setdefault(words, len(self._words))
        if number == len(self._words):
            self._words.append(words)
        return number

    def of_process(self, process: Process) -> int:
        """The number of this process."""
        number = self._process_numbers.setdefault(process, len(self._processes))
        if number == len(self._processes):
            self._processes.append(process)
            self.statuses.append(process.status)
        return number

    def words(self, state: State) -> Words:
        """The words behind the first number."""
        return self._words[state[0]]

    def processes(self, state: State) -> Processes:
        """The processes behind the others."""
        table = self._processes
        return tuple([table[number] for number in state[1:-1]])

    def view(self, state: State) -> View:
        """The state as checks read it."""
        return View(self.machine, self.words(state), self.processes(state))


class Scheduler:
    """Gives the moves of a state."""

    def __init__(self, states: States, *, backstop: bool, every_order: bool) -> None:
        self.states = states
        self.machine = states.machine
        self.backstop = backstop
        self.every_order = every_order
        self.steps_run: set[str] = set()
        self._first = self.machine.first_processes()
        self._outcomes: dict[tuple[int, int, int], list[Outcome]] = {}
        self._alone: dict[tuple[int, int, int], Alone] = {}
        self._deaths: dict[tuple[int, int, int], Outcome] = {}
        self._waking: set[tuple[int, int, int]] = set()

    def moves(self, state: State) -> Iterator[Move]:
        """All of them, or those of one process at a quiet step."""
        words, processes, kills = self.states.words(state), self.states.processes(state), state[-1]
        if not self.every_order:
            for me, process in enumerate(processes):
                if process.status == Status.READY and self._goes_alone(me, state, words, processes):
                    yield from self._steps(me, state, words, processes)
                    return
        for me in range(len(processes)):
            yield from self._moves_of(me, state, words, processes)
            if kills and self.may_die(me, processes):
                yield self._death(me, state, words, processes[me])

    def has_started(self, me: int, processes: Processes) -> bool:
        """An auditor starts when all others are finished or dead; who stands behind another, after that one."""
        program = self.machine.model.programs[me]
        if program.last:
            return all(other.status in GONE for pid, other in enumerate(processes) if pid != me)
        return program.after is None or processes[program.after] != self._first[program.after]

    def may_die(self, me: int, processes: Processes) -> bool:
        """Whoever is mortal and not dead; also after the last step."""
        mortal = self.machine.model.programs[me].mortal and processes[me].status <= Status.FINISHED
        return mortal and self.has_started(me, processes)

    def _moves_of(self, me: int, state: State, words: Words, processes: Processes) -> Iterator[Move]:
        process = processes[me]
        if process.buffer:
            yield from self._drains(me, state, words, process)
        if process.status == Status.READY:
            yield from self._steps(me, state, words, processes)
        elif process.status == Status.JOINING:
            joined = self.states.of_process(join_queue(process, words))
            yield Move(me, f"{process.step} (joins the next queue)", _change(state, me, joined))
        elif process.status == Status.ASLEEP:
            yield from self._alarms(me, state, process)
        elif process.status in (Status.DYING, Status.MARKED) and not process.buffer:
            yield from self._kernel(me, state, words, processes)

    # -- steps --------------------------------------------------------------------------------------------------

    def _steps(self, me: int, state: State, words: Words, processes: Processes) -> Iterator[Move]:
        if not self.has_started(me, processes):
            return
        step = processes[me].step
        self.steps_run.add(step)
        outcomes = self._outcomes_of(me, state, words, processes)
        if outcomes is not None:
            for outcome in outcomes:
                yield Move(me, step, _change(state, me, outcome.process, outcome.words))
            return
        for turn in self.machine.turns(me, words, processes):
            after = _change(state, me, self.states.of_process(turn.process), self.states.of_words(tuple(turn.words)))
            for sleeper in turn.woken:
                after = _change(after, sleeper, self.states.of_process(awake(processes[sleeper])))
            yield Move(me, step, after)

    def _outcomes_of(self, me: int, state: State, words: Words, processes: Processes) -> list[Outcome] | None:
        """The step's outcomes, run once for all states that agree on words and process; None if it wakes."""
        key = (me, state[0], state[1 + me])
        known = self._outcomes.get(key)
        if known is not None or key in self._waking:
            return known
        turns = self.machine.turns(me, words, processes)
        self._alone[key] = Alone.NEVER
        if any(turn.called_wake for turn in turns):
            self._waking.add(key)
            return None
        of_words, of_process = self.states.of_words, self.states.of_process
        known = [Outcome(of_words(tuple(turn.words)), of_process(turn.process)) for turn in turns]
        self._outcomes[key] = known
        if turns and all(self._is_quiet(turn, processes[me]) for turn in turns):
            writes = any(outcome.words != state[0] for outcome in known)
            self._alone[key] = Alone.IF_IT_CANNOT_DIE if writes else Alone.ALWAYS
        return known

    def _is_quiet(self, turn: Turn, before: Process) -> bool:
        judged = self.machine.judged
        changed = (old != new for old, new in zip(before.registers, turn.process.registers, strict=True))
        return turn.is_quiet and not any(place in judged for place, differs in enumerate(changed) if differs)

    def _goes_alone(self, me: int, state: State, words: Words, processes: Processes) -> bool:
        key = (me, state[0], state[1 + me])
        alone = self._alone.get(key)
        if alone is None:
            self._outcomes_of(me, state, words, processes)
            alone = self._alone[key]
        if alone == Alone.NEVER or not self.has_started(me, processes):
            return False
        return alone == Alone.ALWAYS or not state[-1] or not self.machine.model.programs[me].mortal

    # -- time and memory ----------------------------------------------------------------------------------------

    def _alarms(self, me: int, state: State, process: Process) -> Iterator[Move]:
        if process.on_timeout:
            late = self.states.of_process(timed_out(process))
            yield Move(me, f"{process.step} (timed out)", _change(state, me, late))
        if self.backstop:
            up = self.states.of_process(awake(process))
            yield Move(me, f"{process.step} (backstop)", _change(state, me, up))

    def _drains(self, me: int, state: State, words: Words, process: Process) -> Iterator[Move]:
        for place, store in enumerate(process.buffer):
            older = process.buffer[:place]
            if (store.release and older) or any(other.word == store.word for other in older):
                continue
            rest = process._replace(buffer=(*older, *process.buffer[place + 1 :]))
            after = (*words[: store.word], store.value, *words[store.word + 1 :])
            state_after = _change(state, me, self.states.of_process(rest), self.states.of_words(after))
            yield Move(me, "(a store leaves its buffer)", state_after)

    # -- death --------------------------------------------------------------------------------------------------

    def _death(self, me: int, state: State, words: Words, process: Process) -> Move:
        """SIGKILL; it depends on the words and its own process alone."""
        key = (me, state[0], state[1 + me])
        known = self._deaths.get(key)
        if known is None:
            known = self._deaths[key] = self._die(me, words, process)
        after = _change(state, me, known.process, known.words)
        return Move(me, known.what, (*after[:-1], state[-1] - 1), is_death=True)

    def _die(self, me: int, words: Words, process: Process) -> Outcome:
        """Of a sleeper the word is marked later: until then a wake finds it off the queue already."""
        left = [value if place in self.machine.judged else 0 for place, value in enumerate(process.registers)]
        body = Process(Status.DYING, "", (), tuple(left), buffer=process.buffer)
        what = f"KILLED before {process.step}"
        if process.waits or process.buffer:
            what = f"KILLED in {process.step}"
        else:
            words, body = self._marked(me, words, body)
        return Outcome(self.states.of_words(words), self.states.of_process(body), what)

    def _marked(self, me: int, words: Words, body: Process) -> tuple[Words, Process]:
        life = self.machine.life[me]
        asked = words[life] & WAITERS
        after = (*words[:life], asked | DIED, *words[life + 1 :])
        return after, body._replace(status=Status.MARKED if asked else Status.DEAD)

    def _kernel(self, me: int, state: State, words: Words, processes: Processes) -> Iterator[Move]:
        body, life = processes[me], self.machine.life[me]
        if body.status == Status.DYING:
            after, marked = self._marked(me, words, body)
            state = _change(state, me, self.states.of_process(marked), self.states.of_words(after))
            yield Move(me, "kernel.life.mark", state)
            return
        state = _change(state, me, self.states.of_process(body._replace(status=Status.DEAD)))
        sleepers = [pid for pid, other in enumerate(processes) if any(wait.word == life for wait in other.waits)]
        for sleeper in sleepers:
            up = self.states.of_process(awake(processes[sleeper]))
            yield Move(me, "kernel.life.wake", _change(state, sleeper, up))
        if not sleepers:
            yield Move(me, "kernel.life.wake", state)


def _change(state: State, me: int, process: int, words: int | None = None) -> State:
    first = state[0] if words is None else words
    return (first, *state[1 : 1 + me], process, *state[2 + me :])
