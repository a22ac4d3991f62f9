//! The public documents: the same bytes for all, with a tag, and not sent again to who has them.

use crate::support::payer::TestPayer;
use std::time::Instant;

#[tokio::test]
async fn public_documents_have_a_tag_a_time_to_live_and_cost_little() {
    let (payer, client) = TestPayer::start(1);
    for path in [
        "/fhir/metadata",
        "/fhir/metadata?mode=normative",
        "/fhir/metadata?mode=terminology",
        "/fhir/CodeSystem/causeway-fault",
        "/fhir/SearchParameter/Observation-code",
        "/.well-known/smart-configuration",
        "/.well-known/davinci-configuration",
        "/.well-known/jwks.json",
        "/fhir/.well-known/smart-configuration",
    ] {
        let first = client.send("GET", path, &[], "").await;
        first.assert_status(200);
        assert_eq!(first.header("cache-control"), "max-age=300", "{path}");
        let tag = first.header("etag").to_owned();
        assert!(tag.starts_with("W/\""), "{path}: {tag}");
        let again = client.send("GET", path, &[("if-none-match", &tag)], "").await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
        assert_eq!(again.header("etag"), tag, "{path}");
        let other = client.send("GET", path, &[("if-none-match", "W/\"other\"")], "").await;
        assert_eq!(other.body, first.body, "{path}");
    }
    // The CapabilityStatement was made anew for each request and took 4.5 ms of an optimised build, ten times as much of this one.
    let begun = Instant::now();
    for _ in 0..50 {
        client.send("GET", "/fhir/metadata", &[], "").await.assert_status(200);
    }
    println!("50 CapabilityStatements in {:?}", begun.elapsed());
    drop(payer);
}
