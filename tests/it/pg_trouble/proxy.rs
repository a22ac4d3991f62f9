//! A TCP proxy before the cluster's socket that can stop forwarding, cut what stands, and turn away what comes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const FORWARD: u8 = 0;
const SILENT: u8 = 1;
const REFUSE: u8 = 2;
const TICK: Duration = Duration::from_millis(10);

pub struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    socket: PathBuf,
    mode: AtomicU8,
    over: AtomicBool,
    accepted: AtomicU64,
    lines: Mutex<Vec<Arc<Line>>>,
}

#[derive(Default)]
struct Line {
    is_silent: AtomicBool,
    is_cut: AtomicBool,
    /// Whether both sides are closed.
    is_over: AtomicBool,
}

impl Proxy {
    pub fn start(folder: &Path) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(State {
            socket: folder.join(".s.PGSQL.5432"),
            mode: AtomicU8::new(FORWARD),
            over: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            lines: Mutex::default(),
        });
        let own = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                if own.over.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(client) = client else { continue };
                if own.mode.load(Ordering::Relaxed) == REFUSE {
                    continue;
                }
                own.accepted.fetch_add(1, Ordering::Relaxed);
                let line = Arc::new(Line::default());
                own.lines.lock().unwrap().push(Arc::clone(&line));
                // It came while others began to be turned away.
                if own.mode.load(Ordering::Relaxed) == REFUSE {
                    line.is_cut.store(true, Ordering::Relaxed);
                }
                let own = Arc::clone(&own);
                std::thread::spawn(move || {
                    serve(client, &own, &line);
                    line.is_over.store(true, Ordering::Release);
                });
            }
        });
        Proxy { port, state }
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// Forwards again: what was silent goes on, but for lines that were silenced or cut.
    pub fn forward(&self) {
        self.state.mode.store(FORWARD, Ordering::Relaxed);
    }

    /// Keeps everything open and forwards nothing; what comes is taken and left waiting.
    pub fn silent(&self) {
        self.state.mode.store(SILENT, Ordering::Relaxed);
    }

    /// Lets what stands fall silent for good; what comes is forwarded.
    pub fn silence_what_stands(&self) {
        for line in self.state.lines.lock().unwrap().drain(..) {
            line.is_silent.store(true, Ordering::Relaxed);
        }
    }

    /// Closes what stands; returns when all of it is closed.
    pub fn cut(&self) {
        let lines = std::mem::take(&mut *self.state.lines.lock().unwrap());
        for line in &lines {
            line.is_cut.store(true, Ordering::Relaxed);
        }
        let began = Instant::now();
        while !lines.iter().all(|line| line.is_over.load(Ordering::Acquire)) {
            assert!(began.elapsed() < Duration::from_secs(60), "a connection was not closed");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Closes what stands and what comes.
    pub fn refuse(&self) {
        self.state.mode.store(REFUSE, Ordering::Relaxed);
        self.cut();
    }

    /// Connections that came so far.
    pub fn accepted(&self) -> u64 {
        self.state.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    /// Whether bytes may go on; waits while the line is silent. `false` when it is to be closed.
    fn may_pass(&self, line: &Line) -> bool {
        loop {
            if self.over.load(Ordering::Relaxed) || line.is_cut.load(Ordering::Relaxed) {
                return false;
            }
            if !line.is_silent.load(Ordering::Relaxed) && self.mode.load(Ordering::Relaxed) != SILENT {
                return true;
            }
            std::thread::sleep(TICK);
        }
    }
}

fn serve(client: TcpStream, state: &Arc<State>, line: &Arc<Line>) {
    if !state.may_pass(line) {
        return;
    }
    let Ok(server) = UnixStream::connect(&state.socket) else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = client.set_read_timeout(Some(TICK));
    let _ = server.set_read_timeout(Some(TICK));
    let (mut up_from, mut up_to) = (
        client.try_clone().expect("a socket"),
        server.try_clone().expect("a socket"),
    );
    let (own, of) = (Arc::clone(state), Arc::clone(line));
    let up = std::thread::spawn(move || {
        pump(|bytes| up_from.read(bytes), |bytes| up_to.write_all(bytes), &own, &of);
        let _ = up_to.shutdown(Shutdown::Both);
        let _ = up_from.shutdown(Shutdown::Both);
    });
    let (mut down_from, mut down_to) = (server, client);
    pump(
        |bytes| down_from.read(bytes),
        |bytes| down_to.write_all(bytes),
        state,
        line,
    );
    let _ = down_to.shutdown(Shutdown::Both);
    let _ = down_from.shutdown(Shutdown::Both);
    let _ = up.join();
}

fn pump(
    mut read: impl FnMut(&mut [u8]) -> std::io::Result<usize>,
    mut write: impl FnMut(&[u8]) -> std::io::Result<()>,
    state: &State,
    line: &Line,
) {
    let mut bytes = vec![0; 64 * 1024];
    while state.may_pass(line) {
        match read(&mut bytes) {
            Ok(0) => return,
            Ok(count) => {
                if !state.may_pass(line) || write(&bytes[..count]).is_err() {
                    return;
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(_) => return,
        }
    }
}
