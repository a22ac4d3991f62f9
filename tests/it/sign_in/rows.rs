//! The rows of sign-ins: how many there are at most, and that each is taken once.

use crate::support::store::TestStore;
use causeway::store::sign_ins::{self, SignInRow};

fn row(expires_ms: i64) -> SignInRow {
    SignInRow {
        session_before: Some(vec![9; 32]),
        place: "/console".to_owned(),
        expires_ms,
    }
}

#[test]
fn the_oldest_sign_in_gives_way_to_one_too_many() {
    let store = TestStore::fresh();
    let left = store.write_blocking(|db| {
        for at in 0..5_u8 {
            sign_ins::make_room(db, 3)?;
            sign_ins::insert(db, &[at; 32], &row(i64::from(at)))?;
        }
        let mut left = Vec::new();
        for at in 0..5_u8 {
            left.push(sign_ins::find(db, &[at; 32])?.is_some());
        }
        Ok(left)
    });
    assert_eq!(left.expect("written"), [false, false, true, true, true]);
}

#[test]
fn a_sign_in_is_taken_once_and_goes_when_it_has_ended() {
    let store = TestStore::fresh();
    let found = store.write_blocking(|db| {
        sign_ins::insert(db, &[1; 32], &row(1_000))?;
        sign_ins::insert(db, &[2; 32], &row(2_000))?;
        sign_ins::insert(db, &[3; 32], &row(3_000))?;
        let taken = [sign_ins::take(db, &[1; 32])?, sign_ins::take(db, &[1; 32])?];
        sign_ins::prune(db, 2_500)?;
        let kept = [sign_ins::find(db, &[2; 32])?, sign_ins::find(db, &[3; 32])?];
        Ok((taken, kept))
    });
    let (taken, kept) = found.expect("written");
    assert_eq!(taken, [Some(row(1_000)), None]);
    assert_eq!(kept, [None, Some(row(3_000))]);
}
