//! One piece of an export: the records of some members, or the shared resources that the records refer to, written to files by type.
//!
//! A piece that an earlier attempt wrote in part is written again under new names; files without a row go with the folder of their run.

use super::asked::ExportAsked;
use crate::bulk::files::{self, BulkFiles, FileWriter};
use crate::bulk::receipt::{self, LeftOut};
use crate::error::{Failure, Fault};
use crate::jobs::HeldJob;
use crate::release::{self, ResourceName, WholeRecordPart};
use crate::store::bulk::{self as rows, BulkFileRow, BulkJobRow, BulkPieceRow, ERROR, MEMBERS, NAMES, OUTPUT};
use crate::store::disclosure::DisclosureBasis;
use crate::store::granted_members;
use crate::store::partners;
use crate::store::record_rows::Window;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// How often a piece begins again because access to one of its members ended meanwhile; then the runner tries again later.
const TRIES: usize = 5;

/// A piece that is to be written.
pub(super) struct PieceWork<'w> {
    pub(super) held: &'w HeldJob,
    pub(super) files: &'w BulkFiles,
    pub(super) row: &'w BulkJobRow,
    pub(super) asked: &'w ExportAsked,
    pub(super) window: &'w Window,
    pub(super) piece: &'w BulkPieceRow,
}

/// The files of a piece while they are written, by type.
struct Written<'w> {
    work: &'w PieceWork<'w>,
    by_type: BTreeMap<String, FileWriter>,
    count: usize,
    /// The resources of the member whose record is being written, by type.
    of_member: BTreeMap<String, u64>,
}

