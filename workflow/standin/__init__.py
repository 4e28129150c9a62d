"""A stand-in for the RandomUser API, version 1.4: same contract, invented people.

    python -m workflow.standin --port 18080

    nationalities.py   words and number formats, as data
    people.py          (stream key, number of users) -> JSON, all in bulk
    contract.py        a query string -> Question -> Answer; the users-per-window limit
    handler.py         HTTP: request in, Answer out
    faults.py          what can be wrong with an Answer, and when: docs/rehearsals.md
    rehearsals.py      HTTP below /faults/: Answers with faults
    server.py          where it listens, how it starts and stops

It does what a client of 1.4 sees of the API: the paths, results, page, seed, nat, gender,
inc, exc, noinfo and their quirks, the limit with its 429, gzip, ETag, HEAD, OPTIONS.
It differs from the API, on purpose, in this:

- Versions but 1.4 are 404: users of 1.4's shape under another number would be a lie.
- csv, xml and yaml are answered as JSON; password, callback, dl and lego are ignored.
- inc, exc and nat never change the other fields of a user.
- A seed of 18 characters is a seed like any other, and nothing hangs unless told to.
- Every name and place is invented, see nationalities.py.
"""
