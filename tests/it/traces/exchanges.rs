//! An exchange that this payer begins, as a trace: one for all its steps, and the one that its partner is told.

use crate::exchange::pair::Pair;
use crate::support::collector::{Collector, GotSpan, personal};
use std::collections::BTreeSet;

/// The first member comes by `$everything`; of the second, the partner gives nothing in that way.
const SCRIPT: &str = r#"
[[member]]
number = "S-1"
resources = 12
[[member]]
number = "S-2"
resources = 12
[[rule]]
route = "everything"
member = "S-2"
acts = [{ answer = { status = 400 } }]
"#;

fn named<'a>(spans: &'a [GotSpan], name: &str, exchange: &str) -> Vec<&'a GotSpan> {
    spans
        .iter()
        .filter(|span| span.name == name && span.says("causeway.exchange") == exchange)
        .collect()
}

/// Whether the job of each attempt came that came itself; it ends a little later.
fn has_jobs(spans: &[GotSpan]) -> bool {
    let mut attempts = spans.iter().filter(|span| span.name == "attempt");
    attempts.all(|attempt| {
        spans
            .iter()
            .any(|span| span.name == "job" && attempt.links.contains(&span.trace))
    })
}

#[test]
fn an_exchange_is_one_trace_which_its_partner_is_told_and_tells_nothing_of_a_person() {
    let collector = Collector::that(&[]);
    let mut pair = Pair::prepare(SCRIPT);
    pair.payer
        .serve_with(&[("CAUSEWAY_LOG__OTLP_ENDPOINT", collector.endpoint())]);
    let (first, second) = (pair.ask_for(1), pair.ask_for(2));
    let shown = pair.ended(&first);
    assert_eq!(shown["phase"], "completed", "{shown:#}\n{}", pair.payer.log());
    pair.await_show(&second, |shown| {
        !shown["ended_at"].is_null() || shown["phase"] == "partially_resolved" || shown["owner"] == "operator"
    });
    collector.await_spans("whole exchange and fallback", |spans| {
        let fell_back = named(spans, "attempt", &second)
            .iter()
            .any(|span| span.events.iter().any(|event| event == "fallback"));
        fell_back && !named(spans, "exchange", &first).is_empty() && has_jobs(spans)
    });
    assert_eq!(pair.payer.terminate(), Some(0), "{}", pair.payer.log());

    let spans = collector.spans();
    let whole = named(&spans, "exchange", &first);
    let [whole] = whole[..] else {
        panic!("{spans:#?}");
    };
    assert_eq!((whole.says("causeway.outcome"), &whole.parent), ("completed", &None));
    assert_eq!(whole.says("causeway.partner"), "sandbox");
    let attempts = named(&spans, "attempt", &first);
    let steps = named(&spans, "step", &first);
    for step in &steps {
        assert_eq!((&step.trace, &step.parent), (&whole.trace, &Some(whole.id.clone())));
        assert!(whole.began_ns <= step.began_ns, "{step:#?}");
    }
    for attempt in &attempts {
        let above = steps.iter().find(|step| attempt.parent.as_ref() == Some(&step.id));
        let above = above.unwrap_or_else(|| panic!("no step of {attempt:#?} in {steps:#?}"));
        assert_eq!((&attempt.trace, attempt.kind), (&whole.trace, 3));
        assert_eq!(attempt.says("causeway.step"), above.says("causeway.step"));
        assert!(!attempt.says("causeway.class").is_empty(), "{attempt:#?}");
        // The job in which it was made is another trace.
        assert!(attempt.links.len() == 1 && attempt.links[0] != whole.trace);
        let job = spans
            .iter()
            .find(|span| span.name == "job" && span.trace == attempt.links[0]);
        assert_eq!(job.expect("its job").says("causeway.job_kind"), "exchange");
    }
    for step in ["token", "member_match", "retrieve", "check", "store", "acknowledge"] {
        let of_it = steps.iter().filter(|span| span.says("causeway.step") == step).count();
        assert!(of_it > 0, "{step}: {steps:#?}");
    }
    assert_ne!(
        named(&spans, "attempt", &second)[0].trace,
        whole.trace,
        "each exchange has a trace of its own"
    );

    // Another way was taken when the first one did not work.
    let retrieved = named(&spans, "attempt", &second)
        .into_iter()
        .filter(|span| span.says("causeway.step") == "retrieve");
    let events: Vec<String> = retrieved.flat_map(|span| span.events.clone()).collect();
    assert!(events.iter().any(|event| event == "fallback"), "{events:?}");

    let jobs: Vec<&GotSpan> = spans.iter().filter(|span| span.name == "job").collect();
    let traces: BTreeSet<&str> = jobs.iter().map(|job| job.trace.as_str()).collect();
    assert_eq!(traces.len(), jobs.len(), "a job is a trace of its own");
    for job in jobs {
        assert!(job.parent.is_none() && job.kind == 1, "{job:#?}");
        assert!(
            !job.says("causeway.job").is_empty() && !job.says("causeway.outcome").is_empty(),
            "{job:#?}"
        );
    }

    what_the_partner_got(&pair, &spans, whole, &shown["correlation_id"]);
    let mut texts = BTreeSet::new();
    for (number, member) in (1..).zip(pair.sandbox.members()) {
        personal(&member.demographics(&format!("m{number}")), &mut texts);
        texts.extend([member.number.clone(), member.birth_date.clone(), member.umb.clone()]);
        texts.insert(format!("Patient/m{number}"));
    }
    collector.assert_has_none_of(&texts);
}

