//! Looks at all members of whom a file tells, which cost much: one at a time for each file, and what it found stands for a moment for all who ask
//! meanwhile, unless the access to one of the members has ended since. Kept in memory only. Who may have a file is decided by whoever opens it.

use crate::context::Context;
use crate::error::Failure;
use crate::release::MembersBehind;
use crate::store::Db;
use std::collections::HashMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// How long a look stands.
const STANDS: Duration = Duration::from_millis(500);
/// Files of which looks are kept, each with as many hashes as it has members; above, those that are old and that nobody waits for are forgotten.
const FILES_MOST: usize = 32;

/// What a look found.
#[derive(Clone)]
pub(super) struct MembersLook {
    /// When it began, UTC milliseconds.
    pub looked_ms: i64,
    /// The members with a grant.
    pub behind: MembersBehind,
    /// A piece of the run with a member to whom the access had ended.
    pub gone: Option<i64>,
    /// The digest that the file would have if it were written now, where that was asked.
    pub sha256: Vec<u8>,
}

/// A look and until when it stands. Whoever looks holds the lock.
type Place = Arc<Mutex<Option<(Instant, MembersLook)>>>;

/// Whether a look still stands.
fn is_young(place: &Place) -> bool {
    let kept = place.try_lock();
    kept.is_ok_and(|kept| kept.as_ref().is_some_and(|(until, _)| Instant::now() < *until))
}

/// The looks of this process, by the names of the files.
#[derive(Default)]
pub struct BulkLooks(StdMutex<HashMap<String, Place>>);

impl BulkLooks {
    /// What was found about the members of the file `name` of `partner` a moment ago, or what `look` finds now.
    ///
    /// # Errors
    /// Those of `look` and of the store.
    pub(super) async fn look(
        &self,
        ctx: &Context,
        (partner, name): (&str, &str),
        look: impl Future<Output = Result<MembersLook, Failure>>,
    ) -> Result<MembersLook, Failure> {
        let still = async |found: MembersLook| {
            let (partner, since_ms) = (partner.to_owned(), found.looked_ms);
            let left = move |db: &mut Db| found.behind.have_left(db, &partner, since_ms);
            ctx.store.read(left).await.map(|has_left| !has_left)
        };
        self.found(name, still, async {
            tracing::debug!(bulk.file = name, "all members of a file are looked at");
            look.await
        })
        .await
    }

    async fn found(
        &self,
        name: &str,
        still: impl AsyncFnOnce(MembersLook) -> Result<bool, Failure>,
        look: impl Future<Output = Result<MembersLook, Failure>>,
    ) -> Result<MembersLook, Failure> {
        let place = self.place(name);
        let mut kept = place.lock().await;
        let young = kept.take().filter(|(until, _)| Instant::now() < *until);
        if let Some((until, found)) = young
            && still(found.clone()).await?
        {
            *kept = Some((until, found.clone()));
            return Ok(found);
        }
        let found = look.await?;
        *kept = Some((Instant::now() + STANDS, found.clone()));
        Ok(found)
    }

    fn place(&self, name: &str) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= FILES_MOST {
            places.retain(|_, place| Arc::strong_count(place) > 1 || is_young(place));
        }
        Arc::clone(places.entry(name.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn found() -> MembersLook {
        MembersLook {
            looked_ms: 0,
            behind: MembersBehind::under_grants(std::iter::empty()),
            gone: None,
            sha256: Vec::new(),
        }
    }

    async fn ask((looks, walks): (&BulkLooks, &AtomicUsize), name: &str, stands: bool) {
        let look = async {
            walks.fetch_add(1, Ordering::AcqRel);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(found())
        };
        let done = looks.found(name, async |_| Ok(stands), look).await;
        done.expect("a look");
    }

    #[tokio::test]
    async fn many_who_ask_at_once_share_one_look_until_it_is_old_or_somebody_left() {
        // A look gets old while the machine stands still: then again.
        for _ in 0..20 {
            let (looks, walks) = (BulkLooks::default(), AtomicUsize::new(0));
            let (all, begun) = ((&looks, &walks), Instant::now());
            let seen = || walks.load(Ordering::Acquire);
            futures_util::future::join_all((0..50).map(|_| ask(all, "a", true))).await;
            let at_once = seen();
            ask(all, "b", true).await;
            let another = seen();
            ask(all, "a", false).await;
            let left = seen();
            ask(all, "a", true).await;
            let stands = seen();
            if begun.elapsed() >= STANDS {
                continue;
            }
            assert_eq!(at_once, 1);
            assert_eq!(another, 2, "another file");
            assert_eq!(left, 3, "somebody has left");
            assert_eq!(stands, 3);
            tokio::time::sleep(STANDS).await;
            ask(all, "a", true).await;
            assert_eq!(seen(), 4, "it is old");
            return;
        }
        panic!("each time it took longer than a look stands");
    }

    #[tokio::test]
    async fn looks_that_are_old_are_not_kept() {
        let (looks, walks) = (BulkLooks::default(), AtomicUsize::new(0));
        let kept = || looks.0.lock().expect("the places").len();
        let names: Vec<String> = (0..FILES_MOST).map(|number| number.to_string()).collect();
        futures_util::future::join_all(names.iter().map(|name| ask((&looks, &walks), name, true))).await;
        assert_eq!(kept(), FILES_MOST);
        tokio::time::sleep(STANDS).await;
        ask((&looks, &walks), "one more", true).await;
        assert_eq!(kept(), 1);
    }
}
