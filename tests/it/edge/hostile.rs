//! A partner that means harm: with a certificate and a token of its own it may ask, and it asks for what costs the server most.

use super::attacker::{Attacker, Tls, status};
use super::busy::{Busy, assert_quick, exchange};
use super::victims::Scene;
use crate::support::client::{ALL_SCOPES, http};
use crate::support::grants;
use crate::support::payer::{TestPayer, today};
use crate::support::pki::Kind;
use causeway::synth::{self, SharingPolicy};
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const URI: &str = "https://hostile.example/fhir";

/// Its connections and its token.
#[derive(Clone)]
pub struct Hostile {
    at: Attacker,
    token: String,
}

impl Hostile {
    /// A partner of this scene, at 127.0.0.`last`.
    pub async fn join(scene: &Scene, last: u8) -> Hostile {
        let payer = &scene.payer;
        let mut client = payer.register("hostile", "1992000046", URI);
        let pair = payer.pki.client(URI, Kind::Good);
        client.http = http(&payer.pki.ca, Some(&pair));
        Hostile {
            token: client.token(ALL_SCOPES).await,
            at: Attacker::at(payer, last, Some(&pair), &[]),
        }
    }

    /// A batch of so many of one request.
    pub fn batch(&self, method: &str, url: &str, entries: usize) -> Vec<u8> {
        let entry = serde_json::json!({"request": {"method": method, "url": url}});
        let body = serde_json::json!({"resourceType": "Bundle", "type": "batch", "entry": vec![entry; entries]});
        let body = body.to_string();
        format!(
            "POST /fhir HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
             content-type: application/fhir+json\r\ncontent-length: {}\r\n\r\n{body}",
            self.token,
            body.len()
        )
        .into_bytes()
    }

    /// A search or read below the base.
    fn get(&self, below: &str) -> Vec<u8> {
        let token = &self.token;
        format!("GET /fhir/{below} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n").into_bytes()
    }

    /// Asks for this and reads a little of it now and then, with small windows, until it is stopped or cut off.
    fn ask_and_read_slowly(&self, request: &[u8], stop: &AtomicBool) -> usize {
        let Ok(mut stream) = self.at.narrow().open() else {
            return 0;
        };
        if stream.write_all(request).and_then(|()| stream.flush()).is_err() {
            return 0;
        }
        let _ = stream.sock.set_read_timeout(Some(Duration::from_millis(20)));
        let mut taken = 0;
        while !stop.load(Ordering::Acquire) {
            match stream.read(&mut [0; 4096]) {
                Ok(0) => break,
                Ok(_) => taken = 1,
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) => {}
                Err(_) => break,
            }
            std::thread::sleep(Duration::from_millis(300));
        }
        taken
    }

    /// Asks for this again and again and takes the bytes as they come, without a look at them: what it asks is to cost the server, not
    /// this machine's other processor. An answer has `size` bytes, about.
    fn ask_and_look_away(&self, request: &[u8], size: usize, stop: &AtomicBool) -> usize {
        let Ok(mut stream) = self.at.open() else { return 0 };
        let (mut bytes, mut answers) = (vec![0; 256 * 1024], 0);
        while !stop.load(Ordering::Acquire) && stream.write_all(request).and_then(|()| stream.flush()).is_ok() {
            let mut taken = 0;
            while taken < size {
                match stream.sock.read(&mut bytes) {
                    Ok(read @ 1..) if !stop.load(Ordering::Acquire) => taken += read,
                    _ => return answers,
                }
            }
            answers += 1;
        }
        answers
    }

    /// Asks for this again and again over one connection until it is stopped or refused; how many answers were good.
    fn ask(&self, request: &[u8], stop: &AtomicBool) -> usize {
        let Ok(mut stream) = self.at.open() else { return 0 };
        let stream: &mut Tls = &mut stream;
        let _ = stream.sock.set_read_timeout(Some(Duration::from_secs(30)));
        let mut taken = 0;
        while !stop.load(Ordering::Acquire) {
            match exchange(stream, request) {
                Ok((200, _)) => taken += 1,
                _ => break,
            }
        }
        taken
    }
}

#[tokio::test]
async fn t_b17_a_batch_of_public_documents_keeps_nobody_waiting() {
    let scene = Scene::open(&[]).await;
    let hostile = Hostile::join(&scene, 3).await;
    let [idle, ..] = scene.served("idle", Duration::from_secs(2)).await;
    for (method, url) in [
        ("HEAD", "metadata"),
        ("GET", "SearchParameter"),
        ("GET", "SearchParameter?name="),
    ] {
        let (asking, batch) = (hostile.clone(), hostile.batch(method, url, 50));
        let mut stream = hostile.at.open().expect("a connection");
        let (status, body) = exchange(&mut stream, &batch).expect("an answer");
        assert_eq!(status, 200, "{url}");
        println!("{method} {url}: {} bytes", body.len());
        let busy = Busy::begin(8, move |_, stop| asking.ask_and_look_away(&batch, body.len(), stop));
        assert_quick(&scene, &format!("50 x {method} {url}"), idle).await;
        println!("{} batches were answered", busy.end());
        scene.assert_memory(url);
    }
    scene.served("after it", Duration::from_secs(1)).await;
}

