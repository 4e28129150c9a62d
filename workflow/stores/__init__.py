"""PostgreSQL, Cassandra and the lake: connections, tables, schemas."""
