"""The local stack: Cassandra, PostgreSQL, luigid and the stand-in for the RandomUser API.

`lifecycle` is the way in: `up`, `down`, `status`, `reset`.
"""
