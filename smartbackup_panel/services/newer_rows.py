"""What people wrote since a point: named in a restore's plan, and kept where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from smartbackup_panel.core.database_hosts import DatabaseLogin
from smartbackup_panel.core.databases import DatabaseServer, KnowsNewerRows, LoadPart, TablePlan
from smartbackup_panel.core.newer_rows import Newer
from smartbackup_panel.core.newer_systems import questions_for


def ask_for_newer(
    server: DatabaseServer, login: DatabaseLogin, planned: Sequence[TablePlan], part: LoadPart, since: datetime
) -> tuple[list[Newer], set[str]]:
    """Return what was written since into the tables that are restored, and which tables were asked.

    Rows of a table that the point does not have cannot stay.
    """
    then = {row.name for row in planned if row.rows_then is not None}
    chosen = [question for question in questions_for([row.name for row in planned]) if part.takes(question.table)]
    questions = tuple(replace(one, can_be_kept=one.can_be_kept and one.table in then) for one in chosen)
    if not isinstance(server, KnowsNewerRows) or not questions:
        return [], set()
    found: dict[tuple[str, str], Newer] = {}
    for newer in server.newer(login, questions, since):
        # A shop may have its orders in two places; a network has the same kinds of rows for each of its sites.
        key = (newer.question.many, newer.question.table.removesuffix("wc_orders").removesuffix("posts"))
        if key not in found or newer.count > found[key].count:
            found[key] = newer
    return list(found.values()), {question.table for question in questions}


def counted(newer: Newer) -> str:
    """Return the count in words: "2 comments"."""
    return f"{newer.count} {newer.question.one if newer.count == 1 else newer.question.many}"


def sentence(newer: Newer, stays: bool) -> str:
    """Return what was written and what becomes of it, with the newest few by title and time."""
    shown = ", ".join(f"\u201c{title}\u201d ({at[:16]})" for title, at in newer.newest)
    more = " and others" if newer.count > len(newer.newest) else ""
    fate = ("stays" if newer.count == 1 else "stay") if stays else "would be lost"
    return f"{counted(newer)} written since {fate}: {shown}{more}."


def fields(newer: Newer) -> dict[str, object]:
    """Return it as a plan's result holds it."""
    return {"words": counted(newer), "can_be_kept": newer.question.can_be_kept, "newest": list(map(list, newer.newest))}
