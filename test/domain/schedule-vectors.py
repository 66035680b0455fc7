"""Writes schedule-vectors.tsv: starts and required stops as another implementation computes them (spec/04 §3.2, §6.1).

    python3 -m venv /tmp/vectors && /tmp/vectors/bin/pip install croniter tzdata==2025.3
    PYTHONTZPATH= /tmp/vectors/bin/python test/domain/schedule-vectors.py > test/domain/schedule-vectors.tsv

croniter yields the labels in naive local time, where no clock ever jumps. zoneinfo maps them to instants: with fold=0 a label
that occurs twice is the earlier one, and one in a gap counts from the offset before the jump (PEP 495), which is the rule.
The same seed gives the same file. Dates whose clock changes a government may yet move are left out.

Columns of a row `start`: zone, cron fields, allowed days (bitmap, Monday = bit 0), after, then the occurrences that follow.
Columns of a row `stop`: zone, hour, minute, days (bitmap), weeks, now, then the required stop. Instants are seconds since
1970; occurrences are minutes since the one before, the first since the minute of `after`; `-` = none.
"""

import random
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from croniter import croniter

UTC = timezone.utc
LAST = dict.fromkeys(["Africa/Casablanca", "Africa/Cairo", "America/Havana", "America/Santiago", "Asia/Beirut"], 2025)
ZONES = [
    "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Pacific/Auckland",
    "Asia/Kolkata", "America/St_Johns", "Africa/Casablanca", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Apia",
    "Pacific/Chatham", "America/Nuuk", "Asia/Beirut", "America/Havana", "Antarctica/Troll", "Atlantic/Azores",
]
# The jumps of these zones lie between 22:00 and 04:00 local time.
FIELDS = [
    "0 9 * * 1-5", "30 2 * * *", "0 0 * * *", "15 3 * * 0", "30 23 * * *", "*/30 1 * * *", "0,15,45 0-3 * * *", "59 23 * * sat",
    "30 1 * * SUN,mon", "10 */6 * * *", "0 2 * * *", "5-20/5 0 * * 6,0",
]


def instant(zone, label):
    return label.replace(tzinfo=zone, fold=0).astimezone(UTC)


def occurrences(zone, fields, allowed, after, count):
    local = after.astimezone(zone).replace(tzinfo=None, microsecond=0)
    labels = croniter(fields, local - timedelta(days=2))
    found = set()
    while True:
        label = labels.get_next(datetime)
        if label.date() > local.date() + timedelta(days=8):
            break
        if allowed >> label.weekday() & 1 and instant(zone, label) > after:
            found.add(instant(zone, label))
    return sorted(found)[:count]


def jumps(zone, first, last):
    at, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last + 1, 1, 1, tzinfo=UTC)
    while at < end:
        next_hour = at + timedelta(minutes=30)
        if at.astimezone(zone).utcoffset() != next_hour.astimezone(zone).utcoffset():
            yield next_hour
        at = next_hour


def seconds(moment):
    return int(moment.timestamp())


def print_start(name, fields, allowed, after, count):
    found = occurrences(ZoneInfo(name), fields, allowed, after, count)
    minutes = [seconds(after) // 60] + [seconds(each) // 60 for each in found]
    deltas = " ".join(str(b - a) for a, b in zip(minutes, minutes[1:])) or "-"
    print("start", name, fields, allowed, seconds(after), deltas, sep="\t")


def print_stop(name, clock, days, weeks, now):
    zone = ZoneInfo(name)
    day = now.astimezone(zone).date() - timedelta(days=1)
    while True:
        week = (day - date(2023, 1, 2)).days // 7
        due = instant(zone, datetime.combine(day, clock))
        if days >> day.weekday() & 1 and week % weeks == 0 and due >= now + timedelta(hours=2):
            print("stop", name, clock.hour, clock.minute, days, weeks, seconds(now), seconds(due), sep="\t")
            return
        day += timedelta(days=1)


def main():
    chance = random.Random(20280229)
    for name in ZONES:
        zone, last = ZoneInfo(name), LAST.get(name, 2028)
        leap_day = [instant(zone, datetime(2024, 2, 29)), instant(zone, datetime(min(last, 2028), 2, 29 if last == 2028 else 28))]
        moments = list(jumps(zone, 2024, last)) + leap_day
        for moment in moments:
            for fields in chance.sample(FIELDS, 8):
                print_start(name, fields, 127, moment - timedelta(hours=chance.randrange(4, 40), seconds=chance.choice([0, 1, 59])), 4)
            # Right at the jump, on either side of it.
            print_start(name, "*/10 * * * *", 127, moment - timedelta(minutes=125), 30)
            print_start(name, "* * * * *", 127, moment - timedelta(seconds=1), 3)
            print_start(name, "30 2 * * *", 127, moment, 2)
            for _ in range(4):
                clock = time(chance.choice([0, 1, 2, 3, 22, 23]), chance.choice([0, 15, 30, 59]))
                now = moment - timedelta(minutes=chance.randrange(0, 4 * 24 * 60), seconds=chance.choice([0, 0, 1]))
                print_stop(name, clock, chance.randrange(1, 128), chance.choice([1, 1, 2, 3, 16]), now)
        span = int(timedelta(days=365 * (last - 2023) - 30).total_seconds())
        for _ in range(40):
            after = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=chance.randrange(span))
            days = sorted(chance.sample(range(7), chance.randrange(1, 4)))
            fields = f"{chance.randrange(60)} {chance.randrange(24)} * * {','.join(map(str, days))}"
            print_start(name, fields, chance.randrange(128), after, 2)
            print_stop(name, time(chance.randrange(24), chance.randrange(60)), chance.randrange(1, 128), chance.randrange(1, 17), after)


main()
