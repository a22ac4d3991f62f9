//! Indents JSON while it is sent (`_pretty`), byte by byte. Only white space is added.

/// The position in the JSON. All pieces of one document must go through the same value, in order.
#[derive(Default)]
pub struct Indent {
    depth: usize,
    in_text: bool,
    escaped: bool,
    /// Whether an opening bracket is pending, so that an empty object or array stays on one line.
    opened: bool,
}

impl Indent {
    /// Indents the next piece, by two spaces for each level.
    pub fn piece(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() * 2);
        for byte in bytes.iter().copied() {
            if self.in_text {
                out.push(byte);
                self.in_text = self.escaped || byte != b'"';
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b' ' | b'\n' | b'\r' | b'\t' => {}
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if !std::mem::take(&mut self.opened) {
                        self.line(&mut out);
                    }
                    out.push(byte);
                }
                _ => {
                    if std::mem::take(&mut self.opened) {
                        self.line(&mut out);
                    }
                    out.push(byte);
                    match byte {
                        b'{' | b'[' => {
                            self.depth += 1;
                            self.opened = true;
                        }
                        b',' => self.line(&mut out),
                        b':' => out.push(b' '),
                        b'"' => self.in_text = true,
                        _ => {}
                    }
                }
            }
        }
        out
    }

    fn line(&self, out: &mut Vec<u8>) {
        out.push(b'\n');
        out.resize(out.len() + self.depth * 2, b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indented(text: &str, piece_bytes: usize) -> String {
        let mut indent = Indent::default();
        let all: Vec<u8> = text
            .as_bytes()
            .chunks(piece_bytes)
            .flat_map(|piece| indent.piece(piece))
            .collect();
        String::from_utf8(all).expect("utf-8")
    }

    #[test]
    fn only_white_space_is_added_wherever_the_pieces_end() {
        let text = r#"{"a":[1.50,{"b":"x\"{[,:é\\"}],"c":{},"d":[ ],"e":null,"f":[[],-1E+2]}"#;
        let wanted = "{\n  \"a\": [\n    1.50,\n    {\n      \"b\": \"x\\\"{[,:é\\\\\"\n    }\n  ],\n  \"c\": {},\n  \"d\": [],\n  \"e\": null,\n  \"f\": [\n    [],\n    -1E+2\n  ]\n}";
        for piece_bytes in 1..=text.len() {
            assert_eq!(indented(text, piece_bytes), wanted, "pieces of {piece_bytes} bytes");
        }
        assert_eq!(indented(wanted, 3), wanted);
    }
}
