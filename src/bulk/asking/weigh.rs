//! Compares the receipt of an export with what came. Pure: it knows neither the partner nor the store.

use crate::bulk::receipt::acknowledge::Missing;
use crate::bulk::receipt::{FORM, RECEIPT_TYPE};
use crate::error::{Failure, Fault};
use crate::secret::hex;
use crate::store::bulk::OUTPUT;
use causeway_jose::{Algorithm, Compact, KeySet};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Largest receipt in bytes.
const RECEIPT_BYTES: usize = 16 << 20;

/// What a receipt says.
#[derive(Debug, Deserialize)]
pub(super) struct ReadReceipt {
    iss: String,
    aud: String,
    version: u32,
    pub files: Vec<ReceiptFile>,
    resources: BTreeMap<String, u64>,
    pub members: ReceiptMembers,
}

/// A file, as a receipt names it.
#[derive(Debug, Deserialize)]
pub(super) struct ReceiptFile {
    pub side: String,
    #[serde(rename = "type")]
    resource_type: String,
    pub name: String,
    count: u64,
    bytes: u64,
    sha256: String,
}

/// The members, as a receipt counts them.
#[derive(Debug, Deserialize)]
pub(super) struct ReceiptMembers {
    count: u64,
    pub files: Vec<MembersFile>,
}

/// A file with a line for each member.
#[derive(Debug, Deserialize)]
pub(super) struct MembersFile {
    pub url: String,
    pub bytes: u64,
    pub sha256: String,
}

/// A file that came.
#[derive(Clone, Debug)]
pub(super) struct CameFile {
    pub is_output: bool,
    pub resource_type: String,
    /// The last part of its address.
    pub name: String,
    pub resources: u64,
    pub bytes: u64,
    pub sha256: Vec<u8>,
}

/// What came for a member of the run.
#[derive(Clone, Debug, Default)]
pub(super) struct CameMember {
    pub position: i64,
    /// Whether the exchange has it.
    pub is_received: bool,
    pub resources: BTreeMap<String, u64>,
}

/// What the lines about the members come to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct WeighedMembers {
    pub whole: BTreeSet<i64>,
    pub lacking: BTreeSet<i64>,
    /// Members of the receipt who are not of the run.
    pub strangers: u32,
}

#[derive(Deserialize)]
struct MemberLine {
    patient: String,
    resources: BTreeMap<String, u64>,
}

fn untrue(why: &'static str) -> Failure {
    Failure::new(Fault::ReceiptUntrue).because(why)
}

