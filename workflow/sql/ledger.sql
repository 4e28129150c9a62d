-- name: current_runs
SELECT * FROM current_runs(%(versions)s, %(first)s, %(last)s) ORDER BY seq;

-- name: known_dates
SELECT DISTINCT partition_date FROM extraction_metadata
WHERE partition_date BETWEEN coalesce(%(first)s::date, '-infinity') AND coalesce(%(last)s::date, 'infinity')
ORDER BY partition_date;

-- name: history
-- All rows of a date: attempts and invalidations.
SELECT * FROM extraction_metadata WHERE partition_date = %(date)s ORDER BY seq;

-- name: history_of_step
-- All rows of a step of a date: attempts and invalidations.
SELECT * FROM extraction_metadata
WHERE partition_date = %(date)s AND job = %(job)s
ORDER BY seq;

-- name: schema_migrations
SELECT name, sha256 FROM schema_migrations;

-- name: try_lease
SELECT pg_try_advisory_lock(hashtext(%(job)s), %(date)s::date - date '2000-01-01') AS taken;

-- name: wait_for_lease
SELECT pg_advisory_lock(hashtext(%(job)s), %(date)s::date - date '2000-01-01');

-- name: lease_holders
-- Of the jobs and dates asked for; days count from 2000-01-01. application_name is written by the
-- lease's connection: job, date, host and process. The lock's two keys are shown as unsigned.
SELECT j.job, d.days, a.application_name AS name, a.backend_start AS since
FROM pg_locks l
JOIN pg_stat_activity a USING (pid)
JOIN unnest(%(jobs)s::text[]) AS j (job)
    ON l.classid::bigint = hashtext(j.job)::bigint & 4294967295,
LATERAL (
    -- a number, not yet a date: other locks have keys that are none
    SELECT l.objid::bigint - CASE WHEN l.objid::bigint > 2147483647 THEN 4294967296 ELSE 0 END
) AS d (days)
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND d.days BETWEEN %(first)s::date - date '2000-01-01' AND %(last)s::date - date '2000-01-01';

-- name: newest_rows
-- Of each step and date the newest row: an attempt or an invalidation.
SELECT DISTINCT ON (partition_date, job) * FROM extraction_metadata
WHERE partition_date BETWEEN %(first)s AND %(last)s
ORDER BY partition_date, job, seq DESC;

-- name: interrupt_abandoned
-- Only the holder of the lease runs this: the processes that wrote these rows have exited.
UPDATE extraction_metadata
SET state = 'interrupted', finished_at = clock_timestamp(),
    error = 'the process exited without recording a result'
WHERE partition_date = %(date)s AND job = %(job)s AND state = 'running';

-- name: start_attempt
-- started_at grows from attempt to attempt even when the clock is set back: it is the timestamp
-- of everything that the attempt writes to Cassandra, where the later one wins.
INSERT INTO extraction_metadata
    (run_id, job, partition_date, state, inputs, logic_version, rows_in,
     started_at, host, process, requested_by, details)
VALUES
    (%(run_id)s, %(job)s, %(date)s, 'running', %(inputs)s::uuid[], %(logic_version)s, %(rows_in)s,
     greatest(clock_timestamp(), (
         SELECT max(started_at) + interval '1 microsecond' FROM extraction_metadata
         WHERE partition_date = %(date)s AND job = %(job)s
     )),
     %(host)s, %(process)s, %(requested_by)s, %(details)s)
RETURNING run_id, rows_in, started_at;

-- name: record_details
UPDATE extraction_metadata SET details = details || %(details)s
WHERE run_id = %(run_id)s AND state = 'running';

-- name: mark_swept
UPDATE extraction_metadata SET details = details || '{"swept": true}'
WHERE run_id = ANY(%(run_ids)s::uuid[]);

-- name: succeed
UPDATE extraction_metadata
SET state = 'succeeded', finished_at = clock_timestamp(),
    rows_in = %(rows_in)s, rows_out = %(rows_out)s, rows_rejected = %(rows_rejected)s,
    rows_erased = 0, bytes = %(bytes)s, details = details || %(details)s
WHERE run_id = %(run_id)s AND state = 'running'
RETURNING seq;

-- name: state_after_commit
-- FOR SHARE waits for a commit that continues without its client.
SELECT state FROM extraction_metadata WHERE run_id = %(run_id)s FOR SHARE;

-- name: end_without_success
-- With short timeouts, because the process may be about to end at its deadline.
SET LOCAL lock_timeout = '4s';
SET LOCAL statement_timeout = '4s';
UPDATE extraction_metadata
SET state = %(state)s, finished_at = clock_timestamp(), error = %(error)s
WHERE run_id = %(run_id)s AND state = 'running';

-- name: invalidate
INSERT INTO extraction_metadata
    (run_id, job, partition_date, state, logic_version, finished_at,
     host, process, requested_by, reason)
VALUES
    (%(run_id)s, %(job)s, %(date)s, 'invalidated', %(logic_version)s, clock_timestamp(),
     %(host)s, %(process)s, %(requested_by)s, %(reason)s);
