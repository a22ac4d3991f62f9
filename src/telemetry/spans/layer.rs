//! The part of the log's subscriber that makes spans of this program out of those of `tracing`. Spans of libraries are passed over.
//!
//! `tracing` knows which span is inside of which, through tasks and threads. What a span says stands in its [`SpanRecord`] and never among the
//! fields of `tracing`, so that the log has nothing of it.

use super::context::SpanContext;
use super::queue::SpanQueue;
use super::record::SpanRecord;
use super::share::SpanShare;
use super::words::{SPANS, SpanName};
use crate::clock::Clock;
use crate::secret::random_of_many;
use tracing::Subscriber;
use tracing::span::{Attributes, Id};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// Hands over each span that is kept, when it ends. Clones share the queue.
#[derive(Clone, Debug)]
pub struct SpanLayer {
    queue: SpanQueue,
    share: SpanShare,
}

impl SpanLayer {
    /// One that keeps this share of traces, and hands their spans to `queue`.
    pub fn new(queue: SpanQueue, share: SpanShare) -> SpanLayer {
        SpanLayer { queue, share }
    }

    /// The share of traces that are kept.
    pub fn share(&self) -> SpanShare {
        self.share
    }

    /// Hands over an ended span, if it is kept.
    pub fn take(&self, span: SpanRecord) {
        if span.context.is_kept {
            self.queue.put(span);
        }
    }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let metadata = attributes.metadata();
        if metadata.target() != SPANS {
            return;
        }
        let (Some(name), Some(span)) = (SpanName::parse(metadata.name()), context.span(id)) else {
            return;
        };
        let above = span.parent().and_then(|parent| {
            parent.scope().find_map(|span| {
                let extensions = span.extensions();
                extensions.get::<SpanRecord>().map(|record| record.context)
            })
        });
        let own: [u8; 8] = random_of_many();
        let own = match above {
            Some(above) => SpanContext { span: own, ..above },
            None => SpanContext {
                trace: random_of_many(),
                span: own,
                is_kept: self.share.keeps(own),
            },
        };
        let record = SpanRecord::new(name, own, above.map(|above| above.span), Clock::System.now_us());
        span.extensions_mut().insert(record);
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        let ended = span.extensions_mut().remove::<SpanRecord>();
        if let Some(mut record) = ended {
            record.ended_us = Clock::System.now_us().max(record.started_us);
            self.take(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::open;
    use super::super::words::{SpanKey, SpanNote, SpanValue};
    use super::*;
    use std::time::Duration;
    use tracing::Instrument as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    /// The spans that `work` makes, in the order of their ends.
    fn made(percent: u32, work: impl FnOnce()) -> Vec<SpanRecord> {
        let queue = SpanQueue::default();
        let layer = SpanLayer::new(queue.clone(), SpanShare::percent(percent));
        let subscriber = tracing_subscriber::registry().with(Some(layer));
        tracing::subscriber::with_default(subscriber, work);
        queue.close(Duration::ZERO);
        let mut all = Vec::new();
        while let Some(some) = queue.take() {
            all.extend(some);
        }
        all
    }

    #[test]
    fn every_span_has_the_name_of_the_table() {
        let spans = made(100, || {
            for name in SpanName::ALL {
                drop(open::open(name));
            }
        });
        let names: Vec<SpanName> = spans.iter().map(|span| span.name).collect();
        assert_eq!(names, SpanName::ALL);
    }

    #[test]
    fn spans_stand_inside_of_each_other_also_through_those_of_libraries() {
        let spans = made(100, || {
            let request = open::open(SpanName::Request);
            let _in_request = request.enter();
            let library = tracing::info_span!("of a library", member = "Ana Lima");
            let _in_library = library.enter();
            let identify = open::open(SpanName::Identify);
            open::put(&identify, SpanKey::Outcome, "none");
            identify.in_scope(|| open::note(SpanNote::Fallback, Vec::new()));
            open::put(&tracing::Span::current(), SpanKey::Status, SpanValue::Count(200));
            tracing::info!(member = "Ana Lima", "a line of the log");
        });
        let [identify, request] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!(
            (identify.name, identify.parent),
            (SpanName::Identify, Some(request.context.span))
        );
        assert_eq!(identify.context.trace, request.context.trace);
        assert_eq!(identify.attributes, [(SpanKey::Outcome, SpanValue::Word("none"))]);
        assert_eq!(identify.notes.len(), 1);
        assert_eq!(request.parent, None);
        assert_eq!(request.attributes, [(SpanKey::Status, SpanValue::Count(200))]);
        assert!(request.started_us <= identify.started_us && identify.ended_us <= request.ended_us);
        assert!(!format!("{spans:?}").contains("Ana"));
    }

    #[test]
    fn the_trace_of_a_caller_goes_on_and_its_flag_decides_nothing() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        let own = "00-4bf92f3577b34da6a3ce929d0e0e4736-0101010101010101-00";
        for (percent, kept) in [(100, 2), (0, 0)] {
            for flags in ["00", "01"] {
                let spans = made(percent, || {
                    let request = open::open(SpanName::Request);
                    let context = open::answers(&request, own, Some(&format!("{given}-{flags}")));
                    let context = context.expect("an open span");
                    assert_eq!(context.is_kept, percent == 100);
                    request.in_scope(|| {
                        drop(open::open(SpanName::Write));
                        assert_eq!(open::current(), Some(context));
                    });
                });
                assert_eq!(spans.len(), kept);
                for span in &spans {
                    assert_eq!(crate::secret::hex(&span.context.trace), &given[3..35]);
                }
                if let [write, request] = &spans[..] {
                    assert_eq!(write.parent, Some([1; 8]));
                    assert_eq!(
                        (request.context.span, request.parent),
                        ([1; 8], Some([0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]))
                    );
                }
            }
        }
    }

    #[test]
    fn a_span_is_at_its_place_in_every_task() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let spans = made(100, || {
            runtime.block_on(async {
                let job = open::open(SpanName::Job);
                let work = async {
                    tokio::task::yield_now().await;
                    drop(open::open(SpanName::Attempt));
                };
                work.instrument(job.clone()).await;
                assert_eq!(open::current(), None, "nothing is open here");
                open::note(SpanNote::Retry, Vec::new());
            });
        });
        let [attempt, job] = &spans[..] else {
            panic!("{spans:?}");
        };
        assert_eq!(attempt.parent, Some(job.context.span));
        assert!(job.notes.is_empty());
    }

