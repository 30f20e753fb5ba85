# What instants.json has: by Python's zoneinfo, for days around every change of
# some zones' clocks, the first minute at which the clock on the wall of that day
# shows a minute or later, found by looking at every one. Not run by any test:
#   python3 instants.py > instants.json
import json
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

DAYS = {
    "Europe/Berlin": ["2026-03-29", "2026-10-25", "2026-07-01"],
    "Europe/Dublin": ["2027-03-28", "2027-10-31"],
    "America/New_York": ["2026-03-08", "2026-11-01"],
    "America/Sao_Paulo": ["2018-11-04", "2018-02-18"],  # at midnight
    "Asia/Beirut": ["2026-03-29", "2026-10-25"],  # at midnight
    "America/Santiago": ["2026-09-06", "2026-04-05"],  # at midnight, the other way
    "America/St_Johns": ["2010-11-07", "2010-03-14"],  # a minute after midnight
    "Australia/Lord_Howe": ["2026-04-05", "2026-10-04"],  # half an hour
    "Antarctica/Troll": ["2026-03-29", "2026-10-25"],  # two hours
    "Africa/Casablanca": ["2026-02-15", "2026-03-22"],  # a month's
    "Pacific/Apia": ["2011-12-29", "2011-12-30", "2011-12-31"],  # a day was left out
    "Asia/Kathmandu": ["2026-01-01"],
    "UTC": ["2026-01-01"],
}
MINUTES = sorted(set(range(0, 5 * 60, 15)) | {1, 119, 121, 179, 181, 12 * 60, 18 * 60, 23 * 60, 23 * 60 + 59, 24 * 60})

out = []
for name, days in DAYS.items():
    zone = ZoneInfo(name)
    for text in days:
        first = date.fromisoformat(text)
        for day in (first - timedelta(days=1), first, first + timedelta(days=1)):
            midnight = datetime(day.year, day.month, day.day)
            begin = int(midnight.replace(tzinfo=timezone.utc).timestamp()) - 40 * 3600
            walls = [(u, datetime.fromtimestamp(u, zone).replace(tzinfo=None)) for u in range(begin, begin + 96 * 3600, 60)]
            assert walls[0][1] < midnight
            for m in MINUTES:
                want = midnight + timedelta(minutes=m)
                out.append([name, day.isoformat(), m, next(u for u, w in walls if w >= want)])
print("[" + ",\n".join(json.dumps(r) for r in out) + "]")
