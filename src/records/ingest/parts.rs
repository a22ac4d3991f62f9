//! The parts of a record: what was asked for, how far each has come, and where it goes on.

use super::scope::IngestScope;
use super::writer::IngestWriter;
use crate::error::{Failure, Fault};
use crate::failpoint;
use crate::store::Db;
use crate::store::ingest::{self as rows, PartRow, ProgressRow};

/// How far a part of a record has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartState {
    /// There is more to fetch.
    Open,
    /// All of it came.
    Whole,
    /// It came to its end, and fewer came than the partner said.
    Short,
    /// The partner does not give it.
    Refused,
    /// The partner's pages cannot be followed to their end.
    Broken,
}

impl PartState {
    const ALL: [PartState; 5] = [
        PartState::Open,
        PartState::Whole,
        PartState::Short,
        PartState::Refused,
        PartState::Broken,
    ];

    pub(super) const fn code(self) -> &'static str {
        match self {
            PartState::Open => "open",
            PartState::Whole => "whole",
            PartState::Short => "short",
            PartState::Refused => "refused",
            PartState::Broken => "broken",
        }
    }

    fn parse(code: &str) -> Result<PartState, Failure> {
        let found = PartState::ALL.into_iter().find(|state| state.code() == code);
        found.ok_or_else(|| Failure::new(Fault::StoreDamaged).because("a part has no known state"))
    }
}

/// A part of a record: a type, or everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordPart {
    /// Its name.
    pub name: String,
    /// How far it has come.
    pub state: PartState,
    /// Why it goes no further: the code of a fault.
    pub reason: Option<String>,
    /// Pages that came.
    pub pages: u64,
    /// Resources of the record that came, without those that were only included.
    pub entries: u64,
    /// How many the partner said there are.
    pub expected: Option<u64>,
    /// The link by which it goes on.
    pub next: Option<String>,
}

/// A body that came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LandedPage {
    /// Its bytes.
    pub bytes: u64,
    /// Its entries of any kind.
    pub entries: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// The part, with this body.
    pub part: RecordPart,
}

/// Makes the rows of an exchange and its parts, those that are not there yet. Returns all parts.
///
/// # Errors
/// Those of the store.
pub async fn open(
    scope: &IngestScope,
    writer: &IngestWriter,
    method: &str,
    names: &[String],
) -> Result<Vec<RecordPart>, Failure> {
    let (row, names, own) = (scope.row(method)?, names.to_vec(), scope.clone());
    let found = writer
        .write(move |db| {
            let there = rows::open(db, &row)?;
            own.same(&there)?;
            let known = rows::parts(db, &row.exchange_id)?;
            for name in names
                .iter()
                .filter(|name| !known.iter().any(|part| part.part == **name))
            {
                rows::put_part(db, &fresh(&row.exchange_id, name, row.updated_ms))?;
            }
            let parts = rows::parts(db, &row.exchange_id)?;
            failpoint::pass("ingest", "before-open");
            Ok(parts)
        })
        .await?;
    failpoint::pass("ingest", "opened");
    found.into_iter().map(|row| part_of(scope, row)).collect()
}

/// Returns the parts of an exchange. Blocks this thread.
///
/// # Errors
/// [`Fault::SealBroken`]; those of the store.
pub fn parts(scope: &IngestScope) -> Result<Vec<RecordPart>, Failure> {
    let found = scope
        .ctx
        .store
        .read_blocking(|db| rows::parts(db, scope.exchange_id()))?;
    found.into_iter().map(|row| part_of(scope, row)).collect()
}

/// Says that a part goes no further, and why; or opens it again, from where it stopped or, with `anew`, from its beginning.
///
/// # Errors
/// Those of the store.
pub async fn mark_part(
    scope: &IngestScope,
    writer: &IngestWriter,
    name: &str,
    state: PartState,
    reason: Option<Fault>,
    anew: bool,
) -> Result<(), Failure> {
    let (exchange_id, name, now_ms) = (
        scope.exchange_id().to_owned(),
        name.to_owned(),
        scope.ctx.clock.now_ms(),
    );
    writer
        .write(move |db| {
            if anew {
                rows::set_aside(db, &exchange_id, &name)?;
            }
            let there = rows::part(db, &exchange_id, &name)?;
            let before = there
                .filter(|_| !anew)
                .unwrap_or_else(|| fresh(&exchange_id, &name, now_ms));
            let row = PartRow {
                state: state.code().to_owned(),
                reason: reason.map(|fault| fault.code().to_owned()),
                updated_ms: now_ms,
                ..before
            };
            rows::put_part(db, &row)
        })
        .await
}

