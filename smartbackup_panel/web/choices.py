"""The forms of a domain's settings: what was typed, read into choices, with a message for each field that cannot be used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from smartbackup_panel.core.exclusions import MOST_OWN_LINES, Exclusions, Profile
from smartbackup_panel.core.retention import MOST, RULE_NAMES, Rules
from smartbackup_panel.core.row_rules import LeaveOut
from smartbackup_panel.services.schedule_choice import Wish

RULE_WORDS = {
    "last": "Newest restore points, however old",
    "days": "All of the last days",
    "daily": "One a day, for so many days",
    "weekly": "One a week, for so many weeks",
    "monthly": "One a month, for so many months",
    "yearly": "One a year, for so many years",
    "floor": "Never fewer than",
}
PROFILE_WORDS = {
    Profile.SAFE: ("What the application makes again", "Its caches, logs and sessions; their folders stay."),
    Profile.NOTHING: ("Nothing", "Everything is in every restore point, except for the lines below."),
    Profile.FULL_LIST: (
        "Fifteen names, wherever they are",
        "cache, tmp, temp, logs, *.log, .git, vendor, node_modules and the like. A site may need its vendor folder to run.",
    ),
}
ROW_WORDS = {
    LeaveOut.EXPIRED: ("What has expired", "Transients and sessions that the application itself would not read again."),
    LeaveOut.ALL: ("All of it", "Every transient, session and cache row; visitors are logged out by a restore."),
    LeaveOut.NOTHING: ("Nothing", "Every row of every table is in the dump, except for the tables below."),
}


@dataclass(frozen=True, slots=True)
class Typed:
    """What stands in the fields of a form, and messages by field; `is_asked`: somebody typed it, it is not what holds now."""

    values: Mapping[str, str]
    wrong: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    is_asked: bool = False


def rules_typed(form: Mapping[str, str], present: Rules) -> Typed:
    """Return the numbers of a form; those that are not in it, and all of a page just opened, are the present ones."""
    values = {name: form.get(name, str(getattr(present, name))).strip()[:20] for name in RULE_NAMES}
    wrong = {name: (message,) for name, text in values.items() if (message := _wrong_number(name, text))}
    return Typed(values, wrong, any(name in form for name in RULE_NAMES))


def _wrong_number(name: str, text: str) -> str | None:
    least = 1 if name == "floor" else 0
    is_number = text.isascii() and text.isdigit()
    return None if is_number and least <= int(text) <= MOST else f"A whole number from {least} to {MOST:,}, please."


def own_rules(typed: Typed, general: Rules) -> dict[str, int]:
    """Return the numbers that differ from the settings'."""
    numbers = {name: int(text) for name, text in typed.values.items()}
    return {name: number for name, number in numbers.items() if number != getattr(general, name)}


def exclusions_typed(form: Mapping[str, str]) -> Typed:
    """Return what a form of exclusions says; lines and their number are checked, patterns are for the service to judge."""
    values = {
        "profile": form.get("profile", ""),
        "patterns": form.get("patterns", ""),
        "rebuildable": "yes" if form.get("rebuildable") else "",
    }
    wrong: dict[str, tuple[str, ...]] = {}
    if values["profile"] not in set(Profile):
        wrong["profile"] = ("Choose one of these.",)
    if len(lines_of(values["patterns"])) > MOST_OWN_LINES:
        wrong["patterns"] = (f"No more than {MOST_OWN_LINES} lines, please.",)
    return Typed(values, wrong, is_asked=True)


def exclusions_present(holds: Exclusions, own: Mapping[str, object]) -> Typed:
    """Return the form of what holds now."""
    lines = own.get("patterns", ())
    text = "\n".join(map(str, lines)) if isinstance(lines, list | tuple) else ""
    return Typed({"profile": holds.profile, "patterns": text, "rebuildable": "yes" if holds.rebuildable else ""})


def own_exclusions(typed: Typed, general: Exclusions) -> dict[str, object]:
    """Return the choices that differ from the settings'; own lines come on top of theirs."""
    own: dict[str, object] = {}
    if typed.values["profile"] != general.profile:
        own["profile"] = typed.values["profile"]
    if bool(typed.values["rebuildable"]) != general.rebuildable:
        own["rebuildable"] = bool(typed.values["rebuildable"])
    if lines := lines_of(typed.values["patterns"]):
        own["patterns"] = lines
    return own


def lines_of(text: str) -> list[str]:
    """Return the lines of a text field that say something."""
    return [line for line in text.replace("\r", "").split("\n") if line.strip()]


def wish_of(form: Mapping[str, str]) -> Wish:
    """Return the schedule that a form asks for."""
    return Wish(
        tuple(line.strip() for line in lines_of(form.get("expressions", ""))),
        form.get("timezone", "").strip() or None,
        form.get("strategy", "") or None,
    )


def by_field(messages: tuple[tuple[str, str], ...]) -> dict[str, tuple[str, ...]]:
    """Return messages of a service by the field they belong to."""
    found: dict[str, tuple[str, ...]] = {}
    for name, message in messages:
        found[name] = (*found.get(name, ()), message)
    return found


def numbered(messages: tuple[tuple[int, str], ...]) -> tuple[str, ...]:
    """Return messages about lines with the lines' numbers; 0 is no line."""
    return tuple(f"Line {number}: {message}." if number else f"{message}." for number, message in messages)
