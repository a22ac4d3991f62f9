//! Page links against texts without end: only a link that was made here, for this binding and in its time, leads anywhere.

use super::{PageLinks, PageStart, SearchPage};
use crate::error::Fault;
use crate::fuzz_tests::run;

const MADE_MS: i64 = 1_700_000_000_000;
const HOUR_MS: i64 = 3_600_000;
const WORDS: &[&str] = &["A", "_", "-", "=", "%", "+", "/", ".", "AAAA", "é", " ", "\0"];

fn page(query: &str, after_key: i64, offset: i64) -> SearchPage {
    SearchPage {
        query: query.to_owned(),
        place: PageStart { after_key, offset },
    }
}

#[test]
fn no_text_but_a_link_of_ours_leads_anywhere_and_a_refusal_repeats_nothing() {
    let links = PageLinks::new([7; 32]);
    let row = links.make("acme|p1|", 77, MADE_MS);
    let sealed = links
        .seal("acme|p1|", &page("family=Lima", 9, 2), MADE_MS)
        .expect("sealed");
    let foreign = PageLinks::new([8; 32]).make("acme|p1|", 77, MADE_MS);
    let corpus: [&[u8]; 4] = [row.as_bytes(), sealed.as_bytes(), foreign.as_bytes(), b""];
    run("page-links", &corpus, WORDS, |input| {
        let text = String::from_utf8_lossy(input);
        let refused = |failure: crate::error::Failure| {
            assert_eq!(failure.fault(), Fault::ParameterInvalid);
            assert_eq!(failure.expressions(), ["_page"]);
            let told = format!("{failure} {}", failure.remedy_text());
            assert!(text.len() < 12 || !told.contains(text.as_ref()), "the link is repeated");
        };
        let read = links.read(&text, "acme|p1|", MADE_MS + 1).map_err(refused).ok();
        let opened = links.open(&text, "acme|p1|", MADE_MS + 1).map_err(refused).ok();
        assert_eq!(read, (text == row).then_some(77));
        assert_eq!(opened, (text == sealed).then(|| page("family=Lima", 9, 2)));
        for binding in ["", "acme|p2|", "acme|p1|x"] {
            assert!(links.read(&text, binding, MADE_MS).is_err() && links.open(&text, binding, MADE_MS).is_err());
        }
        assert!(links.read(&text, "acme|p1|", MADE_MS + HOUR_MS).is_err());
        assert!(links.open(&text, "acme|p1|", MADE_MS + HOUR_MS).is_err());
        format!("{} {} {}", read.is_some(), opened.is_some(), text.len().min(60))
    });
}

#[test]
fn every_query_and_place_comes_back_from_its_link() {
    let links = PageLinks::new([7; 32]);
    let corpus: [&[u8]; 3] = [b"family=Lima&_count=2", b"", b"a\"b\\c"];
    let mut count = 0_i64;
    run("page-links-made", &corpus, WORDS, |input| {
        let query = String::from_utf8_lossy(input);
        count += 1;
        // Keys of all sizes, the ends included.
        let after_key = [count, -count, i64::MAX - count, i64::MIN + count][input.len() % 4];
        let own = page(&query, after_key, count);
        let link = links.seal(&query, &own, MADE_MS).expect("sealed");
        assert!(
            link.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        );
        assert_eq!(links.open(&link, &query, MADE_MS).expect("own"), own);
        let row = links.make(&query, after_key, MADE_MS);
        assert_eq!(links.read(&row, &query, MADE_MS).expect("own"), after_key);
        format!("{}", link.len())
    });
}