    #[test]
    fn counts_add_up_over_all_handles_of_a_span() {
        for (percent, kept) in [(100, 1), (0, 0)] {
            let spans = made(percent, || {
                let release = open::open(SpanName::Release);
                for handle in [release.clone(), release] {
                    open::add(&handle, SpanKey::Bytes, 40_u64);
                    open::put_id(&handle, SpanKey::Partner, "new-payer");
                }
                let most = open::open(SpanName::Release);
                open::forget(&most);
                open::add(&most, SpanKey::Bytes, u64::MAX);
            });
            assert_eq!(spans.len(), kept);
            for span in &spans {
                assert_eq!(
                    span.attributes,
                    [
                        (SpanKey::Bytes, SpanValue::Count(80)),
                        (SpanKey::Partner, SpanValue::id("new-payer"))
                    ]
                );
            }
        }
    }

    #[test]
    fn a_count_that_is_too_large_stays_at_the_largest() {
        let spans = made(100, || {
            let release = open::open(SpanName::Release);
            open::add(&release, SpanKey::Bytes, u64::MAX);
            open::add(&release, SpanKey::Bytes, 1_u64);
        });
        assert_eq!(spans[0].attributes, [(SpanKey::Bytes, SpanValue::Count(i64::MAX))]);
    }

    #[test]
    fn without_the_layer_nothing_is_open() {
        let span = open::open(SpanName::Request);
        open::put(&span, SpanKey::Outcome, "none");
        assert_eq!(open::answers(&span, "", None), None);
        assert_eq!((open::current(), open::share()), (None, None));
    }
}
