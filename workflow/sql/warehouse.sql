-- name: ensure_month
SELECT ensure_month(%(date)s);

-- name: delete_users
DELETE FROM users WHERE partition_date = %(date)s;

-- name: delete_rejected_users
DELETE FROM rejected_users WHERE partition_date = %(date)s;

-- name: delete_user_statistics
DELETE FROM user_statistics WHERE stat_date = %(date)s;

-- name: fingerprint
-- Counts and order-independent content digests of what a date holds in the three tables. The
-- columns are named: one that is added later must not change the digests of older dates.
SELECT
    (SELECT count(*) FROM users WHERE partition_date = %(date)s) AS users,
    (SELECT count(*) FROM rejected_users WHERE partition_date = %(date)s) AS rejected_users,
    (SELECT count(*) FROM user_statistics WHERE stat_date = %(date)s) AS user_statistics,
    (SELECT coalesce(sum(hashtextextended(ROW(
        partition_date, user_id, username, title, first_name, last_name, gender, birth_date, age,
        email, phone, cell, street_number, street_name, city, state, country, postcode,
        latitude, longitude, timezone_offset, nationality, registered_at, picture_url, position
     )::text, 0)), 0)::text FROM users
     WHERE partition_date = %(date)s) AS users_digest,
    (SELECT coalesce(sum(hashtextextended(ROW(
        partition_date, position, user_id, reasons, offending
     )::text, 0)), 0)::text FROM rejected_users
     WHERE partition_date = %(date)s) AS rejected_users_digest,
    (SELECT coalesce(sum(hashtextextended(ROW(
        stat_date, dimension, member, users, share, age_avg, age_min, age_median, age_max
     )::text, 0)), 0)::text FROM user_statistics
     WHERE stat_date = %(date)s) AS user_statistics_digest;

-- name: statistics_of_date
SELECT dimension, member, users, share, age_avg, age_min, age_median, age_max
FROM user_statistics WHERE stat_date = %(date)s
ORDER BY array_position(ARRAY['all', 'gender', 'age_band', 'nationality'], dimension), member;

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

-- name: where_is
SELECT 'users' AS table, position, to_jsonb(u) AS row FROM users u
WHERE partition_date = %(date)s AND user_id = %(user_id)s
UNION ALL
SELECT 'rejected_users', position, to_jsonb(r) FROM rejected_users r
WHERE partition_date = %(date)s AND user_id = %(user_id)s
ORDER BY position;

-- name: lock_window
SELECT pg_advisory_xact_lock(hashtext('source_requests'), hashtext(%(source)s));

-- name: forget_old_requests
DELETE FROM source_requests
WHERE source = %(source)s AND requested_at < clock_timestamp() - make_interval(secs => %(seconds)s);

-- name: wait_for_window
-- Seconds until `users` more fit: the age at which enough of the oldest requests have left
-- the window. 0 if they fit now.
WITH running AS (
    SELECT requested_at, sum(users) OVER (ORDER BY requested_at DESC, ctid DESC) AS newer
    FROM source_requests WHERE source = %(source)s
)
SELECT greatest(0, coalesce(extract(epoch FROM
    max(requested_at) + make_interval(secs => %(seconds)s) - clock_timestamp()
), 0))::float AS seconds
FROM running WHERE newer + %(users)s > %(limit)s;

-- name: record_request
INSERT INTO source_requests (source, users) VALUES (%(source)s, %(users)s);
