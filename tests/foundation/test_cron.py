from __future__ import annotations

import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docket.errors import ConfigurationError, CronError, UnknownZone
from docket.foundation.cron import ALIASES, CronExpression, Gap, Overlap, exact_zone

from ..truth import CHANGES, PAGE, TRUTH, minute_by_minute, page

UTC = timezone.utc
MINUTE = timedelta(minutes=1)
PARIS = ZoneInfo("Europe/Paris")


def days(
    text: str, count: int = 4, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)
) -> list[str]:
    """The next days on which an expression is due, as month-day."""
    ticks = CronExpression(text, seed="orders/report").upcoming(start - MINUTE, count)
    return [f"{tick:%m-%d}" for tick in ticks]


def walls(expression: CronExpression, start: datetime, count: int) -> list[str]:
    """The next due times as the wall clock shows them, with their offset."""
    ticks = expression.upcoming(start, count)
    return [f"{tick.astimezone(expression.timezone):%d %H:%M %z}" for tick in ticks]


# What an expression says.


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0 0 * * *", ["01-01", "01-02", "01-03", "01-04"]),
        ("0 0 L * *", ["01-31", "02-28", "03-31", "04-30"]),
        ("0 0 LW * *", ["01-30", "02-27", "03-31", "04-30"]),
        ("0 0 lw * *", ["01-30", "02-27", "03-31", "04-30"]),
        ("0 0 1,LW * *", ["01-01", "01-30", "02-01", "02-27"]),
        ("0 0 LW * MON", ["01-05", "01-12", "01-19", "01-26"]),
        ("0 0 15W * *", ["01-15", "02-16", "03-16", "04-15"]),
        ("0 0 15W,L * *", ["01-15", "01-31", "02-16", "02-28"]),
        ("0 0 15-L/10 * *", ["01-15", "01-25", "02-15", "02-25"]),
        ("0 0 * * 5L", ["01-30", "02-27", "03-27", "04-24"]),
        ("0 0 * * FRIL", ["01-30", "02-27", "03-27", "04-24"]),
        ("0 0 * * 7L", ["01-25", "02-22", "03-29", "04-26"]),
        ("0 0 * * 1#2", ["01-12", "02-09", "03-09", "04-13"]),
        ("0 0 * * MON#2", ["01-12", "02-09", "03-09", "04-13"]),
        ("0 0 * * 3,1#2", ["01-07", "01-12", "01-14", "01-21"]),
        ("0 0 * * mon-fri", ["01-01", "01-02", "01-05", "01-06"]),
        ("0 0 ? * 0", ["01-04", "01-11", "01-18", "01-25"]),
        ("0 0 * * 7", ["01-04", "01-11", "01-18", "01-25"]),
        ("0 0 1 JAN,jul *", ["01-01", "07-01", "01-01", "07-01"]),
        ("0 0 29 2 *", ["02-29", "02-29", "02-29", "02-29"]),
        ("@yearly", ["01-01"] * 4),
        ("@annually", ["01-01"] * 4),
        ("@monthly", ["01-01", "02-01", "03-01", "04-01"]),
        ("@weekly", ["01-04", "01-11", "01-18", "01-25"]),
        (" @Daily ", ["01-01", "01-02", "01-03", "01-04"]),
        ("@midnight", ["01-01", "01-02", "01-03", "01-04"]),
        ("@hourly", ["01-01"] * 4),
    ],
)
def test_days_are_said_as_in_cron(text: str, expected: list[str]) -> None:
    assert days(text) == expected


def test_a_day_is_due_if_either_day_field_says_so() -> None:
    assert days("0 0 13 * 5") == ["01-02", "01-09", "01-13", "01-16"]
    assert days("0 0 13 * 5#2") == ["01-09", "01-13", "02-13", "03-13"]


def test_a_day_is_due_if_both_day_fields_say_so_where_one_begins_with_a_star() -> None:
    assert days("0 0 */2 * 1") == ["01-05", "01-19", "02-09", "02-23"]
    assert days("0 0 1-7 * */7") == ["01-04", "02-01", "03-01", "04-05"]


