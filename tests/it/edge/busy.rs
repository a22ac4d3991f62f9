//! Threads that keep a server busy until they are stopped, and the judgement that others are served meanwhile.

use super::victims::Scene;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a debug build on a machine with other work may take for a request, whatever it takes when nothing else is asked.
const SLACK: Duration = Duration::from_millis(500);
/// How often is looked: of these looks one must be good.
const LOOKS: usize = 8;

/// Threads that ask until they are stopped, or dropped.
pub struct Busy {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Busy {
    /// `ask` again and again on so many threads; it is told which one it is, and says how many answers it took.
    pub fn begin(threads: u8, ask: impl Fn(u8, &AtomicBool) -> usize + Clone + Send + 'static) -> Busy {
        let (stop, done) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let threads = (0..threads).map(|n| {
            let (stop, done, ask) = (Arc::clone(&stop), Arc::clone(&done), ask.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Acquire) {
                    let taken = ask(n, &stop);
                    done.fetch_add(taken, Ordering::AcqRel);
                    if taken == 0 {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                }
            })
        });
        Busy {
            threads: threads.collect(),
            stop,
            done,
        }
    }

    /// Answers so far.
    pub fn done(&self) -> usize {
        self.done.load(Ordering::Acquire)
    }

    /// Stops them; how many answers they took.
    pub fn end(mut self) -> usize {
        self.stop.store(true, Ordering::Release);
        for thread in std::mem::take(&mut self.threads) {
            thread.join().expect("a thread that asks");
        }
        self.done()
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// Asserts that others are served in at most three times what they wait when nothing else is asked. Of [`LOOKS`] one must be good: this
/// machine has other work too.
pub async fn assert_quick(scene: &Scene, what: &str, idle: Duration) {
    let most = (idle * 3).max(SLACK);
    let mut medians = Vec::new();
    while medians.len() < LOOKS && medians.iter().all(|median| *median > most) {
        medians.push(scene.served(what, Duration::from_secs(2)).await[0]);
    }
    assert!(
        medians.iter().any(|median| *median <= most),
        "{what}: medians {medians:?}, idle {idle:?}"
    );
}

/// Sends one request and reads its whole answer, of a known or of an unknown length; its status and its bytes.
pub fn exchange(stream: &mut (impl Read + Write), request: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    stream.write_all(request)?;
    stream.flush()?;
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or(io::ErrorKind::InvalidData)?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    if let Some(length) = length {
        let mut body = vec![0; length.parse().map_err(io::Error::other)?];
        stream.read_exact(&mut body)?;
        return Ok((status, body));
    }
    let mut body = Vec::new();
    while head.contains("transfer-encoding: chunked") {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        let length = usize::from_str_radix(String::from_utf8_lossy(&line).trim(), 16).map_err(io::Error::other)?;
        let from = body.len();
        body.resize(from + length + 2, 0);
        stream.read_exact(&mut body[from..])?;
        body.truncate(from + length);
        if length == 0 {
            break;
        }
    }
    Ok((status, body))
}
