//! A fresh store for each test, on the database that `CAUSEWAY_TEST_STORE` names.

use super::{memory, postgres};
use causeway::store::{Db, Store, StoreOptions, StoreUrl, migrate};
use diesel::connection::Connection as _;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::OnceLock;
use tempfile::TempDir;

const FILE: &str = "causeway.db";

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
    // It goes too, where that costs the others nothing.
    pub _database: Option<postgres::Passing>,
}

impl Place {
    /// With its files on the disk; a database is where the cluster is.
    pub fn fresh() -> Place {
        let folder = tempfile::tempdir().expect("a temporary folder");
        match on_postgres() {
            true => Place::in_database(&postgres::fresh_database(), folder),
            false => Place::of_file(folder),
        }
    }

    /// The same with this program's schema in it, and its files in memory where the machine has room: making that takes longer than many tests
    /// take. For tests that are not about how a store is made.
    pub fn ready() -> Place {
        let folder = memory::temporary();
        if !on_postgres() {
            let file = folder.path().join(FILE);
            std::fs::write(&file, schema()).expect("a file");
            // As the program makes it.
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("a mode");
            return Place::of_file(folder);
        }
        let database = postgres::filled_database(|url| {
            let url = StoreUrl::parse(url).expect("a store address");
            migrate::up(&mut connect(&url)).expect("the schema");
        });
        Place::in_database(&database, folder)
    }

    /// The database at this address, of a cluster that the caller has.
    pub fn at(address: &str) -> Place {
        Place {
            url: StoreUrl::parse(address).expect("a store address"),
            folder: tempfile::tempdir().expect("a temporary folder"),
            _database: None,
        }
    }

    fn of_file(folder: TempDir) -> Place {
        Place {
            url: address_of(folder.path()),
            folder,
            _database: None,
        }
    }

    fn in_database(text: &str, folder: TempDir) -> Place {
        Place {
            url: StoreUrl::parse(text).expect("a store address"),
            folder,
            _database: Some(postgres::Passing::of(text)),
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

fn address_of(folder: &Path) -> StoreUrl {
    StoreUrl::parse(&format!("sqlite:{}", folder.join(FILE).display())).expect("a store address")
}

/// A SQLite file with this program's schema in it, made once for this process.
fn schema() -> &'static [u8] {
    static SCHEMA: OnceLock<Vec<u8>> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let folder = memory::temporary();
        let mut db = connect(&address_of(folder.path()));
        migrate::up(&mut db).expect("the schema");
        drop(db);
        std::fs::read(folder.path().join(FILE)).expect("a file")
    })
}

/// An open store in a place of its own.
pub struct TestStore {
    store: Store,
    // Dropped after the store.
    pub place: Place,
}

impl TestStore {
    pub fn fresh() -> TestStore {
        let place = Place::ready();
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
