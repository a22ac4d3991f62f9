//! The versions of rules that the entries of a packet cite, and the texts of those that this program or the store has.

use super::entry::EvidenceEntry;
use crate::audit::packet::archive::PackedFile;
use crate::consent;
use crate::error::Failure;
use crate::exchange::retry;
use crate::exchange::step_table::STEP_RULES;
use crate::identity::Rules;
use crate::keeping::Periods;
use crate::policy::{CITED_DIGITS, PolicyKind};
use crate::release;
use crate::secret::{hex, sha256};
use crate::store::Db;
use crate::store::policies::{self, MATCHING};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The index of cited versions and tables.
const INDEX: &str = "policies.json";

/// How often something is cited.
struct Cited {
    entries: u64,
    first_index: u64,
    last_index: u64,
}

/// The files about policies: the index first, then each text once.
///
/// # Errors
/// Those of the database.
pub(super) fn files(db: &mut Db, entries: &[EvidenceEntry], periods: &Periods) -> Result<Vec<PackedFile>, Failure> {
    let (mut versions, mut tables) = (BTreeMap::new(), BTreeMap::new());
    for entry in entries {
        if let Some(version) = entry.text("/policy_version") {
            note(&mut versions, version.to_owned(), entry.index);
        }
        for (name, digest) in entry.facts["tables"].as_object().into_iter().flatten() {
            let digest = digest.as_str().unwrap_or_default().to_owned();
            note(&mut tables, (name.clone(), digest), entry.index);
        }
    }
    let known = match versions.is_empty() {
        true => Vec::new(),
        false => matching(db)?,
    };
    let mut texts: Vec<PackedFile> = Vec::new();
    let mut keep = |kind: &str, text: Option<String>| {
        let text = text?;
        let digest = hex(&sha256(text.as_bytes()));
        let path = format!("policies/{kind}-{}.txt", &digest[..16]);
        if !texts.iter().any(|file| file.path == path) {
            texts.push(PackedFile::text(&path, text));
        }
        Some(path)
    };
    let mut told = Vec::new();
    for (version, cited) in &versions {
        let (kind, text) = version_text(db, version, &known, periods)?;
        told.push(json!({ "version": version, "kind": kind, "text": keep(kind, text), "cited": cited.told() }));
    }
    let mut told_tables = Vec::new();
    for ((name, digest), cited) in &tables {
        let text = table_text(db, name, digest)?;
        told_tables.push(json!({ "table": name, "sha256": digest, "text": keep(name, text), "cited": cited.told() }));
    }
    let index = json!({ "versions": told, "tables": told_tables });
    let mut files = vec![PackedFile::text(INDEX, format!("{index:#}\n"))];
    files.append(&mut texts);
    Ok(files)
}

fn note<K: Ord>(all: &mut BTreeMap<K, Cited>, key: K, index: u64) {
    let cited = all.entry(key).or_insert(Cited {
        entries: 0,
        first_index: index,
        last_index: index,
    });
    cited.entries += 1;
    cited.last_index = index;
}

impl Cited {
    fn told(&self) -> Value {
        json!({ "entries": self.entries, "first_index": self.first_index, "last_index": self.last_index })
    }
}

/// The rules of matching that can be told by the name of their version.
fn matching(db: &mut Db) -> Result<Vec<Rules>, Failure> {
    let mut known: Vec<Rules> = ["safe", "balanced"].into_iter().map(Rules::shipped).collect();
    for row in policies::list(db, MATCHING)? {
        known.extend(Rules::parse(&row.body).ok());
    }
    Ok(known)
}

/// The kind of a version, and its text if it is known.
fn version_text(
    db: &mut Db,
    version: &str,
    known: &[Rules],
    periods: &Periods,
) -> Result<(&'static str, Option<String>), Failure> {
    const RETRY: &str = PolicyKind::Retry.code();
    if version == consent::TABLE_VERSION {
        return Ok(("consent", Some(consent::table_text())));
    }
    if version == release::POLICY {
        return Ok(("release", Some(release::policy_text())));
    }
    if version == retry::version() {
        return Ok((RETRY, Some(retry::text(retry::FAILURE_RULES, STEP_RULES))));
    }
    if version.starts_with("retention/") {
        return Ok((PolicyKind::Retention.code(), periods.text_of(version)));
    }
    if let Some(rules) = known.iter().find(|rules| rules.version == version) {
        return Ok((MATCHING, Some(rules.text())));
    }
    for kind in [RETRY, PolicyKind::Retention.code()] {
        if let Some(digits) = cited_digits(version)
            && let Some(row) = policies::beginning_with(db, kind, digits)?
        {
            return Ok((kind, Some(row.body)));
        }
    }
    Ok(match version.starts_with("default-") {
        true => (RETRY, None),
        false => (MATCHING, None),
    })
}

/// The digits of the id with which a version is cited behind its name.
fn cited_digits(version: &str) -> Option<&str> {
    let (_, digits) = version.rsplit_once('-')?;
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (digits.len() == CITED_DIGITS && digits.bytes().all(is_hex)).then_some(digits)
}

/// The text of a table with this digest, if this program or the store has it.
fn table_text(db: &mut Db, name: &str, digest: &str) -> Result<Option<String>, Failure> {
    let own = match name {
        "consent" => Some(consent::table_text()),
        "release" => Some(release::policy_text()),
        _ => None,
    };
    if let Some(text) = own.filter(|text| hex(&sha256(text.as_bytes())) == digest) {
        return Ok(Some(text));
    }
    Ok(policies::find(db, digest)?.map(|row| row.body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_with_the_digits_of_its_id_behind_its_name_is_looked_up_by_them() {
        for (version, digits) in [
            ("ours-2-0123456789abcdef", Some("0123456789abcdef")),
            ("default-0123456789abcdef", Some("0123456789abcdef")),
            ("ours-0123456789abcde", None),
            ("ours-0123456789abcdeg", None),
            ("retention/0123456789ab", None),
            ("safe", None),
        ] {
            assert_eq!(cited_digits(version), digits, "{version}");
        }
    }
}
