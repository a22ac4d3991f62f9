//! References in files: to entries of a Bundle, to the servers that the files are from, and to attachments.

use super::*;

/// An entry of a Bundle.
fn entry(url: &str, resource: &str) -> String {
    format!(r#"{{"fullUrl":"{url}","resource":{resource}}}"#)
}

fn of_entries(entries: &[String]) -> String {
    format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#,
        entries.join(",")
    )
}

#[test]
fn references_inside_a_bundle_are_understood_however_they_are_written() {
    let cases = [
        ("urn:uuid:AbC-1", "urn:uuid:abc-1"),
        ("urn:uuid:abc-1", "URN:UUID:ABC-1"),
        ("urn:oid:1.2.3", "urn:OID:1.2.3"),
        (
            "https://ehr.example/r4/Patient/p",
            "https://ehr.example/r4/Patient/p/_history/7",
        ),
        (
            "https://ehr.example/r4/Patient/p/_history/3",
            "https://ehr.example/r4/Patient/p",
        ),
        (
            "https://ehr.example/r4/Patient/p",
            "https://ehr.example/r4/Patient/p#name",
        ),
        ("https://ehr.example/r4/Patient/p", "Patient/p#name"),
        ("https://ehr.example/r4/Patient/p", "Patient/p"),
        ("https://ehr.example/r4/Patient/p", "HTTPS://EHR.example/r4/Patient/p"),
    ];
    for (full_url, reference) in cases {
        let payer = Payers::new();
        let condition = format!(r#"{{"resourceType":"Condition","id":"c","subject":{{"reference":"{reference}"}}}}"#);
        let text = of_entries(&[
            entry(full_url, &patient("p", "x")),
            entry("https://ehr.example/r4/Condition/c", &condition),
        ]);
        let report = payer.import(&[payer.file("b.json", &text)]);
        assert_eq!(
            (report.stored, report.rejected),
            (2, 0),
            "{reference}: {:?}",
            payer.rejects()
        );
        assert!(
            payer.stored()[0].4.contains(r#"{"reference":"Patient/p"}"#),
            "{reference}: {}",
            payer.stored()[0].4
        );
    }
}

#[test]
fn a_base_that_full_urls_tell_counts_for_its_own_bundle_only() {
    let payer = Payers::new();
    payer.import(&[payer.file("p.ndjson", &patient("p", "x"))]);
    let of = |id: &str| {
        format!(
            r#"{{"resourceType":"Condition","id":"{id}","subject":{{"reference":"https://ehr.example/r4/Patient/p"}}}}"#
        )
    };
    let text = of_entries(&[entry("https://ehr.example/r4/Condition/c", &of("c"))]);
    let paths = [payer.file("b.json", &text), payer.file("c.ndjson", &of("d"))];
    let report = payer.import(&paths);
    assert_eq!((report.stored, report.rejected), (1, 1), "{:?}", payer.rejects());
    // The refusal names the base URL, and says what to do.
    let told = fs::read_to_string(payer.rejects_path()).expect("a file");
    assert!(
        told.contains("--source-base https://ehr.example/r4") && !told.contains("Patient/p"),
        "{told}"
    );
}

#[test]
fn links_and_images_of_narratives_and_urls_become_local() {
    let payer = Payers::new();
    let div = r#"<div xmlns=\"http://www.w3.org/1999/xhtml\"><a href=\"urn:uuid:1\">a</a> <img src='urn:uuid:1'/> <a href=\"https://else.example/Patient/p\">b</a> urn:uuid:1</div>"#;
    let goal = format!(
        r#"{{"resourceType":"Condition","id":"c","text":{{"status":"generated","div":"{div}"}},"extension":[{{"url":"http://x.example","valueUri":"urn:uuid:1"}}],"subject":{{"reference":"urn:uuid:1"}}}}"#
    );
    let text = of_entries(&[entry("urn:uuid:1", &patient("p", "x")), entry("urn:uuid:2", &goal)]);
    let report = payer.import(&[payer.file("b.json", &text)]);
    assert_eq!((report.stored, report.rejected), (2, 0), "{:?}", payer.rejects());
    let body = payer.stored()[0].4.clone();
    for wanted in [
        r#"href=\"Patient/p\""#,
        "src='Patient/p'",
        "else.example/Patient/p",
        " urn:uuid:1</div>",
        r#""valueUri":"Patient/p""#,
    ] {
        assert!(body.contains(wanted), "{wanted}: {body}");
    }
}

fn bases(texts: &[&str]) -> Vec<SourceBase> {
    texts.iter().map(|text| text.parse().expect("a base")).collect()
}

#[test]
fn references_that_bear_a_given_base_are_relative_ones() {
    let lines = [
        patient("p", "x"),
        condition("c", "p").replace("Patient/p", "https://ehr.example/r4/t-7/Patient/p"),
        condition("d", "p").replace("Patient/p", "https://ehr.example/r4/t-7/Patient/p/_history/2"),
        condition("e", "p").replace("Patient/p", "https://ehr.example/r4/t-8/Patient/p"),
        r#"{"resourceType":"DocumentReference","id":"f","status":"current","subject":{"reference":"https://EHR.example/r4/t-7/Patient/p"},"content":[{"attachment":{"url":"https://ehr.example/r4/t-7/Binary/b"}}]}"#.to_owned(),
    ];
    for (given, stored) in [
        ("https://ehr.example/r4/t-7", 4),
        ("https://ehr.example/r4/t-7/", 4),
        ("https://ehr.example/r4", 1),
    ] {
        let payer = Payers::new();
        let path = payer.file("x.ndjson", &lines.join("\n"));
        let options = ImportOptions {
            bases: bases(&[given]),
            ..payer.options()
        };
        let report = payer.import_with(&[path], &["x".to_owned()], options);
        assert_eq!(report.stored, stored, "{given}: {:?}", payer.rejects());
        if stored == 4 {
            let bodies: Vec<String> = payer.stored().into_iter().map(|row| row.4).collect();
            assert!(
                bodies[0].contains(r#"{"reference":"Patient/p"}"#)
                    && bodies[1].contains(r#"{"reference":"Patient/p"}"#)
            );
            assert!(bodies[2].contains(r#""url":"Binary/b""#), "{bodies:?}");
        }
    }
}

#[test]
fn one_id_of_two_servers_is_refused_unless_one_has_a_prefix() {
    let from = |server: &str, family: &str| {
        let url = |rtype: &str, id: &str| format!("https://{server}.example/fhir/{rtype}/{id}");
        of_entries(&[
            entry(&url("Patient", "1"), &patient("1", family)),
            entry(&url("Condition", family), &condition(family, "1")),
        ])
    };
    // The bases given, and how many resources are stored and refused.
    for (given, stored, rejected) in [
        (vec![], 2, 2),
        (vec!["https://east.example/fhir", "https://west.example/fhir"], 2, 2),
        (vec!["https://east.example/fhir=e-"], 4, 0),
        (
            vec!["https://east.example/fhir=e-", "https://west.example/fhir=w-"],
            4,
            0,
        ),
        // Declared to be one server: then one Patient supersedes the other.
        (vec!["https://east.example/fhir=", "https://west.example/fhir="], 3, 0),
    ] {
        let payer = Payers::new();
        let paths = [
            payer.file("east.json", &from("east", "adams")),
            payer.file("west.json", &from("west", "baker")),
        ];
        let names = ["east.json".to_owned(), "west.json".to_owned()];
        let options = ImportOptions {
            bases: bases(&given),
            ..payer.options()
        };
        let report = payer.import_with(&paths, &names, options.clone());
        assert_eq!(
            (report.stored, report.rejected),
            (stored, rejected),
            "{given:?}: {:?}",
            payer.rejects()
        );
        assert!(
            payer
                .rejects()
                .iter()
                .all(|one| one.3 == "IM-020" && one.0 == "east.json"),
            "{:?}",
            payer.rejects()
        );
        let rows = payer.stored();
        if rejected == 0 && stored == 4 {
            let east = rows
                .iter()
                .find(|row| row.1 == "e-adams")
                .expect("the condition of east");
            assert!(east.4.contains(r#"{"reference":"Patient/e-1"}"#), "{}", east.4);
            let owner = rows.iter().find(|row| row.1 == "e-1").expect("the patient of east");
            assert_eq!(east.2, owner.2);
        }
        // Importing again changes nothing.
        payer.import_with(&paths, &names, options);
        assert_eq!(payer.stored(), rows, "{given:?}");
    }
}

#[test]
fn a_binary_stands_with_the_member_of_what_names_it_whatever_comes_first() {
    let parts = [patient("a", "x"), document("d", "a", "b"), binary("b", "")];
    for runs in [
        vec![vec![0, 1, 2]],
        vec![vec![0, 2, 1]],
        vec![vec![0], vec![1], vec![2]],
        vec![vec![0], vec![2], vec![1]],
        vec![vec![2], vec![0], vec![1]],
        vec![vec![0, 2], vec![1, 2]],
        vec![vec![0, 1, 2], vec![1]],
    ] {
        for stream in [false, true] {
            let payer = Payers::new();
            for run in &runs {
                let lines: Vec<&str> = run.iter().map(|at| parts[*at].as_str()).collect();
                let text = lines.join("\n");
                let rejected = if stream {
                    ingest_ndjson(&payer.ctx, text.as_bytes(), "s", &mut |_, _| ())
                        .expect("taken")
                        .rejected
                } else {
                    payer.import(&[payer.file("x.ndjson", &text)]).rejected
                };
                assert_eq!(rejected, 0, "{runs:?} {:?}", payer.rejects());
            }
            let rows = payer.stored();
            let of = |rtype: &str| rows.iter().find(|row| row.0 == rtype).expect("stored").2;
            assert_eq!(
                (of("Binary"), of("DocumentReference")),
                (of("Patient"), of("Patient")),
                "{runs:?} {stream}"
            );
        }
    }
}

#[test]
fn a_binary_that_several_members_name_is_nobodys() {
    let lines = [
        patient("a", "x"),
        patient("b", "x"),
        document("d", "a", "n"),
        document("e", "b", "n"),
        binary("n", ""),
    ];
    let payer = Payers::new();
    let report = payer.import(&[payer.file("x.ndjson", &lines.join("\n"))]);
    assert_eq!((report.stored, payer.rejects()[0].3.as_str()), (4, "IM-021"));
    // When a second member's resource references it, it belongs to no member again; when that reference goes, it returns.
    let payer = Payers::new();
    payer.import(&[payer.file("x.ndjson", &[&lines[..3], &lines[4..]].concat().join("\n"))]);
    let owner = |payer: &Payers| payer.stored().iter().find(|row| row.0 == "Binary").expect("stored").2;
    assert_ne!(owner(&payer), 0);
    payer.import(&[payer.file("y.ndjson", &lines[3])]);
    assert_eq!(owner(&payer), 0);
    payer.import(&[payer.file("z.ndjson", &document("e", "b", "other"))]);
    assert_ne!(owner(&payer), 0);
    // Referenced by a resource of another member than its security context names.
    let payer = Payers::new();
    let report = payer.import(&[payer.file(
        "x.ndjson",
        &[&lines[..3], &[binary("n", "Patient/b")][..]].concat().join("\n"),
    )]);
    assert_eq!((report.stored, payer.rejects()[0].3.as_str()), (3, "IM-021"));
}

#[test]
fn a_full_url_of_several_resources_decides_no_member() {
    let payer = Payers::new();
    let of = |id: &str, subject: &str| {
        format!(r#"{{"resourceType":"Condition","id":"{id}","subject":{{"reference":"{subject}"}}}}"#)
    };
    let text = of_entries(&[
        entry("urn:uuid:aa", &patient("a", "x")),
        entry("URN:UUID:AA", &patient("b", "x")),
        entry("https://ehr.example/r4/Patient/c", &patient("c", "x")),
        entry("https://ehr.example/r4/Patient/c", &patient("d", "x")),
        entry("urn:uuid:c1", &of("c1", "urn:uuid:aa")),
        entry("urn:uuid:c2", &of("c2", "https://ehr.example/r4/Patient/c")),
    ]);
    let report = payer.import(&[payer.file("b.json", &text)]);
    assert_eq!((report.stored, report.rejected), (4, 2), "{:?}", payer.rejects());
    assert!(payer.rejects().iter().all(|reject| reject.3 == "IM-001"));
    // Versions of one resource share their full URL.
    let text = of_entries(&[
        entry("urn:uuid:e", &patient("e", "x")),
        entry("urn:uuid:e", &patient("e", "y")),
        entry("urn:uuid:c3", &of("c3", "urn:uuid:e")),
    ]);
    let report = payer.import(&[payer.file("v.json", &text)]);
    assert_eq!((report.stored, report.superseded, report.rejected), (2, 1, 0));
}
