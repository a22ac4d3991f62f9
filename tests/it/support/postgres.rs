//! A private PostgreSQL cluster for this test process, from the binaries that are installed.
//!
//! It listens on a socket in its own folder only, keeps its durable settings, and is started by a shell that waits on a
//! pipe from us: when this process ends, however it ends, the pipe closes and the shell stops the cluster and removes it.
//! Where the machine has room, its files are in memory.

use super::memory;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, mpsc};
use std::time::{Duration, Instant};

const KEEPER: &str = r#"
trap '' PIPE
home=$(mktemp -d "$CAUSEWAY_TEST_ROOM/causeway-pg.XXXXXX" || mktemp -d /tmp/causeway-pg.XXXXXX)
stop() { pg_ctl -D "$home/data" -m immediate -w stop >>"$home/log" 2>&1; cd /; rm -rf "$home"; }
trap stop EXIT
initdb -D "$home/data" -U postgres --auth=trust --encoding=UTF8 --locale=C --no-sync >"$home/log" 2>&1 &&
pg_ctl -D "$home/data" -w -t 180 -l "$home/server.log" -o "-k $home -c listen_addresses= -c max_connections=300" start >>"$home/log" 2>&1 ||
{ cat "$home/log" >&2; exit 1; }
echo "$home"
cat >/dev/null
"#;

struct Cluster {
    folder: PathBuf,
    // Closing it stops the cluster.
    _lifeline: ChildStdin,
    _keeper: Mutex<Child>,
}

/// Where the cluster's sockets and data are. Starts the cluster at the first call.
pub fn folder() -> &'static Path {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    &CLUSTER.get_or_init(start).folder
}

/// The address of database `name` in the private cluster.
pub fn url(name: &str) -> String {
    format!("postgres:///{name}?host={}&user=postgres", folder().display())
}

/// Makes an empty database and gives its address.
pub fn fresh_database() -> String {
    create("")
}

/// Makes a database in which is what `fill` puts into an empty one, once for this process, and gives its address.
pub fn filled_database(fill: impl FnOnce(&str)) -> String {
    static FILLED: OnceLock<()> = OnceLock::new();
    FILLED.get_or_init(|| {
        // Of a run that failed while it filled it: the next test is to fail for the same reason.
        execute("postgres", "DROP DATABASE IF EXISTS filled");
        execute("postgres", "CREATE DATABASE filled");
        fill(&url("filled"));
    });
    create("TEMPLATE filled")
}

fn create(how: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let statement = format!("CREATE DATABASE {name} {how}");
    let began = Instant::now();
    // A session that is still in the template ends soon. PostgreSQL waits five seconds for it, a busy machine takes longer.
    while let Err(error) = try_execute("postgres", &statement) {
        let is_in_use = error.to_string().contains("is being accessed by other users");
        assert!(is_in_use && began.elapsed() < Duration::from_secs(120), "{error}");
    }
    url(&name)
}

/// A database that is dropped some time after this is. That ends with a checkpoint: where the cluster is on a disk, the database stays until the
/// cluster goes.
pub struct Passing(String);

impl Passing {
    /// The one at this address in the private cluster.
    pub fn of(url: &str) -> Passing {
        Passing(name_of(url).to_owned())
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        static DROPPING: OnceLock<Mutex<mpsc::Sender<String>>> = OnceLock::new();
        if !folder().starts_with("/dev/shm") {
            return;
        }
        let queue = DROPPING.get_or_init(|| {
            let (queue, names) = mpsc::channel();
            std::thread::spawn(move || names.iter().for_each(|name: String| drop_database(&name)));
            Mutex::new(queue)
        });
        if let Ok(queue) = queue.lock() {
            let _ = queue.send(std::mem::take(&mut self.0));
        }
    }
}

/// The database at this address of the private cluster.
fn name_of(url: &str) -> &str {
    let name = url.trim_start_matches("postgres:///").split('?').next();
    name.expect("a name")
}

/// Makes a database in which is what the one at this address has, and gives its address. Nobody may be connected to that one for long.
pub fn copied(url: &str) -> String {
    create(&format!("TEMPLATE {}", name_of(url)))
}

