"""Figures, times and names as people read them. Pure functions; `now` and the zone come from the caller."""

from __future__ import annotations

from datetime import date, datetime, tzinfo

from markupsafe import Markup

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_BYTE_UNITS = ("kB", "MB", "GB", "TB", "PB")


def visible(text: object) -> str:
    """Return `text` with every character that draws nothing or changes direction spelt out, such as ⟨U+202E⟩.

    Bytes of a file name that are no UTF-8 (surrogate escapes) become \\xNN.
    """
    words = str(text)
    if words.isprintable():
        return words
    return "".join(mark if mark.isprintable() else _spelt_out(mark) for mark in words)


def visible_line(text: str) -> str:
    """Return a line of a text like `visible`, its tabs as four spaces."""
    return visible(text.replace("\t", "    "))


def _spelt_out(mark: str) -> str:
    code = ord(mark)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"⟨U+{code:04X}⟩"


def count(number: int, one: str, many: str | None = None) -> str:
    """Return "1 file", "1,204 files"; `many` where an s does not make the plural."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def begin(words: str) -> str:
    """Return the words as the start of a sentence."""
    return words[:1].upper() + words[1:]


def size(size_bytes: float) -> str:
    """Return a size in decimal units with three figures at most: "310 MB", "1.4 GB", "0 bytes"."""
    if size_bytes < 1000:
        return count(int(size_bytes), "byte")
    power = 1
    while size_bytes >= 999.5 * 1000**power and power < len(_BYTE_UNITS):
        power += 1
    value, unit = size_bytes / 1000**power, _BYTE_UNITS[power - 1]
    return f"{value:.0f} {unit}" if value >= 9.95 else f"{value:.1f} {unit}"


def duration(seconds: float) -> str:
    """Return a length of time in its one or two largest units: "20 s", "4 min", "1 h 20 min", "3 days"."""
    whole = round(seconds)
    if whole < 1:
        return "less than 1 s"
    if whole < 90:
        return f"{whole} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return count(round(seconds / 86_400), "day")


def relative(at: datetime, now: datetime) -> str:
    """Return how long ago `at` was, or how soon it will be: "3 minutes ago", "in 4 minutes", "just now"."""
    seconds = (now - at).total_seconds()
    distance = abs(seconds)
    if distance < 45:
        return "just now" if seconds >= 0 else "in a moment"
    for limit, unit_seconds, unit in ((3_300, 60, "minute"), (84_600, 3_600, "hour"), (2_592_000, 86_400, "day")):
        if distance < limit:
            words = count(max(1, round(distance / unit_seconds)), unit)
            break
    else:
        words = (
            count(round(distance / 2_629_800), "month")
            if distance < 63_072_000
            else count(round(distance / 31_557_600), "year")
        )
    return f"{words} ago" if seconds >= 0 else f"in {words}"


def clock(at: datetime, zone: tzinfo) -> str:
    """Return the time of day in the zone: "14:05"."""
    return at.astimezone(zone).strftime("%H:%M")


def day(at: datetime, zone: tzinfo, now: datetime) -> str:
    """Return the day in the zone: "Today", "Yesterday", "Tomorrow", "Monday", else "3 November" (with another year: "3 November 2025")."""
    local, today = at.astimezone(zone), now.astimezone(zone)
    distance = (local.date() - today.date()).days
    if distance in (-1, 0, 1):
        return {-1: "Yesterday", 0: "Today", 1: "Tomorrow"}[distance]
    if -7 < distance < 7:
        return _DAYS[local.weekday()]
    date = f"{local.day} {_MONTHS[local.month - 1]}"
    return date if local.year == today.year else f"{date} {local.year}"


def calendar_day(of: date) -> str:
    """Return a day of the calendar: "3 November"."""
    return f"{of.day} {_MONTHS[of.month - 1]}"


def moment(at: datetime, zone: tzinfo, now: datetime) -> str:
    """Return day and time as part of a sentence: "14:05" for today, else "yesterday 14:05", "Monday 14:05", "3 November, 14:05"."""
    name, time = day(at, zone, now), clock(at, zone)
    if name == "Today":
        return time
    if name in ("Yesterday", "Tomorrow"):
        return f"{name.lower()} {time}"
    return f"{name} {time}" if name in _DAYS else f"{name}, {time}"


def full_moment(at: datetime, zone: tzinfo) -> str:
    """Return the whole date with its zone: "Monday, 23 November 2026, 14:05:10 CET"."""
    local = at.astimezone(zone)
    date = f"{_DAYS[local.weekday()]}, {local.day} {_MONTHS[local.month - 1]} {local.year}"
    return f"{date}, {local.strftime('%H:%M:%S')} {local.tzname()}"


def time_tag(at: datetime, words: str, zone: tzinfo) -> Markup:
    """Return a time element that shows `words` and carries the exact moment."""
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), full_moment(at, zone), words)


def percent(ratio: float) -> str:
    """Return a share without rounding up to all of it: 0.999 is "99 %"."""
    return f"{int(ratio * 100)} %"
