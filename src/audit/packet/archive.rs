//! The container of a packet: a plain tar archive (POSIX ustar) whose bytes follow from the names and contents of its files alone.
//!
//! Every tar program unpacks it. Reading is strict: a header, a padding or an end that differs by a byte from what packing writes is refused,
//! so that no byte of a packet is without meaning.

/// Bytes of a block.
const BLOCK: usize = 512;
/// Longest path that a header takes.
const PATH_BYTES: usize = 100;

/// A file of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackedFile {
    /// Its path inside the packet.
    pub path: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl PackedFile {
    /// A file of this text.
    pub fn text(path: &str, text: impl Into<Vec<u8>>) -> PackedFile {
        PackedFile {
            path: path.to_owned(),
            bytes: text.into(),
        }
    }
}

/// Why bytes are no archive that was packed here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArchiveDefect {
    /// It ends before its end; the file in which it does, if that is known.
    Truncated(Option<String>),
    /// It is not what packing writes; the file at which that shows, if it is known.
    Altered(Option<String>),
}

/// Whether a packet can have a file of this path: ASCII letters, digits, `-`, `.`, `_` and slashes between them.
pub fn is_path(path: &str) -> bool {
    let is_plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    path.len() <= PATH_BYTES && path.split('/').all(is_plain)
}

/// Packs files in their order. Every path must be one of [`is_path`].
pub fn pack(files: &[PackedFile]) -> Vec<u8> {
    let whole: usize = files.iter().map(|file| BLOCK + padded(file.bytes.len())).sum();
    let mut packed = Vec::with_capacity(whole + 2 * BLOCK);
    for file in files {
        packed.extend_from_slice(&header(&file.path, file.bytes.len()));
        packed.extend_from_slice(&file.bytes);
        packed.resize(packed.len().next_multiple_of(BLOCK), 0);
    }
    packed.resize(packed.len() + 2 * BLOCK, 0);
    packed
}

/// Unpacks what [`pack`] wrote.
///
/// # Errors
/// Where it is cut off, or something else.
pub fn unpack(mut bytes: &[u8]) -> Result<Vec<PackedFile>, ArchiveDefect> {
    let mut files: Vec<PackedFile> = Vec::new();
    loop {
        let last = || files.last().map(|file| file.path.clone());
        let Some((head, rest)) = bytes.split_first_chunk::<BLOCK>() else {
            return Err(ArchiveDefect::Truncated(last()));
        };
        if head == &[0; BLOCK] {
            return match rest.len() {
                BLOCK if rest == [0; BLOCK] => Ok(files),
                0..BLOCK => Err(ArchiveDefect::Truncated(last())),
                _ => Err(ArchiveDefect::Altered(last())),
            };
        }
        let (path, length) = read_header(head).ok_or_else(|| ArchiveDefect::Altered(last()))?;
        let Some((content, rest)) = rest.split_at_checked(padded(length)) else {
            return Err(ArchiveDefect::Truncated(Some(path)));
        };
        let (content, padding) = content.split_at(length);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(ArchiveDefect::Altered(Some(path)));
        }
        files.push(PackedFile {
            path,
            bytes: content.to_vec(),
        });
        bytes = rest;
    }
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(BLOCK)
}

/// The header of a plain file, mode 0644, of nobody and of no time.
fn header(path: &str, length: usize) -> [u8; BLOCK] {
    let mut head = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| head[at..at + text.len()].copy_from_slice(text);
    put(0, &path.as_bytes()[..path.len().min(PATH_BYTES)]);
    put(100, b"0000644");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{length:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    let sum: u32 = head.iter().map(|byte| u32::from(*byte)).sum();
    head[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    head
}

/// Path and length of a file, if this is the header that packing writes for them.
fn read_header(head: &[u8; BLOCK]) -> Option<(String, usize)> {
    let path = head[..PATH_BYTES].split(|byte| *byte == 0).next()?;
    let path = std::str::from_utf8(path).ok().filter(|path| is_path(path))?;
    let length = std::str::from_utf8(&head[124..135]).ok()?;
    let length = usize::from_str_radix(length, 8).ok()?;
    (header(path, length) == *head).then(|| (path.to_owned(), length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Vec<PackedFile> {
        vec![
            PackedFile::text("manifest.json", "{}"),
            PackedFile::text("proofs/12.tlog-proof", vec![7; BLOCK]),
            PackedFile::text("empty", ""),
        ]
    }

    #[test]
    fn what_was_packed_is_unpacked_and_has_the_same_bytes_again() {
        let packed = pack(&files());
        assert_eq!(packed.len() % BLOCK, 0);
        assert_eq!(unpack(&packed), Ok(files()));
        assert_eq!(pack(&files()), packed);
        assert_eq!(&packed[257..263], b"ustar\0");
    }

    #[test]
    fn every_byte_counts_outside_of_the_contents() {
        let packed = pack(&files());
        for at in 0..packed.len() {
            let is_content = (BLOCK..BLOCK + 2).contains(&at) || (3 * BLOCK..4 * BLOCK).contains(&at);
            let mut other = packed.clone();
            other[at] ^= 0x41;
            assert_eq!(unpack(&other).is_ok(), is_content, "byte {at}");
        }
    }

    #[test]
    fn whatever_is_cut_off_or_added_is_noticed() {
        let packed = pack(&files());
        for length in 0..packed.len() {
            let cut = unpack(&packed[..length]);
            assert!(matches!(cut, Err(ArchiveDefect::Truncated(_))), "{length}: {cut:?}");
        }
        let longer = [packed.as_slice(), &[0]].concat();
        assert!(matches!(unpack(&longer), Err(ArchiveDefect::Altered(_))));
    }

    #[test]
    fn paths_stay_inside_the_packet() {
        for path in ["checkpoint", "proofs/1.tlog-proof", "a/b/c_d.json"] {
            assert!(is_path(path), "{path}");
        }
        for path in ["", "/a", "a/", "../a", "a/./b", "a//b", "a b", "é", &"a".repeat(101)] {
            assert!(!is_path(path), "{path}");
        }
    }
}