def test_a_range_from_a_number_to_itself_is_that_number() -> None:
    assert CronExpression("0 5-5 * * *").upcoming(datetime(2026, 1, 1, tzinfo=UTC), 2) == [
        datetime(2026, 1, 1, 5, tzinfo=UTC),
        datetime(2026, 1, 2, 5, tzinfo=UTC),
    ]


def test_of_six_fields_seconds_are_the_first() -> None:
    ticks = CronExpression("*/20 0 * * * *").upcoming(datetime(2026, 1, 1, tzinfo=UTC), 3)

    assert [f"{tick:%H:%M:%S}" for tick in ticks] == ["00:00:20", "00:00:40", "01:00:00"]


def test_an_alias_means_the_same_with_a_seed() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for alias, text in ALIASES.items():
        expected = CronExpression(text).next_after(start)
        assert CronExpression(alias, seed="orders/report").next_after(start) == expected


# H.


def test_the_same_seed_gives_the_same_times_everywhere_and_always() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)

    nightly = CronExpression("H H(1-4) * * *", seed="orders/report").upcoming(start, 2)

    assert nightly == [
        datetime(2026, 1, 1, 4, 6, tzinfo=UTC),
        datetime(2026, 1, 2, 4, 6, tzinfo=UTC),
    ]


@given(st.text())
def test_h_stays_within_its_range_for_every_seed(seed: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)

    assert 1 <= CronExpression("H H(1-4) * * *", seed=seed).next_after(start).hour <= 4
    first, second = CronExpression("H/15 * * * *", seed=seed).upcoming(start, 2)
    assert second - first == timedelta(minutes=15)


def test_h_spreads_over_its_range() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    minutes = {
        CronExpression("H * * * *", seed=str(n)).next_after(start).minute for n in range(999)
    }

    assert minutes == set(range(60))


@pytest.mark.parametrize("text", ["0 0 H * *", "0 0 H/20 * *"])
def test_h_is_no_day_that_some_months_do_not_have(text: str) -> None:
    for n in range(200):
        ticks = CronExpression(text, seed=str(n)).upcoming(datetime(2026, 1, 1, tzinfo=UTC), 12)
        assert max(tick.day for tick in ticks) <= 28


# What is wrong.


@pytest.mark.parametrize(
    ("text", "position", "reason"),
    [
        ("", 0, "expected 5 fields, or 6 with seconds first, not 0"),
        ("* * * *", 0, "expected 5 fields, or 6 with seconds first, not 4"),
        ("0 0 * * * * 2026", 0, "expected 5 fields, or 6 with seconds first, not 7"),
        ("@often", 0, f"it is none of {', '.join(ALIASES)}"),
        ("60 * * * *", 0, "'60' is no minute: 0-59"),
        ("0 24 * * *", 2, "'24' is no hour: 0-23"),
        ("0 0 1,32 * *", 6, "'32' is no day of month: 1-31, L "),
        ("0 0 1 13 *", 6, "'13' is no month: 1-12 or JAN-DEC"),
        ("0 0 * JAN,FOO *", 10, "'FOO' is no month: 1-12 or JAN-DEC"),
        ("0  0 * * 8", 9, "'8' is no day of week: 0-7 or SUN-SAT, 5L "),
        ("0 0 * * 1#6", 8, "'1#6' is no day of week"),
        ("0 0 * * L", 8, "'L' is no day of week"),
        ("61 0 0 * * *", 0, "'61' is no second: 0-59"),
        ("*/0 * * * *", 0, "'*/0' is no minute"),
        ("1,,2 * * * *", 2, "'' is no minute"),
        ("-1 * * * *", 0, "'-1' is no minute"),
        ("? 0 * * *", 0, "'?' is no minute"),
        ("0 0 1,? * *", 6, "'?' stands alone in its field, not in a list"),
        ("R * * * *", 0, "'R' differs from process to process; use H, which stays the same"),
        ("0 R(1-4) * * *", 2, "'R(1-4)' differs from process to process"),
        ("H * * * *", 0, "'H' needs a seed to be computed from"),
        ("0 0 31 2 *", 4, "such a day never comes"),
        ("0 0 31 2 MON", 4, "such a day never comes"),
        ("0 0 31 4,6,9,11 *", 4, "such a day never comes"),
        ("0 0 LW * */7", 4, "such a day never comes"),
    ],
)
def test_an_error_tells_where_it_is_wrong_and_why(text: str, position: int, reason: str) -> None:
    with pytest.raises(CronError) as caught:
        CronExpression(text)

    assert caught.value.position == position
    assert caught.value.reason.startswith(reason)
    assert str(caught.value) == (
        f"expected a cron expression, found {text!r}; at character {position + 1}: {caught.value.reason}"
    )
    assert isinstance(caught.value, ConfigurationError)
    assert isinstance(caught.value, ValueError)


