//! What signed sizes and links do to both verifiers: they end, with the same exit code.

use super::{Log, numbered, ours, python, write};
use causeway::audit::note::Checkpoint;
use causeway::audit::verify::LedgerResult;

#[test]
fn both_verifiers_end_whatever_size_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("export");
    let log = Log::new();
    for (size, first_bad) in [(1_u64 << 40, Some(512)), (1 << 63, None)] {
        let mut files = log.export(&numbered(700));
        let checkpoint = Checkpoint {
            origin: log.key.name.clone(),
            size,
            root: [7; 32],
        };
        let note = log
            .key
            .note(&checkpoint, &log.signing.sign(checkpoint.text().as_bytes()));
        files.insert("checkpoint".to_owned(), note.clone().into_bytes());
        write(&folder, &files);
        let verdict = ours(&folder, &log.key, None);
        assert_eq!(
            (verdict.result, verdict.first_bad),
            (LedgerResult::Incomplete, first_bad)
        );
        let (code, found, said) = python(&folder, &log.key, None);
        assert_eq!((code, found), (3, first_bad), "{said}");

        // More digits than Python reads as a number.
        let note = note.replacen(&size.to_string(), &"9".repeat(5_000), 1);
        files.insert("checkpoint".to_owned(), note.into_bytes());
        write(&folder, &files);
        assert_eq!(ours(&folder, &log.key, None).result, LedgerResult::Incomplete);
        let (code, _, said) = python(&folder, &log.key, None);
        assert_eq!(code, 3, "{said}");
    }
    // A link to a folder outside.
    write(&folder, &log.export(&numbered(700)));
    std::os::unix::fs::symlink("/", folder.join("tile/link")).expect("a link");
    assert_eq!(ours(&folder, &log.key, None).result, LedgerResult::Tampered);
    let (code, _, said) = python(&folder, &log.key, None);
    assert_eq!(code, 1, "{said}");
}
