-- What searches look up: one row for each value of a search parameter, clustered by compartment and parameter so that a
-- search reads neighbours. `param` is the number of the parameter in the table of `fhir::search`; `system` is the system of
-- a token, the type of a reference, and the unfolded text of a string.
CREATE TABLE search_value (
    compartment BIGINT NOT NULL,
    param BIGINT NOT NULL,
    value TEXT NOT NULL,
    system TEXT NOT NULL,
    key BIGINT NOT NULL,
    PRIMARY KEY (compartment, param, value, system, key)
) WITHOUT ROWID;

-- Dates as the span they name, UTC milliseconds, both ends inclusive.
CREATE TABLE search_date (
    compartment BIGINT NOT NULL,
    param BIGINT NOT NULL,
    from_ms BIGINT NOT NULL,
    to_ms BIGINT NOT NULL,
    key BIGINT NOT NULL,
    PRIMARY KEY (compartment, param, from_ms, to_ms, key)
) WITHOUT ROWID;

CREATE INDEX resource_kind ON resource (compartment, type, key);

-- Which version of the table of search parameters the rows above follow. Another one in the program: all are made anew.
CREATE TABLE search_state (
    one BIGINT PRIMARY KEY NOT NULL,
    version BIGINT NOT NULL
);