def test_h_stands_alone_in_its_field() -> None:
    with pytest.raises(CronError, match="'H' stands alone in its field, not in a list"):
        CronExpression("1,H * * * *", seed="orders/report")


items = st.text("0123456789*/,-LWHR#()?JANSUMOFI", min_size=1, max_size=6)


@given(st.one_of(st.text(), st.lists(items, min_size=5, max_size=6).map(" ".join)))
def test_any_text_is_an_expression_that_is_due_one_day_or_an_error_of_ours(text: str) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    try:
        expression = CronExpression(text, seed="orders/report")
    except CronError:
        return
    assert expression.next_after(start) > start


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected an aware datetime, found .*; add a time zone"):
        CronExpression("* * * * *").next_after(datetime(2026, 1, 1))


# Where clocks change.

NIGHTLY = "30 2 * * *"
SPRING = datetime(2026, 3, 28, 12, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 24, 12, tzinfo=UTC)


def test_a_fixed_hour_that_is_missing_runs_once_right_after_the_gap() -> None:
    expression = CronExpression(NIGHTLY, PARIS)

    assert walls(expression, SPRING, 2) == ["29 03:00 +0200", "30 02:30 +0200"]


def test_a_fixed_hour_that_is_missing_is_left_out_where_so_wished() -> None:
    expression = CronExpression(NIGHTLY, PARIS, gap="skip")

    assert walls(expression, SPRING, 2) == ["30 02:30 +0200", "31 02:30 +0200"]


def test_a_fixed_hour_that_comes_twice_runs_once() -> None:
    expression = CronExpression(NIGHTLY, PARIS)

    assert walls(expression, AUTUMN, 2) == ["25 02:30 +0200", "26 02:30 +0100"]


def test_a_fixed_hour_that_comes_twice_runs_twice_where_so_wished() -> None:
    expression = CronExpression(NIGHTLY, PARIS, overlap="both")

    assert walls(expression, AUTUMN, 3) == ["25 02:30 +0200", "25 02:30 +0100", "26 02:30 +0100"]


def test_every_hour_is_every_hour_that_passes() -> None:
    expression = CronExpression("0 * * * *", PARIS)

    assert walls(expression, datetime(2026, 3, 28, 23, tzinfo=UTC), 3) == [
        "29 01:00 +0100",
        "29 03:00 +0200",
        "29 04:00 +0200",
    ]
    assert walls(expression, datetime(2026, 10, 24, 23, tzinfo=UTC), 3) == [
        "25 02:00 +0200",
        "25 02:00 +0100",
        "25 03:00 +0100",
    ]


def test_several_times_within_a_gap_run_once() -> None:
    expression = CronExpression("*/10 2,3 * * *", PARIS)

    assert walls(expression, SPRING, 2) == ["29 03:00 +0200", "29 03:10 +0200"]


@pytest.mark.parametrize(
    ("text", "gap", "overlap"),
    [
        ("30 2 * * *", "shift", "first"),
        ("*/5 2 * * *", "shift", "first"),
        ("0 1-4 * * *", "shift", "first"),
        ("0 H * * *", "shift", "first"),
        ("0 * * * *", "skip", "both"),
        ("0 */2 * * *", "skip", "both"),
        ("0 0-23/2 * * *", "skip", "both"),
        ("0 H/6 * * *", "skip", "both"),
        ("0 0 * * * *", "skip", "both"),
    ],
)
def test_the_rule_is_told_by_the_hours(text: str, gap: str, overlap: str) -> None:
    expression = CronExpression(text, seed="orders/report")

    assert (expression.gap, expression.overlap) == (gap, overlap)
    assert f"gap={gap}, overlap={overlap}" in repr(expression)


