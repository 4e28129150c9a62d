"""The parts that users are assembled from, all made once, at import.

They are JSON text already, as UTF-8 *read as Latin-1*: text joins fast while every
character is one byte, and `.encode("latin-1")` at the end gives the UTF-8 back.
"""

import datetime
import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice, product
from string import ascii_letters, ascii_uppercase, digits
from typing import TypeVar

from workflow.standin.nationalities import NATIONALITIES, TRANSLITERATION, Nationality

T = TypeVar("T")

POOL = 256  # entries of most pools: one byte of a user's stream picks one

GENDERS = ("male", "female")


def _text(value: str) -> str:
    """The inside of a JSON string, UTF-8 read as Latin-1."""
    return json.dumps(value, ensure_ascii=False)[1:-1].encode().decode("latin-1")


def _mail(name: str) -> str:
    """A name as e-mail addresses spell it: ASCII, lower case, without spaces."""
    latin = name.lower().translate(TRANSLITERATION).replace(" ", "")
    return unicodedata.normalize("NFKD", latin).encode("ascii", "ignore").decode()


def _words(stems: str, forms: str) -> list[str]:
    """Every stem in every form."""
    return [form.format(stem) for stem, form in product(stems.split(" "), forms.split("|"))]


def _pool(entries: Sequence[T]) -> list[T]:
    """The entries, repeated up to POOL of them."""
    return list(islice(cycle(entries), POOL))


def _places(stems: str, forms: str) -> list[str]:
    return _pool([_text(word) for word in _words(stems, forms)])


def _streets(stems: str, forms: str) -> list[str]:
    # 4 % of the API's street names end in a space
    names = _places(stems, forms)
    return [name + " " if n % 25 == 12 else name for n, name in enumerate(names)]


def _names(stems: str, forms: str) -> list[tuple[str, str]]:
    """Names, each with its e-mail form."""
    return _pool([(_text(name), _mail(name)) for name in _words(stems, forms)])


def _drawn(forms: str, purpose: str) -> list[str]:
    """POOL numbers of the given forms; the same `purpose` always gives the same ones."""
    choices = {"#": digits, "$": digits[1:], "@": ascii_uppercase}
    noise = iter(hashlib.shake_128(purpose.encode()).digest(POOL * len(forms)))
    return [
        "".join(choices[c][next(noise) % len(choices[c])] if c in choices else c for c in form)
        for form in _pool(forms.split("|"))
    ]


def _numbers(form: str, purpose: str) -> tuple[list[str], list[str]]:
    """Pools of heads and of tails; any head fits any tail, so they make POOL² numbers."""
    head, _, tail = form.partition("/")
    return _drawn(head, f"{purpose} head"), _drawn(tail, f"{purpose} tail")


