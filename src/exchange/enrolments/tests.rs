//! Files of enrollments: both forms, what each row needs, and limits of lines and rows.

use super::*;

fn rows(text: &[u8]) -> Vec<(u64, Result<EnrolmentFields, Fault>)> {
    let mut file = EnrolmentFile::new(text);
    let mut found = Vec::new();
    while let Some(row) = file.next_row().expect("readable") {
        found.push((row.line, row.fields.map_err(|failure| failure.fault())));
    }
    found
}

#[test]
fn a_row_is_the_same_in_both_forms() {
    let csv = rows(b"partner,member,opt_in_how\r\nold,\"Patient/p\",\"said \"\"yes\"\", twice\"\r\n\r\n");
    let json = rows(b"{\"partner\":\"old\",\"member\":\"Patient/p\",\"opt_in_how\":\"said \\\"yes\\\", twice\"}\n");
    let (csv, json) = (csv[0].1.as_ref().expect("a row"), json[0].1.as_ref().expect("a row"));
    assert_eq!(csv, json);
    assert_eq!(csv.digest(), json.digest());
}

#[test]
fn a_bad_line_is_rejected_by_itself() {
    let long = vec![b'x'; LINE_BYTES + 1];
    let text = [
        b"partner,member\nold,p\n\"open,p\nold,p,extra\n".to_vec(),
        vec![0xff, 0xfe, b'\n'],
        long,
        b"\nold,q".to_vec(),
    ]
    .concat();
    let found = rows(&text);
    let lines: Vec<(u64, bool)> = found.iter().map(|(line, fields)| (*line, fields.is_ok())).collect();
    assert_eq!(
        lines,
        [(2, true), (3, false), (4, false), (5, false), (6, false), (7, true)]
    );
    assert_eq!(
        rows(b"{\"partner\":\"o\",\"colour\":\"red\"}\n")[0].1,
        Err(Fault::EnrolmentInvalid)
    );
}

#[test]
fn a_header_with_an_unknown_column_ends_the_file() {
    let failure = EnrolmentFile::new(&b"partner,colour\nold,red\n"[..])
        .next_row()
        .expect_err("refused");
    assert_eq!(failure.fault(), Fault::FileUnusable);
}
