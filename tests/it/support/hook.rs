//! A receiver of webhooks that writes down what it gets, and answers as the test says.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it answers.
#[derive(Clone, Debug)]
pub enum HookAnswer {
    Status(u16),
    /// A redirect to this URL.
    Elsewhere(String),
    /// Nothing at all.
    Silence,
}

/// What it got.
#[derive(Clone, Debug)]
pub struct HookRequest {
    /// The request line and the headers, in lower case.
    pub head: String,
    pub body: String,
}

impl HookRequest {
    /// The value of this header, which is written in lower case.
    #[track_caller]
    pub fn header(&self, name: &str) -> &str {
        let line = self
            .head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("no {name} in {}", self.head))
    }
}

/// A receiver on this machine. It listens until the test process ends.
pub struct Hook {
    pub url: String,
    got: Arc<Mutex<Vec<HookRequest>>>,
    answers: Arc<Mutex<VecDeque<HookAnswer>>>,
}

impl Hook {
    /// One that gives these answers, and then takes everything.
    pub fn that(answers: &[HookAnswer]) -> Hook {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a listener");
        let port = listener.local_addr().expect("an address").port();
        let hook = Hook {
            url: format!("http://127.0.0.1:{port}/hook"),
            got: Arc::default(),
            answers: Arc::new(Mutex::new(answers.iter().cloned().collect())),
        };
        let (got, answers) = (Arc::clone(&hook.got), Arc::clone(&hook.answers));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (got, answers) = (Arc::clone(&got), Arc::clone(&answers));
                std::thread::spawn(move || serve(stream, &got, &answers));
            }
        });
        hook
    }

    /// What came so far.
    pub fn got(&self) -> Vec<HookRequest> {
        self.got.lock().expect("whole").clone()
    }
}

fn serve(mut stream: TcpStream, got: &Mutex<Vec<HookRequest>>, answers: &Mutex<VecDeque<HookAnswer>>) {
    let Some(request) = read(&mut stream) else { return };
    got.lock().expect("whole").push(request);
    let answer = answers.lock().expect("whole").pop_front();
    let (status, more) = match answer.unwrap_or(HookAnswer::Status(200)) {
        HookAnswer::Status(status) => (status, String::new()),
        HookAnswer::Elsewhere(url) => (307, format!("location: {url}\r\n")),
        HookAnswer::Silence => return std::thread::sleep(Duration::from_secs(600)),
    };
    let answer = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n{more}content-length: 0\r\n\r\n");
    // A client that has gone is not the test's concern.
    let _ = stream.write_all(answer.as_bytes());
}

/// One request, unless the connection ends first.
fn read(stream: &mut TcpStream) -> Option<HookRequest> {
    let mut bytes: Vec<u8> = Vec::new();
    let mut piece = [0_u8; 4_096];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
            let mut lines = head.lines();
            let length = lines.find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            let body = &bytes[end + 4..];
            if body.len() >= length.unwrap_or(0) {
                let body = String::from_utf8_lossy(body).into_owned();
                return Some(HookRequest { head, body });
            }
        }
        match stream.read(&mut piece) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&piece[..count]),
            _ => return None,
        }
    }
}
