//! The operations listener, to which every user of the machine can connect.

use super::attacker::is_closed;
use crate::support::payer::TestPayer;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The status line of an answer to this request on a fresh connection, and the connection.
fn asked(payer: &TestPayer, path: &str, wait: Duration) -> std::io::Result<(String, TcpStream)> {
    let mut stream = TcpStream::connect(payer.ops.trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(wait))?;
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
    let mut bytes = [0; 15];
    stream.read_exact(&mut bytes)?;
    Ok((String::from_utf8_lossy(&bytes).into_owned(), stream))
}

/// How many files the server has open.
fn files(payer: &TestPayer) -> usize {
    let folder = format!("/proc/{}/fd", payer.process());
    std::fs::read_dir(folder).expect("the files of a process").count()
}

#[test]
fn t_b07_idle_connections_to_the_operations_side_use_up_no_files_and_end_in_time() {
    let (mut payer, _) = TestPayer::prepare(2);
    payer.serve_with(&[]);
    let before = files(&payer);
    let short = Duration::from_millis(100);
    let mut held = Vec::new();
    for _ in 0..200 {
        match asked(
            &payer,
            "/live",
            if held.len() < 100 {
                Duration::from_secs(60)
            } else {
                short
            },
        ) {
            Ok((status, stream)) => {
                assert_eq!(status, "HTTP/1.1 200 OK");
                held.push(stream);
            }
            Err(_) => break,
        }
    }
    let grown = files(&payer).saturating_sub(before);
    assert!(grown < 160, "{grown} files more");
    // On a slow machine the first have ended by now.
    let were = held.len();
    held.retain_mut(|stream| !is_closed(stream));
    assert!(were >= 100 && held.len() <= 140, "{} of {were} are held", held.len());
    // The idle ones end, and then others are served again.
    let (status, _) = asked(&payer, "/ready", Duration::from_secs(60)).expect("an answer");
    assert_eq!(status, "HTTP/1.1 200 OK");
}

/// Sends a head, and then `piece` again and again until the connection ends, for a minute at most. Whether it ended, and the answer.
fn sent(payer: &TestPayer, head: &str, piece: &[u8]) -> (bool, String) {
    let mut stream = TcpStream::connect(payer.ops.trim_start_matches("http://")).expect("a connection");
    let wait = Some(Duration::from_secs(60));
    stream.set_read_timeout(wait).expect("a socket option");
    stream.set_write_timeout(wait).expect("a socket option");
    stream.write_all(head.as_bytes()).expect("a head");
    let (begun, pieces) = (Instant::now(), piece.repeat(100));
    let mut is_open = !pieces.is_empty();
    while is_open && begun.elapsed() < Duration::from_secs(60) {
        is_open = stream.write_all(&pieces).is_ok();
    }
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    (!is_open, String::from_utf8_lossy(&said).to_lowercase())
}

#[test]
fn t_b07_bodies_to_the_operations_side_that_do_not_end_end_the_connection() {
    let (mut payer, _) = TestPayer::prepare(2);
    payer.serve_with(&[]);
    let post = "POST /ops/v1/grants/_search HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    // A body without length and end, since the head asks for a WebSocket.
    let begun = Instant::now();
    let wish = format!("{post}connection: upgrade\r\nupgrade: websocket\r\n\r\n");
    let (_, said) = sent(&payer, &wish, b"");
    // Before its time to be idle is over, which would end it as well.
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert!(
        said.starts_with("http/1.1 400") && said.contains("connection: close"),
        "{said}"
    );
    // Chunks of one byte, to be read and where no handler reads a body.
    let read = format!("{post}transfer-encoding: chunked\r\n\r\n");
    let unread = "GET /live HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n";
    for head in [&read, unread] {
        let (has_ended, said) = sent(&payer, head, b"1\r\na\r\n");
        assert!(has_ended, "{head}{said}");
    }
    let (status, _) = asked(&payer, "/ready", Duration::from_secs(60)).expect("an answer");
    assert_eq!(status, "HTTP/1.1 200 OK");
}
