"""The local stack: Cassandra, PostgreSQL, luigid and a stand-in for the RandomUser API.

`lifecycle` is the way in (`up`, `down`, `status`, `reset`). Nothing is imported here: the
stand-in lives in this package, too, and starts without the libraries of the others.
"""