CASES = [(zone, change.replace(tzinfo=UTC)) for zone in CHANGES for change in CHANGES[zone]]
CASE_NAMES = [f"{zone}, {name}" for zone in CHANGES for name in ("gap", "overlap")]
RULES: list[tuple[Gap | None, Overlap | None]] = [
    (None, None),
    ("shift", "first"),
    ("shift", "both"),
    ("skip", "first"),
    ("skip", "both"),
]


@pytest.mark.parametrize(("zone", "change"), CASES, ids=CASE_NAMES)
def test_the_clocks_change_when_the_truth_table_says(zone: str, change: datetime) -> None:
    before, after = change - timedelta(seconds=1), change
    offsets = [moment.astimezone(ZoneInfo(zone)).utcoffset() for moment in (before, after)]

    assert offsets[0] != offsets[1]


@pytest.mark.parametrize("text", TRUTH)
@pytest.mark.parametrize(("zone", "change"), CASES, ids=CASE_NAMES)
def test_due_times_equal_the_truth_table(zone: str, change: datetime, text: str) -> None:
    start, end = change - timedelta(hours=30), change + timedelta(hours=30)
    is_wild = TRUTH[text].is_wild
    for gap, overlap in RULES:
        expression = CronExpression(text, exact_zone(zone), gap, overlap)
        rule = (
            gap or ("skip" if is_wild else "shift"),
            overlap or ("both" if is_wild else "first"),
        )
        found: list[datetime] = []
        moment = start
        while (moment := expression.next_after(moment)) <= end:
            found.append(moment)

        assert found == [*minute_by_minute(TRUTH[text], ZoneInfo(zone), start, end, *rule)], rule


def test_the_page_tells_the_truth() -> None:
    assert PAGE.read_text() == page(), "write it anew: python -m tests.truth"


def test_a_whole_day_that_a_country_has_skipped_is_made_up_for_once() -> None:
    expression = CronExpression("0 6,12 * * *", exact_zone("Pacific/Apia"))

    assert walls(expression, datetime(2011, 12, 30, 0, tzinfo=UTC), 3) == [
        "31 00:00 +1400",
        "31 06:00 +1400",
        "31 12:00 +1400",
    ]


@pytest.mark.thorough
@given(
    st.sampled_from(CASES),
    st.sampled_from([*TRUTH, "*/7 * * * * *", "30 30 2 * * *", "0 0 LW * 7", "15 2 1,L * 1#1"]),
    st.sampled_from(RULES),
    st.timedeltas(timedelta(hours=-30), timedelta(hours=30)),
    st.fractions(0, 1).filter(lambda share: share < 1),
)
def test_from_any_moment_before_it_the_next_due_time_is_the_same(
    case: tuple[str, datetime],
    text: str,
    rule: tuple[Gap | None, Overlap | None],
    shift: timedelta,
    share: Fraction,
) -> None:
    zone, change = case
    expression = CronExpression(text, exact_zone(zone), *rule)
    moment = change + shift

    following = expression.next_after(moment)

    assert following > moment
    microseconds = (following - moment) // timedelta(microseconds=1)
    between = moment + timedelta(microseconds=int(microseconds * share))
    assert expression.next_after(between) == following


# Zones.


def test_a_zone_is_found_by_its_exact_name() -> None:
    assert exact_zone("Europe/Paris") == PARIS


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("europe/paris", "did you mean 'Europe/Paris'?"),
        ("Europe/Pariss", "did you mean 'Europe/Paris'?"),
        ("utc", "did you mean 'UTC'?"),
        ("", "see the IANA time zone database"),
        ("../etc/passwd", "see the IANA time zone database"),
        ("/usr/share/zoneinfo/UTC", "see the IANA time zone database"),
        ("Mars/Olympus_Mons", "see the IANA time zone database"),
        ("localtime", "expected the exact name"),
    ],
)
def test_any_other_name_is_refused_with_advice(name: str, advice: str) -> None:
    with pytest.raises(UnknownZone) as caught:
        exact_zone(name)

    assert str(caught.value).startswith("expected the exact name of a time zone such as")
    assert repr(name) in str(caught.value)
    assert isinstance(caught.value, ConfigurationError)
    assert isinstance(caught.value, ValueError)
    assert advice in str(caught.value)


