//! A fresh store for each test, on the database that `CAUSEWAY_TEST_STORE` names.

use super::postgres;
use causeway::store::{Db, Store, StoreOptions, StoreUrl, migrate};
use diesel::connection::Connection as _;
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
        let folder = temporary();
        match on_postgres() {
            true => Place::at(&postgres::fresh_database(), folder),
            false => Place::of_file(folder),
        }
    }

    /// The same, on PostgreSQL with this program's schema in it: making that takes longer than many tests take. For tests that are not about how a
    /// store is made.
    pub fn ready() -> Place {
        Place::ready_in(temporary())
    }

    fn ready_in(folder: TempDir) -> Place {
        if !on_postgres() {
            return Place::of_file(folder);
        }
        let database = postgres::filled_database(|url| {
            let url = StoreUrl::parse(url).expect("a store address");
            migrate::up(&mut connect(&url)).expect("the schema");
        });
        Place::at(&database, folder)
    }

    fn of_file(folder: TempDir) -> Place {
        Place::at(
            &format!("sqlite:{}", folder.path().join("causeway.db").display()),
            folder,
        )
    }

    fn at(text: &str, folder: TempDir) -> Place {
        Place {
            url: StoreUrl::parse(text).expect("a store address"),
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

fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// An open store in a place of its own.
pub struct TestStore {
    store: Store,
    // Dropped after the store.
    pub place: Place,
}

impl TestStore {
    pub fn fresh() -> TestStore {
        TestStore::at(Place::ready())
    }

    /// With its files in memory where the machine has a place for that: for what makes thousands of commits and does not test their durability.
    pub fn in_memory() -> TestStore {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        TestStore::at(Place::ready_in(folder.expect("a temporary folder")))
    }

    fn at(place: Place) -> TestStore {
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

/// A plain connection, as another program would open it: no lock, no migrations.
pub fn connect(url: &StoreUrl) -> Db {
    match url {
        StoreUrl::Sqlite(path) => {
            let path = path.to_str().expect("utf-8");
            let mut sqlite = diesel::SqliteConnection::establish(path).expect("opens");
            diesel::connection::SimpleConnection::batch_execute(&mut sqlite, "PRAGMA busy_timeout=60000")
                .expect("a pragma");
            Db::Sqlite(sqlite)
        }
        StoreUrl::Postgres(url) => Db::Pg(diesel::PgConnection::establish(url).expect("connects")),
    }
}
