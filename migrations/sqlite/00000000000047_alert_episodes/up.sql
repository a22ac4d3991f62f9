-- Alerts as they began and ended, while there are receivers to tell. `open_code` is the code while the alert has not ended, so that each has
-- one open episode at most; `seen_ms` is when it was last found raised; `found` is how much raised it when it began, and `partners` has the ids
-- of the partners that it was about, separated by spaces. Times are UTC milliseconds.
CREATE TABLE alert_episode (
    id TEXT PRIMARY KEY NOT NULL,
    code TEXT NOT NULL,
    open_code TEXT,
    found BIGINT NOT NULL,
    partners TEXT NOT NULL,
    began_ms BIGINT NOT NULL,
    seen_ms BIGINT NOT NULL,
    ended_ms BIGINT
);
CREATE UNIQUE INDEX alert_episode_open ON alert_episode (open_code);
CREATE INDEX alert_episode_ended ON alert_episode (ended_ms);

-- What each receiver is told: `event` is begin or clear, `state` waiting, delivered or dropped, and `body` is what is sent, the same each time.
CREATE TABLE alert_delivery (
    id TEXT PRIMARY KEY NOT NULL,
    episode_id TEXT NOT NULL,
    receiver TEXT NOT NULL,
    event TEXT NOT NULL,
    state TEXT NOT NULL,
    body TEXT NOT NULL,
    made_ms BIGINT NOT NULL,
    done_ms BIGINT
);
CREATE UNIQUE INDEX alert_delivery_once ON alert_delivery (episode_id, receiver, event);
CREATE INDEX alert_delivery_waiting ON alert_delivery (state, receiver, id);

-- Each minute it is asked how many grants end soon.
CREATE INDEX IF NOT EXISTS grants_until ON grants (valid_until_ms) WHERE revoked_ms IS NULL;
