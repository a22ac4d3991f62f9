//! Processes of this program: commands that run to their end, and servers that are observed from outside.

use crate::dev::program;
use crate::error::{Failure, Fault};
use serde_json::Value;
use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time limit for a server to get ready or to stop.
const PATIENCE: Duration = Duration::from_secs(300);
/// Kernel ticks per second. Linux reports 100 to user space, whatever it uses internally.
const TICKS: f64 = 100.0;

/// Runs a command to its end. Returns the last JSON line that it printed, and the seconds it took.
///
/// # Errors
/// [`Fault::Internal`] with the command's output when it did not exit with 0.
pub(super) fn command<I, A>(config: Option<&Path>, args: I) -> Result<(Value, f64), Failure>
where
    I: IntoIterator<Item = A>,
    A: AsRef<std::ffi::OsStr>,
{
    let begun = Instant::now();
    let mut command = program::child(config)?;
    let done = command
        .args(["--json", "--quiet"])
        .args(args)
        .output()
        .map_err(|error| Failure::new(Fault::Internal).because(error))?;
    let seconds = begun.elapsed().as_secs_f64();
    if !done.status.success() {
        let output = String::from_utf8_lossy(&done.stderr).into_owned();
        return Err(Failure::new(Fault::Internal).because(format!("{command:?} ended with {}: {output}", done.status)));
    }
    let text = String::from_utf8_lossy(&done.stdout);
    let last = text.lines().rev().find_map(|line| serde_json::from_str(line).ok());
    Ok((last.unwrap_or(Value::Null), seconds))
}

/// A server process; it is stopped when this is dropped.
pub(super) struct ServerProcess {
    child: Child,
    /// Seconds from the start to the first `/ready` that was answered with 200.
    pub(super) ready_s: f64,
}

impl ServerProcess {
    /// Starts `args` with `config` and waits until the operations listener at `ops` reports that it is ready.
    ///
    /// # Errors
    /// [`Fault::Internal`] when it ends or is not ready within a minute. Its output is in the file `output`.
    pub(super) fn start(
        config: Option<&Path>,
        args: &[&std::ffi::OsStr],
        ops: SocketAddr,
        output: &Path,
    ) -> Result<ServerProcess, Failure> {
        let broken = |error: std::io::Error| Failure::new(Fault::Internal).because(error);
        let begun = Instant::now();
        let mut server = ServerProcess::begin(config, args, output)?;
        while !program::is_ready(ops) {
            let ended = server.child.try_wait().map_err(broken)?;
            if ended.is_some() || begun.elapsed() > PATIENCE {
                let output = std::fs::read_to_string(output).unwrap_or_default();
                return Err(Failure::new(Fault::Internal)
                    .because(format!("the server did not get ready ({ended:?}): {output}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        server.ready_s = begun.elapsed().as_secs_f64();
        Ok(server)
    }

    /// Starts `args` with `config`, which has no listener to wait for.
    ///
    /// # Errors
    /// [`Fault::Internal`] when it cannot be started. Its output is in the file `output`.
    pub(super) fn begin(
        config: Option<&Path>,
        args: &[&std::ffi::OsStr],
        output: &Path,
    ) -> Result<ServerProcess, Failure> {
        let broken = |error: std::io::Error| Failure::new(Fault::Internal).because(error);
        let stderr = File::options().create(true).append(true).open(output).map_err(broken)?;
        let child = program::child(config)?
            .args(args)
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .map_err(broken)?;
        Ok(ServerProcess { child, ready_s: 0.0 })
    }

    /// Resident memory.
    pub(super) fn memory(&self) -> Memory {
        Memory::of(self.child.id())
    }

    /// The process id, for reading its memory from other threads.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time used so far in seconds, user and system.
    pub(super) fn cpu_s(&self) -> f64 {
        cpu_s_of(self.child.id())
    }

    /// Asks it to stop and waits for its end.
    ///
    /// # Errors
    /// [`Fault::Internal`] when it does not exit with 0.
    pub(super) fn stop(mut self) -> Result<(), Failure> {
        self.terminate();
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(Failure::new(Fault::Internal).because(format!("the server ended with {status}")));
                }
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(Failure::new(Fault::Internal).because(error)),
            }
        }
        Err(Failure::new(Fault::Internal).because("the server did not stop"))
    }

    fn terminate(&self) {
        let id = i32::try_from(self.child.id())
            .ok()
            .and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Processor time that a process has used so far in seconds, user and system.
pub(super) fn cpu_s_of(id: u32) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    ticks / TICKS
}

/// Resident memory of a process in bytes: in total, and without pages of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    pub(super) resident: u64,
    pub(super) anonymous: u64,
}

impl Memory {
    pub(super) fn of(id: u32) -> Memory {
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
            line.split_whitespace()
                .next()
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0)
                * 1024
        };
        Memory {
            resident: field("VmRSS:"),
            anonymous: field("RssAnon:"),
        }
    }

    pub(super) fn largest(self, other: Memory) -> Memory {
        Memory {
            resident: self.resident.max(other.resident),
            anonymous: self.anonymous.max(other.anonymous),
        }
    }
}

/// Watches the memory of a process, and remembers the most that it had.
pub(super) struct MemoryWatch {
    stop: Arc<AtomicBool>,
    watching: JoinHandle<Memory>,
}

impl MemoryWatch {
    pub(super) fn start(id: u32) -> MemoryWatch {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let watching = std::thread::spawn(move || {
            let mut most = Memory::default();
            while !stopped.load(Ordering::Acquire) {
                most = most.largest(Memory::of(id));
                std::thread::sleep(Duration::from_millis(3));
            }
            most
        });
        MemoryWatch { stop, watching }
    }

    /// Ends the watch.
    ///
    /// # Errors
    /// [`Fault::Internal`] when its thread panicked.
    pub(super) fn most(self) -> Result<Memory, Failure> {
        self.stop.store(true, Ordering::Release);
        self.watching.join().map_err(|_| Failure::new(Fault::Internal))
    }
}
