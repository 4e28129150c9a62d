-- Users asked of a source lately: the API limits users per address and window, so all
-- processes count in one place. Old rows are deleted as new ones come.
CREATE TABLE source_requests (
    source       text NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    users        integer NOT NULL
);

CREATE INDEX source_requests_by_time ON source_requests (source, requested_at);

COMMENT ON TABLE source_requests IS 'users asked of each source within its rate window';
