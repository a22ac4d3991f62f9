//! The demonstration: it ends well, and the files it leaves work by hand.

use crate::support::client::{Reply, http};
use crate::support::memory;
use crate::support::payer::{binary, free_ports};
use crate::support::pki::Pair;
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PRIVATE: [&str; 3] = ["partner.key", "partner-jwks.json", "server.key"];

fn demo(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .current_dir(home)
        .env_remove("DATABASE_URL")
        .args(["demo", "--folder", "demo"])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn run(home: &Path, arguments: &[&str]) -> Output {
    demo(home, arguments).output().expect("the program runs")
}

#[test]
fn the_demo_ends_well_and_leaves_its_files() {
    let home = memory::temporary();
    let folder = home.path().join("demo");
    // A key file that was there before and open to all is not left so.
    std::fs::create_dir(&folder).expect("a folder");
    std::fs::write(folder.join("partner.key"), "old").expect("a file");
    let done = run(home.path(), &["--once"]);
    let told = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(
        done.status.code(),
        Some(0),
        "{told}{}",
        String::from_utf8_lossy(&done.stderr)
    );
    for step in [
        "demo-clean",
        "Record received",
        "422 MM-005",
        "422 CO-019",
        "still a match",
        "first name: known short form",
        "one of two twins",
        "a reviewer's decision: confirmed",
        "review.decided",
        "member-match.matched",
        "disclosure.completed",
        "A clean exchange with Old Payer",
        "killed (SIGKILL)",
        "its end is not recorded",
        "who the member is once",
        "manual_review (EX-013)",
        "refused (EX-006)",
        "parked (EX-011)",
    ] {
        assert!(told.contains(step), "{step} is not in {told}");
    }
    for name in [
        "ca.pem",
        "partner.pem",
        "match.json",
        "no-match.json",
        "ambiguous.json",
        "README.txt",
        "conformance.toml",
        "consent-ended.json",
        "showcase.json",
    ]
    .iter()
    .chain(&PRIVATE)
    {
        let found = std::fs::metadata(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let open = found.permissions().mode() & 0o077;
        assert!(
            found.len() > 0 && (open == 0 || !PRIVATE.contains(name)),
            "{name}: {open:o}"
        );
    }
    let client_file = std::fs::read_to_string(folder.join("conformance.toml")).expect("a file");
    assert!(
        client_file.contains("bulk_match_scope = \"http"),
        "bulk is tested too: {client_file}"
    );
    // Any command goes on from there: as it was told, and without that it is told where the store is.
    let line = told
        .lines()
        .find_map(|line| line.trim().strip_prefix("export CAUSEWAY_STORE__URL="));
    let store = line.expect("how commands find the store");
    let lost = listed(home.path(), None);
    assert_eq!(lost.status.code(), Some(1));
    let lost = String::from_utf8_lossy(&lost.stderr).into_owned();
    assert!(
        lost.contains("OP-008") && !lost.contains("nearby"),
        "this demo's folder has a name of its own: {lost}"
    );
    let found = listed(home.path(), Some(store));
    let decisions: Value = serde_json::from_slice(&found.stdout).expect("one JSON document");
    assert!(decisions.as_array().is_some_and(|all| all.len() > 5), "{decisions}");
    let keys: Value =
        serde_json::from_slice(&std::fs::read(folder.join("partner-jwks.json")).expect("a file")).expect("JSON");
    assert!(keys["keys"][0]["d"].is_string(), "the private key");
    for payer in ["old-payer", "new-payer"] {
        assert!(folder.join(payer).is_dir(), "{payer}");
    }
    let readme = std::fs::read_to_string(folder.join("README.txt")).expect("a file");
    for word in ["curl", "match.json", "no-match.json", "ambiguous.json", "$everything"] {
        assert!(readme.replace('\\', "").contains(word), "{word}");
    }
    // Again over what is there, for a program: one document, the story apart from it.
    let again = run(home.path(), &["--once", "--json"]);
    assert_eq!(
        again.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&again.stderr)
    );
    let told: Value = serde_json::from_slice(&again.stdout).expect("one JSON document and nothing else");
    assert!(told["resources"].as_u64().is_some_and(|count| count > 5), "{told}");
    let phases: Vec<(&str, &str)> = told["exchanges"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|one| Some((one["name"].as_str()?, one["phase"].as_str()?)))
        .collect();
    let wanted = [
        ("clean", "completed"),
        ("killed", "completed"),
        ("review", "manual_review"),
        ("withdrawn", "refused"),
        ("parked", "completed"),
    ];
    assert_eq!(phases, wanted, "{told}");
    assert!(!again.stderr.is_empty());
}

/// `match list` in a folder, with the address of the store if it is given.
fn listed(home: &Path, store: Option<&str>) -> Output {
    let mut command = Command::new(binary());
    command.current_dir(home).args(["match", "list", "--json"]);
    command
        .env_remove("DATABASE_URL")
        .env_remove("CAUSEWAY_STORE__URL")
        .stdin(Stdio::null());
    if let Some(store) = store {
        command.env("CAUSEWAY_STORE__URL", store);
    }
    command.output().expect("the program runs")
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_demos_bodies_answer_as_their_names_say() {
    let home = memory::temporary();
    let folder = home.path().join("demo");
    let story = std::fs::File::create(home.path().join("story.txt")).expect("a file");
    let child = demo(home.path(), &[]).stdout(story).stderr(Stdio::null()).spawn();
    let mut running = Running(child.expect("the demo starts"));
    let started = Instant::now();
    let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    while !text(&home.path().join("story.txt")).contains("stays up") {
        assert!(
            running.0.try_wait().expect("a status").is_none() && started.elapsed() < Duration::from_secs(300),
            "{}",
            text(&home.path().join("story.txt"))
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let base = text(&folder.join("base-url.txt"));
    let token = run(home.path(), &["--token"]);
    let token = String::from_utf8(token.stdout).expect("UTF-8").trim().to_owned();
    let told: Value =
        serde_json::from_slice(&run(home.path(), &["--token", "--json"]).stdout).expect("one JSON document");
    assert!(told["token"].is_string() && told["token"] != token.as_str());
    let pair = Pair {
        certificate: text(&folder.join("partner.pem")),
        key: text(&folder.join("partner.key")),
    };
    let client = http(&text(&folder.join("ca.pem")), Some(&pair));
    for (name, status) in [
        ("match.json", 200),
        ("showcase.json", 200),
        ("no-match.json", 422),
        ("ambiguous.json", 422),
    ] {
        let sent = client
            .post(format!("{}/Patient/$member-match", base.trim()))
            .bearer_auth(&token)
            .header("content-type", "application/fhir+json")
            .body(text(&folder.join(name)))
            .send();
        let reply = Reply::of(sent.await.expect("an answer")).await;
        assert_eq!(reply.status, status, "{name}: {}", reply.text());
    }
    // The lines to repeat it by hand name what is there.
    let readme = text(&folder.join("README.txt"));
    let patient = readme
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("PATIENT="))
        .expect("a Patient");
    let sent = client
        .get(format!("{}/Patient/{patient}", base.trim()))
        .bearer_auth(&token)
        .send();
    assert_eq!(sent.await.expect("an answer").status().as_u16(), 200);
}

#[tokio::test]
async fn serve_dev_leaves_a_request_to_send_and_a_command_finds_its_store() {
    let home = memory::temporary();
    let story = std::fs::File::create(home.path().join("story.txt")).expect("a file");
    let [port, _] = free_ports();
    let mut command = Command::new(binary());
    command
        .current_dir(home.path())
        .args(["serve", "--dev"])
        .env_remove("DATABASE_URL")
        .env("CAUSEWAY_SERVER__FHIR_LISTEN", format!("127.0.0.1:{port}"))
        .env("CAUSEWAY_SERVER__OPS_LISTEN", "127.0.0.1:0")
        .env("CAUSEWAY_SERVER__BASE_URL", format!("https://localhost:{port}/fhir"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(story);
    let mut running = Running(command.spawn().expect("the server starts"));
    let text = |name: &str| std::fs::read_to_string(home.path().join(name)).unwrap_or_default();
    let started = Instant::now();
    while !text("story.txt").contains("operations  http://") {
        assert!(
            running.0.try_wait().expect("a status").is_none() && started.elapsed() < Duration::from_secs(300),
            "{}",
            text("story.txt")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(text("story.txt").contains("README.txt") && text("story.txt").contains("created a new store"));
    let readme = text("causeway-data/dev/README.txt");
    let typed = |begin: &str| {
        let line = readme.lines().find(|line| line.trim_start().starts_with(begin));
        line.unwrap_or_else(|| panic!("no {begin} in {readme}")).to_owned()
    };
    let script = format!("{}\n{} -sS\n", typed("TOKEN="), typed("curl"));
    let sent = Command::new("bash")
        .args(["-ec", &script])
        .current_dir(home.path())
        .output()
        .expect("bash runs");
    let answer = String::from_utf8_lossy(&sent.stdout).into_owned();
    assert!(
        answer.contains("\"MemberId\""),
        "{script}: {answer}{}",
        String::from_utf8_lossy(&sent.stderr)
    );
    let found = listed(home.path(), None);
    let decisions: Value = serde_json::from_slice(&found.stdout).expect("one JSON document");
    assert_eq!(decisions[0]["correlation_id"], "by-hand-1", "{decisions}");
}
