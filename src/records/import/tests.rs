//! Imports on a store of their own: owners, counts, repetition, superseding, rejects, truncated files.

use super::*;
use crate::clock::Clock;
use crate::context::Payer;
use crate::error::Fault;
use crate::ids::Ids;
use crate::store::schema::{compartment, member, resource, resource_identifier};
use crate::store::{Store, StoreOptions, StoreUrl};
use diesel::prelude::*;
use std::fs;
use tempfile::TempDir;

mod files;
mod shapes;
mod versions;

struct Payers {
    folder: TempDir,
    ctx: Context,
}

impl Payers {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = StoreUrl::parse(&format!("sqlite:{}", folder.path().join("store.db").display())).expect("a URL");
        let store = Store::open(&url, &StoreOptions::default()).expect("a store");
        let ctx = Context::with_defaults(
            store,
            Clock::fixed(1_767_225_600_000),
            Ids::counted(),
            Payer {
                name: "Old".into(),
                npi: "1".into(),
                member_system: "http://old/member".into(),
                umb_system: "http://old/umb".into(),
                base_url: "https://old.example/fhir".into(),
                time_zone: chrono_tz::UTC,
            },
        )
        .expect("a context");
        Payers { folder, ctx }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a parent")).expect("made");
        fs::write(&path, text).expect("written");
        path
    }

    fn import(&self, paths: &[PathBuf]) -> ImportReport {
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
            .collect();
        self.import_with(paths, &names, self.options())
    }

    fn import_with(&self, paths: &[PathBuf], names: &[String], options: ImportOptions) -> ImportReport {
        let report = import(&self.ctx, paths, names, &options, &mut |_| ()).expect("imported");
        assert_eq!(report.read, report.stored + report.unchanged + report.rejected);
        report
    }

    fn options(&self) -> ImportOptions {
        ImportOptions {
            rejects: self.rejects_path(),
            superseded: self.folder.path().join("superseded.ndjson"),
            ..ImportOptions::default()
        }
    }

    fn rejects_path(&self) -> PathBuf {
        self.folder.path().join("rejects.ndjson")
    }

    fn rejects(&self) -> Vec<(String, u64, String, String)> {
        let text = fs::read_to_string(self.rejects_path()).unwrap_or_default();
        text.lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let text = |name: &str| line[name].as_str().expect("text").to_owned();
                (
                    text("source"),
                    line["line"].as_u64().expect("a line"),
                    text("expression"),
                    text("fault"),
                )
            })
            .collect()
    }

    /// Returns type, id, compartment, version and body of everything stored.
    fn stored(&self) -> Vec<(String, String, i64, i64, String)> {
        let rows = self.ctx.store.read_blocking(|db| {
            Ok(resource::table
                .select((
                    resource::rtype,
                    resource::id,
                    resource::key,
                    resource::compartment,
                    resource::version,
                    resource::body,
                ))
                .order((resource::rtype, resource::id))
                .load::<(String, String, i64, i64, i64, Vec<u8>)>(db)?)
        });
        rows.expect("read")
            .into_iter()
            .map(|(rtype, id, key, compartment, version, body)| {
                assert_eq!(key >> 24, compartment);
                (rtype, id, compartment, version, String::from_utf8(body).expect("UTF-8"))
            })
            .collect()
    }
}

fn patient(id: &str, family: &str) -> String {
    format!(
        r#"{{"resourceType":"Patient","id":"{id}","identifier":[{{"type":{{"coding":[{{"code":"MB"}}]}},"system":"http://old/member","value":"M-{id}"}}],"name":[{{"family":"{family}"}}],"birthDate":"2000-01-01"}}"#
    )
}

