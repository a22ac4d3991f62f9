//! Birth dates: reading them with any precision, and how two of them differ.

/// A birth date; month and day are 0 when they are not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Birth {
    /// Year.
    pub year: u16,
    /// Month, 1 to 12, or 0.
    pub month: u8,
    /// Day, 1 to 31, or 0.
    pub day: u8,
}

/// How two birth dates differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DateClass {
    /// The same day.
    Same,
    /// They agree as far as both are given; one is less precise.
    Precision,
    /// Day and month are swapped.
    DayMonth,
    /// One digit differs, or two neighboring digits are swapped.
    Digit,
    /// Day and month are the same, and the years are close.
    Year,
    /// Day and month are the same, and the years are a generation apart, as for a parent with the same birthday.
    Generation,
    /// The year and either the day or the month are the same.
    Part,
    /// Anything else.
    Other,
}

/// Difference in years from which two people may be parent and child.
pub const GENERATION_YEARS: u16 = 15;

impl Birth {
    /// Reads `YYYY-MM-DD`, `YYYY-MM`, `YYYY`, `YYYYMMDD`, and `MM/DD/YYYY`.
    pub fn parse(text: &str) -> Option<Birth> {
        let text = text.trim().split('T').next().unwrap_or("");
        let fields: Vec<&str> = text.split(['-', '/', '.']).collect();
        let number = |field: &str| -> Option<u16> {
            (!field.is_empty() && field.len() <= 4 && field.bytes().all(|b| b.is_ascii_digit()))
                .then(|| field.parse().ok())
                .flatten()
        };
        let (year, month, day) = match fields.as_slice() {
            [whole] if whole.len() == 8 && whole.is_ascii() => {
                (number(&whole[..4])?, number(&whole[4..6])?, number(&whole[6..])?)
            }
            [year] if year.len() == 4 => (number(year)?, 0, 0),
            [year, month] if year.len() == 4 => (number(year)?, number(month)?, 0),
            [year, month, day] if year.len() == 4 => (number(year)?, number(month)?, number(day)?),
            [month, day, year] if year.len() == 4 => (number(year)?, number(month)?, number(day)?),
            _ => return None,
        };
        // A month above twelve with a day that could be a month means that they were swapped.
        let (month, day) = if month > 12 && (1..=12).contains(&day) {
            (day, month)
        } else {
            (month, day)
        };
        ((1800..=2200).contains(&year) && month <= 12 && day <= 31).then(|| Birth {
            year,
            month: u8::try_from(month).unwrap_or(0),
            day: u8::try_from(day).unwrap_or(0),
        })
    }

    /// Whether the day is given.
    pub fn is_whole(self) -> bool {
        self.month > 0 && self.day > 0
    }

    /// The date with day and month swapped, if that is a different valid date.
    pub fn swapped(self) -> Option<Birth> {
        (self.is_whole() && self.day <= 12 && self.day != self.month).then_some(Birth {
            year: self.year,
            month: self.day,
            day: self.month,
        })
    }

    /// `YYYYMMDD`.
    pub fn text(self) -> String {
        format!("{:04}{:02}{:02}", self.year, self.month, self.day)
    }

    fn digits(self) -> [u8; 8] {
        let y = self.year;
        let last = |n: u16| u8::try_from(n % 10).unwrap_or(0);
        [
            last(y / 1000),
            last(y / 100),
            last(y / 10),
            last(y),
            self.month / 10,
            self.month % 10,
            self.day / 10,
            self.day % 10,
        ]
    }
}

/// Compares two birth dates; symmetric.
pub fn compare(a: Birth, b: Birth) -> DateClass {
    if a == b {
        return if a.is_whole() {
            DateClass::Same
        } else {
            DateClass::Precision
        };
    }
    if !a.is_whole() || !b.is_whole() {
        let months_agree = a.month == 0 || b.month == 0 || a.month == b.month;
        return if a.year == b.year && months_agree {
            DateClass::Precision
        } else {
            DateClass::Other
        };
    }
    if a.swapped() == Some(b) {
        return DateClass::DayMonth;
    }
    let years_apart = a.year.abs_diff(b.year);
    let same_day = a.month == b.month && a.day == b.day;
    // A wrong century (1919 for 2019) is a typing error and not a generation.
    if same_day && years_apart >= GENERATION_YEARS && years_apart != 100 {
        return DateClass::Generation;
    }
    let (x, y) = (a.digits(), b.digits());
    let differ: Vec<usize> = (0..8).filter(|i| x[*i] != y[*i]).collect();
    let slip = match differ.as_slice() {
        [_] => true,
        [i, j] => j - i == 1 && x[*i] == y[*j] && x[*j] == y[*i],
        _ => false,
    };
    if slip || (same_day && years_apart == 100) {
        DateClass::Digit
    } else if same_day {
        DateClass::Year
    } else if a.year == b.year && (a.month == b.month || a.day == b.day) {
        DateClass::Part
    } else {
        DateClass::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_difference() {
        for (a, b, class) in [
            ("1984-07-09", "1984-07-09", DateClass::Same),
            ("1984-07-09", "19840709", DateClass::Same),
            ("1984-07-09", "07/09/1984", DateClass::Same),
            ("1984-07-09", "1984-07", DateClass::Precision),
            ("1984-07-09", "1984", DateClass::Precision),
            ("1984-07-09", "1984-09-07", DateClass::DayMonth),
            ("1984-07-09", "1984-07-08", DateClass::Digit),
            ("1984-07-09", "1948-07-09", DateClass::Generation),
            ("1984-07-19", "1984-07-91", DateClass::Other),
            ("1984-07-12", "1984-07-21", DateClass::Digit),
            ("1919-03-02", "2019-03-02", DateClass::Digit),
            ("1984-07-09", "1987-07-09", DateClass::Digit),
            ("1989-07-09", "1990-07-09", DateClass::Year),
            ("1966-09-26", "1996-09-26", DateClass::Generation),
            ("1984-07-09", "1984-07-23", DateClass::Part),
            ("1984-07-09", "1961-02-23", DateClass::Other),
        ] {
            let (Some(a), b) = (Birth::parse(a), Birth::parse(b)) else {
                continue;
            };
            match b {
                Some(b) => {
                    assert_eq!(compare(a, b), class, "{a:?} {b:?}");
                    assert_eq!(compare(b, a), class, "{b:?} {a:?}");
                }
                None => assert_eq!(class, DateClass::Other),
            }
        }
        assert_eq!(Birth::parse(""), None);
        assert_eq!(Birth::parse("not-a-date"), None);
        assert_eq!(
            Birth::parse("1984-13-09"),
            Some(Birth {
                year: 1984,
                month: 9,
                day: 13
            })
        );
    }
}
