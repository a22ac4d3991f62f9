//! A fresh store for each test, on the database that `CAUSEWAY_TEST_STORE` names.

use super::postgres;
use causeway::store::{Store, StoreOptions, StoreUrl};
use std::ops::Deref;
use tempfile::TempDir;

/// Whether this run is on PostgreSQL.
pub fn on_postgres() -> bool {
    match std::env::var("CAUSEWAY_TEST_STORE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("CAUSEWAY_TEST_STORE is {other}; it can be sqlite or postgres"),
    }
}

/// The address of an empty database, and the folder that goes when the test ends.
pub struct Place {
    pub url: StoreUrl,
    pub folder: TempDir,
}

impl Place {
    pub fn fresh() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = if on_postgres() {
            postgres::fresh_database()
        } else {
            format!("sqlite:{}", folder.path().join("causeway.db").display())
        };
        Place {
            url: StoreUrl::parse(&text).expect("a store address"),
            folder,
        }
    }

    /// The address as it goes into `DATABASE_URL` (its `Display` leaves parameters out).
    pub fn url_text(&self) -> String {
        match &self.url {
            StoreUrl::Sqlite(path) => format!("sqlite:{}", path.display()),
            StoreUrl::Postgres(url) => url.clone(),
        }
    }

    pub fn open(&self) -> Store {
        Store::open(&self.url, &StoreOptions::default()).expect("the store opens")
    }
}

/// An open store in a place of its own.
pub struct TestStore {
    store: Store,
    // Dropped after the store.
    pub place: Place,
}

impl TestStore {
    pub fn fresh() -> TestStore {
        let place = Place::fresh();
        TestStore {
            store: place.open(),
            place,
        }
    }
}

impl Deref for TestStore {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}
