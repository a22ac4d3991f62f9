//! The operations listener, to which every user of the machine can connect.

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
                Duration::from_secs(2)
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
    assert!((100..=140).contains(&held.len()), "{} are held", held.len());
    let grown = files(&payer).saturating_sub(before);
    assert!(grown < 160, "{grown} files more");
    // The idle ones end, and then others are served again.
    let begun = Instant::now();
    let (status, _) = asked(&payer, "/ready", Duration::from_secs(20)).expect("an answer");
    assert_eq!(status, "HTTP/1.1 200 OK");
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}
