//! National Provider Identifiers. They are compared as text; a wrong check digit is only a warning.

/// Whether `npi` is ten digits with a valid check digit (Luhn over `80840` and the NPI; CMS NPI check digit).
pub fn has_valid_check_digit(npi: &str) -> bool {
    if npi.len() != 10 || !npi.bytes().all(|b| b.is_ascii_digit()) {
        return false;
    }
    let digits = npi.bytes().rev().map(|b| u32::from(b - b'0')).enumerate();
    let sum: u32 = digits
        .map(|(at, digit)| {
            if at % 2 == 0 {
                digit
            } else {
                digit * 2 / 10 + digit * 2 % 10
            }
        })
        .sum();
    (sum + 24).is_multiple_of(10) // 24 is the contribution of the constant prefix 80840
}

#[cfg(test)]
mod tests {
    use super::has_valid_check_digit;

    #[test]
    fn check_digits() {
        for good in ["1234567893", "1245319599", "1992000012"] {
            assert!(has_valid_check_digit(good), "{good}");
        }
        for bad in ["1234567890", "123456789", "12345678931", "12345a7893", "", "0000000000"] {
            assert!(!has_valid_check_digit(bad), "{bad}");
        }
    }
}