/// A scene with a member of many resources, which the hostile partner may read too.
async fn with_a_long_record() -> (Scene, Hostile) {
    let (payer, client) = TestPayer::prepare_with(synth::SynthOptions {
        members: 2,
        resources_per_member: 8,
        one_large: Some(1500),
        as_of: today(),
        ..synth::SynthOptions::default()
    });
    let scene = Scene::of(payer, client, &[]).await;
    let hostile = Hostile::join(&scene, 3).await;
    grants::grant(&scene.payer, "hostile", scene.patient(), SharingPolicy::Sensitive);
    (scene, hostile)
}

#[tokio::test]
async fn t_b07_answers_that_a_partner_does_not_read_take_little_memory() {
    let (scene, hostile) = with_a_long_record().await;
    let search = format!("Observation?patient={}&_count=200", scene.patient());
    for (what, request) in [
        ("batches that are not read", hostile.batch("GET", &search, 50)),
        (
            "pages that are not read",
            hostile.get(&format!("{search}&_format=html")),
        ),
        (
            "indented answers that are not read",
            hostile.get(&format!("{search}&_pretty=true")),
        ),
    ] {
        let asking = hostile.clone();
        let busy = Busy::begin(40, move |_, stop| asking.ask_and_read_slowly(&request, stop));
        scene.served(what, Duration::from_secs(8)).await;
        scene.assert_memory(what);
        println!("{what}: {} answers began", busy.end());
    }
    scene.served("after it", Duration::from_secs(2)).await;
    scene.assert_memory("after it");
}

#[tokio::test]
async fn t_b07_large_attachments_asked_for_at_once_are_opened_a_few_at_a_time() {
    let scene = Scene::open(&[]).await.with_large_rows();
    let hostile = Hostile::join(&scene, 3).await;
    grants::grant(&scene.payer, "hostile", scene.patient(), SharingPolicy::Sensitive);
    let kind = "application/pdf";
    let resources = [
        serde_json::json!({"resourceType": "Binary", "id": "large", "contentType": kind, "data": "A".repeat(4 << 20)}),
        serde_json::json!({"resourceType": "DocumentReference", "id": "of-large", "status": "current",
            "subject": {"reference": format!("Patient/{}", scene.patient())},
            "content": [{"attachment": {"contentType": kind, "url": "Binary/large"}}]}),
    ];
    let lines = resources.map(|resource| resource.to_string()).join("\n");
    std::fs::write(scene.payer.home().join("large.ndjson"), lines).expect("a file");
    let said = scene.payer.json_command(&["import", "large.ndjson"]);
    assert_eq!(said["rejected"], 0, "{said}");
    let request = hostile.get("Binary/large");
    let mut one = hostile.at.open().expect("a connection");
    let (status, body) = exchange(&mut one, &request).expect("an answer");
    assert_eq!((status, body.len()), (200, 3 << 20));
    let asking = hostile.clone();
    let busy = Busy::begin(40, move |_, stop| asking.ask_and_read_slowly(&request, stop));
    scene
        .served("attachments that are not read", Duration::from_secs(8))
        .await;
    scene.assert_memory("attachments that are not read");
    println!("{} answers began", busy.end());
    scene.served("after it", Duration::from_secs(1)).await;
}

/// Gives the scene's member this many documents of 4 MiB, which the hostile partner may read too.
fn with_large_documents(scene: &Scene, documents: usize) {
    grants::grant(&scene.payer, "hostile", scene.patient(), SharingPolicy::Sensitive);
    let data = "A".repeat(4 << 20);
    let lines = (0..documents).map(|at| {
        let document = serde_json::json!({"resourceType": "DocumentReference", "id": format!("large-{at}"), "status": "current",
            "subject": {"reference": format!("Patient/{}", scene.patient())},
            "content": [{"attachment": {"contentType": "application/pdf", "data": data}}]});
        format!("{document}\n")
    });
    std::fs::write(scene.payer.home().join("large.ndjson"), lines.collect::<String>()).expect("a file");
    let said = scene.payer.json_command(&["import", "large.ndjson"]);
    assert_eq!(said["rejected"], 0, "{said}");
}

#[tokio::test]
async fn t_b07_records_of_large_resources_take_little_memory() {
    let scene = Scene::open(&[]).await.with_large_rows();
    let hostile = Hostile::join(&scene, 3).await;
    with_large_documents(&scene, 20);
    let patient = scene.patient();
    let record = hostile.get(&format!("Patient/{patient}/$everything"));
    let mut one = hostile.at.open().expect("a connection");
    let (status, body) = exchange(&mut one, &record).expect("an answer");
    assert_eq!(status, 200);
    assert!(body.len() > 80 << 20, "{} bytes", body.len());
    scene.assert_memory("one record");
    for (what, request) in [
        ("records that are not read", record),
        (
            "pages of records that are not read",
            hostile.get(&format!("Patient/{patient}?_format=html")),
        ),
        (
            "batches of large reads that are not read",
            hostile.batch("GET", "DocumentReference/large-0", 50),
        ),
        (
            "searches that are not read",
            hostile.get(&format!("DocumentReference?patient={patient}&_count=1")),
        ),
    ] {
        let asking = hostile.clone();
        let busy = Busy::begin(40, move |_, stop| asking.ask_and_read_slowly(&request, stop));
        scene.served(what, Duration::from_secs(8)).await;
        scene.assert_memory(what);
        println!("{what}: {} answers began", busy.end());
    }
    scene.served("after it", Duration::from_secs(2)).await;
}

