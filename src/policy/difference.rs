//! How two policies differ, number by number. Without side effects.

use super::kind::LineForm;

/// A key whose numbers differ. A side without the key is `None`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct KeyChange {
    /// The key.
    pub key: String,
    /// Its numbers in the first text.
    pub from: Option<String>,
    /// Its numbers in the second.
    pub to: Option<String>,
}

/// Returns the differences between two texts whose lines have this form: in the order of the first, then the keys that only the second has.
pub fn difference(form: LineForm, from: &str, to: &str) -> Vec<KeyChange> {
    let (from, to) = (pairs(form, from), pairs(form, to));
    let value = |pairs: &[(&str, &str)], key: &str| {
        let found = pairs.iter().find(|(known, _)| *known == key);
        found.map(|(_, value)| (*value).to_owned())
    };
    let only_second = to.iter().filter(|(key, _)| value(&from, key).is_none());
    let keys = from.iter().chain(only_second).map(|(key, _)| *key);
    keys.map(|key| KeyChange {
        key: key.to_owned(),
        from: value(&from, key),
        to: value(&to, key),
    })
    .filter(|change| change.from != change.to)
    .collect()
}

fn pairs(form: LineForm, text: &str) -> Vec<(&str, &str)> {
    let pair = |line| match form {
        LineForm::Equals => str::split_once(line, '='),
        LineForm::Json => str::split_once(line, ':'),
        LineForm::Tab => Some(line.split_once('\t').unwrap_or(("version", line))),
        LineForm::Words(of_two) => Some(split_words(line, of_two)),
    };
    text.lines()
        .filter(|line| !line.trim().is_empty())
        .filter_map(pair)
        .map(|(key, value)| match form {
            LineForm::Json => (bare(key), bare(value)),
            _ => (key.trim(), value.trim()),
        })
        .collect()
}

/// A key or a value of JSON without its quotes.
fn bare(text: &str) -> &str {
    text.trim().trim_end_matches(',').trim_matches('"')
}

fn split_words<'t>(line: &'t str, of_two: &[&str]) -> (&'t str, &'t str) {
    let Some((first, rest)) = line.split_once(' ') else {
        return ("version", line);
    };
    if !of_two.contains(&first) {
        return (first, rest);
    }
    let end = rest.find(' ').map_or(line.len(), |at| first.len() + 1 + at);
    line.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_changed_came_and_went() {
        let changes = difference(LineForm::Equals, "a = 1\nb = 2 3\nc = 4\n", "a = 1\nb = 2 4\nd = 5\n");
        let said: Vec<String> = changes
            .iter()
            .map(|c| {
                let or_none = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".into());
                format!("{}: {} to {}", c.key, or_none(&c.from), or_none(&c.to))
            })
            .collect();
        assert_eq!(said, ["b: 2 3 to 2 4", "c: 4 to -", "d: - to 5"]);
        assert_eq!(difference(LineForm::Equals, "a = 1", "a = 1\n"), []);
    }

    #[test]
    fn lines_of_words_and_of_tabs_have_keys_too() {
        let keys = |form, from, to| -> Vec<String> {
            let changes = difference(form, from, to);
            changes.into_iter().map(|change| change.key).collect()
        };
        let money = LineForm::Words(&["money"]);
        assert_eq!(
            keys(
                money,
                "v/1\nmoney Claim whole\nlive a = b",
                "v/2\nmoney Claim none\nlive a = b"
            ),
            ["version", "money Claim"]
        );
        assert_eq!(
            keys(LineForm::Words(&[]), "timeout repeat 1 2", "timeout repeat 1 3"),
            ["timeout"]
        );
        assert_eq!(keys(LineForm::Tab, "t:1\na\tb\tc", "t:1\na\tb\td"), ["a"]);
    }
}