fn condition(id: &str, patient: &str) -> String {
    format!(r#"{{"resourceType":"Condition","id":"{id}","subject":{{"reference":"Patient/{patient}"}}}}"#)
}

fn provenance(id: &str, targets: &[&str]) -> String {
    let targets: Vec<String> = targets
        .iter()
        .map(|target| format!(r#"{{"reference":"{target}"}}"#))
        .collect();
    format!(
        r#"{{"resourceType":"Provenance","id":"{id}","target":[{}],"recorded":"2020-01-01T00:00:00Z","agent":[{{"who":{{"display":"x"}}}}]}}"#,
        targets.join(",")
    )
}

#[test]
fn each_resource_goes_to_its_member_whatever_the_order_of_files_and_lines() {
    let payer = Payers::new();
    let folder = payer.folder.path().join("in");
    payer.file(
        "in/a.ndjson",
        &[
            provenance("v", &["Condition/c", "Patient/a"]),
            condition("c", "a"),
            patient("a", "Ä B"),
        ]
        .join("\n"),
    );
    payer.file("in/Condition.1.ndjson", &condition("d", "b"));
    payer.file("in/z/Patient.ndjson", &patient("b", "C"));
    payer.file(
        "in/Organization.json",
        r#"{"resourceType":"Organization","id":"o","name":"x"}"#,
    );
    let report = payer.import(&[folder]);
    assert_eq!(
        (report.read, report.stored, report.rejected),
        (6, 6, 0),
        "{:?}",
        payer.rejects()
    );
    let stored = payer.stored();
    let no = |rtype: &str, id: &str| {
        stored
            .iter()
            .find(|row| row.0 == rtype && row.1 == id)
            .expect("stored")
            .2
    };
    assert_eq!(
        (no("Condition", "c"), no("Provenance", "v")),
        (no("Patient", "a"), no("Patient", "a"))
    );
    assert_eq!(no("Condition", "d"), no("Patient", "b"));
    assert!(no("Organization", "o") == 0 && no("Patient", "a") != no("Patient", "b") && no("Patient", "a") > 0);
    let (members, compartments, identifiers) = payer
        .ctx
        .store
        .read_blocking(|db| {
            Ok((
                member::table
                    .order(member::patient_id)
                    .select((member::patient_id, member::family))
                    .load::<(String, String)>(db)?,
                compartment::table.select(compartment::umb).load::<String>(db)?,
                resource_identifier::table
                    .select(resource_identifier::kind)
                    .load::<String>(db)?,
            ))
        })
        .expect("read");
    assert_eq!(
        members,
        [("a".to_owned(), "ab".to_owned()), ("b".to_owned(), "c".to_owned())]
    );
    assert_eq!(
        (compartments.len(), identifiers),
        (2, vec!["MB".to_owned(), "MB".to_owned()])
    );
}

#[test]
fn importing_twice_changes_nothing_and_a_change_is_a_version() {
    let payer = Payers::new();
    let file = payer.file("x.ndjson", &[patient("a", "x"), condition("c", "a")].join("\n"));
    payer.import(std::slice::from_ref(&file));
    let before = payer.stored();
    let again = payer.import(std::slice::from_ref(&file));
    assert_eq!((again.stored, again.unchanged), (0, 2));
    assert_eq!(payer.stored(), before);
    fs::write(
        &file,
        condition("c", "a").replace("\"id\"", "\"code\":{\"text\":\"n\"},\"id\""),
    )
    .expect("written");
    payer.import(&[file]);
    let after = payer.stored();
    assert_eq!((after[0].3, after[0].2), (2, before[0].2));
    assert!(after[0].4.contains(r#""versionId":"2""#), "{}", after[0].4);
}

#[test]
fn a_resource_that_changes_hands_moves() {
    let payer = Payers::new();
    payer.import(&[payer.file(
        "x.ndjson",
        &[patient("a", "x"), patient("b", "x"), condition("c", "a")].join("\n"),
    )]);
    payer.import(&[payer.file("y.ndjson", &condition("c", "b"))]);
    let stored = payer.stored();
    assert_eq!(stored.len(), 3);
    let b = stored.iter().find(|row| row.1 == "b").expect("stored").2;
    assert_eq!((stored[0].2, stored[0].3), (b, 2));
}

#[test]
fn the_last_path_supersedes_and_the_second_run_agrees() {
    let payer = Payers::new();
    let paths = [
        payer.file("1/Patient.ndjson", &patient("a", "old")),
        payer.file("2/Patient.ndjson", &patient("a", "new")),
    ];
    let report = payer.import(&paths);
    assert_eq!((report.read, report.stored, report.superseded), (2, 1, 1));
    let before = payer.stored();
    assert!(before.len() == 1 && before[0].3 == 1 && before[0].4.contains("new"));
    let again = payer.import(&paths);
    assert_eq!((again.stored, again.unchanged), (0, 2));
    assert_eq!(payer.stored(), before);
}

#[test]
fn what_fails_goes_to_the_reject_file_and_the_rest_goes_in() {
    let payer = Payers::new();
    let lines = [
        patient("a", "x"),
        "{\"resourceType\":\"Patient\",\"id\":\"b\",\"name\":[]}".into(),
        String::new(),
        condition("c", "nobody"),
        condition("d", "a"),
        provenance("v", &["Condition/none"]),
        "not json".into(),
        r#"{"resourceType":"Group","id":"g","type":"person","actual":true}"#.into(),
        condition("bad id", "a"),
    ];
    let report = payer.import(&[payer.file("x.ndjson", &lines.join("\n"))]);
    assert_eq!((report.read, report.stored, report.rejected), (8, 2, 6));
    let mut rejects = payer.rejects();
    rejects.sort_by_key(|row| row.1);
    let row =
        |line: u64, place: &str, fault: Fault| ("x.ndjson".to_owned(), line, place.to_owned(), fault.code().to_owned());
    assert_eq!(
        rejects,
        [
            row(2, "Patient.name", Fault::EmptyValue),
            row(4, "Condition.subject.reference", Fault::ReferenceUnresolved),
            row(6, "Provenance.target[0]", Fault::ReferenceUnresolved),
            row(7, "Resource", Fault::NotJson),
            row(8, "Resource", Fault::TypeUnsupported),
            row(9, "Condition.id", Fault::ValueInvalid),
        ]
    );
    let text = fs::read_to_string(payer.rejects_path()).expect("a file");
    assert!(!text.contains("nobody") && !text.contains("bad id"), "{text}");
    payer.import(&[payer.file("y.ndjson", &patient("z", "x"))]);
    assert_eq!(payer.rejects(), []);
}

#[test]
fn a_provenance_of_two_members_is_refused() {
    let payer = Payers::new();
    let lines = [
        patient("a", "x"),
        patient("b", "x"),
        provenance("v", &["Patient/a", "Patient/b"]),
    ];
    let report = payer.import(&[payer.file("x.ndjson", &lines.join("\n"))]);
    assert_eq!((report.stored, report.rejected), (2, 1));
}

#[test]
fn a_transaction_is_taken_apart_and_its_references_become_local() {
    let payer = Payers::new();
    let bundle = r#"{"resourceType":"Bundle","type":"transaction","entry":[
      {"fullUrl":"urn:uuid:c1","resource":{"resourceType":"Condition","subject":{"reference":"urn:uuid:p1"},
        "asserter":{"reference":"Practitioner?identifier=http://npi|77"}},"request":{"method":"POST","url":"Condition"}},
      {"fullUrl":"urn:uuid:p1","resource":{"resourceType":"Patient","id":"p1","active":true},"request":{"method":"POST","url":"Patient"}},
      {"resource":{"resourceType":"Practitioner","id":"dr","identifier":[{"system":"http://npi","value":"77"}]}},
      {"resource":{"resourceType":"Condition","id":"x","subject":{"reference":"urn:uuid:none"}}}]}"#;
    let path = payer.file("b.json", bundle);
    let report = payer.import(std::slice::from_ref(&path));
    assert_eq!((report.read, report.stored, report.rejected), (4, 3, 1));
    assert_eq!(payer.rejects()[0].2, "Bundle.entry[3].resource.subject");
    let stored = payer.stored();
    let condition = &stored[0];
    assert_eq!((condition.1.as_str(), condition.2), ("c1", 1));
    assert!(condition.4.contains(r#"{"reference":"Patient/p1"}"#), "{}", condition.4);
    assert!(
        condition.4.contains(r#"{"reference":"Practitioner/dr"}"#),
        "{}",
        condition.4
    );
    assert!(!condition.4.contains('\n'));
    assert_eq!(payer.import(&[path]).unchanged, 3);
}

#[test]
fn gzip_and_streams_are_taken_and_a_cut_one_is_told() {
    use std::io::Write;
    let payer = Payers::new();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for n in 0..2_000 {
        writeln!(gzip, "{}", patient(&format!("p{n}"), "x")).expect("written");
    }
    let bytes = gzip.finish().expect("finished");
    let whole = payer.folder.path().join("Patient.ndjson.gz");
    fs::write(&whole, &bytes).expect("written");
    assert_eq!(payer.import(std::slice::from_ref(&whole)).stored, 2_000);
    fs::write(&whole, &bytes[..bytes.len() / 2]).expect("written");
    let cut = payer.import(&[whole]);
    assert_eq!((cut.stored, cut.unreadable), (0, vec!["Patient.ndjson.gz".to_owned()]));

    let stream = [patient("s", "x"), condition("sc", "s"), condition("sd", "none")].join("\n");
    let mut told = Vec::new();
    let report = ingest_ndjson(&payer.ctx, stream.as_bytes(), "stream", &mut |line, failure| {
        told.push((line, failure.fault()))
    })
    .expect("taken");
    assert_eq!((report.stored, told), (2, vec![(3, Fault::ReferenceUnresolved)]));
}

#[test]
fn a_path_that_is_not_there_imports_nothing() {
    let payer = Payers::new();
    let paths = [
        payer.file("x.ndjson", &patient("a", "x")),
        payer.folder.path().join("none.ndjson"),
    ];
    let names = ["x.ndjson".to_owned(), "none.ndjson".to_owned()];
    let failure = import(&payer.ctx, &paths, &names, &payer.options(), &mut |_| ()).expect_err("refused");
    assert_eq!((failure.fault(), payer.stored().len()), (Fault::InputUnreadable, 0));
}