/// Makes the database at this address anew, with what the one at `kept` has.
pub fn put_back(url: &str, kept: &str) {
    execute("postgres", &format!("DROP DATABASE {} WITH (FORCE)", name_of(url)));
    let statement = format!("CREATE DATABASE {} TEMPLATE {}", name_of(url), name_of(kept));
    execute("postgres", &statement);
}

/// What goes wrong here is of no test.
fn drop_database(name: &str) {
    use diesel::connection::{Connection as _, SimpleConnection as _};
    if let Ok(mut connection) = diesel::pg::PgConnection::establish(&url("postgres")) {
        let _ = connection.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    }
}

/// Runs one statement in database `name`.
pub fn execute(name: &str, statement: &str) {
    try_execute(name, statement).expect("the statement runs");
}

fn try_execute(name: &str, statement: &str) -> diesel::QueryResult<()> {
    use diesel::connection::{Connection as _, SimpleConnection as _};
    let mut connection = diesel::pg::PgConnection::establish(&url(name)).expect("the private cluster answers");
    connection.batch_execute(statement)
}

/// The folder with `initdb`: the newest installed version, or what PATH has.
pub fn binaries() -> Option<PathBuf> {
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .ok()
        .into_iter()
        .flatten()
        .flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, folder)| folder.join("initdb").exists())
        .collect();
    versions.sort();
    versions
        .pop()
        .map(|(_, folder)| folder)
        .or_else(|| std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| folder.join("initdb").exists()))
}

/// A shell with this script. PostgreSQL refuses to run as root.
fn as_its_user(script: &str) -> Command {
    if !rustix::process::geteuid().is_root() {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        return command;
    }
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = if users.lines().any(|line| line.starts_with("postgres:")) {
        "postgres"
    } else {
        "nobody"
    };
    let mut command = Command::new("runuser");
    command.args(["-u", user, "--", "sh", "-c", script]);
    command
}

fn start() -> Cluster {
    let binaries = binaries()
        .expect("CAUSEWAY_TEST_STORE=postgres needs PostgreSQL's initdb and pg_ctl: install the package `postgresql`");
    let path = format!("{}:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", binaries.display());
    let mut command = as_its_user(KEEPER);
    let mut keeper = command
        .env("PATH", path)
        .env("CAUSEWAY_TEST_ROOM", memory::folder().unwrap_or(Path::new("/tmp")))
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell starts");
    let lifeline = keeper.stdin.take().expect("piped");
    let mut line = String::new();
    BufReader::new(keeper.stdout.take().expect("piped"))
        .read_line(&mut line)
        .expect("the keeper speaks UTF-8");
    assert!(!line.trim().is_empty(), "the private PostgreSQL cluster did not start");
    Cluster {
        folder: PathBuf::from(line.trim()),
        _lifeline: lifeline,
        _keeper: Mutex::new(keeper),
    }
}

/// A cluster of one test alone, for what is done to a whole server. It stops when this is dropped.
pub struct Own(Cluster);

impl Own {
    pub fn start() -> Own {
        Own(start())
    }

    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// The address of database `name` in it.
    pub fn url(&self, name: &str) -> String {
        format!("postgres:///{name}?host={}&user=postgres", self.0.folder.display())
    }

    /// Ends it as a crash does, and starts it again: what it was not sure to keep is lost.
    pub fn crash(&self) {
        let control = binaries().expect("PostgreSQL is installed").join("pg_ctl");
        let home = self.0.folder.display();
        let line = format!(
            "cd / && {} -D {home}/data -m immediate -w -t 180 -l {home}/server.log \
             -o '-k {home} -c listen_addresses= -c max_connections=300' restart",
            control.display()
        );
        let mut command = as_its_user(&line);
        let ended = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(ended.expect("a shell").success(), "the cluster does not start again");
    }

    /// A plain connection to database `postgres`.
    pub fn connect(&self) -> diesel::pg::PgConnection {
        use diesel::connection::Connection as _;
        diesel::pg::PgConnection::establish(&self.url("postgres")).expect("the cluster of this test answers")
    }

    /// Runs statements one after the other, each by itself.
    pub fn execute(&self, statements: &[&str]) {
        use diesel::connection::SimpleConnection as _;
        let mut connection = self.connect();
        for statement in statements {
            connection.batch_execute(statement).expect(statement);
        }
    }
}
