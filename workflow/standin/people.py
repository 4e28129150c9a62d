"""Users in bulk: any number of users of one stream as JSON.

One SHAKE-128 stream per key gives `BLOCK.size` bytes to each user. So a user depends only on
the key and the position, and the first N of M users are the same N. Making a user takes a few
dozen look-ups in the pools, three hashes and one join.
"""

import datetime
import hashlib
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache

from workflow.standin.pools import (
    DOB_DATES,
    DOB_DAYS,
    FOUR_DIGITS,
    LATITUDES,
    LONGITUDES,
    MINUTES,
    NICKNAMES,
    PASSWORDS,
    REGISTERED_DATES,
    REGISTERED_DAYS,
    SALTS,
    SECONDS,
    THREE_DIGITS,
    TIMEZONES,
    UUID_VARIANTS,
    Folk,
)

#: The fields of a user, in the API's order.
FIELDS = (
    *("gender", "name", "location", "email", "login", "dob"),
    *("registered", "phone", "cell", "id", "picture", "nat"),
)

# What the stream holds for a user, in the order of the loop in `_users`. Seconds and days
# take 4 bytes each, so that their distribution stays close to even.
BLOCK = struct.Struct("<16s 4I 15H 17B")


@lru_cache(maxsize=1)
def _ages(today: datetime.date) -> tuple[list[int], list[int], str]:
    """Full years at the end of `today` for DOB_DAYS and for REGISTERED_DAYS, and today's -MM-DD.

    For dates that end with -MM-DD, the time of day decides whether the last year is full. In a
    year without 29 February, that day's anniversary is 1 March.
    """
    month_day = (today.month, today.day)
    dob, registered = (
        [today.year - day.year - ((day.month, day.day) > month_day) for day in days]
        for days in (DOB_DAYS, REGISTERED_DAYS)
    )
    return dob, registered, f"{today:-%m-%d}"


def users(
    key: str,
    count: int,
    *,
    now: datetime.datetime,
    folks: Sequence[Folk],
    fields: Sequence[str] = FIELDS,
) -> bytes:
    """`count` users of the stream `key` as a JSON array in UTF-8.

    Each user belongs to one of the `folks`, to all of them equally often. `now`, in UTC, only
    affects the ages.
    """
    found = _users(key, count, now, folks)
    if tuple(fields) != FIELDS:
        places = [FIELDS.index(field) for field in fields]
        found = ([user[place] for place in places] for user in found)
    texts = map(",".join, found)
    return f"[{{{'},{'.join(texts)}}}]".encode("latin-1")


def _users(
    key: str, count: int, now: datetime.datetime, folks: Sequence[Folk]
) -> Iterator[Sequence[str]]:
    """The users, each as its fields in the order of FIELDS."""
    stream = hashlib.shake_128(key.encode()).digest(BLOCK.size * count)
    dob_ages, registered_ages, today = _ages(now.date())
    clock = f"{now:T%H:%M:%S}.{now.microsecond // 1000:03}Z"
    # local names are looked up faster than the module's
    md5, sha1, sha256 = hashlib.md5, hashlib.sha1, hashlib.sha256
    folk_count, dob_count, registered_count = len(folks), len(DOB_DAYS), len(REGISTERED_DAYS)
    nickname_count, password_count, salt_count = len(NICKNAMES), len(PASSWORDS), len(SALTS)

    # fmt: off
    for (
        noise,
        dob_day, dob_second, registered_day, registered_second,
        kind, house, latitude, latitude_part, longitude, longitude_part,
        nickname, nickname_number, password, salt_1, salt_2, salt_3, salt_4,
        dob_minute, registered_minute,
        variant, title, first, family, street, city, state, postcode, postcode_end, timezone,
        phone, phone_end, cell, cell_end, id_, id_end, picture,
    ) in BLOCK.iter_unpack(stream):
        # fmt: on
        folk = folks[kind % folk_count]
        first_name, first_mail = folk.first[first]
        last_name, last_mail = folk.family[family]
        uuid = noise.hex()
        word = PASSWORDS[password % password_count]
        salt = (
            f"{SALTS[salt_1 % salt_count]}{SALTS[salt_2 % salt_count]}"
            f"{SALTS[salt_3 % salt_count]}{SALTS[salt_4 % salt_count]}"
        )
        secret = (word + salt).encode()
        born = dob_day % dob_count
        dob_date = DOB_DATES[born]
        dob_time = MINUTES[dob_minute % 1440] + SECONDS[dob_second % 60000]
        dob_age = dob_ages[born]
        if dob_date.endswith(today) and dob_time > clock:
            dob_age -= 1
        joined = registered_day % registered_count
        registered_date = REGISTERED_DATES[joined]
        registered_time = MINUTES[registered_minute % 1440] + SECONDS[registered_second % 60000]
        registered_age = registered_ages[joined]
        if registered_date.endswith(today) and registered_time > clock:
            registered_age -= 1
        yield (
            f'"gender":"{folk.gender}"',
            f'"name":{{"title":"{folk.titles[title]}","first":"{first_name}","last":"{last_name}"}}',
            (
                f'"location":{{"street":{{"number":{house % 9999 + 1},'
                f'"name":"{folk.streets[street]}"}},'
                f'"city":"{folk.cities[city]}","state":"{folk.states[state]}",'
                f'"country":"{folk.country}",'
                f'"postcode":{folk.postcodes[0][postcode]}{folk.postcodes[1][postcode_end]},'
                f'"coordinates":{{"latitude":"{LATITUDES[latitude % 180]}'
                f'{FOUR_DIGITS[latitude_part % 10000]}",'
                f'"longitude":"{LONGITUDES[longitude % 360]}'
                f'{FOUR_DIGITS[longitude_part % 10000]}"}},'
                f'"timezone":{{{TIMEZONES[timezone]}}}}}'
            ),
            f'"email":"{first_mail}.{last_mail}@example.com"',
            (
                f'"login":{{"uuid":"{uuid[:8]}-{uuid[8:12]}-4{uuid[13:16]}-'
                f'{UUID_VARIANTS[variant]}{uuid[17:20]}-{uuid[20:]}",'
                f'"username":"{NICKNAMES[nickname % nickname_count]}'
                f'{THREE_DIGITS[nickname_number % 1000]}","password":"{word}","salt":"{salt}",'
                f'"md5":"{md5(secret).hexdigest()}","sha1":"{sha1(secret).hexdigest()}",'
                f'"sha256":"{sha256(secret).hexdigest()}"}}'
            ),
            f'"dob":{{"date":"{dob_date}{dob_time}","age":{dob_age}}}',
            f'"registered":{{"date":"{registered_date}{registered_time}","age":{registered_age}}}',
            f'"phone":"{folk.phones[0][phone]}{folk.phones[1][phone_end]}"',
            f'"cell":"{folk.cells[0][cell]}{folk.cells[1][cell_end]}"',
            f'"id":{{{folk.ids[0][id_]}{folk.ids[1][id_end]}}}',
            f'"picture":{{{folk.pictures[picture]}}}',
            f'"nat":"{folk.nat}"',
        )
