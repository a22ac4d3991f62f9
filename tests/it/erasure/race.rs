//! T-F13: an erasure races with answers that tell of the member. Either order is right; what is left is nothing.

use super::traces::{found, own_values};
use crate::ledger::store::SOON;
use crate::support::client::ALL_SCOPES;
use crate::support::payer::{TestPayer, program};
use causeway::synth::Variation;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t_f13_an_erasure_and_answers_on_their_way_leave_nothing() {
    let (mut payer, client) = TestPayer::prepare(4);
    payer.serve_with(&[SOON]);
    let client = Arc::new(client);
    for member in [0, 3] {
        let token = client.token(ALL_SCOPES).await;
        let (one, _) = client.matched(&token, &payer.request(member, Variation::Exact)).await;
        let values = own_values(&payer, &one);
        let whole = Arc::new(AtomicUsize::new(0));
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let (client, token, one, whole) = (Arc::clone(&client), token.clone(), one.clone(), Arc::clone(&whole));
                tokio::spawn(async move {
                    for _ in 0..10_000 {
                        let (client, token, one) = (Arc::clone(&client), token.clone(), one.clone());
                        let read =
                            async move { client.get(&token, &format!("Patient/{one}/$everything")).await.status };
                        // An answer that is cut off in the middle ends the task that reads it.
                        match tokio::spawn(read).await {
                            Ok(200) => drop(whole.fetch_add(1, Ordering::Relaxed)),
                            Ok(404) => return,
                            // The store is too busy, as it may be while a machine stands still: nothing is told.
                            Ok(503) => {}
                            Ok(other) => panic!("{other}"),
                            Err(_) => {}
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    panic!("it was never erased");
                })
            })
            .collect();
        while whole.load(Ordering::Relaxed) < 4 {
            assert!(
                readers.iter().all(|reader| !reader.is_finished()),
                "nothing was read before"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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
            reader.await.expect("read until it was erased");
        }
        // What was asked for since is on record as refused, and names nobody.
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert_eq!(payer.count(&format!("ledger_entry WHERE subject = '{one}'")), 0);
        assert_eq!(found(&payer, &values, &[]), Vec::<String>::new());
    }
}
