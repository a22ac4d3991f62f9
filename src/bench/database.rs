//! A PostgreSQL database that is created for a run and dropped afterward.

use crate::error::{Failure, Fault};
use crate::secret;
use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, PgConnection};

/// A PostgreSQL database of this run, on the server of the given URL; it is dropped with this value.
pub(super) struct Database {
    pub(super) url: String,
    name: String,
    beside: String,
}

impl Database {
    /// Creates it on the server of the URL `beside`.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] when it cannot be created.
    pub(super) fn create(beside: &str) -> Result<Database, Failure> {
        let name = format!("causeway_bench_{}", secret::hex(&secret::random::<4>()));
        let url = with_database(beside, &name);
        let database = Database {
            url,
            name,
            beside: beside.to_owned(),
        };
        database.run(&format!("CREATE DATABASE {}", database.name))?;
        Ok(database)
    }

    fn run(&self, statement: &str) -> Result<(), Failure> {
        let refused = |error: String| Failure::new(Fault::StoreUnavailable).at("--store-url").because(error);
        let mut connection = PgConnection::establish(&self.beside).map_err(|error| refused(error.to_string()))?;
        connection
            .batch_execute(statement)
            .map_err(|error| refused(error.to_string()))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = self.run(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
    }
}

/// `url` with the name of another database.
fn with_database(url: &str, name: &str) -> String {
    let (address, query) = url
        .split_once('?')
        .map_or((url, ""), |(address, query)| (address, query));
    let host_at = address.find("://").map_or(0, |at| at + 3);
    let host_end = address[host_at..].find('/').map_or(address.len(), |at| host_at + at);
    let question = if query.is_empty() { "" } else { "?" };
    format!("{}/{name}{question}{query}", &address[..host_end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        assert_eq!(
            with_database("postgres://u:p@h:5432/a?x=1", "b"),
            "postgres://u:p@h:5432/b?x=1"
        );
        assert_eq!(with_database("postgres://h", "b"), "postgres://h/b");
        assert_eq!(
            with_database("postgres:///a?host=/run/pg", "b"),
            "postgres:///b?host=/run/pg"
        );
    }
}
