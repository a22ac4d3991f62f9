//! How two policies differ, number by number. Without side effects.

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

/// Returns the differences between two texts of lines `key = numbers`: in the order of the first, then the keys that only the second has.
pub fn difference(from: &str, to: &str) -> Vec<KeyChange> {
    let (from, to) = (pairs(from), pairs(to));
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

fn pairs(text: &str) -> Vec<(&str, &str)> {
    let line = |line| str::split_once(line, '=').map(|(key, value)| (key.trim(), value.trim()));
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_changed_came_and_went() {
        let changes = difference("a = 1\nb = 2 3\nc = 4\n", "a = 1\nb = 2 4\nd = 5\n");
        let said: Vec<String> = changes
            .iter()
            .map(|c| {
                let or_none = |side: &Option<String>| side.clone().unwrap_or_else(|| "-".into());
                format!("{}: {} to {}", c.key, or_none(&c.from), or_none(&c.to))
            })
            .collect();
        assert_eq!(said, ["b: 2 3 to 2 4", "c: 4 to -", "d: - to 5"]);
        assert_eq!(difference("a = 1", "a = 1\n"), []);
    }
}
