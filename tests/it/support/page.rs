//! Tables of pages that are made from the code: compared, or written anew with `CAUSEWAY_UPDATE_DOCS`.

use std::path::Path;

/// Compares the tables of the page `name` with the code, each between the marks of its name, or writes them anew.
///
/// # Panics
/// When the page differs from the code, or lacks a mark.
#[track_caller]
pub fn compare(name: &str, tables: &[(&str, String)]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    let page = std::fs::read_to_string(&path).expect("the page");
    let mut wanted = page.clone();
    for (mark, table) in tables {
        wanted = between(&wanted, mark, table);
    }
    if std::env::var_os("CAUSEWAY_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("written");
    } else {
        assert!(
            page == wanted,
            "{name} differs from the code: run this test with CAUSEWAY_UPDATE_DOCS=1"
        );
    }
}

/// The page with `text` between the marks of `name`.
fn between(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name}: begin -->\n"), format!("<!-- {name}: end -->"));
    let (before, rest) = page.split_once(&begin).expect("a mark");
    let (_, after) = rest.split_once(&end).expect("a mark");
    format!("{before}{begin}{text}{end}{after}")
}
