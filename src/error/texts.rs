//! What a partner is told besides the remedies of faults: texts of the payer that runs this server, by the codes of faults.
//!
//! A text never replaces a remedy, and depends on the fault alone, so that it says nothing about a member.

/// The first line of the texts.
pub const HEAD: &str = "error-texts 1";

/// The text for a fault of this code, from lines `code = text`.
pub fn text_for<'t>(texts: &'t str, code: &str) -> Option<&'t str> {
    texts.lines().find_map(|line| {
        let (key, text) = line.split_once(" = ")?;
        (key == code).then_some(text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_has_the_text_of_its_code() {
        let texts = "error-texts 1\nMM-005 = Call our desk, a = b.\n";
        assert_eq!(text_for(texts, "MM-005"), Some("Call our desk, a = b."));
        assert_eq!(text_for(texts, "MM-006"), None);
    }
}
