//! Words that tell money: in free text, in the names of extensions and of adjudications.

/// Elements of free text.
const PROSE: [&str; 10] = [
    "comment",
    "description",
    "display",
    "name",
    "note",
    "text",
    "title",
    "valueMarkdown",
    "valueString",
    "valueStatement",
];
/// What means an amount by itself.
const CURRENCIES: [&str; 9] = ["$", "€", "£", "¥", "usd", "dollar", "eur ", "gbp", " cents"];
/// What means an amount beside a number.
const MONEY: [&str; 15] = [
    "amount",
    "amt",
    "charge",
    "coins",
    "copay",
    "cost",
    "deduct",
    "fee ",
    "liab",
    "money",
    "paid",
    "payment",
    "premium",
    "price",
    "ratelimit",
];

/// Whether a member of this name is free text.
pub(super) fn is_prose(name: &str) -> bool {
    PROSE.contains(&name)
}

/// Whether a text tells an amount: by a currency, or by a word of money and a number.
pub(super) fn tell_money(text: &str) -> bool {
    let lower = text.to_lowercase();
    CURRENCIES.iter().any(|word| lower.contains(word))
        || lower.bytes().any(|byte| byte.is_ascii_digit()) && name_money(&lower)
}

/// Whether a name is one of money.
pub(super) fn name_money(text: &str) -> bool {
    let name: String = text
        .to_lowercase()
        .replace("discharge", "")
        .replace("co-", "co")
        .replace(['-', '_'], "");
    MONEY.iter().any(|word| name.contains(word))
}

/// Whether the unit of a quantity is a currency.
pub(super) fn is_currency(unit: &str) -> bool {
    let unit = unit.trim().to_ascii_lowercase();
    matches!(
        unit.as_str(),
        "usd" | "us$" | "$" | "dollar" | "dollars" | "us dollar" | "us dollars" | "eur" | "gbp" | "cad"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_in_words_are_told_from_other_texts() {
        for text in [
            "Member liability: 80 USD",
            "pays $5",
            "Copay 35",
            "US dollars",
            "paid to provider: 620",
            "co-pay of 20",
        ] {
            assert!(tell_money(text), "{text}");
        }
        for text in [
            "Professional",
            "99202",
            "Discharge on day 3",
            "Consultation",
            "E11.9 Type 2 diabetes",
            "Eligible",
        ] {
            assert!(!tell_money(text), "{text}");
        }
    }
}
