"""Runs every schedule of a model and kills a process at every possible step.

Promises: every state that any interleaving, any wake order, any time-out and any `kills` deaths can reach is judged
(but for those that differ in nothing that matters: `moves.py`). A broken invariant is reported with a shortest trace
that leads to it. A state counts as hung if no accepted end can be reached from it without further deaths: with
finitely many states this is the same as "a fair scheduler does not get it to an end", so it finds deadlocks,
lost wake-ups and endless polling alike. `hang_points` are the steps at which a death can lead to a hung state: these
deaths are what a backstop is for. With `backstop=True` every sleep may also end by itself at any moment (the timed
re-check, a spurious wake).
Not here: what a step may do (`machine.py`). Starvation by an unfair scheduler is not looked for.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from .machine import Machine, Model, no_complaint, nobody_may
from .moves import Move, Scheduler, State, States
from .state import BrokenInvariant, Process, Status

MOST_STATES = 1_000_000  # some 500 bytes each; a model that needs more is too big to be understood, too


UNDER_WAY = (Status.JOINING, Status.DYING, Status.MARKED)


@dataclass(frozen=True)
class Finding:
    """Something that the protocol promised not to do, and a shortest way there."""

    kind: str  # "broken invariant", "lost wake-up" or "deadlock"
    message: str
    trace: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.kind}: {self.message}", *self.trace])


@dataclass(frozen=True)
class Report:
    """What an exploration saw. `finding` is None if all promises held."""

    model: str
    states: int
    transitions: int
    finding: Finding | None
    hang_points: frozenset[str]  # the step before (or in) which a death can lead to a hung state
    hangs_without_death: bool
    steps_run: frozenset[str]
    steps_killed_at: frozenset[str]


def explore(
    model: Model, *, kills: int = 1, backstop: bool = False, weak_stores: bool = False, every_order: bool = False
) -> Report:
    """Visit the reachable states of `model` with up to `kills` deaths, and judge each.

    `weak_stores` puts a store buffer between each process and the others. `every_order` leaves out nothing.
    """
    states = States(Machine(model, weak_stores=weak_stores))
    scheduler = Scheduler(states, backstop=backstop, every_order=every_order or weak_stores)
    return _Exploration(states, scheduler, kills).run()


class _Exploration:
    """The growing graph of states, breadth first, so that the first trace to a state is a shortest one."""

    def __init__(self, states: States, scheduler: Scheduler, kills: int) -> None:
        self.states = states
        self.model = states.machine.model
        self.scheduler = scheduler
        self.first = states.state(states.machine.first_words, states.machine.first_processes(), kills)
        programs = enumerate(self.model.programs)
        self.may_stand_still = {me for me, program in programs if program.last or program.after is not None}
        self.numbers: dict[State, int] = {self.first: 0}
        self.found: list[State] = [self.first]
        self.parents = array("l", [-1])
        self.ends = bytearray()  # 1 for each accepted end, in the order of `found`
        self.sources = array("l")  # of all moves but deaths
        self.targets = array("l")
        self.deaths: set[tuple[int, str]] = set()  # the state after it, the step before it

    def run(self) -> Report:
        """Explore and judge."""
        current = 0
        try:
            while current < len(self.found):
                self._expand(current)
                current += 1
        except BrokenInvariant as broken:
            return self._report(Finding("broken invariant", str(broken), self._trace(current, str(broken))))
        return self._judge_hangs()

    def _expand(self, current: int) -> None:
        state = self.found[current]
        if self.model.check is not no_complaint:
            _require(self.model.check(self.states.view(state)))
        for move in self.scheduler.moves(state):
            target = self._number(move, current)
            if move.is_death:
                self.deaths.add((target, move.what.split()[-1]))
            else:
                self.sources.append(current)
                self.targets.append(target)
        self.ends.append(self._is_end(state))
        if self.ends[current]:
            _require(self.model.check_end(self.states.view(state)))

    def _number(self, move: Move, parent: int) -> int:
        number = self.numbers.setdefault(move.state, len(self.found))
        if number == len(self.found):
            if number >= MOST_STATES:
                raise MemoryError(f"{self.model.name}: more than {MOST_STATES} states: make it smaller")
            self.found.append(move.state)
            self.parents.append(parent)
        return number

    # -- judging ------------------------------------------------------------------------------------------------

    def _is_end(self, state: State) -> bool:
        """Everybody is finished, dead, or asleep with good reason; who has not started need not."""
        statuses = [self.states.statuses[number] for number in state[1:-1]]
        waiting = [me for me, status in enumerate(statuses) if status == Status.READY]
        if any(status in UNDER_WAY for status in statuses) or not self.may_stand_still.issuperset(waiting):
            return False
        view = self.states.view(state)
        if any(self.scheduler.has_started(me, view.processes) for me in waiting):
            return False
        asleep = (me for me, status in enumerate(statuses) if status == Status.ASLEEP)
        return all(self.model.complain_of_sleeper(view, me) is None for me in asleep)

    def _judge_hangs(self) -> Report:
        hopeful = bytearray(self.ends)
        self._spread_backwards(hopeful)
        hung = [number for number, hope in enumerate(hopeful) if not hope]
        if not hung:
            return self._report(None)
        doomed = bytearray(not hope for hope in hopeful)
        self._spread_backwards(doomed)
        points = frozenset(step for target, step in self.deaths if doomed[target])
        return self._report(self._hang(hung), points, without_death=bool(doomed[0]))

    def _spread_backwards(self, marks: bytearray) -> None:
        """Mark every state from which a marked one can be reached without a death."""
        growing = True
        while growing:
            growing = False
            for move in range(len(self.sources) - 1, -1, -1):
                if marks[self.targets[move]] and not marks[self.sources[move]]:
                    marks[self.sources[move]] = growing = True

    def _hang(self, hung: list[int]) -> Finding:
        """The first state at rest among the hung ones, or the first at all if they poll for ever."""
        moving = set(self.sources)
        at_rest = next((number for number in hung if number not in moving), hung[0])
        view = self.states.view(self.found[at_rest])
        kind, sentences = "deadlock", []
        for me, process in enumerate(view.processes):
            if process.status != Status.ASLEEP:
                continue
            complaint = self.model.complain_of_sleeper(view, me)
            if complaint is None:
                continue
            missed = not all(wait.holds(view.words) for wait in process.waits)
            if missed or complaint != nobody_may(view, me):
                kind = "lost wake-up"
            sentences.append(f"P{me} sleeps for ever on {self._waits(process)}: {complaint}")
        message = "; ".join(sentences) or "somebody runs for ever without getting anywhere"
        return Finding(kind, message, self._trace(at_rest, "hung"))

    def _report(
        self, finding: Finding | None, points: frozenset[str] = frozenset(), *, without_death: bool = False
    ) -> Report:
        return Report(
            model=self.model.name,
            states=len(self.found),
            transitions=len(self.sources) + len(self.deaths),
            finding=finding,
            hang_points=points,
            hangs_without_death=without_death,
            steps_run=frozenset(self.scheduler.steps_run),
            steps_killed_at=frozenset(step for _target, step in self.deaths),
        )

    # -- traces -------------------------------------------------------------------------------------------------

    def _trace(self, number: int, end: str) -> tuple[str, ...]:
        path = [number]
        while self.parents[path[-1]] >= 0:
            path.append(self.parents[path[-1]])
        path.reverse()
        lines = [self._line(self.found[path[i]], self.found[path[i + 1]]) for i in range(len(path) - 1)]
        return (*lines, f"    => {end}")

    def _line(self, before: State, after: State) -> str:
        move = next(move for move in self.scheduler.moves(before) if move.state == after)
        names = self.states.machine.names
        changes = [
            f"{name}: {old} -> {new}"
            for name, old, new in zip(names, self.states.words(before), self.states.words(after), strict=True)
            if old != new
        ]
        both = zip(self.states.processes(before), self.states.processes(after), strict=True)
        for pid, (old_process, new_process) in enumerate(both):
            if old_process.waits and not new_process.waits and pid != move.who:
                changes.append(f"wakes P{pid}")
            if new_process.status == Status.ASLEEP and old_process.status != Status.ASLEEP:
                changes.append(f"asleep on {self._waits(new_process)}")
        return f"    P{move.who}  {move.what:<40} {', '.join(changes)}".rstrip()

    def _waits(self, process: Process) -> str:
        names = self.states.machine.names
        return " and ".join(f"{names[wait.word]} == {wait.expected}" for wait in process.waits)


def _require(complaint: str | None) -> None:
    if complaint is not None:
        raise BrokenInvariant(complaint)
