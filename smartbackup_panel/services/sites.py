"""How a domain's site answers: asked for a page that shows it, and before and after a restore."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from queue import Empty, Queue
from threading import BoundedSemaphore, Thread

from smartbackup_panel.core.model import Actor, Domain, DomainState
from smartbackup_panel.core.surroundings import SiteAnswer
from smartbackup_panel.services.domains import domain_by_id
from smartbackup_panel.services.installation import Installation

FRESH_SECONDS = 5.0
AT_ONCE = 2
"""Sites that are asked at the same time: a few that hang shall not hold all threads of the pages."""
PATIENCE_SECONDS = 2.0
MOST_REMEMBERED = 5_000
NEVER = (float("-inf"), None)


@dataclass
class Sites:
    """Asks sites for the pages and remembers what each said last."""

    installation: Installation
    _last: dict[str, tuple[float, SiteAnswer | None]] = field(default_factory=dict)
    _turns: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(AT_ONCE))

    def last_answer(self, actor: Actor, domain_id: str) -> SiteAnswer | None:
        """Return what the site said last; None where it was not asked. Raises UnknownDomain."""
        self._domain(actor, domain_id)
        return self._last.get(domain_id, NEVER)[1]

    def ask(self, actor: Actor, domain_id: str) -> SiteAnswer | None:
        """Return how the site answers now, or answered last where others are being asked. Raises UnknownDomain."""
        domain = self._domain(actor, domain_id)
        asked_at, answer = self._last.get(domain_id, NEVER)
        if time.monotonic() - asked_at < FRESH_SECONDS or domain.state is DomainState.DELETED:
            return answer
        if not self._turns.acquire(blocking=False):
            return answer
        try:
            answer = self.installation.surroundings.sites.ask(domain.name)
        finally:
            self._turns.release()
        if len(self._last) >= MOST_REMEMBERED:
            self._last.clear()
        self._last[domain_id] = (time.monotonic(), answer)
        return answer

    def _domain(self, actor: Actor, domain_id: str) -> Domain:
        with self.installation.state.read() as tx:
            return domain_by_id(tx, actor, domain_id)


class SiteCheck:
    """Asks a site before a restore, while that is being prepared, and after it."""

    def __init__(self, installation: Installation, domain: Domain) -> None:
        self._ask = partial(installation.surroundings.sites.ask, domain.name)
        self._answers: Queue[SiteAnswer | None] = Queue()
        self._before: SiteAnswer | None = None
        Thread(target=lambda: self._answers.put(self._ask()), name="site", daemon=True).start()

    def wait_before_swap(self) -> None:
        """Take the answer of before; a restore waits for it no longer than a moment."""
        with suppress(Empty):
            self._before = self._answers.get(timeout=PATIENCE_SECONDS)

    def ask_after(self) -> dict[str, object]:
        """Return what a job's result says: how the site answered before and answers now; None where nobody knows."""
        after = self._ask()
        return {"before": self._before.fields() if self._before else None, "after": after.fields() if after else None}