# What it costs.


def test_croniter_is_not_imported_before_the_first_expression() -> None:
    program = """
import sys
from docket.foundation.cron import CronExpression
assert "croniter" not in sys.modules
CronExpression("@daily")
assert "croniter" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


# Ranges.


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("0 21-5/4 * * *", [21, 1, 5]),
        ("0 23-6/3 * * *", [23, 2, 5]),
        ("0 22-2 * * *", [22, 23, 0, 1, 2]),
        ("0 05-5 * * *", [5]),
        ("0 5-5/2 * * *", [5]),
        ("0 8-18/5 * * *", [8, 13, 18]),
    ],
)
def test_a_range_of_hours_may_go_around_midnight(text: str, hours: list[int]) -> None:
    ticks = CronExpression(text).upcoming(
        datetime(2026, 1, 1, hours[0], tzinfo=UTC) - MINUTE, 2 * len(hours)
    )

    assert [tick.hour for tick in ticks] == 2 * hours


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("0 0 * * THU-TUE/2", {"Thu", "Sat", "Mon"}),
        ("0 0 * * 7-0", {"Sun"}),
        ("0 0 * * 0-7/2", {"Sun", "Tue", "Thu", "Sat"}),
        ("0 0 * * 5-7", {"Fri", "Sat", "Sun"}),
        ("0 0 * * SAT-6", {"Sat"}),
        ("0 0 * * FRI-1", {"Fri", "Sat", "Sun", "Mon"}),
    ],
)
def test_a_range_of_weekdays_may_go_around_sunday(text: str, names: set[str]) -> None:
    ticks = CronExpression(text).upcoming(datetime(2026, 1, 1, tzinfo=UTC), 14)

    assert {f"{tick:%a}" for tick in ticks} == names


def test_a_range_of_months_may_mix_names_and_numbers() -> None:
    def months(text: str) -> list[int]:
        ticks = CronExpression(text).upcoming(datetime(2026, 1, 15, tzinfo=UTC), 4)
        return [tick.month for tick in ticks]

    assert months("0 0 1 8-AUG *") == [8, 8, 8, 8]
    assert months("0 0 1 NOV-2/2 *") == [11, 1, 11, 1]


@pytest.mark.parametrize("item", ["5-70", "70-5", "5-8/0", "5-8/", "5-MON", "x-5"])
def test_a_range_of_what_is_no_hour_is_refused(item: str) -> None:
    with pytest.raises(CronError, match=f"'{item.upper()}' is no hour"):
        CronExpression(f"0 {item} * * *")


# What other programs understand, or what is hardly meant.


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("*/90 * * * *", 'a step that leads beyond every minute; write every = "90m" in the place'),
        ("0 */36 * * *", 'a step that leads beyond every hour; write every = "36h" in the place'),
        ("0 0 * */13 *", "a step that leads beyond every month"),
        ("0 0 * * */8", "a step that leads beyond every day of week"),
        ("CRON_TZ=Europe/Paris 0 5 * * *", 'stands beside it: timezone = "Europe/Paris"'),
        ("TZ=UTC 0 5 * * *", 'stands beside it: timezone = "Europe/Paris"'),
        ("@reboot", "what begins with the workers is a task with perpetual = "),
        ("@every 90m", 'write every = "90m" in the place of cron'),
    ],
)
def test_an_expression_of_another_kind_is_answered_by_what_to_write(text: str, advice: str) -> None:
    with pytest.raises(CronError, match=re.escape(advice)):
        CronExpression(text)


def test_a_step_that_leads_to_the_next_hour_is_every_hour() -> None:
    ticks = CronExpression("*/60 * * * *").upcoming(datetime(2026, 1, 1, tzinfo=UTC), 2)

    assert [tick.hour for tick in ticks] == [1, 2]
