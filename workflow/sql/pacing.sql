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
