//! Database servers and poolers of one test, as children that end with it.

use crate::support::postgres;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A folder that the user under which PostgreSQL runs may write.
pub fn folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("cw")
        .tempdir_in("/tmp")
        .expect("a folder");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
    folder
}

/// The program under a user that is not root, ended with this thread however that ends.
pub fn command(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::geteuid().is_root() {
        let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let is_there = users.lines().any(|line| line.starts_with("postgres:"));
        let user = if is_there { "postgres" } else { "nobody" };
        command.args(["--reuid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT"]).arg(program);
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// A child that is stopped when it is dropped.
pub struct Running(Child);

impl Running {
    pub fn start(mut command: Command) -> Running {
        Running(command.spawn().expect("it starts"))
    }

    fn signal(&mut self, signal: &str, within: Duration) {
        if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
            return;
        }
        let _ = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        // Whoever was started with the signal ignored does not hear it.
        let began = Instant::now();
        while began.elapsed() < within {
            if self.0.try_wait().is_ok_and(|ended| ended.is_some()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal("-QUIT", Duration::from_secs(10));
    }
}

/// Waits until a database answers at this address.
#[track_caller]
pub fn answers(url: &str, log: &Path) {
    use diesel::connection::Connection as _;
    let began = Instant::now();
    while let Err(error) = diesel::PgConnection::establish(url) {
        let log = || std::fs::read_to_string(log).unwrap_or_default();
        assert!(began.elapsed() < Duration::from_secs(60), "{error}: {}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A cluster of one test.
pub struct Cluster {
    folder: TempDir,
    running: Option<Running>,
}

impl Cluster {
    pub fn start() -> Cluster {
        let folder = folder();
        let made = command(&program("initdb"))
            .args([
                "-U",
                "postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
                "-D",
            ])
            .arg(folder.path().join("data"))
            .status();
        assert!(made.expect("initdb runs").success());
        let mut cluster = Cluster { folder, running: None };
        cluster.run();
        cluster
    }

    fn run(&mut self) {
        let mut server = command(&program("postgres"));
        let log = self.log();
        server.arg("-D").arg(self.folder.path().join("data"));
        server
            .arg("-k")
            .arg(self.folder.path())
            .args(["-c", "listen_addresses="]);
        server.stderr(std::fs::File::create(&log).expect("a log"));
        self.running = Some(Running::start(server));
        answers(&self.url("postgres"), &log);
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn url(&self, database: &str) -> String {
        format!(
            "postgres:///{database}?host={}&user=postgres",
            self.folder.path().display()
        )
    }

    /// Stops it, and starts it again as a standby: in recovery, of what it had.
    pub fn become_standby(&mut self) {
        if let Some(mut running) = self.running.take() {
            // Killed, it would leave children behind, and the folder to them.
            running.signal("-INT", Duration::from_secs(60));
        }
        let mut touch = command(Path::new("touch"));
        let touched = touch.arg(self.folder.path().join("data/standby.signal")).status();
        assert!(touched.expect("touch runs").success());
        self.run();
    }
}

/// A program of the installed PostgreSQL.
fn program(name: &str) -> PathBuf {
    postgres::binaries().expect("PostgreSQL is installed").join(name)
}

/// A pooler before the private cluster, in this mode and with these lines.
pub struct Pooler {
    folder: TempDir,
    running: Running,
}

impl Pooler {
    /// None where pgbouncer is not installed.
    pub fn start(database: &str, mode: &str, more: &str) -> Option<Pooler> {
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"]
            .into_iter()
            .map(Path::new)
            .find(|path| path.exists())?;
        let folder = folder();
        let file = configured(folder.path(), mode, more);
        let mut pooler = command(program);
        pooler.arg("-q").arg(&file);
        let pooler = Pooler {
            running: Running::start(pooler),
            folder,
        };
        answers(&pooler.url(database), &pooler.folder.path().join("log"));
        Some(pooler)
    }

    /// From now on it pools in this mode.
    pub fn change_to(&self, mode: &str) {
        configured(self.folder.path(), mode, "");
        let told = Command::new("kill")
            .args(["-HUP", &self.running.0.id().to_string()])
            .status();
        assert!(told.expect("kill runs").success());
    }

    pub fn url(&self, database: &str) -> String {
        let home = self.folder.path().display();
        format!("postgres:///{database}?host={home}&port=6432&user=postgres")
    }
}

/// Writes the configuration of a pooler in this folder, and gives its place.
fn configured(folder: &Path, mode: &str, more: &str) -> PathBuf {
    let home = folder.display();
    let ini = format!(
        "[databases]\n* = host={} user=postgres\n[pgbouncer]\nlisten_addr =\nlisten_port = 6432\nunix_socket_dir = {home}\n\
         auth_type = any\npool_mode = {mode}\nlogfile = {home}/log\ndefault_pool_size = 20\n{more}\n",
        postgres::folder().display()
    );
    let file = folder.join("pgbouncer.ini");
    std::fs::write(&file, ini).expect("a file");
    file
}
