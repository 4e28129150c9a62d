-- name: create_new_table
CREATE TEMPORARY TABLE {new_table} (LIKE {table});

-- name: different_rows
-- Of a table and its new rows: those that differ, with the total counts in each.
SELECT concat_ws(' ', {key}) AS key, to_jsonb(o) AS old, to_jsonb(n) AS new,
    count(*) OVER () AS total,
    count(*) FILTER (WHERE o IS NULL) OVER () AS total_new,
    count(*) FILTER (WHERE n IS NULL) OVER () AS total_gone
FROM (SELECT * FROM {table} WHERE {date} = %(date)s) AS o
FULL JOIN {new_table} AS n USING ({date}, {key})
WHERE o IS DISTINCT FROM n
ORDER BY coalesce(to_jsonb(n), to_jsonb(o)) -> 'position', key
LIMIT %(limit)s;
