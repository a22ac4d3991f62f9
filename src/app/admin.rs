//! The admin socket: a command that needs the store of a running server is run by that server.
//!
//! The client sends one line of JSON (`args`, `cwd`, `input`, `screen`). The server answers with frames, one a line: `{"out":…}`, `{"err":…}`, and
//! finally `{"exit":n}`. The socket is a file of mode 0600 next to the store, so that only users who could open the store can use it. The
//! kernel says which user that is (SO_PEERCRED). This module does not interpret commands: [`RunCommand`] runs them.

use crate::bulk::files::BulkFiles;
use crate::context::Context;
use crate::terminal::{Exit, Out, Screen};
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Name of the socket in the data folder.
pub const SOCKET: &str = "admin.sock";

/// Most commands at once; further ones wait until one of them ends.
const COMMANDS: usize = 32;
/// Time before the next attempt when no connection can be accepted, or too many commands run.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest command with its input.
const LINE_BYTES: u64 = 4 * 1024 * 1024;
/// Time in which a command must come.
const COMING: Duration = Duration::from_secs(10);

/// A command that was sent over the socket.
#[derive(Clone)]
pub struct SentCommand {
    /// The arguments of the process that sent it, beginning with the program name.
    pub args: Vec<String>,
    /// Its working directory.
    pub cwd: PathBuf,
    /// Its standard input, if the command reads it.
    pub input: Option<String>,
    /// The user id of the sender, from the kernel.
    pub uid: u32,
    /// What the sender shows its output on.
    pub screen: Screen,
    /// Whether the server can only be reached from this machine.
    pub on_loopback: bool,
    /// Scheme, host and port of the operations side.
    pub console: String,
    /// The folder of the server's own files.
    pub data_folder: PathBuf,
    /// The files of bulk jobs.
    pub files: BulkFiles,
}

/// What the server's configuration allows a command.
#[derive(Clone)]
pub struct SocketSite {
    /// Whether the server can only be reached from this machine.
    pub on_loopback: bool,
    /// Scheme, host and port of the operations side.
    pub console: String,
    /// The files of bulk jobs.
    pub files: BulkFiles,
}

/// Runs a command on the store of this process. It prints answers to the first stream and text for people to the second.
pub type RunCommand = fn(&SentCommand, &Context, Box<dyn Write + Send>, Box<dyn Write + Send>) -> Exit;

/// A listening socket; its file is removed when this is dropped.
pub struct AdminSocket {
    path: PathBuf,
}

impl AdminSocket {
    /// Listens at `path`, in the folder of the server's own files; `run` runs each command on a thread of its own. A socket file that a crash
    /// left behind is replaced.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn listen(path: &Path, ctx: &Context, site: SocketSite, run: RunCommand) -> std::io::Result<AdminSocket> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let (ctx, folder) = (ctx.clone(), path.parent().unwrap_or(Path::new("")).to_path_buf());
        std::thread::Builder::new().name("admin".into()).spawn(move || {
            let running = Arc::new(());
            for stream in listener.incoming() {
                let Ok(stream) = stream else {
                    // When no more files may be open, accepting fails at once, again and again.
                    std::thread::sleep(PAUSE);
                    continue;
                };
                while Arc::strong_count(&running) > COMMANDS {
                    std::thread::sleep(PAUSE);
                }
                let (ctx, running, folder, site) = (ctx.clone(), Arc::clone(&running), folder.clone(), site.clone());
                let _ = std::thread::Builder::new().name("admin-command".into()).spawn(move || {
                    serve(stream, &ctx, (site, folder), run);
                    drop(running);
                });
            }
        })?;
        Ok(AdminSocket {
            path: path.to_path_buf(),
        })
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn serve(stream: UnixStream, ctx: &Context, (site, data_folder): (SocketSite, PathBuf), run: RunCommand) {
    let Ok(reading) = stream.try_clone() else { return };
    let Ok(peer) = rustix::net::sockopt::socket_peercred(&stream) else {
        return;
    };
    let mut line = String::new();
    let _ = reading.set_read_timeout(Some(COMING));
    if BufReader::new(reading.take(LINE_BYTES)).read_line(&mut line).is_err() {
        return;
    }
    let stream = Arc::new(Mutex::new(stream));
    // What is no command of ours is not run as one without arguments.
    let Ok(request) = serde_json::from_str::<Value>(&line) else {
        send(
            &stream,
            &json!({"err": "This is no command: one line of JSON is expected.\n"}),
        );
        send(&stream, &json!({"exit": Exit::Usage as u8}));
        return;
    };
    let sent = SentCommand {
        args: request["args"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        cwd: PathBuf::from(request["cwd"].as_str().unwrap_or("/")),
        input: request["input"].as_str().map(str::to_owned),
        uid: peer.uid.as_raw(),
        // A client of an older version does not send it.
        screen: Screen::deserialize(&request["screen"]).unwrap_or_default(),
        on_loopback: site.on_loopback,
        console: site.console,
        data_folder,
        files: site.files,
    };
    let frames = |kind| {
        Box::new(Frames {
            kind,
            stream: Arc::clone(&stream),
        })
    };
    let exit = run(&sent, ctx, frames("out"), frames("err"));
    send(&stream, &json!({"exit": exit as u8}));
}

struct Frames {
    kind: &'static str,
    stream: Arc<Mutex<UnixStream>>,
}

impl Write for Frames {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        send(&self.stream, &json!({self.kind: String::from_utf8_lossy(bytes)}));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn send(stream: &Mutex<UnixStream>, frame: &Value) {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    let _ = writeln!(stream, "{frame}");
}

/// Lets the server at `socket` run this command with this standard input; `None` when no server answers.
pub fn forward(socket: &Path, args: Vec<String>, cwd: &Path, input: Option<&str>, out: &mut Out) -> Option<Exit> {
    let mut stream = UnixStream::connect(socket).ok()?;
    writeln!(
        stream,
        "{}",
        json!({"args": args, "cwd": cwd.to_string_lossy(), "input": input, "screen": out.screen})
    )
    .ok()?;
    let mut exit = None;
    for line in BufReader::new(stream).lines() {
        let frame: Value = serde_json::from_str(&line.ok()?).ok()?;
        if let Some(text) = frame["out"].as_str() {
            out.raw(text);
        } else if let Some(text) = frame["err"].as_str() {
            out.raw_error(text);
        } else if let Some(code) = frame["exit"].as_u64() {
            exit = Some(code);
        }
    }
    Some(match exit? {
        0 => Exit::Done,
        2 => Exit::Usage,
        3 => Exit::Unreadable,
        70 => Exit::Integrity,
        75 => Exit::Busy,
        _ => Exit::Failed,
    })
}
