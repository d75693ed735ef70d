"""Figures, times and names as people read them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from smartbackup_panel.web import filters
from smartbackup_panel.web.cron_words import in_words, together

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("size_bytes", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_960, "10 kB"),
        (310_000_000, "310 MB"),
        (999_600_000, "1.0 GB"),
        (1_400_000_000, "1.4 GB"),
        (5_000_000_000_000_000_000, "5000 PB"),
    ],
)
def test_a_size_has_two_or_three_figures(size_bytes: int, words: str) -> None:
    assert filters.size(size_bytes) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "less than 1 s"),
        (20, "20 s"),
        (89, "89 s"),
        (240, "4 min"),
        (4_800, "1 h 20 min"),
        (7_200, "2 h"),
        (259_200, "3 days"),
    ],
)
def test_a_duration_names_its_largest_units(seconds: float, words: str) -> None:
    assert filters.duration(seconds) == words


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (datetime(2026, 11, 23, 13, 4, 40, tzinfo=UTC), "just now"),
        (datetime(2026, 11, 23, 13, 5, 20, tzinfo=UTC), "in a moment"),
        (datetime(2026, 11, 23, 13, 2, tzinfo=UTC), "3 minutes ago"),
        (datetime(2026, 11, 23, 13, 9, tzinfo=UTC), "in 4 minutes"),
        (datetime(2026, 11, 23, 12, 4, tzinfo=UTC), "1 hour ago"),
        (datetime(2026, 11, 22, 13, 5, tzinfo=UTC), "1 day ago"),
        (datetime(2026, 9, 20, 13, 5, tzinfo=UTC), "2 months ago"),
        (datetime(2023, 11, 23, 13, 5, tzinfo=UTC), "3 years ago"),
    ],
)
def test_a_distance_in_time_is_said_in_one_unit(at: datetime, words: str) -> None:
    assert filters.relative(at, NOW) == words


@pytest.mark.parametrize(
    ("at", "words"),
    [
        (datetime(2026, 11, 23, 13, 5, tzinfo=UTC), "14:05"),
        (datetime(2026, 11, 22, 21, 10, tzinfo=UTC), "yesterday 22:10"),
        (datetime(2026, 11, 22, 23, 30, tzinfo=UTC), "00:30"),
        (datetime(2026, 11, 24, 1, 40, tzinfo=UTC), "tomorrow 02:40"),
        (datetime(2026, 11, 20, 13, 5, tzinfo=UTC), "Friday 14:05"),
        (datetime(2026, 11, 3, 13, 5, tzinfo=UTC), "3 November, 14:05"),
        (datetime(2025, 7, 3, 13, 5, tzinfo=UTC), "3 July 2025, 15:05"),
    ],
)
def test_a_moment_is_said_in_the_zone_of_the_domain(at: datetime, words: str) -> None:
    assert filters.moment(at, BERLIN, NOW) == words


def test_a_time_element_carries_the_exact_moment() -> None:
    tag = filters.time_tag(datetime(2026, 11, 23, 13, 5, tzinfo=UTC), "14:05", BERLIN)
    assert (
        tag == '<time datetime="2026-11-23T13:05:00+00:00" title="Monday, 23 November 2026, 14:05:00 CET">14:05</time>'
    )


def test_a_share_is_never_rounded_up_to_all() -> None:
    assert [filters.percent(ratio) for ratio in (0.0, 0.999, 1.0)] == ["0 %", "99 %", "100 %"]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("müller 日本.txt", "müller 日本.txt"),
        ("a\u202egnp.exe", "a⟨U+202E⟩gnp.exe"),
        ("red\x1b[31m", "red⟨U+001B⟩[31m"),
        ("two\nlines\r", "two⟨U+000A⟩lines⟨U+000D⟩"),
        ("zero\u200bwidth\ufeff", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("\ud800", "⟨U+D800⟩"),
    ],
)
def test_characters_that_hide_or_turn_text_are_spelt_out(name: str, shown: str) -> None:
    assert filters.visible(name) == shown


@pytest.mark.parametrize(
    ("cron", "words"),
    [
        ("40 2 * * *", "every day at 02:40"),
        ("5 3,15 * * *", "every day at 03:05 and 15:05"),
        ("0 */6 * * *", "every 6 hours, on the hour"),
        ("10 3-23/6 * * *", "every 6 hours, at 10 past"),
        ("40 2 * * 0", "every Sunday at 02:40"),
        ("40 2 * * 1,4", "every Monday and Thursday at 02:40"),
        ("40 2 * * 1-6", "Monday to Saturday at 02:40"),
        ("0 4 1 * *", "on day 1 of every month at 04:00"),
        ("*/5 * * * *", "by the cron expression */5 * * * *"),
        ("0 4 * 2 *", "by the cron expression 0 4 * 2 *"),
        ("0 */6 * * 1", "by the cron expression 0 */6 * * 1"),
    ],
)
def test_a_schedule_is_said_in_words(cron: str, words: str) -> None:
    assert in_words(cron) == words


def test_a_weekly_full_and_daily_increments_are_one_rhythm_for_a_customer() -> None:
    assert together(["40 2 * * 1-6", "40 2 * * 0"]) == "every day at 02:40"
    assert together(["40 2 * * *", "40 2 * * 0"]) == "every day at 02:40"
    assert together(["40 2 * * *", "0 5 1 * *"]) == "every day at 02:40; on day 1 of every month at 05:00"
