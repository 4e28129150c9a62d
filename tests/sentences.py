"""The sentences that people see for bad input, collected from the tests' own run.

Each test of a bad input hands its sentence to the fixture `sentence`. `make errors` writes them to
docs/errors.md; in every other run a sentence that is not in that file fails its test, and so does,
when the whole suite has run, a line of the file that no test has seen.
"""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).resolve().parent.parent / "docs/errors.md"
COLLECTED = pytest.StashKey[set["Line"]]()

HEAD = """# What can go wrong, and what you see

Every bad input ends with one error message and an exit status that is not 0; nothing is lost, and
nothing is published in part. The tests write this page (`make errors`); what differs from run to
run is in capitals.

"""

#: What differs from run to run: pattern, what stands for it.
VARIABLE = (
    (r"(?m)^\d\d:\d\d:\d\d \w+ +", ""),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID"),
    (r"test_[0-9a-f]+", "warehouse"),
    (r"(127\.0\.0\.1)(:|\", port )\d+", r"\1\2PORT"),
    (re.escape(str(DOCUMENT.parent.parent)), "PROJECT"),
    (r"today is \d{4}-\d\d-\d\d", "today is TODAY"),
    (r"(?:/[\w.=-]+)*/(pytest-[\w.-]+(?:/[\w.=-]+)*/)", "FOLDER/"),
    (r"/faults/[\w.-]+", ""),
    (r"\d+ bytes read, \d+ more", "N bytes read, N more"),
    (r"\(\d[\d,]* bytes", "(N bytes"),
    (r"position \d+", "position N"),
    (r"process \d+", "process N"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME"),
    (r"after \d+(\.\d+)? ?(s|ms|seconds)", "after N s"),
)


@dataclasses.dataclass(frozen=True, kw_only=True, order=True)
class Line:
    """A row of the page: the area, what was wrong in it, and what a person sees."""

    area: str
    wrong: str
    sentence: str

    def __str__(self) -> str:
        cells = (self.wrong, self.sentence)
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def normalised(text: str) -> str:
    """The last line of what a command wrote that begins an error, without what varies."""
    lines = [line for line in text.strip().splitlines() if "Error: " in line]
    sentence = (lines[-1] if lines else text.strip()).partition("Error: ")[2] or text.strip()
    for pattern, stand_in in VARIABLE:
        sentence = re.sub(pattern, stand_in, sentence)
    return sentence


def render(lines: set[Line]) -> str:
    """The page."""
    areas = sorted({line.area for line in lines})
    return HEAD + "\n".join(
        f"## {area}\n\n| what is wrong | what you see |\n| --- | --- |\n"
        + "".join(f"{line}\n" for line in sorted(lines) if line.area == area)
        for area in areas
    )


#: `sentence(area, what_is_wrong, what_was_printed)` returns the sentence, and keeps it.
Keep = Callable[[str, str, str], str]


@pytest.fixture
def sentence(pytestconfig: pytest.Config) -> Keep:
    """Hold a sentence that a test sees against docs/errors.md."""
    documented = DOCUMENT.read_text(encoding="utf-8") if DOCUMENT.exists() else ""

    def keep(area: str, wrong: str, printed: str) -> str:
        assert "Traceback" not in printed, printed
        line = Line(area=area, wrong=wrong, sentence=normalised(printed))
        pytestconfig.stash.setdefault(COLLECTED, set()).add(line)
        if not pytestconfig.getoption("--write-errors"):
            assert str(line) in documented, f"docs/errors.md lacks {line}; run `make errors`"
        return line.sentence

    return keep


def finish(config: pytest.Config, whole_suite: bool) -> str | None:
    """Write the page, or say what in it no test has seen."""
    lines = config.stash.get(COLLECTED, set())
    if config.getoption("--write-errors"):
        DOCUMENT.write_text(render(lines), encoding="utf-8")
    elif whole_suite and DOCUMENT.read_text(encoding="utf-8") != render(lines):
        return "docs/errors.md holds sentences that no test has seen; run `make errors`."
    return None
