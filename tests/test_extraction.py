"""What a date asks the source for."""

import pytest

from workflow.extraction import Extraction


def asked(users: int, size: int) -> Extraction:
    return Extraction(
        url="http://h/api/1.4/", api_version="1.4", seed="s", users_per_day=users, page_size=size
    )


@pytest.mark.parametrize("users", [1, 2, 7, 10, 11, 5000])
@pytest.mark.parametrize("size", [1, 3, 10, 5000])
def test_pages_give_every_position_of_a_day_once(users: int, size: int) -> None:
    extraction = asked(users, size)
    positions = [
        extraction.offset(page) + row
        for page in range(1, extraction.pages + 1)
        for row in range(extraction.page_rows(page))
    ]
    assert positions == list(range(users))


def test_a_request_names_all_that_decides_its_users() -> None:
    assert asked(25, 10).request(3) == ("http://h/api/1.4/?results=5&seed=s&page=3&format=json")
