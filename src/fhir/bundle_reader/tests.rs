//! A Bundle is read the same wherever its bytes are cut, and costs no more memory than one entry.

use super::*;

/// Reads `text` in pieces of `step` bytes.
fn read(text: &str, step: usize, most: usize) -> Result<(Vec<String>, BundleFrame), Fault> {
    let (mut reader, mut found) = (BundleReader::new(most), Vec::new());
    for part in text.as_bytes().chunks(step) {
        reader
            .feed(part, &mut |piece| {
                found.push(match piece {
                    BundlePiece::Entry { start, bytes } => {
                        let own = String::from_utf8(bytes).expect("UTF-8");
                        let start = usize::try_from(start).expect("small");
                        assert_eq!(&text[start..start + own.len()], own, "it stands where it says");
                        own
                    }
                    BundlePiece::TooLong { length, .. } => format!("too long: {length}"),
                });
                Ok(())
            })
            .map_err(|failure| failure.fault())?;
    }
    reader
        .end()
        .map(|head| (found, head))
        .map_err(|failure| failure.fault())
}

const WHOLE: &str = r#" {"resourceType":"Bundle", "id":"a\"entry\":[", "type" : "searchset","total":2,
        "meta":{"entry":[{"x":1}],"type":"no"},
        "link":[{"relation":"self","url":"https://a/1"},{"relation":"next","url":"https://a/2?x=\u0041"}],
        "entry":[ {"fullUrl":"x}]\\","resource":{"resourceType":"Goal","note":["{[\""]}} ,{"resource":{"id":"b"}}],
        "x":null,"y":[[],{}] }
"#;

#[test]
fn entries_come_one_after_another_wherever_the_bytes_are_cut() {
    let whole = read(WHOLE, WHOLE.len(), 1000).expect("reads");
    assert_eq!(
        whole.0,
        [
            r#"{"fullUrl":"x}]\\","resource":{"resourceType":"Goal","note":["{[\""]}}"#,
            r#"{"resource":{"id":"b"}}"#
        ]
    );
    let wanted = BundleFrame {
        resource_type: "Bundle".into(),
        kind: "searchset".into(),
        total: Some(2),
        next: Some("https://a/2?x=A".into()),
        entries: 2,
    };
    assert_eq!(whole.1, wanted);
    for step in 1..40 {
        assert_eq!(read(WHOLE, step, 1000).as_ref(), Ok(&whole), "pieces of {step}");
    }
}

#[test]
fn a_document_that_ends_early_is_no_bundle() {
    for end in 1..WHOLE.trim_end().len() {
        assert!(read(&WHOLE[..end], 7, 1000).is_err(), "cut at {end}");
    }
    assert_eq!(read(r#"{"resourceType":"Bundle"}{"#, 9, 99), Err(Fault::NotJson));
    assert_eq!(read("", 9, 99), Err(Fault::NotJson));
}

#[test]
fn what_cannot_be_a_bundle_is_refused() {
    for (text, fault) in [
        ("<html>", Fault::NotJson),
        ("[]", Fault::ResourceInvalid),
        (r#"{"entry":{"a":1}}"#, Fault::ResourceInvalid),
        (r#"{"entry":"a"}"#, Fault::ResourceInvalid),
        (r#"{"entry":null}"#, Fault::ResourceInvalid),
        (r#"{"entry":["a"]}"#, Fault::ResourceInvalid),
        (r#"{"entry":[[1]]}"#, Fault::ResourceInvalid),
        (r#"{"entry":[1]}"#, Fault::ResourceInvalid),
        (r#"{"entry":[],"entry":[]}"#, Fault::DuplicateKey),
        (r#"{"total":"many"}"#, Fault::ResourceInvalid),
        (
            r#"{"link":[{"relation":"next","url":"a"},{"relation":"next","url":"b"}]}"#,
            Fault::ResourceInvalid,
        ),
        (r#"{"a":1]"#, Fault::NotJson),
        (r#"{"a"}}"#, Fault::NotJson),
    ] {
        assert_eq!(read(text, 3, 99), Err(fault), "{text}");
    }
    let deep = format!("{{\"a\":{}", "[".repeat(70));
    assert_eq!(read(&deep, 9, 99), Err(Fault::TooDeep));
    let long = format!("{{\"link\":\"{}\"}}", "x".repeat(ASIDE_BYTES + 1));
    assert_eq!(read(&long, 1 << 20, 99), Err(Fault::TooLarge));
}

#[test]
fn an_entry_beyond_the_limit_is_left_out_and_the_others_come() {
    let text = format!(r#"{{"entry":[{{"a":"{}"}},{{"b":1}}]}}"#, "x".repeat(5000));
    let (found, head) = read(&text, 100, 64).expect("reads");
    assert_eq!(found, ["too long: 5008", r#"{"b":1}"#]);
    assert_eq!(head.entries, 2);
}

#[test]
fn memory_does_not_grow_with_what_is_beside_the_entries() {
    let mut reader = BundleReader::new(64);
    reader.feed(br#"{"x":""#, &mut |_| Ok(())).expect("reads");
    for _ in 0..1000 {
        reader.feed(&[b'y'; 4096], &mut |_| Ok(())).expect("reads");
    }
    assert!(reader.taken.capacity() <= ASIDE_BYTES, "{}", reader.taken.capacity());
}