/// Verifies that the payer at `base` signed this receipt with one of `keys` for the client `client_id`, and reads it.
///
/// # Errors
/// [`Fault::ReceiptUntrue`].
pub(super) fn verified(text: &str, keys: &KeySet, (base, client_id): (&str, &str)) -> Result<ReadReceipt, Failure> {
    let compact = Compact::parse(text.trim(), RECEIPT_BYTES).map_err(untrue)?;
    let word = |name: &str| compact.header.get(name).and_then(Value::as_str);
    let algorithm = word("alg").and_then(Algorithm::parse).ok_or_else(|| untrue("alg"))?;
    let key = word("kid").and_then(|kid| keys.find(kid));
    let key = key.filter(|key| key.takes(algorithm)).ok_or_else(|| untrue("kid"))?;
    if word("typ") != Some(RECEIPT_TYPE) || !compact.is_signed_by(key, algorithm) {
        return Err(untrue("signature"));
    }
    let read: ReadReceipt = serde_json::from_value(Value::Object(compact.claims)).map_err(|_| untrue("form"))?;
    match (read.version == FORM, read.iss == base, read.aud == client_id) {
        (true, true, true) => Ok(read),
        (false, ..) => Err(untrue("version")),
        (_, false, _) => Err(untrue("iss")),
        (.., false) => Err(untrue("aud")),
    }
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Compares the files. Returns what of them is missing here.
///
/// # Errors
/// [`Fault::ReceiptUntrue`] for a receipt that contradicts itself, or is of fewer files than came.
pub(super) fn files(receipt: &ReadReceipt, came: &[CameFile]) -> Result<Missing, Failure> {
    let mut told: BTreeMap<&str, u64> = BTreeMap::new();
    for file in receipt.files.iter().filter(|file| file.side == OUTPUT) {
        let sum = told.entry(&file.resource_type).or_default();
        *sum = sum.saturating_add(file.count);
    }
    let says: BTreeMap<&str, u64> = receipt
        .resources
        .iter()
        .map(|(rtype, sum)| (rtype.as_str(), *sum))
        .collect();
    if told != says {
        return Err(untrue("resources"));
    }
    let named: HashMap<&str, &ReceiptFile> = receipt.files.iter().map(|file| (file.name.as_str(), file)).collect();
    if named.len() != receipt.files.len() || came.iter().any(|file| !named.contains_key(file.name.as_str())) {
        return Err(untrue("files"));
    }
    let mut by_name: HashMap<&str, Vec<&CameFile>> = HashMap::new();
    for one in came {
        by_name.entry(&one.name).or_default().push(one);
    }
    let is_here = |file: &ReceiptFile| {
        by_name.get(file.name.as_str()).into_iter().flatten().any(|one| {
            one.is_output == (file.side == OUTPUT)
                && one.resource_type == file.resource_type
                && (one.resources, one.bytes) == (file.count, file.bytes)
                && hex(&one.sha256) == file.sha256
        })
    };
    let absent = receipt.files.iter().filter(|file| !is_here(file)).count() as u64;
    let mut missing = Missing {
        files: (absent > 0).then(|| small(absent)),
        ..Missing::default()
    };
    for (rtype, told) in told {
        let of_type = came.iter().filter(|file| file.is_output && file.resource_type == rtype);
        let here: u64 = of_type.map(|file| file.resources).sum();
        if told > here {
            missing.resources.insert(rtype.to_owned(), small(told - here));
        }
    }
    Ok(missing)
}

/// Compares the lines about the members with what came for each, by the id of the Patient at the partner. `is_all`: no file of lines is
/// missing.
///
/// # Errors
/// [`Fault::ReceiptUntrue`] for lines of another form or number, and for a member who is given something and has no line.
pub(super) fn members(
    receipt: &ReadReceipt,
    (lines, is_all): (&[u8], bool),
    came: &HashMap<String, CameMember>,
) -> Result<WeighedMembers, Failure> {
    let (mut weighed, mut count, mut seen) = (WeighedMembers::default(), 0, BTreeSet::new());
    let lines = lines.split(|byte| *byte == b'\n');
    for line in lines.filter(|line| !line.trim_ascii().is_empty()) {
        // The reader's own message would quote the line.
        let line: MemberLine = serde_json::from_slice(line).map_err(|_| untrue("members"))?;
        count += 1;
        let Some(member) = line.patient.strip_prefix("Patient/").and_then(|id| came.get(id)) else {
            weighed.strangers += 1;
            continue;
        };
        if !seen.insert(member.position) {
            return Err(untrue("a member twice"));
        }
        let has = |rtype: &String, told: &u64| member.resources.get(rtype).is_some_and(|here| here >= told);
        let told = line.resources.iter().filter(|(_, told)| **told > 0);
        let is_whole = told.clone().all(|(rtype, told)| has(rtype, told)) && (member.is_received || told.count() == 0);
        match is_whole {
            true => weighed.whole.insert(member.position),
            false => weighed.lacking.insert(member.position),
        };
    }
    let unsaid = came
        .values()
        .any(|member| member.is_received && !seen.contains(&member.position));
    if is_all && (unsaid || count != receipt.members.count) {
        return Err(untrue("members"));
    }
    Ok(weighed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_jose::SigningKey;
    use serde_json::json;

    const BASE: &str = "https://payer.example/fhir";

    fn claims() -> Value {
        json!({"iss": BASE, "aud": "us", "version": 1, "iat": 1, "job": "j", "leftOut": [], "more": true,
            "files": [{"side": "output", "type": "Goal", "name": "g", "count": 2, "bytes": 9, "sha256": "01".repeat(32)},
                {"side": "error", "type": "OperationOutcome", "name": "e", "count": 1, "bytes": 3, "sha256": "02".repeat(32)}],
            "resources": {"Goal": 2}, "members": {"count": 2, "files": []}})
    }

    fn read(claims: &Value) -> ReadReceipt {
        serde_json::from_value(claims.clone()).expect("a receipt")
    }

    fn came() -> Vec<CameFile> {
        let file = |is_output: bool, rtype: &str, name: &str, (resources, bytes, digest): (u64, u64, u8)| CameFile {
            is_output,
            resource_type: rtype.into(),
            name: name.into(),
            resources,
            bytes,
            sha256: vec![digest; 32],
        };
        vec![
            file(true, "Goal", "g", (2, 9, 1)),
            file(false, "OperationOutcome", "e", (1, 3, 2)),
        ]
    }

    #[test]
    fn only_a_receipt_that_the_partner_signed_for_us_is_read() {
        let (key, other) = (
            SigningKey::generate(Algorithm::Es384, "k").expect("a key"),
            SigningKey::generate(Algorithm::Es384, "k").expect("a key"),
        );
        let keys = KeySet::parse(json!({"keys": [key.public_jwk()]}).to_string().as_bytes()).expect("keys");
        let header = json!({"alg": "ES384", "kid": "k", "typ": RECEIPT_TYPE});
        let judged = |header: &Value, claims: &Value, key: &SigningKey| {
            let text = key.sign(header, claims).expect("signed");
            verified(&text, &keys, (BASE, "us"))
                .map(drop)
                .map_err(|failure| failure.fault())
        };
        assert_eq!(judged(&header, &claims(), &key), Ok(()));
        let untrue = Err(Fault::ReceiptUntrue);
        assert_eq!(judged(&header, &claims(), &other), untrue, "a strange key");
        let unlike = |name: &str, value: Value| {
            let mut claims = claims();
            claims[name] = value;
            judged(&header, &claims, &key)
        };
        for (name, value) in [
            ("iss", json!("https://other.example/fhir")),
            ("aud", json!("them")),
            ("version", json!(2)),
            ("files", json!("none")),
        ] {
            assert_eq!(unlike(name, value), untrue, "{name}");
        }
        for (name, value) in [("typ", json!("JWT")), ("kid", json!("x")), ("alg", json!("none"))] {
            let mut header = header.clone();
            header[name] = value;
            assert_eq!(judged(&header, &claims(), &key), untrue, "{name}");
        }
        assert_eq!(
            verified("x", &keys, (BASE, "us"))
                .map(drop)
                .map_err(|failure| failure.fault()),
            untrue
        );
    }

    #[test]
    fn what_is_missing_is_counted_and_a_receipt_of_something_else_is_not_believed() {
        let weighed = |claims: &Value, came: &[CameFile]| files(&read(claims), came).map_err(|failure| failure.fault());
        assert_eq!(weighed(&claims(), &came()), Ok(Missing::default()));
        let absent = weighed(&claims(), &came()[1..]).expect("weighed");
        assert_eq!(
            (absent.files, absent.resources),
            (Some(1), [("Goal".to_owned(), 2)].into())
        );
        let mut changed = came();
        changed[0].sha256 = vec![9; 32];
        assert_eq!(weighed(&claims(), &changed).expect("weighed").files, Some(1));
        assert_eq!(
            weighed(&claims(), &came()[..1]).expect("weighed").files,
            Some(1),
            "messages are files too"
        );
        let mut more = came();
        more[1].name = "x".into();
        assert_eq!(
            weighed(&claims(), &more),
            Err(Fault::ReceiptUntrue),
            "a file that it has not"
        );
        let mut sums = claims();
        sums["resources"] = json!({"Goal": 3});
        assert_eq!(weighed(&sums, &came()), Err(Fault::ReceiptUntrue));
    }

    #[test]
    fn each_member_is_whole_or_lacks_something() {
        let member = |position: i64, is_received: bool, goals: u64| CameMember {
            position,
            is_received,
            resources: [("Goal".to_owned(), goals)].into(),
        };
        let both: HashMap<String, CameMember> = [
            ("a".to_owned(), member(0, true, 2)),
            ("b".to_owned(), member(1, false, 0)),
        ]
        .into();
        let weighed = |lines: &str, is_all: bool| {
            members(&read(&claims()), (lines.as_bytes(), is_all), &both).map_err(|failure| failure.fault())
        };
        let line = |who: &str, goals: u64| format!("{}\n", json!({"patient": who, "resources": {"Goal": goals}}));
        let found = weighed(&[line("Patient/a", 2), line("Patient/b", 0)].concat(), true).expect("weighed");
        assert_eq!((found.whole, found.lacking), ([0, 1].into(), [].into()));
        let found = weighed(&[line("Patient/a", 3), line("Patient/b", 1)].concat(), true).expect("weighed");
        assert_eq!(
            found.lacking,
            [0, 1].into(),
            "one came in part, the other was not taken"
        );
        let found = weighed(&[line("Patient/a", 1), line("Patient/c", 1)].concat(), true).expect("weighed");
        assert_eq!((found.strangers, found.whole), (1, [0].into()));
        let untrue = Err(Fault::ReceiptUntrue);
        assert_eq!(weighed(&line("Patient/a", 1), true), untrue, "it counts two");
        assert_eq!(
            weighed(&[line("Patient/a", 1), line("Patient/a", 1)].concat(), true),
            untrue
        );
        assert_eq!(
            weighed(&[line("Patient/b", 0), line("Patient/c", 1)].concat(), true),
            untrue
        );
        assert_eq!(weighed("{}", false), untrue);
        assert!(weighed(&line("Patient/b", 0), false).is_ok(), "other lines are missing");
    }
}
