//! T-F13: an erasure races with answers that tell of the member. Either order is right; what is left is nothing.

use super::traces::{found, own_values};
use crate::ledger::store::SOON;
use crate::support::client::ALL_SCOPES;
use crate::support::payer::{TestPayer, program};
use causeway::synth::Variation;
use std::sync::Arc;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f13_an_erasure_and_answers_on_their_way_leave_nothing() {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[SOON]);
    let client = Arc::new(client);
    let token = client.token(ALL_SCOPES).await;
    for member in [0, 3] {
        let (one, _) = client.matched(&token, &payer.request(member, Variation::Exact)).await;
        let values = own_values(&payer, &one);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (client, token, one) = (Arc::clone(&client), token.clone(), one.clone());
                tokio::spawn(async move {
                    let mut whole = 0;
                    for _ in 0..1_000 {
                        let (client, token, one) = (Arc::clone(&client), token.clone(), one.clone());
                        let read =
                            async move { client.get(&token, &format!("Patient/{one}/$everything")).await.status };
                        // An answer that is cut off in the middle ends the task that reads it.
                        match tokio::spawn(read).await {
                            Ok(200) => whole += 1,
                            Ok(404) => return whole,
                            Ok(other) => panic!("{other}"),
                            Err(_) => {}
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    panic!("it was never erased");
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let mut command = program(payer.home());
        command.args([
            "audit",
            "erase-subject",
            &format!("Patient/{one}"),
            "--reason",
            "test-data",
        ]);
        command.args(["--legal-basis", "no-duty-to-keep", "--record"]);
        let erased = tokio::task::spawn_blocking(move || command.output().expect("the program runs"));
        let erased = erased.await.expect("runs");
        assert!(erased.status.success(), "{}", String::from_utf8_lossy(&erased.stderr));
        for reader in readers {
            assert!(reader.await.expect("read") > 0, "nothing was read before");
        }
        // What was asked for since is on record as refused, and names nobody.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(payer.count(&format!("ledger_entry WHERE subject = '{one}'")), 0);
        assert_eq!(found(&payer, &values, &[]), Vec::<String>::new());
    }
}
