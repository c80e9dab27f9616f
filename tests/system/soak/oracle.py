"""What is right: which answers a request may get, given what was failing at that time.

A good token is accepted, a bad one is refused for its own reason, whatever happens. Only where the
answer depends on a part that was failing while the request was under way, or shortly before, may it
be 503. What a busy machine makes late is right for that alone, and counted: `lenient`.
"""

import math
import time
from dataclasses import dataclass, field
from typing import NamedTuple

from tests.system.soak.tokens import Key

# An answer as it is compared: its status and, where it refuses, its reason.
Answer = tuple[int, str]
ACCEPTED: Answer = (200, "")
UNAVAILABLE: Answer = (503, "unavailable")
UNKNOWN: Answer = (401, "unknown_key")
REPLAYED: Answer = (401, "replayed")

# Seconds after its end in which a fault may still be the cause of a 503.
REPOSITORY_GRACE = 1.0
# A wait that the repository itself asks for is in whole seconds, so up to one more.
RETRY_AFTER_GRACE = 2.0
# The client's own time-outs, and connections that are made again.
REDIS_GRACE = 2.0
# Seconds that an endpoint that does nothing is waited for, from which on the service is busy: what
# depends on a part may then miss its deadline. How long that may last is a limit of its own.
BUSY = 0.15
# The same for a PING of Redis: coredis, as README sets it up, waits 0.2 s for an answer.
REDIS_BUSY = 0.1
# The part of the time for which a process was ready to run while others ran, from which on the
# machine is busy: what takes many turns of the event loop is then late where one turn is not.
STARVED = 0.3
# Spells in which everything is still answered: they excuse nothing.
HARMLESS = frozenset({"slow", "far", "rotation"})
# Until when a key that was removed may be accepted: the ages of the repository's Cache-Control
# together, some percent, and a refresh from a slow repository.
FORGOTTEN_AFTER = 10.0


@dataclass
class Spell:
    """A time in which a part fails in one way."""

    part: str
    kind: str
    began: float
    ended: float = math.inf

    @property
    def grace(self) -> float:
        if self.part == "service":
            return 0.0
        if self.part == "redis":
            return REDIS_GRACE
        return RETRY_AFTER_GRACE if self.kind == "error503" else REPOSITORY_GRACE


@dataclass
class Ledger:
    """All that has failed so far, in order."""

    spells: list[Spell] = field(default_factory=list)

    def begin(self, part: str, kind: str) -> Spell:
        spell = Spell(part, kind, time.monotonic())
        self.spells.append(spell)
        return spell

    def end(self, spell: Spell) -> None:
        spell.ended = time.monotonic()

    def failing(self, part: str, since: float, until: float, *, lenient: bool = False) -> bool:
        """Whether a part may have been failing at some time of these.

        `lenient` adds to the time after a fault the longest that the service was kept from its work
        since the fault began: what it did late, such as to read an answer of that time.
        """
        return any(
            spell.part == part
            and spell.kind not in HARMLESS
            and spell.began <= until
            and since <= spell.ended + spell.grace + lenient * self.lag(spell.began, until)
            for spell in self.spells
        )

    def busy(self, since: float, until: float) -> bool:
        """Whether the service had too much to do at some time of these, for its own deadlines."""
        return self.failing("service", since, until)

    def lag(self, since: float, until: float) -> float:
        """The longest that the service was waited for in one piece at some time of these."""
        return max(
            (
                min(spell.ended, until) - spell.began
                for spell in self.spells
                if spell.kind == "service busy" and spell.began <= until and since <= spell.ended
            ),
            default=0.0,
        )

    def now(self) -> list[str]:
        return [spell.kind for spell in self.spells if spell.ended == math.inf]


class Case(NamedTuple):
    """A request that is to be sent, and what is right for it.

    Attributes:
        kind: What it is, for the table.
        path: Where it goes.
        token: The token, or None.
        right: The answers that are right whatever fails.
        needs: The parts that the answer depends on: where one fails, 503 is right too.
        key: The key, if the repository may have stopped publishing it meanwhile.
    """

    kind: str
    path: str
    token: str | None
    right: frozenset[Answer]
    needs: frozenset[str] = frozenset()
    key: Key | None = None


def right_answers(
    case: Case, sent: float, answered: float, ledger: Ledger, *, lenient: bool = False
) -> frozenset[Answer]:
    """All answers that are right for a request that was under way in this time.

    Args:
        case: The request.
        sent: When it was sent.
        answered: When its answer was there.
        ledger: What failed.
        lenient: Whether to add what is right only because the machine was busy.
    """
    right = case.right
    removed = None if case.key is None else case.key.removed
    if removed is not None:
        right |= {UNKNOWN}
        late = ledger.lag(removed, answered) if lenient else 0.0
        forgotten = sent > removed + FORGOTTEN_AFTER + late
        if forgotten and not ledger.failing("repository", removed, answered):
            right = frozenset({UNKNOWN})
    failing = any(ledger.failing(part, sent, answered, lenient=lenient) for part in case.needs)
    if failing or (lenient and case.needs and ledger.busy(sent, answered)):
        right |= {UNAVAILABLE}
    return right
