//! Whether the database's settings keep acknowledged writes: read back, reported, and refused when unsafe.

use super::connection::Db;
use crate::error::{Failure, Fault};
use diesel::prelude::*;
use diesel::sql_types::Text;
use serde::Serialize;

/// One setting: its value, and the values that are safe.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Setting {
    /// The database's own name of the setting.
    pub name: &'static str,
    /// The present value, as the database reports it.
    pub value: String,
    /// The safe values.
    pub safe: &'static [&'static str],
    /// Whether `value` is one of them.
    pub ok: bool,
}

/// The settings of one database.
#[derive(Clone, Debug, Serialize)]
pub struct DurabilityReport {
    /// `sqlite` or `postgres`.
    pub store: &'static str,
    /// Every setting that bears on durability.
    pub settings: Vec<Setting>,
    /// Whether all are safe.
    pub ok: bool,
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

const SQLITE: &[(&str, &[&str])] = &[
    ("journal_mode", &["wal"]),
    ("synchronous", &["2", "3"]),
    ("foreign_keys", &["1"]),
    ("secure_delete", &["1"]),
    ("temp_store", &["2"]),
    ("trusted_schema", &["0"]),
];
const POSTGRES: &[(&str, &[&str])] = &[
    ("fsync", &["on"]),
    ("full_page_writes", &["on"]),
    ("synchronous_commit", &["on", "remote_apply"]),
];

/// Reads the settings back from the database.
///
/// # Errors
/// Those of the database.
pub fn report(db: &mut Db) -> Result<DurabilityReport, Failure> {
    let (store, wanted) = match db {
        Db::Sqlite(_) => ("sqlite", SQLITE),
        Db::Pg(_) => ("postgres", POSTGRES),
    };
    let mut settings = Vec::with_capacity(wanted.len());
    for &(name, safe) in wanted {
        let query = match db {
            Db::Sqlite(_) => format!("SELECT CAST({name} AS TEXT) AS value FROM pragma_{name}"),
            // The value that a new session gets: this server's sessions set their own synchronous_commit (`super::session`).
            Db::Pg(_) => format!("SELECT reset_val AS value FROM pg_settings WHERE name = '{name}'"),
        };
        let value = diesel::sql_query(query).get_result::<Value>(db)?.value;
        let ok = safe.contains(&value.as_str());
        settings.push(Setting { name, value, safe, ok });
    }
    let ok = settings.iter().all(|setting| setting.ok);
    Ok(DurabilityReport { store, settings, ok })
}

/// Refuses a store whose settings could lose acknowledged writes.
///
/// # Errors
/// [`Fault::DurabilityUnsafe`], naming the first unsafe setting.
pub fn demand(report: &DurabilityReport) -> Result<(), Failure> {
    match report.settings.iter().find(|setting| !setting.ok) {
        None => Ok(()),
        Some(unsafe_one) => Err(Failure::new(Fault::DurabilityUnsafe)
            .at(unsafe_one.name)
            .remedy(format!(
                "Set {} to {}; it is {}.",
                unsafe_one.name,
                unsafe_one.safe.join(" or "),
                unsafe_one.value
            ))),
    }
}
