//! Which bytes of a file a request asks for (RFC 9110, section 14): one range of them, or all. Pure.

use crate::secret::hex;
use crate::store::bulk::BulkFileRow;
use std::ops::Range;

/// The bytes that a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedBytes {
    form: Form,
    /// The tag that the file must have; otherwise all of it is asked for.
    only_of: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    Whole,
    /// From this byte on, to that one.
    From(u64, Option<u64>),
    /// The last ones, so many.
    Last(u64),
}

/// The bytes of a file that are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSpan {
    /// Their places.
    pub range: Range<u64>,
    /// Whether a part was asked for.
    pub is_part: bool,
}

impl FileSpan {
    /// How many bytes they are.
    pub fn bytes(&self) -> u64 {
        self.range.end.saturating_sub(self.range.start)
    }

    /// Whether they are all bytes of this file, as `bytes=0-` asks for too.
    pub fn is_all_of(&self, row: &BulkFileRow) -> bool {
        self.range == (0..length(row))
    }
}

impl AskedBytes {
    /// Reads the headers `Range` and `If-Range`. What is no single range of bytes asks for all of them.
    pub fn read(range: Option<&str>, only_of: Option<&str>) -> AskedBytes {
        AskedBytes {
            form: range.and_then(form).unwrap_or_default(),
            only_of: only_of.map(|tag| tag.trim().to_owned()),
        }
    }

    /// The bytes of this file that are sent; `None` when it has none of those that are asked for.
    pub fn of(&self, row: &BulkFileRow) -> Option<FileSpan> {
        let bytes = length(row);
        let is_other = self.only_of.as_ref().is_some_and(|tag| *tag != tag_of(row));
        let range = match self.form {
            Form::From(..) | Form::Last(_) if is_other => 0..bytes,
            Form::Whole => 0..bytes,
            Form::From(first, last) => first..last.map_or(bytes, |last| bytes.min(last.saturating_add(1))),
            Form::Last(many) => bytes.saturating_sub(many)..bytes,
        };
        let is_part = self.form != Form::Whole && !is_other;
        (!is_part || !range.is_empty()).then_some(FileSpan { range, is_part })
    }
}

/// The length of a file.
pub fn length(row: &BulkFileRow) -> u64 {
    u64::try_from(row.bytes).unwrap_or(0)
}

/// The entity tag of a file, which never changes.
pub fn tag_of(row: &BulkFileRow) -> String {
    format!("\"{}\"", hex(&row.sha256))
}

fn form(text: &str) -> Option<Form> {
    let (unit, range) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = range.trim().split_once('-')?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    match (first, last) {
        ("", many) => number(many).map(Form::Last),
        (first, "") => Some(Form::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Form::From(first, Some(last)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> BulkFileRow {
        BulkFileRow {
            name: "n".into(),
            job_id: "j".into(),
            piece: 0,
            side: "output".into(),
            resource_type: "Patient".into(),
            resources: 1,
            bytes: 100,
            sha256: vec![0xab],
            created_ms: 0,
        }
    }

    #[test]
    fn one_range_is_cut_to_the_file_and_anything_else_asks_for_all() {
        let of = |range: Option<&str>, tag: Option<&str>| {
            let span = AskedBytes::read(range, tag).of(&row())?;
            Some((span.range.start, span.range.end, span.is_part))
        };
        for (range, wanted) in [
            (None, Some((0, 100, false))),
            (Some("bytes=10-19"), Some((10, 20, true))),
            (Some("bytes=10-"), Some((10, 100, true))),
            (Some("bytes=-5"), Some((95, 100, true))),
            (Some("bytes=-500"), Some((0, 100, true))),
            (Some("bytes=90-1000"), Some((90, 100, true))),
            (Some("bytes=100-"), None),
            (Some("bytes=-0"), None),
            (Some("bytes=5-4"), Some((0, 100, false))),
            (Some("bytes=1-2,5-6"), Some((0, 100, false))),
            (Some("lines=1-2"), Some((0, 100, false))),
            (Some("bytes=+1-2"), Some((0, 100, false))),
            (Some("bytes=-"), Some((0, 100, false))),
            (Some("bytes"), Some((0, 100, false))),
        ] {
            assert_eq!(of(range, None), wanted, "{range:?}");
            let span = AskedBytes::read(range, None).of(&row());
            let is_all = span.is_some_and(|span| span.is_all_of(&row()));
            assert_eq!(
                is_all,
                wanted.is_some_and(|(begin, end, _)| (begin, end) == (0, 100)),
                "{range:?}"
            );
        }
        assert_eq!(of(Some("bytes=1-2"), Some("\"ab\"")), Some((1, 3, true)));
        assert_eq!(of(Some("bytes=1-2"), Some("\"cd\"")), Some((0, 100, false)));
        assert_eq!(of(Some("bytes=100-"), Some("\"cd\"")), Some((0, 100, false)));
    }
}
