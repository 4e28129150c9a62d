-- name: ensure_month
SELECT ensure_month(%(date)s);

-- name: delete_date
DELETE FROM {table} WHERE {date} = %(date)s;

-- name: fingerprint
-- Count and order-independent content digest of what a date holds in a table, over named columns:
-- one that is added later must not change the digests of older dates.
SELECT {name} AS name, count(*) AS rows,
    coalesce(sum(hashtextextended(ROW({columns})::text, 0)), 0)::text AS digest
FROM {table} WHERE {date} = %(date)s

-- name: statistics_of_date
SELECT {columns} FROM {table} WHERE stat_date = %(date)s
ORDER BY array_position(%(dimensions)s, dimension), member;
