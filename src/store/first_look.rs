//! The first read of a match: everything that the request alone determines, in one statement.
//!
//! It reads the active policy and the roster's number, the blocks of the request's keys, the few members that share most of these keys
//! (each with the consent and grant stored for this partner), the review of the same question, and the links of the partner's member
//! number. Anything else that a match needs is read later.

use super::Db;
use super::identity::{BLOCK_MAX, Blocks};
use super::insert::kept;
use super::links;
use super::matching::{KnownConsent, PossibleMember};
use super::policies::ActiveRow;
use super::reviews::ReviewStanding;
use super::statement::{Bind, Statement};
use crate::error::Failure;
use crate::identity::LookupKey;
use crate::identity::graph::{PersonLink, SourceId};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use std::sync::LazyLock;

/// How many keys one statement takes; the smallest size that holds them is used. Keys beyond the largest size are read later.
const SIZES: [usize; 4] = [8, 16, 24, 32];
/// How many members the statement describes.
const MEMBERS: usize = 8;

/// What the statement looks for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// The partner that asks.
    pub partner_id: &'a str,
    /// Now, UTC milliseconds: the version of the matching policy is the one that decides then.
    pub now_ms: i64,
    /// Digest of the consent that came with the request.
    pub consent_digest: &'a [u8],
    /// Keyed hash of the question: who asks for whom.
    pub question: &'a [u8],
    /// The identifier under which the partner knows the person.
    pub number: Option<&'a SourceId>,
    /// The blocking keys that a request looks up first.
    pub keys: &'a [LookupKey],
}

/// A member who shares a key with the request.
#[derive(Clone, Debug)]
pub struct SharedKeyMember {
    /// The member, and what is stored about this consent.
    pub found: PossibleMember,
    /// The packed profile.
    pub profile: Vec<u8>,
    /// Whether a person must still decide if this partner may have the member, as [`links::withheld`] defines it.
    pub is_withheld: bool,
}

/// What the statement found.
#[derive(Debug, Default)]
pub struct Look {
    /// Which versions of the matching policy run.
    pub active: ActiveRow,
    /// Number of the roster's latest state; 0 before there is one.
    pub roster_no: i64,
    /// The blocks of the keys.
    pub blocks: Blocks,
    /// The members who share most keys; not every member who shares one.
    pub members: Vec<SharedKeyMember>,
    /// The review of this question, if there is one.
    pub standing: Option<ReviewStanding>,
    /// The links of the partner's member number.
    pub links: Vec<PersonLink>,
}

struct Texts<const N: usize>;

type Row = (
    BigInt,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Binary>,
);
type Words = [Option<String>; 7];
type Values = (
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
);

/// The first column of a row: what the row describes.
const BLOCK: i64 = 0;
const MEMBER: i64 = 1;
const POLICY: i64 = 2;
const ROSTER: i64 = 3;
const REVIEW: i64 = 4;
const LINK: i64 = 5;
const ACTIVATION: i64 = 6;

/// The SELECT of the blocks on SQLite, for `size` keys: one for each, since SQLite has no lists.
fn blocks(size: usize) -> String {
    let block = |slot: usize| {
        format!(
            "SELECT * FROM (SELECT CAST({slot} AS BIGINT) AS slot, compartment FROM identity_key WHERE hash = ? \
             ORDER BY compartment LIMIT {}) b{slot}",
            BLOCK_MAX + 1
        )
    };
    (0..size).map(block).collect::<Vec<_>>().join(" UNION ALL ")
}

/// The SELECT of the blocks on PostgreSQL: a list of keys is one value, and one plan.
fn blocks_of_list() -> String {
    format!(
        "SELECT u.no - 1 AS slot, f.compartment FROM unnest(?) WITH ORDINALITY u(hash, no) CROSS JOIN LATERAL \
         (SELECT compartment FROM identity_key WHERE hash = u.hash ORDER BY compartment LIMIT {}) f",
        BLOCK_MAX + 1
    )
}

