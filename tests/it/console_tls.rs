//! The operations side over TLS: beyond this machine never without, with its own certificate, and a cookie that browsers take from this host alone.

use crate::support::console::{Person, assert_refused, link};
use crate::support::payer::TestPayer;
use crate::support::program::program;
use causeway::error::Fault;
use std::process::{Child, Stdio};
use std::time::Duration;

/// A server that is killed when it is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const TLS: &str = "ops_certificate = \"server.pem\"\nops_key = \"server.key\"\n";

/// Puts lines into the section `[server]` of the configuration.
fn configure(payer: &TestPayer, lines: &str) {
    let path = payer.home().join("causeway.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, text.replacen("[tls]\n", &format!("{lines}[tls]\n"), 1)).expect("written");
}

async fn serve(payer: &TestPayer, person: &Person) -> Serving {
    let child = program(payer.home())
        .args(["serve", "--quiet"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let serving = Serving(child);
    for _ in 0..5_000 {
        if person.is_ready().await {
            return serving;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the server is not ready");
}

#[tokio::test]
async fn over_tls_the_cookie_is_of_this_host_alone_and_plain_http_gets_nothing() {
    let (payer, _) = TestPayer::prepare(1);
    configure(&payer, TLS);
    let port = payer.ops.rsplit_once(':').expect("a port").1;
    let base = format!("https://localhost:{port}");
    let mut person = Person::at(&payer, &base);
    let _serving = serve(&payer, &person).await;
    let made = payer.json_command(&[
        "console", "link", "--role", "auditor", "--name", "ana", "--reason", "a test",
    ]);
    let url = made["url"].as_str().expect("a link");
    assert!(
        url.starts_with(&format!("{base}/console/link/")),
        "the link leads to the name of the certificate"
    );
    let secret = url.rsplit_once('/').expect("a secret").1;
    let begun = person.sign_in(secret).await;
    begun.assert_status(303);
    let set = begun.header("set-cookie");
    assert!(set.starts_with("__Host-causeway-console="), "{set}");
    assert!(
        set.ends_with("; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=28800"),
        "{set}"
    );
    person.follow("/console").await.assert_status(200);
    let token = payer.json_command(&["operator", "token", "--role", "auditor"]);
    let list = person
        .bearer("/ops/v1/ledger", token["token"].as_str().expect("a token"))
        .await;
    list.assert_status(200);

    let mut by_address = Person::at(&payer, &format!("https://127.0.0.1:{port}"));
    assert_refused(
        &by_address.sign_in(&link(&payer, "auditor", "bo")).await,
        Fault::RouteUnknown,
    );
    // Whoever connects and says nothing keeps nobody waiting.
    let connect = |_| std::net::TcpStream::connect(format!("127.0.0.1:{port}")).expect("a connection");
    let silent: Vec<std::net::TcpStream> = (0..20).map(connect).collect();
    let other = Person::at(&payer, &base);
    assert_eq!(other.tries("/live").await, Some(200), "{} are silent", silent.len());
    assert_eq!(
        other.tries("/metrics").await,
        Some(200),
        "on this machine without a token"
    );
    let plain = Person::at(&payer, &format!("http://127.0.0.1:{port}"))
        .tries("/live")
        .await;
    assert!(plain.is_none(), "no answer without TLS");
}

#[test]
fn beyond_this_machine_the_operations_side_needs_tls_and_a_name() {
    let (payer, _) = TestPayer::prepare(1);
    let port = payer.ops.rsplit_once(':').expect("a port").1.to_owned();
    let path = payer.home().join("causeway.toml");
    let text = std::fs::read_to_string(&path).expect("a configuration");
    let beyond = text.replacen(
        &format!("ops_listen = \"127.0.0.1:{port}\""),
        &format!("ops_listen = \"0.0.0.0:{port}\""),
        1,
    );
    let refused = |lines: &str, place: &str, remedy: &str| {
        std::fs::write(&path, beyond.replacen("[tls]\n", &format!("{lines}[tls]\n"), 1)).expect("written");
        let said = payer.command(&["serve", "--quiet"]);
        let told = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(2), "{lines}: {told}");
        assert!(told.contains(place) && told.contains(remedy), "{lines}: {told}");
    };
    refused("", "server.ops_listen", "server.ops_certificate");
    refused(TLS, "server.ops_base_url", "https://");
    let base = "ops_base_url = \"https://ops.example\"\n";
    refused(
        &format!("{base}ops_certificate = \"none.pem\"\nops_key = \"server.key\"\n"),
        "server.ops_certificate",
        "none.pem",
    );
    refused("ops_certificate = \"server.pem\"\n", "server.ops_key", "together");
    refused(
        &format!("ops_base_url = \"http://localhost:{port}\"\n{TLS}"),
        "server.ops_base_url",
        "plain HTTP",
    );
}
