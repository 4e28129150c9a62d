-- name: create_new_tables
CREATE TEMPORARY TABLE new_users (LIKE users);
CREATE TEMPORARY TABLE new_rejected_users (LIKE rejected_users);
CREATE TEMPORARY TABLE new_user_statistics (LIKE user_statistics);

-- name: different_users
SELECT user_id::text AS key, to_jsonb(o) AS old, to_jsonb(n) AS new,
    count(*) OVER () AS total,
    count(*) FILTER (WHERE o IS NULL) OVER () AS total_new,
    count(*) FILTER (WHERE n IS NULL) OVER () AS total_gone
FROM (SELECT * FROM users WHERE partition_date = %(date)s) AS o
FULL JOIN new_users AS n USING (partition_date, user_id)
WHERE o IS DISTINCT FROM n
ORDER BY coalesce(n.position, o.position)
LIMIT %(limit)s;

-- name: different_rejected_users
SELECT position::text AS key, to_jsonb(o) AS old, to_jsonb(n) AS new,
    count(*) OVER () AS total,
    count(*) FILTER (WHERE o IS NULL) OVER () AS total_new,
    count(*) FILTER (WHERE n IS NULL) OVER () AS total_gone
FROM (SELECT * FROM rejected_users WHERE partition_date = %(date)s) AS o
FULL JOIN new_rejected_users AS n USING (partition_date, position)
WHERE o IS DISTINCT FROM n
ORDER BY position
LIMIT %(limit)s;

-- name: different_user_statistics
SELECT dimension || ' ' || member AS key, to_jsonb(o) AS old, to_jsonb(n) AS new,
    count(*) OVER () AS total,
    count(*) FILTER (WHERE o IS NULL) OVER () AS total_new,
    count(*) FILTER (WHERE n IS NULL) OVER () AS total_gone
FROM (SELECT * FROM user_statistics WHERE stat_date = %(date)s) AS o
FULL JOIN new_user_statistics AS n USING (stat_date, dimension, member)
WHERE o IS DISTINCT FROM n
ORDER BY 1
LIMIT %(limit)s;
