//! The admin socket: commands that need a store which a running server holds are run by that server.
//!
//! One line of JSON in (`args`, `cwd`, `input`), then frames out: `{"out":…}`, `{"err":…}`, at last `{"exit":n}`. The socket is a
//! file of mode 0600 beside the store: who can open it could open the store as well. Who that is, the kernel says (SO_PEERCRED).

use super::{Asker, Cli, Exit, Out, on_store, report};
use crate::context::Context;
use clap::Parser as _;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Name of the socket in the data folder.
pub const SOCKET: &str = "admin.sock";

/// A listening socket; its file goes when this is dropped.
pub struct AdminSocket {
    path: PathBuf,
}

impl AdminSocket {
    /// Listens at `path`, each command on a thread of its own. A file left by a crash is replaced. `on_loopback` tells whether the
    /// server can be reached from this machine only.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn listen(path: &Path, ctx: &Context, on_loopback: bool) -> std::io::Result<AdminSocket> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let ctx = ctx.clone();
        std::thread::Builder::new().name("admin".into()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let ctx = ctx.clone();
                let _ = std::thread::Builder::new()
                    .name("admin-command".into())
                    .spawn(move || serve(stream, &ctx, on_loopback));
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

fn serve(stream: UnixStream, ctx: &Context, on_loopback: bool) {
    let Ok(reading) = stream.try_clone() else { return };
    let Ok(peer) = rustix::net::sockopt::socket_peercred(&stream) else {
        return;
    };
    let mut line = String::new();
    if BufReader::new(reading).read_line(&mut line).is_err() {
        return;
    }
    let request: Value = serde_json::from_str(&line).unwrap_or_default();
    let args: Vec<&str> = request["args"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let cwd = PathBuf::from(request["cwd"].as_str().unwrap_or("/"));
    let asker = Asker {
        uid: peer.uid.as_raw(),
        input: request["input"].as_str().map(str::to_owned),
        on_loopback,
    };
    let stream = Arc::new(Mutex::new(stream));
    let frames = |kind| {
        Box::new(Frames {
            kind,
            stream: Arc::clone(&stream),
        })
    };
    let exit = match Cli::try_parse_from(args) {
        Err(error) => {
            let _ = frames("err").write_all(error.to_string().as_bytes());
            Exit::Usage
        }
        Ok(cli) => {
            let mut out = Out::new(cli.common.json, cli.common.quiet, false, frames("out"), frames("err"));
            on_store(&cli.command, ctx, &cwd, &asker, &mut out).unwrap_or_else(|failure| report(&failure, &mut out))
        }
    };
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

/// Has the server at `socket` run this command with this standard input; `None` when no server answers there.
pub fn forward(socket: &Path, args: Vec<String>, cwd: &Path, input: Option<&str>, out: &mut Out) -> Option<Exit> {
    let mut stream = UnixStream::connect(socket).ok()?;
    writeln!(
        stream,
        "{}",
        json!({"args": args, "cwd": cwd.to_string_lossy(), "input": input})
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