/// Builds the statement around the SELECT of the blocks. `blob` and `row_version` are the database's own expressions. The limits are
/// literal, because PostgreSQL would plan a statement with a bound limit at each call. The first SELECT returns no row; it gives the columns
/// their types. The CROSS JOINs fix the order in which SQLite reads the tables.
fn text(blocks: &str, blob: &str, row_version: &str) -> String {
    let (number, word) = ("CAST(NULL AS BIGINT)", "CAST(NULL AS TEXT)");
    format!(
        "WITH b AS ({blocks}), \
         n AS (SELECT compartment FROM b GROUP BY compartment ORDER BY COUNT(*) DESC, compartment LIMIT {MEMBERS}) \
         SELECT {number}, {number}, {number}, {number}, {number}, {word}, {word}, {word}, {word}, {word}, {word}, {word}, \
         CAST(NULL AS {blob}) WHERE 1 = 0 \
         UNION ALL SELECT {BLOCK}, slot, compartment, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM b \
         UNION ALL SELECT {MEMBER}, c.no, k.revoked_ms, g.revoked_ms, CASE WHEN {withheld} THEN 1 ELSE 0 END, \
         c.patient_id, c.umb, k.id, g.id, {row_version}, NULL, NULL, p.profile \
         FROM n CROSS JOIN identity_profile p CROSS JOIN compartment c \
         LEFT JOIN consent k ON k.partner_id = ? AND k.patient_id = c.patient_id AND k.digest = ? \
         LEFT JOIN grants g ON g.partner_id = k.partner_id AND g.compartment = c.no AND g.consent_id = k.id \
         WHERE p.compartment = n.compartment AND c.no = n.compartment \
         UNION ALL SELECT {POLICY}, NULL, NULL, NULL, NULL, version_id, shadow_id, NULL, NULL, NULL, NULL, NULL, NULL \
         FROM policy_active WHERE kind = ? \
         UNION ALL SELECT {ACTIVATION}, NULL, NULL, NULL, NULL, version_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL FROM ({deciding}) a \
         UNION ALL SELECT {ROSTER}, no, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL \
         FROM (SELECT no FROM identity_roster ORDER BY no DESC LIMIT 1) r \
         UNION ALL SELECT {REVIEW}, version, NULL, NULL, NULL, id, state, patient_id, NULL, NULL, NULL, NULL, NULL \
         FROM review WHERE partner_id = ? AND asked = ? \
         UNION ALL SELECT {LINK}, confidence, from_ms, until_ms, version, id, kind, patient_id, state, origin, decision_id, \
         review_id, NULL FROM (SELECT * FROM identity_link WHERE source = ? AND system = ? AND value = ? ORDER BY id LIMIT {links}) l",
        deciding = super::activations::DECIDING_SQL,
        withheld = links::WITHHELD,
        links = links::OF_A_NUMBER,
    )
}

