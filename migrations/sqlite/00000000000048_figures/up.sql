-- Business figures, counted from rows: how many, of which figure, for which partner (empty: for all), in which minute, hour or day. `begin_ms` is
-- where that begins, in UTC. What kind, channel, state, owner and reason mean depends on the figure (src/figures). Nothing here names a member.
CREATE TABLE business_figure (
    grain TEXT NOT NULL,
    partner_id TEXT NOT NULL,
    begin_ms BIGINT NOT NULL,
    figure TEXT NOT NULL,
    kind TEXT NOT NULL,
    channel TEXT NOT NULL,
    state TEXT NOT NULL,
    owner TEXT NOT NULL,
    reason TEXT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (grain, partner_id, begin_ms, figure, kind, channel, state, owner, reason)
) WITHOUT ROWID;
CREATE INDEX business_figure_begin ON business_figure (grain, begin_ms);

-- How far that came: since when it is counted (0: not yet), up to when everything is counted, up to when changes were looked for, when the job last
-- ran, and from when on minutes and hours are kept. Times are UTC milliseconds.
CREATE TABLE figure_state (
    one BIGINT PRIMARY KEY NOT NULL,
    began_ms BIGINT NOT NULL,
    counted_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    beat_ms BIGINT NOT NULL,
    minutes_from_ms BIGINT NOT NULL,
    hours_from_ms BIGINT NOT NULL
);
INSERT INTO figure_state (one, began_ms, counted_ms, seen_ms, beat_ms, minutes_from_ms, hours_from_ms) VALUES (1, 0, 0, 0, 0, 0, 0);

-- Which clocks of exchanges end in a time.
CREATE INDEX IF NOT EXISTS exchange_answer_due ON exchange (answer_due_ms) WHERE answer_due_ms IS NOT NULL;
CREATE INDEX IF NOT EXISTS exchange_due ON exchange (due_ms);
