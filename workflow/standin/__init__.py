"""A stand-in for the RandomUser API, version 1.4: the same contract, invented people.

    python -m workflow.standin --port 18080

    nationalities.py   words and number formats, as data
    pools.py           the data as pools of JSON text, made once
    people.py          stream key and number of users -> JSON, in bulk
    contract.py        query string -> Query -> Response; the limit of users per window
    handler.py         HTTP: takes a request, sends a Response
    faults.py          what can be wrong with a Response, and when (docs/rehearsals.md)
    rehearsals.py      HTTP below /faults/: Responses with faults
    __main__.py        the command line: where it listens, how it starts and stops

It reproduces what a client of 1.4 sees: the paths, results, page, seed, nat, gender, inc,
exc, noinfo and their quirks, the limit with its 429, gzip, ETag, HEAD, OPTIONS.
It differs from the API on purpose:

- Every version but 1.4 gives 404: users of 1.4's shape under another number would be a lie.
- csv, xml and yaml give JSON; password, callback, dl and lego are ignored.
- inc, exc and nat never change the other fields of a user.
- A seed of 18 characters is a seed like any other, and nothing hangs unless a plan says so.
- Every name and place is invented; see nationalities.py.
"""
