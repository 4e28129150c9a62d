-- A user is not lost for a field that may be missing: docs/data.md says which columns may be null,
-- and when.

ALTER TABLE users
    ALTER COLUMN title DROP NOT NULL,
    ALTER COLUMN age DROP NOT NULL,
    ALTER COLUMN email DROP NOT NULL,
    ALTER COLUMN phone DROP NOT NULL,
    ALTER COLUMN cell DROP NOT NULL,
    ALTER COLUMN street_number DROP NOT NULL,
    ALTER COLUMN street_name DROP NOT NULL,
    ALTER COLUMN city DROP NOT NULL,
    ALTER COLUMN state DROP NOT NULL,
    ALTER COLUMN country DROP NOT NULL,
    ALTER COLUMN postcode DROP NOT NULL,
    ALTER COLUMN latitude DROP NOT NULL,
    ALTER COLUMN longitude DROP NOT NULL,
    ALTER COLUMN timezone_offset DROP NOT NULL,
    ALTER COLUMN registered_at DROP NOT NULL,
    ALTER COLUMN picture_url DROP NOT NULL;

COMMENT ON COLUMN users.age IS 'full years as of partition_date; null when born after it';
COMMENT ON COLUMN user_statistics.age_avg IS 'mean of the ages that are not null';
