//! How a session with PostgreSQL is set up: how long libpq waits for a connection, how long the server
//! lets a statement run, and which durability the session demands.
//!
//! A session's own settings override those of the role, the database and the server, even when these change while it lives.

use crate::error::Failure;
use diesel::connection::SimpleConnection as _;
use diesel::pg::PgConnection;
use diesel::prelude::*;
use diesel::sql_types::Text;
use std::time::Duration;

/// Connection parameters added where the address does not give them: libpq then gives up a connection that cannot be made, and notices a
/// peer that does not even acknowledge packets. A peer that acknowledges but does not answer is handled by the pool ([`super::pool`]).
const CONNECT: &[(&str, &str)] = &[
    ("connect_timeout", "2"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "3"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
    ("fallback_application_name", "causeway"),
];

/// Errors are recognized by their English texts (`super::sqlstate`), so the session sets the language. Only a superuser or a role with `SET
/// ON PARAMETER lc_messages` may; for other roles nothing changes.
pub(super) const ENGLISH: &str = "DO $$ BEGIN PERFORM set_config('lc_messages', 'C', false); \
     EXCEPTION WHEN insufficient_privilege THEN NULL; END $$";

/// Reads the settings for commits of this session, and those that a new session would get.
const PROMISES: &str = "SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes, \
     current_setting('synchronous_commit') AS synchronous_commit, \
     (SELECT reset_val FROM pg_settings WHERE name = 'synchronous_commit') AS of_new_sessions, \
     current_setting('lc_messages') AS language";

/// The database's settings for commits of a session.
#[derive(Clone, Debug, PartialEq, Eq, QueryableByName)]
pub(super) struct Promises {
    #[diesel(sql_type = Text)]
    fsync: String,
    #[diesel(sql_type = Text)]
    full_page_writes: String,
    #[diesel(sql_type = Text)]
    synchronous_commit: String,
    /// `synchronous_commit` as set for the server, the database or the role, before the session sets its own.
    #[diesel(sql_type = Text)]
    pub(super) of_new_sessions: String,
    #[diesel(sql_type = Text)]
    language: String,
}

impl Promises {
    /// Returns the first setting under which this session could lose acknowledged writes, with its value.
    pub(super) fn broken(&self) -> Option<(&'static str, &str)> {
        [
            ("fsync", &self.fsync, self.fsync == "on"),
            (
                "full_page_writes",
                &self.full_page_writes,
                self.full_page_writes == "on",
            ),
            (
                "synchronous_commit",
                &self.synchronous_commit,
                keeps(&self.synchronous_commit),
            ),
        ]
        .into_iter()
        .find_map(|(name, value, ok)| (!ok).then_some((name, value.as_str())))
    }

    /// Whether the server's messages are in English.
    pub(super) fn is_english(&self) -> bool {
        is_english(&self.language)
    }
}

/// Whether a value of `lc_messages` gives English messages.
pub(super) fn is_english(language: &str) -> bool {
    let begins = ["en", "English", "C."].iter().any(|begin| language.starts_with(begin));
    begins || matches!(language, "" | "C" | "POSIX")
}

/// Whether a value of `synchronous_commit` keeps acknowledged writes.
pub(super) fn keeps(synchronous_commit: &str) -> bool {
    matches!(synchronous_commit, "on" | "remote_apply")
}

/// Returns the address with this server's connection parameters added, where it does not give its own.
pub(super) fn with_deadlines(url: &str) -> String {
    let (place, said) = url.split_once('?').unwrap_or((url, ""));
    let mut parameters: Vec<String> = said
        .split('&')
        .filter(|one| !one.is_empty())
        .map(str::to_owned)
        .collect();
    for (name, value) in CONNECT {
        let is_said = parameters.iter().any(|one| one.split('=').next() == Some(name));
        if !is_said {
            parameters.push(format!("{name}={value}"));
        }
    }
    format!("{place}?{}", parameters.join("&"))
}

/// Sets the session's own settings. `limit` is how long the server lets one statement run.
///
/// # Errors
/// Those of the database.
pub(super) fn prepare(pg: &mut PgConnection, limit: Duration) -> Result<(), Failure> {
    pg.batch_execute(&format!(
        "SET statement_timeout={}; SELECT set_config('synchronous_commit', 'on', false) \
         WHERE current_setting('synchronous_commit') <> 'remote_apply'; {ENGLISH}",
        limit.as_millis()
    ))?;
    Ok(())
}

/// Drops prepared statements that others left in a session that now belongs to us alone. A pooler that shared sessions for a while hands
/// such sessions on, and the names would collide with ours.
///
/// # Errors
/// Those of the database.
pub(super) fn forget_statements(pg: &mut PgConnection) -> Result<(), Failure> {
    Ok(pg.batch_execute("DEALLOCATE ALL")?)
}

/// Returns the settings for commits of this session.
///
/// # Errors
/// Those of the database.
pub(super) fn promises(pg: &mut PgConnection) -> Result<Promises, Failure> {
    Ok(diesel::sql_query(PROMISES).get_result(pg)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_what_it_says_and_gets_the_rest() {
        let plain = with_deadlines("postgres://db.example/causeway");
        assert!(
            plain.starts_with("postgres://db.example/causeway?connect_timeout=2&"),
            "{plain}"
        );
        let own = with_deadlines("postgres:///c?host=/run/pg&connect_timeout=9");
        assert!(
            own.starts_with("postgres:///c?host=/run/pg&connect_timeout=9&keepalives_idle=10&"),
            "{own}"
        );
        assert_eq!(own.matches("connect_timeout").count(), 1);
    }

    #[test]
    fn one_broken_promise_is_enough() {
        let good = Promises {
            fsync: "on".into(),
            full_page_writes: "on".into(),
            synchronous_commit: "remote_apply".into(),
            of_new_sessions: "off".into(),
            language: "en_US.UTF-8".into(),
        };
        assert_eq!((good.broken(), good.is_english()), (None, true));
        let off = |change: fn(&mut Promises)| {
            let mut bad = good.clone();
            change(&mut bad);
            bad.broken().map(|(name, value)| (name, value.to_owned()))
        };
        assert_eq!(off(|bad| bad.fsync = "off".into()), Some(("fsync", "off".into())));
        assert_eq!(
            off(|bad| bad.synchronous_commit = "local".into()),
            Some(("synchronous_commit", "local".into()))
        );
    }
}
