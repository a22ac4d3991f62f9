//! What is a member's alone among the synthetic members, and where it still is.

use crate::support::dump::dump;
use crate::support::payer::TestPayer;
use crate::support::store::on_postgres;
use causeway::secret::hex;
use memchr::memmem;
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

/// Values with fewer characters may be anybody's.
const LONG: usize = 6;
/// Folders and files of a test that are no part of the payer's store, logs or exports.
const APART: [&str; 2] = ["members", "causeway.toml"];

/// The texts in the imported resources of this Patient that stand in no resource of another member, nor in one of nobody.
pub fn own_values(payer: &TestPayer, patient: &str) -> Vec<String> {
    let reference = format!("\"Patient/{patient}\"");
    let (mut own, mut others) = (Vec::new(), String::new());
    for file in std::fs::read_dir(payer.home().join("members")).expect("the imported files") {
        let text = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        for line in text.lines() {
            let resource: Value = serde_json::from_str(line).expect("JSON");
            // The first reference says whose it is; a Coverage names its beneficiary, besides a subscriber.
            let is_patient = resource["resourceType"] == "Patient" && resource["id"] == patient;
            let whose = ["beneficiary", "patient", "subject"].map(|field| resource[field]["reference"].to_string());
            let is_about = resource["resourceType"] == "Provenance" && line.contains(&reference);
            if is_patient || is_about || whose.contains(&reference) {
                own.push(resource);
            } else {
                others.push_str(line);
            }
        }
    }
    assert!(own.len() > 3, "{} resources of {patient}", own.len());
    let mut values = BTreeSet::new();
    own.iter().for_each(|resource| texts(resource, &mut values));
    let config = std::fs::read_to_string(payer.home().join("causeway.toml")).expect("the configuration");
    values.retain(|text| {
        text.chars().count() >= LONG && !others.contains(text.as_str()) && !config.contains(text.as_str())
    });
    // What is made of digits and little else may stand in any time or number.
    values.retain(|text| text == patient || text.chars().filter(char::is_ascii_alphabetic).count() >= 3);
    assert!(values.contains(patient) && values.len() > 5, "{values:?}");
    values.into_iter().collect()
}

fn texts(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::String(text) => {
            found.insert(text.clone());
        }
        Value::Array(all) => all.iter().for_each(|one| texts(one, found)),
        // Words of the standard are nobody's.
        Value::Object(all) => all
            .iter()
            .filter(|(key, _)| {
                !["resourceType", "status", "code", "outcome"].contains(&key.as_str()) || !all[*key].is_string()
            })
            .for_each(|(_, one)| texts(one, found)),
        _ => {}
    }
}

/// Where one of these values is: in a file below the payer's home besides `apart`, or on PostgreSQL in a table. Each place with the value.
pub fn found(payer: &TestPayer, values: &[String], apart: &[&str]) -> Vec<String> {
    let mut places = Vec::new();
    let apart = [APART.as_slice(), apart].concat();
    // A running server takes files away and gives others their names: then all are looked at again.
    for tries in 0_usize.. {
        places.clear();
        let walked = walk(payer.home(), payer.home(), &apart, &mut |name, bytes| {
            for value in values.iter().filter(|value| has(bytes, value.as_bytes())) {
                places.push(format!("{name}: {value}"));
            }
        });
        match walked {
            Ok(()) => break,
            Err(error) => assert!(error.kind() == ErrorKind::NotFound && tries < 100, "{error}"),
        }
    }
    if on_postgres() {
        for (table, rows) in dump(&mut payer.db(), &[]) {
            let all = rows.join("\n");
            for value in values {
                // A row has its binary columns in hexadecimal.
                let text = all.as_bytes();
                if has(text, value.as_bytes()) || has(text, hex(value.as_bytes()).as_bytes()) {
                    places.push(format!("{table}: {value}"));
                }
            }
        }
    }
    places
}

/// By a search that is optimized in every build: there are many values and large files.
fn has(bytes: &[u8], part: &[u8]) -> bool {
    memmem::find(bytes, part).is_some()
}

fn walk(folder: &Path, base: &Path, apart: &[&str], look: &mut dyn FnMut(&str, &[u8])) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.strip_prefix(base).expect("below").display().to_string();
        if apart.contains(&name.as_str()) {
            continue;
        }
        let about = std::fs::metadata(&path)?;
        if about.is_dir() {
            walk(&path, base, apart, look)?;
        } else if about.is_file() && path.extension().is_none_or(|end| end != "reserve") {
            // The room that is kept for a full disk has no content.
            look(&name, &std::fs::read(&path)?);
        }
    }
    Ok(())
}
