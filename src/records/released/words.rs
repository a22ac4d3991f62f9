//! Recognizes money in words: in free text, and in the names of extensions and of adjudications.

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
/// Texts that mean an amount by themselves.
const CURRENCIES: [&str; 6] = ["$", "€", "£", "¥", "usd", "dollar"];
/// The same, but only as whole words. (`CAD` is a disease too, and `INR` a measurement.)
const CURRENCY_WORDS: [&str; 7] = ["cents", "chf", "eur", "euro", "euros", "gbp", "mxn"];
/// Words that mean an amount when a number is near.
const MONEY: [&str; 20] = [
    "amount",
    "amt",
    "billed",
    "charge",
    "coins",
    "copay",
    "cost",
    "deduct",
    "fee ",
    "liab",
    "money",
    " owe",
    "out of pocket",
    "outofpocket",
    "paid",
    "payment",
    "premium",
    "price",
    "ratelimit",
    "reimburs",
];

/// Whether a member of this name is free text.
pub(super) fn is_prose(name: &str) -> bool {
    PROSE.contains(&name)
}

/// Whether a text expresses an amount: by a currency, or by a word for money together with a number.
pub(super) fn tell_money(text: &str) -> bool {
    let lower = text.to_lowercase();
    CURRENCIES.iter().any(|word| lower.contains(word))
        || lower
            .split(|c: char| !c.is_alphabetic())
            .any(|word| CURRENCY_WORDS.contains(&word))
        || lower.bytes().any(|byte| byte.is_ascii_digit()) && name_money(&lower)
}

/// Whether a name means money.
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
    let unit = unit
        .trim_matches(|c: char| c.is_whitespace() || "{}[]().".contains(c))
        .to_ascii_lowercase();
    const UNITS: [&str; 12] = [
        "aud", "cad", "cent", "cents", "chf", "eur", "euro", "euros", "gbp", "jpy", "mxn", "¢",
    ];
    UNITS.contains(&unit.as_str()) || CURRENCIES.iter().any(|word| unit.contains(word))
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
            "Out of pocket 12.50",
            "35 EUR",
            "you owe 35",
            "Out-of-pocket so far: 1,200",
            "billed 620",
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
            "Europe, ward 3",
            "Lower leg, 2 views",
            "Followed by 2 allowed units",
            "CAD stage 2, INR 2.5",
        ] {
            assert!(!tell_money(text), "{text}");
        }
        for unit in [
            "USD",
            "{USD}",
            "US Dollars",
            "dollars",
            "80 dollars",
            "[USD]/d",
            "$",
            "cents",
            "EUR",
        ] {
            assert!(is_currency(unit), "{unit}");
        }
        for unit in ["mg", "{visits}", "d", "1", "[lb_av]", "[pound_av]", "U/L"] {
            assert!(!is_currency(unit), "{unit}");
        }
    }
}
