//! Properties of files: content instead of names decides, references to their servers, attachments, and dry runs.

mod references;

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