impl PieceWork<'_> {
    /// Writes the records of the piece's members.
    ///
    /// # Errors
    /// Those of the store and the files; [`Fault::PartnerSuspended`] while the partner may read nothing.
    pub(super) fn members(&self) -> Result<Vec<BulkFileRow>, Failure> {
        for _ in 0..TRIES {
            if let Some(written) = self.try_members()? {
                return Ok(written);
            }
        }
        Err(Failure::new(Fault::Internal).because("access to the members of a piece ended again and again"))
    }

    /// `None` when access to one of the members ended meanwhile: nothing of it may be in the files.
    fn try_members(&self) -> Result<Option<Vec<BulkFileRow>>, Failure> {
        let (ctx, partner) = (self.held.ctx(), &self.row.partner_id);
        let now_ms = ctx.clock.now_ms();
        let (members, piece) = (self.asked.members(self.row, now_ms), self.piece);
        let (version, grants) = ctx.store.read_blocking(|db| {
            let version = granted_members::active_version(db, partner)?;
            let grants = granted_members::between(db, &members, &piece.first_key, &piece.last_key)?;
            Ok((version, grants))
        })?;
        let basis = DisclosureBasis {
            partner: partner.clone(),
            partner_version: version.ok_or(Fault::PartnerSuspended)?,
            // No token: the reader's own is checked at the download.
            token_sha256: [0; 32],
            begun_ms: now_ms,
        };
        let mut written = Written::of(self);
        let mut list = self.begin(MEMBERS, MEMBERS)?;
        let mut names = release::each_record(ctx, &basis, &grants, self.window, &mut |grant, part| match part {
            WholeRecordPart::Row(row) => written.line(&grant.id, row),
            WholeRecordPart::End => {
                let counts = std::mem::take(&mut written.of_member);
                list.line(&grant.id, receipt::member_line(&grant.patient_id, &counts).as_bytes())
            }
        })?;
        if self.asked.is_narrowed() && release::brings_shared(self.window) {
            // A shared resource may have changed when nothing that refers to it has.
            for grant in &grants {
                release::each_name(ctx, &basis, grant, &self.asked.readable_window(), &mut names)?;
            }
        }
        if !release::all_stand(ctx, &basis, &grants)? {
            return Ok(None);
        }
        let mut all = written.files();
        all.push(list);
        all.push(self.names(&names)?);
        let left_out = usize::try_from(piece.members).unwrap_or(0).saturating_sub(grants.len());
        if left_out > 0 {
            let count = i64::try_from(left_out).unwrap_or(i64::MAX);
            all.push(self.absent(count, "after")?);
        }
        files::finish(all, now_ms).map(Some)
    }

    /// Writes the shared resources that the pieces before noted, and what is to be told of the request.
    ///
    /// # Errors
    /// Those of the store and the files.
    pub(super) fn shared(&self) -> Result<Vec<BulkFileRow>, Failure> {
        let ctx = self.held.ctx();
        let now_ms = ctx.clock.now_ms();
        let mut names: BTreeSet<ResourceName> = BTreeSet::new();
        let before = ctx.store.read_blocking(|db| rows::files(db, &self.row.id))?;
        for row in &before {
            if row.side == NAMES {
                let text = self.files.open(row)?.text()?;
                let named = text.lines().filter_map(|line| line.split_once('/'));
                names.extend(named.map(|(rtype, id)| (rtype.to_owned(), id.to_owned())));
            }
        }
        let mut written = Written::of(self);
        if release::brings_shared(self.window) {
            let windows = (self.window, &self.asked.readable_window());
            release::each_shared(ctx, names, windows, &mut |row| written.line("", row))?;
        }
        let (left, mut unfinished) = (self.left_out(&before)?, written.files());
        unfinished.extend(self.told_of(left)?);
        let mut all = files::finish(unfinished, now_ms)?;
        let partner = ctx
            .store
            .read_blocking(|db| partners::by_id(db, &self.row.partner_id))?;
        let client_id = partner.ok_or(Fault::PartnerSuspended)?.client_id;
        // In the order in which the manifest has them.
        let mut named = before;
        named.extend(all.iter().cloned());
        named.sort_by(|one, other| {
            (&one.resource_type, one.piece, &one.name).cmp(&(&other.resource_type, other.piece, &other.name))
        });
        let about = (self.row, client_id.as_str());
        all.push(receipt::write(
            ctx,
            self.files,
            about,
            (&named, left),
            self.piece.position,
        )?);
        Ok(all)
    }

    /// How many members, types and parameters the export is without; `files` are those of all pieces of members.
    fn left_out(&self, files: &[BulkFileRow]) -> Result<LeftOut, Failure> {
        let named = self.asked.named().map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        let (asked, planned) = self.held.ctx().store.read_blocking(|db| {
            let planned = rows::planned(db, &self.row.id)?;
            let asked = match (&self.row.group_id, named) {
                (_, Some(named)) => named,
                (None, None) => planned,
                (Some(group), None) => granted_members::group_size(db, group)?,
            };
            Ok((asked, planned))
        })?;
        let lists = files.iter().filter(|file| file.side == MEMBERS);
        Ok(LeftOut {
            before: (asked - planned).max(0),
            after: (planned - lists.map(|list| list.resources).sum::<i64>()).max(0),
            types: self.asked.uncovered.len(),
            parameters: self.asked.left_out.len(),
            passed_over: self.asked.passed_over.len(),
        })
    }

    /// Messages about members who were not planned, and about what the request named and does not get.
    fn told_of(&self, left: LeftOut) -> Result<Vec<FileWriter>, Failure> {
        let mut all = Vec::new();
        if left.before > 0 {
            all.push(self.absent(left.before, "before")?);
        }
        if left.passed_over > 0 {
            let texts = self.asked.passed_over.iter().map(|id| match id.as_str() {
                "" => "A value of patient was left out: it is no Patient/<id>.".to_owned(),
                id => format!("Patient/{id} was left out: no member on whom you have a grant, or not in the group."),
            });
            all.push(self.told("not-found", &texts.collect::<Vec<_>>())?);
        }
        if left.types > 0 {
            let texts = self.asked.uncovered.iter();
            let texts: Vec<String> = texts
                .map(|rtype| format!("The type {rtype} was left out: the token does not cover it."))
                .collect();
            all.push(self.told("suppressed", &texts)?);
        }
        if left.parameters > 0 {
            let texts = self.asked.left_out.iter();
            let texts: Vec<String> = texts
                .map(|name| format!("The parameter {name} was left out."))
                .collect();
            all.push(self.told("not-supported", &texts)?);
        }
        Ok(all)
    }

    fn names(&self, names: &BTreeSet<ResourceName>) -> Result<FileWriter, Failure> {
        let mut file = self.begin(NAMES, "names")?;
        for (rtype, id) in names {
            file.line("", format!("{rtype}/{id}").as_bytes())?;
        }
        Ok(file)
    }

    fn absent(&self, count: i64, when: &str) -> Result<FileWriter, Failure> {
        let text = format!("Members left out: {count}. The access to them ended {when} the export began.");
        self.told("suppressed", &[text])
    }

    /// A file of messages about what is missing.
    fn told(&self, code: &str, texts: &[String]) -> Result<FileWriter, Failure> {
        let mut file = self.begin(ERROR, "OperationOutcome")?;
        for text in texts {
            let outcome = json!({"resourceType": "OperationOutcome",
                "issue": [{"severity": "warning", "code": code, "details": {"text": text}}]});
            file.line("", outcome.to_string().as_bytes())?;
        }
        Ok(file)
    }

    fn begin(&self, side: &'static str, rtype: &str) -> Result<FileWriter, Failure> {
        self.files.begin(&self.row.id, self.piece.position, side, rtype)
    }
}

impl<'w> Written<'w> {
    fn of(work: &'w PieceWork<'w>) -> Written<'w> {
        Written {
            work,
            by_type: BTreeMap::new(),
            count: 0,
            of_member: BTreeMap::new(),
        }
    }

    fn line(&mut self, grant_id: &str, row: release::ReleasedRow<'_>) -> Result<(), Failure> {
        self.count += 1;
        match self.of_member.get_mut(row.rtype) {
            Some(count) => *count += 1,
            None => drop(self.of_member.insert(row.rtype.to_owned(), 1)),
        }
        if self.count.is_multiple_of(64) && self.work.held.is_lost() {
            return Err(Fault::LeaseLost.into());
        }
        if let Some(file) = self.by_type.get_mut(row.rtype) {
            return put(file, grant_id, row);
        }
        let mut file = self.work.begin(OUTPUT, row.rtype)?;
        put(&mut file, grant_id, row)?;
        self.by_type.insert(row.rtype.to_owned(), file);
        Ok(())
    }

    fn files(self) -> Vec<FileWriter> {
        self.by_type.into_values().collect()
    }
}

/// Adds a resource to its file. One that all members share belongs to none, and nobody counts what was cut from it.
fn put(file: &mut FileWriter, grant_id: &str, row: release::ReleasedRow<'_>) -> Result<(), Failure> {
    file.line(grant_id, row.bytes)?;
    if row.is_cut && !grant_id.is_empty() {
        file.was_cut();
    }
    Ok(())
}