static SQLITE: LazyLock<[&'static str; SIZES.len()]> =
    LazyLock::new(|| SIZES.map(|size| kept(text(&blocks(size), "BLOB", "NULL"))));
static POSTGRES: LazyLock<&'static str> =
    LazyLock::new(|| kept(text(&blocks_of_list(), "BYTEA", "CAST(c.xmin AS TEXT)")));

/// The text of PostgreSQL is the same for all sizes, and so is its tag.
const LIST: usize = 0;

fn load<const N: usize>(db: &mut Db, size: usize, sought: &Sought<'_>) -> Result<Vec<Values>, Failure> {
    // An unused slot searches for a hash that no key has.
    let hashes = sought.keys.iter().map(|key| key.hash).chain(std::iter::repeat(0));
    match db {
        Db::Pg(pg) => {
            let hashes: Vec<i64> = hashes.take(N).collect();
            let binds = binds(vec![Bind::Bigs(&hashes)], sought);
            Ok(Statement::<Texts<LIST>, Row>::new(*POSTGRES, binds).load(pg)?)
        }
        Db::Sqlite(sqlite) => {
            let binds = binds(hashes.take(N).map(Bind::Big).collect(), sought);
            Ok(Statement::<Texts<N>, Row>::new(SQLITE[size], binds).load(sqlite)?)
        }
    }
}

/// All values of the statement: those of the keys, then those that do not depend on the database.
fn binds<'s>(mut binds: Vec<Bind<'s>>, sought: &Sought<'s>) -> Vec<Bind<'s>> {
    let partner = Bind::Text(sought.partner_id);
    // No identifier is empty, so an empty one finds nothing.
    let (system, value) = sought
        .number
        .map_or(("", ""), |number| (number.system.as_str(), number.value.as_str()));
    binds.extend([
        partner,
        partner,
        partner,
        Bind::Blob(sought.consent_digest),
        Bind::Text(super::policies::MATCHING),
        Bind::Text(super::policies::MATCHING),
        partner,
        Bind::Big(sought.now_ms),
        partner,
        Bind::Blob(sought.question),
        partner,
        Bind::Text(system),
        Bind::Text(value),
    ]);
    binds
}

/// Reads everything that a match needs first.
///
/// # Errors
/// Those of the database; [`Fault::StoreDamaged`](crate::error::Fault::StoreDamaged) for a link that cannot be read.
pub fn first_look(db: &mut Db, sought: &Sought<'_>) -> Result<Look, Failure> {
    let most = SIZES[SIZES.len() - 1];
    let sought = Sought {
        keys: sought.keys.get(..most).unwrap_or(sought.keys),
        ..*sought
    };
    let size = SIZES.iter().position(|size| sought.keys.len() <= *size).unwrap_or(0);
    let rows = match size {
        0 => load::<{ SIZES[0] }>(db, size, &sought),
        1 => load::<{ SIZES[1] }>(db, size, &sought),
        2 => load::<{ SIZES[2] }>(db, size, &sought),
        _ => load::<{ SIZES[3] }>(db, size, &sought),
    }?;
    let mut look = Look::default();
    let mut pairs = Vec::with_capacity(rows.len());
    let mut activated = None;
    for (what, n1, n2, n3, n4, t1, t2, t3, t4, t5, t6, t7, bytes) in rows {
        let (numbers, words) = ([n1, n2, n3, n4], [t1, t2, t3, t4, t5, t6, t7]);
        match (what, numbers) {
            (BLOCK, [Some(slot), Some(compartment), ..]) => pairs.push((slot, compartment)),
            (MEMBER, [Some(no), ..]) => look.members.extend(seen(no, numbers, words, bytes)),
            (POLICY, _) => {
                let [version_id, shadow_id, ..] = words;
                look.active.version_id = version_id;
                look.active.shadow_id = shadow_id;
            }
            (ACTIVATION, _) => {
                let [version_id, ..] = words;
                activated = version_id;
            }
            (ROSTER, [Some(no), ..]) => look.roster_no = no,
            (REVIEW, [Some(version), ..]) => look.standing = standing(version, words),
            (LINK, _) => {
                if let Some(number) = sought.number {
                    look.links.push(links::of_columns(number, numbers, words)?);
                }
            }
            _ => {}
        }
    }
    // What was activated before acts had scopes decides only where no act does.
    look.active.version_id = activated.or(look.active.version_id.take());
    look.links.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    look.blocks.add(sought.keys, &pairs);
    Ok(look)
}

fn seen(no: i64, numbers: [Option<i64>; 4], words: Words, profile: Option<Vec<u8>>) -> Option<SharedKeyMember> {
    let [_, consent_revoked, grant_revoked, withheld] = numbers;
    let [patient_id, umb, consent_id, grant_id, row_version, ..] = words;
    Some(SharedKeyMember {
        found: PossibleMember {
            compartment: no,
            patient_id: patient_id?,
            umb: umb?,
            known: consent_id.map(|consent_id| KnownConsent {
                consent_id,
                grant_id,
                revoked: consent_revoked.is_some() || grant_revoked.is_some(),
            }),
            row_version,
        },
        profile: profile?,
        is_withheld: withheld == Some(1),
    })
}

fn standing(version: i64, words: Words) -> Option<ReviewStanding> {
    let [id, state, patient_id, ..] = words;
    Some(ReviewStanding {
        id: id?,
        state: state?,
        patient_id,
        version,
    })
}
