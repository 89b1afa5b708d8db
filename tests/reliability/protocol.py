"""The commit protocol as a small model: every state that two processes, crashes and lost answers can reach.

The world is a target (staged rows, ledger, epoch, what readers see), a journal, and processes that look, stage,
publish, roll back, crash and come back. A transaction at the target is one step; that its answer arrives is another.
A zombie is a process whose place another took: it goes on with what it believed. `Rules` are the ones that the code
keeps; taking one away is a planted bug, which the check has to find.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

BATCHES = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """What the protocol promises; each is on in the code."""

    ledger_decides: bool = True
    """What is staged is asked of the target's ledger, not of the journal."""
    line_with_rows: bool = True
    """Rows and their ledger line are one transaction."""
    fenced: bool = True
    """Each transaction looks first whether its epoch is the newest."""
    looks_for_its_line: bool = True
    """A transaction that stages looks whether the batch is there."""
    publishes_at_once: bool = True
    """All batches become visible in one transaction."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: its epoch, and what it does next; `doing` is what it has sent or is about to send."""

    epoch: int = 0
    doing: str = "out"
    batch: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """The whole world."""

    epoch: int = 0
    ledger: frozenset[int] = frozenset()
    journal: frozenset[int] = frozenset()
    staged: tuple[int, ...] = (0,) * BATCHES
    visible: tuple[int, ...] = (0,) * BATCHES
    run: str = "open"
    undone: bool = False
    processes: tuple[Process, ...] = (Process(), Process())
    crashes: int = 2
    losses: int = 2
    starts: int = 3

    def put(self, place: int, process: Process, **changes: object) -> "State":
        """Return the world after a step of one process."""
        processes = (*self.processes[:place], process, *self.processes[place + 1 :])
        return replace(self, processes=processes, **changes)  # type: ignore[arg-type]


@dataclass(slots=True)
class Checked:
    """What a check found: number of states, violations with the shortest way to each, states without an end."""

    states: int = 0
    violations: dict[str, list[str]] = field(default_factory=dict)
    stuck: int = 0


def steps(state: State, rules: Rules) -> Iterator[tuple[str, State]]:
    """Yield every step that is possible, with its name."""
    for place, process in enumerate(state.processes):
        name = f"process {place}"
        if process.doing == "out":
            if state.starts:
                # Whoever starts takes the scope over: the other one, if it lives, has become a zombie.
                begun = Process(state.epoch + 1, "look")
                yield f"{name} starts", state.put(place, begun, epoch=state.epoch + 1, starts=state.starts - 1)
            continue
        if state.crashes:
            yield f"{name} is killed", state.put(place, Process(), crashes=state.crashes - 1)
        for told, after in _works(state, place, process, rules):
            yield f"{name} {told}", after


def _works(state: State, place: int, process: Process, rules: Rules) -> Iterator[tuple[str, State]]:
    if process.doing == "look":
        known = state.ledger if rules.ledger_decides else state.journal
        missing = sorted(set(range(BATCHES)) - known)
        if state.run == "open":
            work = ("stage", missing[0]) if missing else ("publish", 0)
            yield f"is about to {work[0]}", state.put(place, replace(process, doing=work[0], batch=work[1]))
            yield "is about to roll back", state.put(place, replace(process, doing="undo"))
        elif state.run == "published":
            yield "ends", state.put(place, Process())
            yield "is about to roll back", state.put(place, replace(process, doing="undo"))
        else:
            yield "ends", state.put(place, Process())
    elif process.doing == "tell":
        told = state.journal | {process.batch}
        yield f"journals batch {process.batch}", state.put(place, replace(process, doing="look"), journal=told)
    elif process.doing == "line":
        line = state.ledger | {process.batch}
        yield f"enters batch {process.batch}", state.put(place, replace(process, doing="tell"), ledger=line)
    else:
        yield from _commits(state, place, process, rules)


def _commits(state: State, place: int, process: Process, rules: Rules) -> Iterator[tuple[str, State]]:
    """Yield the commit of what a process has sent: answered, answered to nobody, or never arrived."""
    if rules.fenced and process.epoch != state.epoch:
        yield "is refused: it was taken over", state.put(place, Process())
        return
    after = _at_the_target(state, process, rules)
    lost = replace(process, doing="look")
    heard = lost
    if process.doing == "stage":
        heard = replace(process, doing="tell" if rules.line_with_rows else "line")
    what = f"commits '{process.doing}'"
    yield what, after.put(place, heard)
    if state.losses:
        yield f"{what}, unheard", after.put(place, lost, losses=state.losses - 1)
        yield f"loses '{process.doing}' before it arrives", state.put(place, lost, losses=state.losses - 1)


def _at_the_target(state: State, process: Process, rules: Rules) -> State:
    if process.doing == "stage":
        if rules.looks_for_its_line and process.batch in state.ledger:
            return state
        staged = tuple(rows + (place == process.batch) for place, rows in enumerate(state.staged))
        ledger = state.ledger | {process.batch} if rules.line_with_rows else state.ledger
        return replace(state, staged=staged, ledger=ledger)
    if process.doing == "publish":
        if state.run == "published":
            return state
        if not rules.publishes_at_once and state.visible[0] == 0:
            return replace(state, visible=(state.staged[0], *state.visible[1:]))
        return replace(state, run="published", visible=state.staged)
    return replace(state, run="rolled back", undone=True, visible=(0,) * BATCHES)


def violations(state: State) -> Iterator[str]:
    """Yield what must never be."""
    if any(rows > 1 for rows in state.staged):
        yield "a batch is staged twice"
    if any(state.visible) and state.visible != (1,) * BATCHES:
        yield "readers see some rows, or rows twice"
    if state.run == "published" and 0 in state.visible:
        yield "published, and rows are missing"
    if state.undone and any(state.visible):
        yield "rolled back, and readers see rows"


def check(rules: Rules, first: State) -> Checked:
    """Visit every state that can come of `first`, breadth first."""
    came: dict[State, tuple[str, State] | None] = {first: None}
    back: dict[State, list[State]] = {}
    found = Checked()
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        for told in violations(state):
            found.violations.setdefault(told, _way(came, state))
        for name, after in steps(state, rules):
            back.setdefault(after, []).append(state)
            if after not in came:
                came[after] = (name, state)
                waiting.append(after)
    found.states = len(came)
    ends = [state for state in came if state.run != "open"]
    good, waiting = set(ends), deque(ends)
    while waiting:
        for before in back.get(waiting.popleft(), []):
            if before not in good:
                good.add(before)
                waiting.append(before)
    # A state in which no process may start any more ends where the model's bound ends, not the protocol.
    found.stuck = sum(state not in good and state.starts > 0 for state in came)
    return found


def _way(came: dict[State, tuple[str, State] | None], state: State) -> list[str]:
    names = []
    while (step := came[state]) is not None:
        names.append(step[0])
        state = step[1]
    return names[::-1]
