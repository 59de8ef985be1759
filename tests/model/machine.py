"""The machine that models run on: shared words, one atomic access a step, futexes, and death.

Promises: a step makes at most one shared access (a second one is a ModelError). A sleeper registers on its words
one after the other, as the kernel's futex_waitv does, each registration comparing and enqueueing in one go; a wake
reaches registered sleepers only, and any of them. A killed process takes no further step; the kernel then marks its
life word DIED and wakes one sleeper on that word, but only if the word's WAITERS bit was set: two separate moments.
With weak stores a plain store waits in the process's store buffer and may overtake others; a release store leaves
after all older ones; a read-modify-write, a fence or a system call waits until the buffer is empty.
Not here: the order in which things happen (`explorer.py`); reordered loads, which no model of ours can show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from .state import (
    ALIVE,
    FINISHED_STEP,
    BrokenInvariant,
    BufferedStore,
    ModelError,
    NotYet,
    Process,
    Processes,
    Status,
    Wait,
    Words,
    join_queue,
)


@dataclass(frozen=True)
class Program:
    """What one process runs: its first step, where that returns to, what its registers hold."""

    entry: str
    stack: tuple[str, ...] = ()
    registers: Mapping[str, int] = field(default_factory=dict)
    mortal: bool = True
    last: bool = False  # starts when all others are finished or dead: an auditor
    after: int | None = None  # starts after this one has: for programs that are alike, any order will do


def alike(*programs: Program) -> tuple[Program, ...]:
    """Programs that differ in nothing: it is enough that they start in this order."""
    return tuple(replace(program, after=number - 1 if number else None) for number, program in enumerate(programs))


def nobody_may(_view: View, _me: int) -> str | None:
    """The strictest judge of sleepers: whoever still sleeps at the end sleeps for ever."""
    return "nobody will ever wake it"


def no_complaint(_view: View) -> str | None:
    """A model whose steps make all the checks themselves."""
    return None


@dataclass(frozen=True)
class Model:
    """A protocol, the programs that use it, and what must always hold.

    `words` are shared words and their first values; `life[i]` of every process is added. `facts` are words of the
    checks alone: no step may decide by them. `guarded` names words, each with the fact that names its holder (1 + the
    process): whoever else touches them breaks an invariant, and so the explorer may leave schedules out. `stable`
    words may be read and slept on by all, but only the holder may write them. `check` looks at every state,
    `check_end` at every state in which all are finished, dead or rightly asleep; both return a complaint or None.
    `complain_of_sleeper` is asked at the end about each sleeper.
    """

    name: str
    steps: Mapping[str, Step]
    programs: tuple[Program, ...]
    words: Mapping[str, int]
    facts: Mapping[str, int] = field(default_factory=dict)
    guarded: Mapping[str, str] = field(default_factory=dict)
    stable: Mapping[str, str] = field(default_factory=dict)
    registers: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()  # the registers that the checks read
    check: Callable[[View], str | None] = no_complaint
    check_end: Callable[[View], str | None] = no_complaint
    complain_of_sleeper: Callable[[View, int], str | None] = nobody_may


class Machine:
    """A model made ready to run: names resolved to places."""

    def __init__(self, model: Model, *, weak_stores: bool = False) -> None:
        self.model = model
        self.weak_stores = weak_stores
        life = {f"life[{me}]": ALIVE for me in range(len(model.programs))}
        first = {**model.words, **life, **model.facts}
        self.names = tuple(first)
        self.place = {name: number for number, name in enumerate(self.names)}
        self.facts = frozenset(self.place[name] for name in model.facts)
        self.guards = {self.place[word]: self.place[fact] for word, fact in model.guarded.items()}
        self.stable = {self.place[word]: self.place[fact] for word, fact in model.stable.items()}
        self.life = tuple(self.place[name] for name in life)
        self.first_words: Words = tuple(first.values())
        self.register_place = {name: number for number, name in enumerate(model.registers)}
        self.judged = frozenset(self.register_place[name] for name in model.judged)

    def first_processes(self) -> Processes:
        """All processes before their first step."""
        return tuple(
            Process(Status.READY, program.entry, program.stack, self._registers(program))
            for program in self.model.programs
        )

    def _registers(self, program: Program) -> tuple[int, ...]:
        unknown = set(program.registers) - set(self.model.registers)
        if unknown:
            raise ModelError(f"{self.model.name}: no such registers: {sorted(unknown)}")
        return tuple(program.registers.get(name, 0) for name in self.model.registers)

    def turns(self, me: int, words: Words, processes: Processes) -> list[Turn]:
        """Every outcome of the next step of process `me`; none if it cannot be taken now."""
        step = self.model.steps.get(processes[me].step)
        if step is None:
            raise ModelError(f"{self.model.name}: no step is named {processes[me].step!r}")
        outcomes, untried = [], [()]  # type: tuple[list[Turn], list[tuple[int, ...]]]
        while untried:
            turn = Turn(self, me, words, processes, untried.pop())
            try:
                turn.run(step)
            except NotYet:
                return []
            outcomes.append(turn)
            untried.extend(turn.untried())
        return outcomes


class Turn:
    """What one process may do in one step: at most one shared access, then a name of the next step."""

    def __init__(
        self,
        machine: Machine,
        me: int,
        words: Words,
        processes: Processes,
        choices: tuple[int, ...],
    ) -> None:
        process = processes[me]
        self.me = me
        self.r = dict(zip(machine.model.registers, process.registers, strict=True))
        self.words = list(words)
        self.woken: list[int] = []
        self.called_wake = False
        self.is_quiet = True  # so far nothing that is any other process's business
        self._machine = machine
        self._processes = processes
        self._stack = process.stack
        self._buffer = process.buffer
        self._joining: tuple[Wait, ...] = ()
        self._on_timeout = ""
        self._choices = choices
        self._arities: list[int] = []
        self._accesses = 0

    # -- shared words -------------------------------------------------------------------------------------------

    def load(self, word: str) -> int:
        """The word's value; a process sees its own buffered stores."""
        place = self._access(word, writes=False)
        for store in reversed(self._buffer):
            if store.word == place:
                return store.value
        return self.words[place]

    def store(self, word: str, value: int) -> None:
        """A store that everybody sees at once, after all older ones."""
        self._drained()
        self.words[self._access(word)] = value

    def store_relaxed(self, word: str, value: int) -> None:
        """A store that others may see late, and later ones before it."""
        self._buffered(word, value, release=False)

    def store_release(self, word: str, value: int) -> None:
        """A store that others may see late, but with all older ones."""
        self._buffered(word, value, release=True)

    def cas(self, word: str, expected: int, new: int) -> int:
        """Store `new` if the word holds `expected`; the value seen in any case."""
        self._drained()
        place = self._access(word)
        seen = self.words[place]
        if seen == expected:
            self.words[place] = new
        return seen

    def exchange(self, word: str, new: int) -> int:
        """Store `new`; the value before."""
        self._drained()
        place = self._access(word)
        seen, self.words[place] = self.words[place], new
        return seen

    def add(self, word: str, amount: int) -> int:
        """Add to the word; the value before."""
        self._drained()
        place = self._access(word)
        self.words[place] += amount
        return self.words[place] - amount

    def update(self, word: str, change: Callable[[int], int]) -> int:
        """A load and a store of a guarded word: nobody comes between, and death between is death before."""
        place = self._machine.place[word]
        if place not in self._machine.guards:
            raise ModelError(f"{word!r} is not guarded: load and store it in two steps, or exchange it")
        self._drained()
        self._access(word)
        seen = self.words[place]
        self.words[place] = change(seen)
        return seen

    def fence(self) -> None:
        """Wait until everybody sees all that this process has stored."""
        self._drained()
        self.is_quiet = False
        self._accesses += 1

    # -- the kernel ---------------------------------------------------------------------------------------------

    def wake(self, word: str, count: int) -> None:
        """FUTEX_WAKE: up to `count` of those registered on the word, any of them."""
        self._drained()
        self.is_quiet = False
        place = self._access(word, writes=False)
        self.called_wake = True
        sleepers = [
            pid
            for pid, other in enumerate(self._processes)
            if pid != self.me and any(wait.word == place for wait in other.waits)
        ]
        while sleepers and count:
            self.woken.append(sleepers.pop(self.choose(len(sleepers)) if len(sleepers) > count else 0))
            count -= 1

    def sleep(self, *waits: tuple[str, int], then: str, on_timeout: str = "", unit: int = 1) -> str:
        """futex_waitv: sleep while every word holds its value; go on at `then`, for whatever reason woken."""
        self._drained()
        self.is_quiet = False
        self._accesses += 1
        self._joining = tuple(Wait(self._machine.place[word], expected, unit) for word, expected in waits)
        self._on_timeout = on_timeout
        return then

    # -- in place of whole protocols that have been explored by themselves ----------------------------------------

    def peek(self, word: str) -> int:
        """A word's value, without an access: for a step that stands for several."""
        return self.words[self._machine.place[word]]

    def wait_until(self, holds: bool) -> None:
        """The step can be taken only in states in which this holds."""
        self.is_quiet = False
        if not holds:
            raise NotYet

    # -- control ------------------------------------------------------------------------------------------------

    def call(self, step: str, *, then: str) -> str:
        """Run a subroutine from `step` on and come back to `then`."""
        self._stack = (*self._stack, then)
        return step

    def back(self) -> str:
        """Return from a subroutine, or finish the program."""
        if not self._stack:
            return FINISHED_STEP
        step, self._stack = self._stack[-1], self._stack[:-1]
        return step

    def choose(self, alternatives: int) -> int:
        """One of several futures; the explorer takes them all."""
        number = len(self._arities)
        self._arities.append(alternatives)
        return self._choices[number] if number < len(self._choices) else 0

    # -- the checks' own bookkeeping ----------------------------------------------------------------------------

    def fact(self, name: str) -> int:
        """What the checks have noted; a protocol must not decide by it."""
        return self.words[self._fact_place(name)]

    def note(self, name: str, value: int) -> None:
        """Note something for the checks; no access, in one go with the step."""
        self.words[self._fact_place(name)] = value

    def scribble(self, word: str, value: int) -> None:
        """Somebody else writes here at the same moment: memory that was just given away. No access of this step."""
        self.words[self._machine.place[word]] = value
        self.is_quiet = False

    def require(self, holds: bool, complaint: str) -> None:
        """Report a broken promise unless `holds`."""
        if not holds:
            raise BrokenInvariant(f"P{self.me} in {self._processes[self.me].step}: {complaint}")

    # -- for the machine and the explorer -----------------------------------------------------------------------

    def run(self, step: Step) -> None:
        """Run the step; the outcome is then in `process` and `words`."""
        following = step(self)
        if self._accesses > 1:
            raise ModelError(f"{self._processes[self.me].step}: {self._accesses} shared accesses in one step")
        self.process = self._outcome(following)

    def untried(self) -> list[tuple[int, ...]]:
        """The choices that this run did not take, as prefixes for further runs."""
        taken = [*self._choices, *[0] * (len(self._arities) - len(self._choices))]
        return [
            (*taken[:place], alternative)
            for place in range(len(self._choices), len(self._arities))
            for alternative in range(1, self._arities[place])
        ]

    def _outcome(self, following: str) -> Process:
        registers = tuple(self.r.values())
        if len(registers) != len(self._machine.register_place):
            raise ModelError(f"{self._processes[self.me].step}: wrote to an undeclared register")
        if not self._joining:
            status = Status.FINISHED if following == FINISHED_STEP else Status.READY
            return Process(status, following, self._stack, registers, buffer=self._buffer)
        current = self._processes[self.me].step
        process = Process(Status.JOINING, current, self._stack, registers)
        process = process._replace(joining=self._joining, then=following, on_timeout=self._on_timeout)
        return join_queue(process, self.words)

    def _access(self, word: str, *, writes: bool = True) -> int:
        machine = self._machine
        place = machine.place.get(word)
        if place is None:
            raise BrokenInvariant(f"P{self.me} in {self._processes[self.me].step}: there is no word {word}")
        if place in machine.facts:
            raise ModelError(f"{word!r} is a fact, not a shared word")
        self._accesses += 1
        stable = machine.stable.get(place)
        guard = machine.guards.get(place, stable)
        holds = guard is not None and self.words[guard] == self.me + 1
        self.require(holds or guard is None or (stable is not None and not writes), f"touches {word}, unguarded")
        self.is_quiet &= holds and (stable is None or not writes)
        return place

    def _fact_place(self, name: str) -> int:
        place = self._machine.place[name]
        if place not in self._machine.facts:
            raise ModelError(f"{name!r} is a shared word, not a fact")
        return place

    def _drained(self) -> None:
        if self._buffer:
            raise NotYet

    def _buffered(self, word: str, value: int, *, release: bool) -> None:
        place = self._access(word)
        if self._machine.weak_stores:
            self._buffer = (*self._buffer, BufferedStore(place, value, release))
        else:
            self.words[place] = value


Step = Callable[[Turn], str]


class View:
    """A state as the checks read it."""

    def __init__(self, machine: Machine, words: Words, processes: Processes) -> None:
        self._machine = machine
        self.words = words
        self.processes = processes

    def __getitem__(self, word: str) -> int:
        return self.words[self._machine.place[word]]

    def register(self, me: int, name: str) -> int:
        """What a judged register of process `me` holds."""
        if name not in self._machine.model.judged:
            raise ModelError(f"{self._machine.model.name}: register {name!r} is read by a check and not judged")
        return self.processes[me].registers[self._machine.register_place[name]]

    def is_dead(self, me: int) -> bool:
        """Whether the process was killed, whatever its life word says yet."""
        return self.processes[me].status >= Status.DYING