/// The partner got the trace of the exchange with the span of the attempt, and neither `tracestate` nor `baggage`.
fn what_the_partner_got(pair: &Pair, spans: &[GotSpan], whole: &GotSpan, correlation: &serde_json::Value) {
    let requests = pair.sandbox.control().requests();
    let of_it = requests
        .iter()
        .filter(|request| request.correlation_id.as_deref() == correlation.as_str());
    let mut seen = 0;
    for request in of_it {
        let told = request.traceparent.as_deref().expect("a traceparent");
        let parts: Vec<&str> = told.split('-').collect();
        assert_eq!(
            (parts[0], parts[1], parts[3]),
            ("00", whole.trace.as_str(), "01"),
            "{told}"
        );
        let attempt = spans.iter().find(|span| span.id == parts[2]);
        assert_eq!(attempt.expect("the attempt").name, "attempt", "{told}");
        seen += 1;
    }
    assert!(seen >= 3, "{requests:#?}");
    for request in &requests {
        let dropped = request
            .headers
            .iter()
            .filter(|(name, _)| name == "tracestate" || name == "baggage");
        assert_eq!(dropped.count(), 0, "{request:#?}");
    }
}

/// The partner gives no token when it is asked for the first time.
const BUSY: &str = "members = { count = 1, resources = 12 }\n[[rule]]\nroute = \"token\"\nrequests = \"1\"\n\
                    acts = [{ answer = { status = 503 } }]\n";

#[test]
fn an_attempt_that_is_tried_again_stands_below_a_step_too() {
    let collector = Collector::that(&[]);
    let mut pair = Pair::prepare(BUSY);
    pair.payer
        .serve_with(&[("CAUSEWAY_LOG__OTLP_ENDPOINT", collector.endpoint())]);
    let id = pair.ask();
    let shown = pair.ended(&id);
    assert_eq!(shown["phase"], "completed", "{shown:#}\n{}", pair.payer.log());
    collector.await_spans("whole exchange", |spans| {
        !named(spans, "exchange", &id).is_empty() && has_jobs(spans)
    });
    assert_eq!(pair.payer.terminate(), Some(0), "{}", pair.payer.log());

    let spans = collector.spans();
    let (attempts, steps) = (named(&spans, "attempt", &id), named(&spans, "step", &id));
    for attempt in &attempts {
        let above = steps.iter().find(|step| attempt.parent.as_ref() == Some(&step.id));
        assert!(above.is_some(), "no step of {attempt:#?} in {steps:#?}");
    }
    let again = attempts
        .iter()
        .filter(|span| span.says("causeway.step") == "token" && span.events.iter().any(|event| event == "retry"));
    assert_eq!(again.count(), 1, "{attempts:#?}");
}

#[test]
fn without_a_collector_a_partner_is_told_the_trace_of_the_correlation_id_and_that_nobody_keeps_it() {
    let pair = Pair::start("members = { count = 1, resources = 12 }");
    let shown = pair.ended(&pair.ask());
    let correlation = shown["correlation_id"].as_str().expect("an id");
    let trace = causeway::secret::hex(&causeway::telemetry::spans::trace_of(correlation));
    let requests = pair.sandbox.control().requests();
    let of_it = requests
        .iter()
        .filter(|request| request.correlation_id.as_deref() == Some(correlation));
    let told: Vec<&str> = of_it.filter_map(|request| request.traceparent.as_deref()).collect();
    assert!(told.len() >= 3, "{requests:#?}");
    for traceparent in &told {
        assert!(
            traceparent.starts_with(&format!("00-{trace}-")) && traceparent.ends_with("-00"),
            "{traceparent}"
        );
    }
    let spans: BTreeSet<&str> = told.iter().map(|told| &told[36..52]).collect();
    assert_eq!(spans.len(), told.len(), "each call has a span of its own");
}