/// Lets these parts come again from their beginning, unless that was done in this round of the exchange already: an attempt that goes on does
/// not begin anew. `why` names the reason, each of which has its own turn. Returns whether it was done now.
///
/// # Errors
/// Those of the store.
pub async fn anew_once(
    scope: &IngestScope,
    writer: &IngestWriter,
    (why, round): (&str, u32),
    names: Vec<String>,
) -> Result<bool, Failure> {
    if names.is_empty() {
        return Ok(false);
    }
    let now_ms = scope.now_ms();
    let noted = ProgressRow {
        exchange_id: scope.exchange_id().to_owned(),
        step: format!("anew/{why}"),
        run: round.to_string(),
        pass: 0,
        page: 0,
        entry: 0,
        found: String::new(),
    };
    writer
        .write(move |db| {
            let before = rows::progress(db, &noted.exchange_id, &noted.step)?;
            if before.is_some_and(|before| before.run == noted.run) {
                return Ok(false);
            }
            for name in &names {
                anew(db, &noted.exchange_id, name, now_ms)?;
            }
            rows::put_progress(db, &noted)?;
            Ok(true)
        })
        .await
}

/// Makes parts that begin with a link (name, link), those that are not there yet.
///
/// # Errors
/// Those of the store.
pub async fn open_links(
    scope: &IngestScope,
    writer: &IngestWriter,
    links: Vec<(String, String)>,
) -> Result<(), Failure> {
    let (exchange_id, now_ms) = (scope.exchange_id().to_owned(), scope.now_ms());
    let mut made = Vec::with_capacity(links.len());
    for (name, link) in links {
        made.push(PartRow {
            sealed_next: Some(scope.seal.seal(&link_place(&name), link.as_bytes())?),
            ..fresh(&exchange_id, &name, now_ms)
        });
    }
    writer
        .write(move |db| {
            let known = rows::parts(db, &exchange_id)?;
            for row in made
                .iter()
                .filter(|row| !known.iter().any(|part| part.part == row.part))
            {
                rows::put_part(db, row)?;
            }
            Ok(())
        })
        .await
}

/// Lets a part come again from its beginning, in the caller's transaction.
pub(super) fn anew(db: &mut Db, exchange_id: &str, part: &str, now_ms: i64) -> Result<(), Failure> {
    rows::set_aside(db, exchange_id, part)?;
    rows::put_part(db, &fresh(exchange_id, part, now_ms))
}

fn fresh(exchange_id: &str, name: &str, now_ms: i64) -> PartRow {
    PartRow {
        exchange_id: exchange_id.to_owned(),
        part: name.to_owned(),
        state: PartState::Open.code().to_owned(),
        reason: None,
        pages: 0,
        entries: 0,
        expected: None,
        sealed_next: None,
        updated_ms: now_ms,
    }
}

pub(super) fn link_place(part: &str) -> String {
    format!("next/{part}")
}

fn part_of(scope: &IngestScope, row: PartRow) -> Result<RecordPart, Failure> {
    let next = row
        .sealed_next
        .map(|sealed| scope.seal.open(&link_place(&row.part), &sealed))
        .transpose()?
        .map(String::from_utf8)
        .transpose()
        .map_err(|_| Failure::new(Fault::SealBroken))?;
    let number = |count: i64| u64::try_from(count).unwrap_or(0);
    Ok(RecordPart {
        state: PartState::parse(&row.state)?,
        name: row.part,
        reason: row.reason,
        pages: number(row.pages),
        entries: number(row.entries),
        expected: row.expected.map(number),
        next,
    })
}
