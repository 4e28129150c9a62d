-- What analysts read: users, rejected_users and user_statistics always hold the same
-- generation of a date, because LoadUsers replaces all three in one transaction.

CREATE TABLE users (
    partition_date  date NOT NULL,
    user_id         uuid NOT NULL,
    username        text NOT NULL,
    title           text NOT NULL,
    first_name      text NOT NULL,
    last_name       text NOT NULL,
    gender          text NOT NULL,
    birth_date      date NOT NULL,
    age             smallint NOT NULL,
    email           text NOT NULL,
    phone           text NOT NULL,
    cell            text NOT NULL,
    street_number   integer NOT NULL,
    street_name     text NOT NULL,
    city            text NOT NULL,
    state           text NOT NULL,
    country         text NOT NULL,
    postcode        text NOT NULL,
    latitude        numeric(7, 4) NOT NULL,
    longitude       numeric(7, 4) NOT NULL,
    timezone_offset text NOT NULL,
    nationality     char(2) NOT NULL,
    registered_at   timestamptz NOT NULL,
    picture_url     text NOT NULL,
    position        integer NOT NULL,
    PRIMARY KEY (partition_date, user_id)
) PARTITION BY RANGE (partition_date);

COMMENT ON TABLE users IS 'clean users, a generation per partition_date; partitioned by month';
COMMENT ON COLUMN users.age IS 'full years as of partition_date';
COMMENT ON COLUMN users.position IS 'place in the date''s extraction, from 0';

-- Make the month of a date, if it is not there. Called and committed before a load:
-- CREATE TABLE … PARTITION OF inside the load would lock out readers of the whole table,
-- ATTACH PARTITION does not. The CHECK saves ATTACH from scanning, and is then redundant.
CREATE FUNCTION ensure_month(d date) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    first_day date := date_trunc('month', d)::date;
    next_month date := (first_day + interval '1 month')::date;
    month_table text := 'users_' || to_char(first_day, 'YYYY_MM');
BEGIN
    IF to_regclass(month_table) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('ensure_month'), hashtext(month_table));
    -- asked of the table: to_regclass() may answer from a cache filled before the wait
    IF EXISTS (
        SELECT FROM pg_class
        WHERE relname = month_table AND relnamespace = 'public'::regnamespace
    ) THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE users INCLUDING ALL, CONSTRAINT month CHECK '
        '(partition_date >= %L AND partition_date < %L))',
        month_table, first_day, next_month
    );
    EXECUTE format(
        'ALTER TABLE users ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        month_table, first_day, next_month
    );
    EXECUTE format('ALTER TABLE %I DROP CONSTRAINT month', month_table);
END
$$;

CREATE TABLE rejected_users (
    partition_date date NOT NULL,
    position       integer NOT NULL,
    user_id        uuid,
    reasons        jsonb NOT NULL,
    offending      jsonb NOT NULL,
    PRIMARY KEY (partition_date, position)
);

COMMENT ON TABLE rejected_users IS 'raw users that broke a rule, with all their reasons';
COMMENT ON COLUMN rejected_users.reasons IS 'names of the broken rules, a JSON array';
COMMENT ON COLUMN rejected_users.offending IS 'field: offending value; never a secret field''s';

CREATE TABLE user_statistics (
    stat_date  date NOT NULL,
    dimension  text NOT NULL,
    member     text NOT NULL,
    users      bigint NOT NULL,
    share      numeric(7, 6),
    age_avg    numeric(5, 2),
    age_min    smallint,
    age_median numeric(5, 2),
    age_max    smallint,
    PRIMARY KEY (stat_date, dimension, member)
);

COMMENT ON TABLE user_statistics IS 'the day''s figures by all, gender, nationality and age_band';
COMMENT ON COLUMN user_statistics.share IS 'fraction of the day''s clean users, 0 to 1';

CREATE VIEW user_statistics_daily AS
SELECT
    stat_date,
    max(users) FILTER (WHERE dimension = 'all') AS total_users,
    coalesce(max(users) FILTER (WHERE dimension = 'gender' AND member = 'male'), 0) AS male_count,
    coalesce(max(users) FILTER (WHERE dimension = 'gender' AND member = 'female'), 0)
        AS female_count,
    max(age_avg) FILTER (WHERE dimension = 'all') AS avg_age
FROM user_statistics
GROUP BY stat_date;