#[tokio::test]
async fn t_b07_one_partners_searches_wait_for_themselves() {
    let (scene, hostile) = with_a_long_record().await;
    let [idle, ..] = scene.served("idle", Duration::from_secs(2)).await;
    let patient = scene.patient();
    for search in [
        format!("Observation?patient={patient}&_count=200&_sort=-date"),
        format!("Observation?patient={patient}&_count=1&_sort=-date&date=gt1900"),
    ] {
        let (asking, request) = (hostile.clone(), hostile.get(&search));
        let busy = Busy::begin(24, move |_, stop| asking.ask(&request, stop));
        assert_quick(&scene, "while one searches", idle).await;
        println!("{} searches were answered", busy.end());
        scene.assert_memory("while one searches");
    }
    scene.served("after it", Duration::from_secs(1)).await;
}

#[tokio::test]
async fn t_a06_b07_the_certificate_of_a_suspended_partner_makes_no_partners_connection() {
    let scene = Scene::open(&[]).await;
    let hostile = Hostile::join(&scene, 2).await;
    let partners = || scene.metric("causeway_connections{door=\"partner\"}");
    let document = b"GET /fhir/SearchParameter?name=nothing HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let mut before = hostile.at.open().expect("a connection");
    before.write_all(document).expect("a request");
    assert_eq!(status(&mut before).expect("an answer"), 200);
    let with_it = partners();
    assert!(with_it >= 1.0);
    scene
        .payer
        .json_command(&["partner", "suspend", "hostile", "--reason", "a try"]);
    let mut after = hostile.at.open().expect("a stranger's connection");
    after.write_all(document).expect("a request");
    assert_eq!(status(&mut after).expect("an answer"), 200, "public for everybody");
    assert!(partners() <= with_it, "no further one is a partner's");
    // The one from before is looked at again when it asks after a while, also for what is public.
    tokio::time::sleep(Duration::from_secs(11)).await;
    let mut buffer = [0; 16 * 1024];
    before
        .sock
        .set_read_timeout(Some(Duration::from_millis(200)))
        .expect("a socket option");
    while let Ok(1..) = before.read(&mut buffer) {}
    before
        .sock
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("a socket option");
    before.write_all(document).expect("a request");
    assert_eq!(status(&mut before).expect("an answer"), 200);
    assert!(partners() < with_it, "it is a stranger's now");
    scene.served("after it", Duration::from_secs(1)).await;
}

#[tokio::test]
async fn t_f14_a_partner_that_asks_without_end_is_429_at_its_rate_and_others_are_not() {
    let scene = Scene::open(&[("CAUSEWAY_LIMITS__PARTNER_REQUEST_RATE", "6")]).await;
    let hostile = Hostile::join(&scene, 3).await;
    let mut stream = hostile.at.open().expect("a connection");
    let request = hostile.get("Patient/nobody");
    let mut statuses = Vec::new();
    let begun = std::time::Instant::now();
    while begun.elapsed() < Duration::from_secs(60) && !statuses.contains(&429) {
        let (status, body) = exchange(&mut stream, &request).expect("the connection stays");
        statuses.push(status);
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(
            status == 404 || (status == 429 && body.contains("SV-006")),
            "{status}: {body}"
        );
    }
    assert_eq!(statuses.last(), Some(&429), "{} were answered", statuses.len());
    assert!(statuses.len() > 20, "four times the rate at once: {}", statuses.len());
    // Entries of a batch count as requests do. On a slow machine the first one may find that all may be asked for again, and uses that up.
    let mut refused: Vec<usize> = Vec::new();
    while refused.len() < 5 && refused.iter().all(|refused| *refused <= 10) {
        std::thread::sleep(Duration::from_secs(1));
        let (status, body) = exchange(&mut stream, &hostile.batch("GET", "Patient/nobody", 50)).expect("an answer");
        assert_eq!(status, 200);
        refused.push(String::from_utf8_lossy(&body).matches("SV-006").count());
    }
    assert!(
        refused.iter().any(|refused| *refused > 10),
        "so many entries were refused: {refused:?}"
    );
    // Others, and the ledger, know nothing of it.
    scene.served("beside it", Duration::from_secs(1)).await;
    std::thread::sleep(Duration::from_secs(2));
    let (status, _) = exchange(&mut stream, &request).expect("the connection stays");
    assert_eq!(status, 404, "after a pause");
}
