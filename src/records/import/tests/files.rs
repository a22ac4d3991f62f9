//! Properties of files: content instead of names decides, references to their servers, attachments, and dry runs.

use super::*;
use std::io::Write;

fn organization(id: &str) -> String {
    format!(r#"{{"resourceType":"Organization","id":"{id}","name":"Firm {id}"}}"#)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).expect("written");
    gzip.finish().expect("finished")
}

fn bundle(entries: &[String]) -> String {
    let entries: Vec<String> = entries.iter().map(|one| format!(r#"{{"resource":{one}}}"#)).collect();
    format!(
        r#"{{"resourceType":"Bundle","type":"collection","entry":[{}]}}"#,
        entries.join(",")
    )
}

fn pretty(text: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(text).expect("JSON");
    serde_json::to_string_pretty(&value).expect("JSON")
}

/// Two organizations in every form that a file may have.
fn forms(a: &str, b: &str) -> Vec<String> {
    let (one, two) = (bundle(&[a.to_owned()]), bundle(&[b.to_owned()]));
    let both = bundle(&[a.to_owned(), b.to_owned()]);
    vec![
        format!("{a}\n{b}\n"),
        format!("{a}\r\n\r\n{b}"),
        format!("{one}\n{two}"),
        pretty(&both),
        format!("[{a},{b}]"),
        pretty(&format!("[{a},{b}]")),
        format!("[{one},\n{b}]"),
        format!("{}\n{}", pretty(a), pretty(b)),
        format!("{one}\n{b}"),
        format!(r#"{{"entry":[{{"resource":{a}}},{{"resource":{b}}}],"type":"collection","resourceType":"Bundle"}}"#),
        both,
    ]
}

#[test]
fn a_file_is_what_it_holds_whatever_its_name_and_its_packing() {
    let payer = Payers::new();
    let names = [
        "x.ndjson",
        "x.json",
        "x.ndjson.gz",
        "Patient.ndjson",
        "Provenance.jsonl",
        "x.txt",
        "x",
    ];
    let (mut tried, mut stored) = (0, 0);
    for form in 0..forms("{}", "{}").len() {
        for mark in ["", "\u{feff}"] {
            for packed in [false, true] {
                for name in names {
                    tried += 1;
                    let (a, b) = (organization(&format!("a{tried}")), organization(&format!("b{tried}")));
                    let text = format!("{mark}{}", forms(&a, &b)[form]);
                    let path = payer.folder.path().join(name);
                    let bytes = if packed {
                        gzip(text.as_bytes())
                    } else {
                        text.clone().into_bytes()
                    };
                    fs::write(&path, bytes).expect("written");
                    let report = payer.import(&[path]);
                    let what = format!("{name} packed {packed} mark {}: {text}", !mark.is_empty());
                    assert_eq!((report.stored, report.rejected), (2, 0), "{what}");
                    stored += report.stored;
                }
            }
        }
    }
    assert_eq!((tried, stored), (11 * 2 * 2 * 7, 2 * 11 * 2 * 2 * 7));
}

#[test]
fn one_broken_line_stops_nothing_and_is_told_with_its_number() {
    for broken in [
        "{\"resourceType\":\"Organization\"",
        "{\"id\":\"x}",
        "]",
        "{}}",
        "[{",
        "\u{feff}",
    ] {
        let payer = Payers::new();
        let text = format!("{broken}\n{}\n{broken}\n{}\n", organization("a"), organization("b"));
        let report = payer.import(&[payer.file("x.ndjson", &text)]);
        assert_eq!(report.stored, 2, "{broken}: {:?}", payer.rejects());
        let lines: Vec<u64> = payer.rejects().iter().map(|one| one.1).collect();
        assert_eq!(
            lines,
            if broken == "\u{feff}" { vec![] } else { vec![1, 3] },
            "{broken}"
        );
    }
}

#[test]
fn names_of_what_is_left_aside_are_told() {
    let payer = Payers::new();
    payer.file("in/a.json", r#"{"name":"package"}"#);
    payer.file("in/notes.txt", "hello");
    payer.file("in/Organization.ndjson", &organization("a"));
    let report = payer.import(&[payer.folder.path().join("in")]);
    let mut names: Vec<&str> = report.aside.iter().map(|one| one.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        (names, report.skipped, report.stored),
        (vec!["in/a.json", "in/notes.txt"], 1, 1)
    );
}

#[test]
fn progress_reaches_the_bytes_of_all_files_and_never_goes_back() {
    let payer = Payers::new();
    let mixed: Vec<String> = (0..1_500)
        .flat_map(|n| {
            [
                patient(&format!("p{n}"), "x"),
                condition(&format!("c{n}"), &format!("p{n}")),
            ]
        })
        .collect();
    let packed = payer.folder.path().join("mixed.ndjson.gz");
    fs::write(&packed, gzip(mixed.join("\n").as_bytes())).expect("written");
    let plain = payer.file(
        "Organization.ndjson",
        &(0..900)
            .map(|n| organization(&n.to_string()))
            .collect::<Vec<_>>()
            .join("\n"),
    );
    let total: u64 = [&packed, &plain]
        .iter()
        .map(|path| fs::metadata(path).expect("there").len())
        .sum();
    let (mut last, mut middle, mut index) = (0, 0, 0);
    let names = ["m".to_owned(), "o".to_owned()];
    import(
        &payer.ctx,
        &[packed, plain],
        &names,
        &payer.options(),
        &mut |progress| match progress.stage {
            ImportStage::Files => {
                assert!(
                    progress.done >= last && progress.done <= total && progress.total == total,
                    "{progress:?}"
                );
                middle += u64::from(progress.done > total / 10 && progress.done < total * 9 / 10);
                last = progress.done;
            }
            ImportStage::Index => index += 1,
        },
    )
    .expect("imported");
    assert!(
        last > total * 9 / 10 && middle > 0 && index > 0,
        "{last} of {total}, {middle}, {index}"
    );
}

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

fn document(id: &str, patient: &str, binary: &str) -> String {
    format!(
        r#"{{"resourceType":"DocumentReference","id":"{id}","status":"current","subject":{{"reference":"Patient/{patient}"}},"content":[{{"attachment":{{"url":"Binary/{binary}"}}}}]}}"#
    )
}

fn binary(id: &str, context: &str) -> String {
    let context = if context.is_empty() {
        String::new()
    } else {
        format!(r#""securityContext":{{"reference":"{context}"}},"#)
    };
    format!(r#"{{"resourceType":"Binary","id":"{id}",{context}"contentType":"text/plain","data":"bm90ZQ=="}}"#)
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
fn a_dry_run_reports_the_same_and_stores_nothing() {
    let lines = [
        patient("a", "x"),
        condition("c", "a"),
        condition("d", "nobody"),
        provenance("v", &["Condition/c"]),
        provenance("w", &["Condition/none"]),
        "not json".to_owned(),
        condition("c", "a").replace("\"id\"", "\"code\":{\"text\":\"n\"},\"id\""),
        document("e", "a", "b"),
        binary("b", ""),
    ];
    let payer = Payers::new();
    payer.import(&[payer.file("first.ndjson", &[patient("z", "x"), condition("y", "z")].join("\n"))]);
    let before = payer.stored();
    let paths = [
        payer.file("x.ndjson", &lines.join("\n")),
        payer.file(
            "y.ndjson",
            &[patient("a", "newer"), condition("y", "a"), condition("y", "z")].join("\n"),
        ),
    ];
    let names = ["x".to_owned(), "y".to_owned()];
    let dry = payer.import_with(
        &paths,
        &names,
        ImportOptions {
            dry_run: true,
            ..payer.options()
        },
    );
    let dry_rejects = payer.rejects();
    assert_eq!(payer.stored(), before);
    assert!(dry.dry_run && dry.rejected == 3 && dry.superseded > 0, "{dry:?}");
    let real = payer.import_with(&paths, &names, payer.options());
    let counts = |one: &ImportReport| (one.read, one.stored, one.unchanged, one.superseded, one.rejected);
    assert_eq!((counts(&dry), dry_rejects), (counts(&real), payer.rejects()));
    assert_ne!(payer.stored(), before);
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

#[test]
fn a_pipe_is_refused_before_anything_of_it_is_read() {
    let payer = Payers::new();
    let path = payer.folder.path().join("pipe.ndjson");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo").success());
    let told = import(&payer.ctx, &[path], &["pipe".to_owned()], &payer.options(), &mut |_| ());
    let told = told.expect_err("refused");
    assert_eq!(told.fault(), Fault::InputUnreadable);
    assert!(told.remedy_text().contains("a file first"), "{}", told.remedy_text());
}

#[test]
fn a_file_in_utf_16_is_refused_not_left_aside() {
    let text = bundle(&[organization("a")]);
    for big in [false, true] {
        let payer = Payers::new();
        let bytes: Vec<u8> = std::iter::once(0xfeff)
            .chain(text.encode_utf16())
            .flat_map(|unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
            .collect();
        let path = payer.file("d/x.json", "");
        fs::write(&path, bytes).expect("written");
        let folder = path.parent().expect("a folder").to_owned();
        let report = payer.import(&[folder]);
        assert_eq!(
            (report.stored, report.rejected, report.skipped),
            (0, 1, 0),
            "{report:?}"
        );
    }
}
