"""A schedule's cron expression as a person would say it."""

from __future__ import annotations

from collections.abc import Sequence

_WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def in_words(cron: str) -> str:
    """Return "every day at 02:40", "every Sunday at 02:40", "every 6 hours, at 10 past"; else the expression itself.

    Covers what schedules are made of (docs/design.md, "Schedule"); anything else is shown, not guessed.
    """
    fields = cron.split()
    if len(fields) != 5 or not fields[0].isdigit() or fields[3] != "*":
        return f"by the cron expression {cron}"
    minute, hour, month_day, _, week_day = fields
    when = _time(int(minute), hour)
    if when is None:
        return f"by the cron expression {cron}"
    if month_day == "*" and week_day == "*":
        return when if when.startswith("every") else f"every day at {when}"
    if when.startswith("every"):
        return f"by the cron expression {cron}"
    return _on_days(when, month_day, week_day) or f"by the cron expression {cron}"


def together(crons: Sequence[str]) -> str:
    """Return several expressions as one rhythm: Monday to Saturday and Sunday at one time is every day."""
    split = [cron.split() for cron in crons]
    if len(crons) == 2 and all(len(fields) == 5 for fields in split):
        same = split[0][:4] == split[1][:4]
        if same and {split[0][4], split[1][4]} in ({"0", "1-6"}, {"7", "1-6"}, {"0", "*"}):
            return in_words(" ".join([*split[0][:4], "*"]))
    return "; ".join(in_words(cron) for cron in dict.fromkeys(crons))


def _time(minute: int, hour: str) -> str | None:
    """Return "02:40" for one time, "at 02:40 and 14:40" as "02:40 and 14:40", or a sentence for a repetition."""
    past = f"at {minute} past" if minute else "on the hour"
    if hour == "*":
        return f"every hour, {past}"
    begin, _, step = hour.partition("/")
    if step.isdigit() and (begin == "*" or begin.endswith("-23")):
        return f"every {step} hours, {past}"
    parts = hour.split(",")
    if not all(part.isdigit() for part in parts):
        return None
    times = [f"{int(part):02}:{minute:02}" for part in parts]
    return times[0] if len(times) == 1 else ", ".join(times[:-1]) + " and " + times[-1]


def _on_days(when: str, month_day: str, week_day: str) -> str | None:
    if month_day == "*":
        if week_day == "1-6":
            return f"Monday to Saturday at {when}"
        if week_day == "1-5":
            return f"Monday to Friday at {when}"
        days = week_day.split(",")
        if all(day.isdigit() and int(day) <= 7 for day in days):
            names = [_WEEKDAYS[int(day) % 7] for day in days]
            return (
                "every "
                + (names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1])
                + f" at {when}"
            )
    elif week_day == "*" and month_day.isdigit():
        return f"on day {month_day} of every month at {when}"
    return None
