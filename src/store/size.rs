//! How much disk space the store takes, for metrics. Never a scan: file sizes, or what PostgreSQL reports about its database.

use super::{Db, Store};
use crate::error::Failure;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use std::path::{Path, PathBuf};

/// Disk space of a store, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// The database.
    pub database: u64,
    /// The write-ahead log of a SQLite store; 0 on PostgreSQL, whose log belongs to all databases of the server.
    pub log: u64,
}

#[derive(QueryableByName)]
struct Bytes {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

impl Store {
    /// Returns how much disk space the store takes now.
    ///
    /// # Errors
    /// As [`Store::read`], on PostgreSQL.
    pub async fn size(&self) -> Result<Size, Failure> {
        if let Some(path) = self.url().sqlite_path() {
            return Ok(Size {
                database: bytes_of(path),
                log: bytes_of(&beside(path, "-wal")),
            });
        }
        let database = self
            .read(|db| match db {
                Db::Sqlite(_) => Ok(0),
                Db::Pg(pg) => {
                    let query = diesel::sql_query("SELECT pg_database_size(current_database()) AS bytes");
                    Ok(query.get_result::<Bytes>(pg)?.bytes)
                }
            })
            .await?;
        Ok(Size {
            database: u64::try_from(database).unwrap_or(0),
            log: 0,
        })
    }
}

/// Returns the size of a file; 0 when it does not exist.
fn bytes_of(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |meta| meta.len())
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
