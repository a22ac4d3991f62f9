//! Groups with very many members: read and searched a page of members at a time.

use crate::support::client::{ALL_SCOPES, Reply};
use crate::support::payer::TestPayer;
use crate::support::store::on_postgres;
use diesel::RunQueryDsl as _;
use diesel::connection::SimpleConnection as _;
use serde_json::Value;
use std::time::Duration;

/// How long an answer of so many bytes may take on a busy machine.
const LONGEST: Duration = Duration::from_secs(300);
/// Members of the group, and about how many bytes each has in it.
const MEMBERS: usize = 90_000;
const MEMBER_BYTES: usize = 1_000;
/// By how much memory may grow, whatever the group has.
const GROWTH_KIB: u64 = 64 * 1024;

/// The groups `big-consentconstraint` with very many members, and `big-nomatch` with one.
fn add_groups(payer: &TestPayer) {
    let (series, text, bytes) = if on_postgres() {
        (
            "SELECT CAST(i AS BIGINT) AS i FROM generate_series(1, $ROWS) AS s(i)",
            "repeat('x', $BYTES)",
            "convert_to($TEXT, 'UTF8')",
        )
    } else {
        (
            "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < $ROWS) SELECT i FROM s",
            "printf('%.*c', $BYTES, 'x')",
            "CAST($TEXT AS BLOB)",
        )
    };
    let kept = format!(
        "'{{\"id\":\"m-' || n.i || '\",\"patient\":{{\"resourceType\":\"Patient\",\"id\":\"m-' || n.i || '\",\"language\":\"' || {text} || '\"}}}}'"
    );
    let mut db = payer.db();
    let rows = "INSERT INTO bulk_job (id, kind, partner_id, state, correlation_id, request_url, request_json, created_ms, updated_ms, \
                  transaction_ms, deadline_ms, expires_ms, pieces, pieces_done) \
                VALUES ('big', 'match', 'new-payer', 'done', 'c', 'u', '{}', 1, 1, 1, 4102444800000, 4102444800000, 1, 1); \
                INSERT INTO member_group (id, partner_id, code, job_id, match_ms, updated_ms) \
                VALUES ('big-consentconstraint', 'new-payer', 'consentconstraint', 'big', 1, 1), \
                ('big-nomatch', 'new-payer', 'nomatch', 'big', 1, 1)";
    db.batch_execute(rows).expect("groups");
    for (code, count) in [("consentconstraint", MEMBERS), ("nomatch", 1)] {
        let sql = format!(
            "INSERT INTO member_group_entry (group_id, position, sealed) SELECT 'big-{code}', n.i, {} FROM ({series}) n",
            bytes.replace("$TEXT", &kept)
        );
        let sql = sql
            .replace("$ROWS", &count.to_string())
            .replace("$BYTES", &MEMBER_BYTES.to_string());
        assert_eq!(diesel::sql_query(sql).execute(&mut db).expect("entries"), count);
    }
}

/// The most memory that the process had, in KiB, since that was last forgotten.
pub fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a peak");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}

pub fn forget_peak(pid: u32) {
    let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
}

#[tokio::test]
async fn a_group_of_very_many_members_is_read_and_searched_in_little_memory() {
    let (mut payer, client) = TestPayer::prepare(2);
    payer.serve();
    add_groups(&payer);
    let token = client.token(ALL_SCOPES).await;
    // What the first one takes and keeps is not counted.
    let small = client.get(&token, "Group/big-nomatch").await;
    small.assert_status(200);
    assert_eq!(small.header("content-length"), small.body.len().to_string());
    let small = small.json();
    assert_eq!(
        (&small["quantity"], &small["contained"][0]["id"]),
        (&1.into(), &"m-1".into())
    );

    let pid = payer.process();
    forget_peak(pid);
    let before = peak_kib(pid);
    let (count, quantity) = (MEMBERS, format!("\"quantity\":{MEMBERS}"));
    // It is optimized in every build: there are 100 MB.
    let of = |bytes: &[u8], text: &str| memchr::memmem::find_iter(bytes, text).count();
    for path in ["Group/big-consentconstraint", "Group?code=consentconstraint"] {
        let asked = client.http.get(format!("{}/fhir/{path}", client.origin));
        let asked = asked.bearer_auth(&token).timeout(LONGEST);
        let reply = Reply::of(asked.send().await.expect("an answer")).await;
        reply.assert_status(200);
        assert!(
            reply.body.len() > MEMBERS * MEMBER_BYTES,
            "{path}: {}",
            reply.body.len()
        );
        assert!(reply.body.ends_with(b"}"), "{path}");
        assert_eq!(
            [
                of(&reply.body, "\"resourceType\":\"Patient\""),
                of(&reply.body, "base-ext-match-parameters"),
                of(&reply.body, &quantity)
            ],
            [count, count, 1],
            "{path}"
        );
    }
    let growth = peak_kib(pid).saturating_sub(before);
    println!("{growth} KiB more for {MEMBERS} members");
    assert!(growth < GROWTH_KIB, "{growth} KiB");

    // A page of a search takes no further group after a large one.
    let first = client.http.get(format!("{}/fhir/Group", client.origin));
    let first = first.bearer_auth(&token).timeout(LONGEST).send().await;
    let first = Reply::of(first.expect("an answer")).await;
    first.assert_status(200);
    let first: Value = first.json();
    assert_eq!(first["entry"].as_array().map(Vec::len), Some(1));
    let next = first["link"][1]["url"].as_str().expect("a link");
    let next = client.follow(&token, next).await.json();
    assert_eq!(next["entry"][0]["resource"], small);
    assert!(next["link"].as_array().is_some_and(|links| links.len() == 1), "{next}");
}