def _picture(folder: str, number: int) -> str:
    base = "https://randomuser.me/api/portraits"
    sizes = (("large", ""), ("medium", "med/"), ("thumbnail", "thumb/"))
    return ",".join(f'"{size}":"{base}/{path}{folder}/{number}.jpg"' for size, path in sizes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Folk:
    """The pools of one nationality and gender. Numbers are pools of heads and of tails."""

    gender: str
    nat: str
    country: str
    titles: list[str]
    first: list[tuple[str, str]]
    family: list[tuple[str, str]]
    streets: list[str]
    cities: list[str]
    states: list[str]
    postcodes: tuple[list[str], list[str]]
    phones: tuple[list[str], list[str]]
    cells: tuple[list[str], list[str]]
    ids: tuple[list[str], list[str]]
    pictures: list[str]


def _folks(nat: Nationality) -> tuple[Folk, Folk]:
    """The men and the women of a nationality."""
    id_value = f'"{nat.id_value}"' if nat.id_value else "null"
    men = Folk(
        gender=GENDERS[0],
        nat=nat.code,
        country=nat.country,
        titles=_pool(nat.men),
        first=_names(nat.first, nat.male),
        family=_names(nat.family, nat.families),
        streets=_streets(nat.place, nat.streets),
        cities=_places(nat.place, nat.cities),
        states=_places(nat.place, nat.states),
        postcodes=_numbers(nat.postcode, f"{nat.code} postcode"),
        phones=_numbers(nat.phone, f"{nat.code} phone"),
        cells=_numbers(nat.cell, f"{nat.code} cell"),
        ids=_numbers(f'"name":"{nat.id_name}","value":{id_value}', f"{nat.code} id"),
        pictures=_pool([_picture("men", n) for n in range(100)]),
    )
    women = replace(
        men,
        gender=GENDERS[1],
        titles=_pool(nat.women),
        first=_names(nat.first, nat.female),
        pictures=_pool([_picture("women", n) for n in range(97)]),
    )
    return men, women


#: Nationality code -> its men and its women.
FOLKS = {nat.code: _folks(nat) for nat in NATIONALITIES}
#: The nationalities, in the API's order.
NATS = tuple(FOLKS)


def folks(nats: Sequence[str] = NATS, genders: Sequence[str] = GENDERS) -> list[Folk]:
    """The folks of these nationalities and genders; a code given twice has twice the weight."""
    return [FOLKS[nat][GENDERS.index(gender)] for nat in nats for gender in genders]


# 30 offsets, not zero-padded and zero without a sign, each with places of that time
_TIMEZONES = (
    "-12:00 Baker Island|-11:00 Pago Pago, Niue|-10:00 Honolulu|-9:00 Anchorage, Juneau"
    "|-8:00 Vancouver, Los Angeles (Pacific)|-7:00 Denver, Calgary (Mountain)"
    "|-6:00 Chicago, Winnipeg, Mexico City (Central)|-5:00 New York, Toronto, Lima (Eastern)"
    "|-4:00 Halifax, Caracas, Manaus|-3:30 St. John's|-3:00 Montevideo, Recife, Buenos Aires"
    "|-2:00 South Georgia|-1:00 Ponta Delgada, Praia|0:00 Reykjavik, Lisbon, Dublin, Accra"
    "|+1:00 Vienna, Oslo, Rome, Lagos|+2:00 Cairo, Cape Town|+3:00 Nairobi, Istanbul, Kuwait"
    "|+3:30 Shiraz|+4:00 Dubai, Yerevan, Mauritius|+4:30 Herat|+5:00 Lahore, Samarkand"
    "|+5:30 Colombo, Chennai, Kolkata|+5:45 Pokhara|+6:00 Bishkek, Thimphu, Omsk"
    "|+7:00 Ho Chi Minh City, Medan|+8:00 Manila, Taipei, Kuala Lumpur"
    "|+9:00 Nagoya, Busan, Chita|+9:30 Alice Springs|+10:00 Brisbane, Port Moresby"
    "|+11:00 Honiara, Nouméa"
)
TIMEZONES = _pool(
    [
        '"offset":"{}","description":"{}"'.format(*_text(zone).split(" ", 1))
        for zone in _TIMEZONES.split("|")
    ]
)
LATITUDES = [f"{sign}{degrees}." for sign in ("-", "") for degrees in range(90)]
LONGITUDES = [f"{sign}{degrees}." for sign in ("-", "") for degrees in range(180)]
FOUR_DIGITS = [f"{n:04}" for n in range(10_000)]
UUID_VARIANTS = _pool("89ab")

_COLOURS = (
    "amber black bronze calm clever coral crimson golden gentle green happy indigo "
    "ivory lazy lucky maroon purple quick quiet scarlet silent silver small teal"
)
_ANIMALS = (
    "badger beaver bison cat crane dingo dolphin falcon ferret gecko gibbon heron ibis jackal "
    "kiwi lemur lynx magpie marmot newt ocelot otter parrot puffin quail raven salmon tapir "
    "toad viper walrus yak"
)
NICKNAMES = [a + b for a, b in product(_COLOURS.split(), _ANIMALS.split())]
THREE_DIGITS = [f"{n:03}" for n in range(1000)]

_THINGS = (
    "anchor bagel biscuit cactus candle domino dragonfly ember engine feather fiddle garlic "
    "goblin hammock island jigsaw kettle lantern mustard nutmeg orchard pepper quartz ribbon "
    "saddle teapot umbrella velvet waffle xylophone yogurt zipper"
)
_WORDS_AND_NUMBERS = product(_THINGS.split(), ["", *(str(n) for n in range(31))])
# of about 1,000 passwords one is empty and one is escaped, as in the API's list
PASSWORDS = ["", "&amp;", *(word + number for word, number in _WORDS_AND_NUMBERS)]
SALTS = [a + b for a, b in product(ascii_letters + digits, repeat=2)]  # a quarter of a salt


def _days(first: datetime.date, last: datetime.date) -> list[datetime.date]:
    return [first + datetime.timedelta(days=n) for n in range((last - first).days + 1)]


DOB_DAYS = _days(datetime.date(1944, 8, 1), datetime.date(2001, 5, 31))
REGISTERED_DAYS = _days(datetime.date(2002, 3, 1), datetime.date(2022, 5, 31))
DOB_DATES = [str(day) for day in DOB_DAYS]
REGISTERED_DATES = [str(day) for day in REGISTERED_DAYS]
MINUTES = [f"T{n // 60:02}:{n % 60:02}:" for n in range(24 * 60)]
SECONDS = [f"{n // 1000:02}.{n % 1000:03}Z" for n in range(60 * 1000)]
