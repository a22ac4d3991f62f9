//! Birth dates: what is read as one, and both sides of each way to differ.

use causeway_identity::date::{Birth, DateClass, compare};

fn birth(year: u16, month: u8, day: u8) -> Birth {
    Birth { year, month, day }
}

#[test]
fn dates_are_read_in_the_usual_forms_with_any_precision() {
    for (text, read) in [
        ("1984-07-09", Some((1984, 7, 9))),
        (" 1984-07-09 ", Some((1984, 7, 9))),
        ("1984-07-09T12:00:00Z", Some((1984, 7, 9))),
        ("1984/7/9", Some((1984, 7, 9))),
        ("1984.07.09", Some((1984, 7, 9))),
        ("19840709", Some((1984, 7, 9))),
        ("07/09/1984", Some((1984, 7, 9))),
        ("1984-07", Some((1984, 7, 0))),
        ("1984", Some((1984, 0, 0))),
        ("1984-12-31", Some((1984, 12, 31))),
        ("1984-12-05", Some((1984, 12, 5))),
        ("1984-12-32", None),
        // A month beyond twelve is the day, when the day can be a month.
        ("1984-13-09", Some((1984, 9, 13))),
        ("1984-13-12", Some((1984, 12, 13))),
        ("1984-13-13", None),
        ("1984-13-01", Some((1984, 1, 13))),
        ("1984-13-00", None),
        ("25/12/1984", Some((1984, 12, 25))),
        ("1984-13", None),
        ("1800-01-01", Some((1800, 1, 1))),
        ("1799-01-01", None),
        ("2200-01-01", Some((2200, 1, 1))),
        ("2201-01-01", None),
        ("984-07-09", None),
        ("11984-07-09", None),
        ("1984-00007-09", None),
        ("1984-+7-09", None),
        ("1984-x-09", None),
        ("1984--09", None),
        ("198407091", None),
        ("198407", None),
        ("1984-07-09-01", None),
        ("１９８４", None),
        ("unknown", None),
        ("", None),
    ] {
        let read = read.map(|(year, month, day)| birth(year, month, day));
        assert_eq!(Birth::parse(text), read, "{text}");
    }
}

#[test]
fn a_whole_date_names_month_and_day() {
    for (date, is_whole) in [
        (birth(1984, 7, 9), true),
        (birth(1984, 1, 1), true),
        (birth(1984, 7, 0), false),
        (birth(1984, 0, 9), false),
        (birth(1984, 0, 0), false),
    ] {
        assert_eq!(date.is_whole(), is_whole, "{date:?}");
    }
    assert_eq!(birth(1984, 7, 9).text(), "19840709");
    assert_eq!(birth(1984, 0, 0).text(), "19840000");
}

#[test]
fn day_and_month_change_places_when_that_is_another_date() {
    assert_eq!(birth(1984, 7, 9).swapped(), Some(birth(1984, 9, 7)));
    assert_eq!(birth(1984, 7, 12).swapped(), Some(birth(1984, 12, 7)));
    for date in [
        birth(1984, 7, 13),
        birth(1984, 7, 7),
        birth(1984, 7, 0),
        birth(1984, 0, 7),
    ] {
        assert_eq!(date.swapped(), None, "{date:?}");
    }
}

#[test]
fn dates_differ_in_one_way_up_to_its_edge() {
    use DateClass::{DayMonth, Digit, Generation, Other, Part, Precision, Same, Year};
    for (a, b, class) in [
        ((1984, 7, 9), (1984, 7, 9), Same),
        ((1984, 7, 0), (1984, 7, 0), Precision),
        ((1984, 0, 0), (1984, 7, 9), Precision),
        ((1984, 7, 0), (1984, 7, 9), Precision),
        ((1984, 7, 0), (1984, 0, 0), Precision),
        ((1984, 7, 0), (1984, 8, 9), Other),
        ((1984, 0, 0), (1985, 7, 9), Other),
        ((1984, 0, 0), (1985, 0, 0), Other),
        ((1984, 7, 0), (1985, 7, 9), Other),
        ((1984, 7, 9), (1984, 9, 7), DayMonth),
        ((1984, 7, 9), (1985, 9, 7), Other),
        // One digit, or two neighbouring digits changed; two digits otherwise are no slip.
        ((1984, 7, 9), (1984, 7, 8), Digit),
        ((1984, 7, 9), (1984, 7, 29), Digit),
        ((1984, 7, 9), (1984, 8, 9), Digit),
        ((1984, 7, 9), (1983, 7, 9), Digit),
        ((1984, 7, 9), (1974, 7, 9), Digit),
        ((1984, 7, 12), (1984, 7, 21), Digit),
        ((1981, 7, 9), (1918, 7, 9), Generation),
        ((1980, 12, 9), (1981, 2, 9), Digit),
        ((1984, 2, 10), (1984, 1, 20), Digit),
        ((1984, 7, 9), (1984, 7, 18), Part),
        ((1984, 7, 12), (1984, 7, 23), Part),
        ((1984, 7, 12), (1984, 7, 31), Part),
        ((1984, 1, 12), (1984, 2, 11), Other),
        // The same day: near years, a generation from fifteen years on, a slip of the century.
        ((1984, 7, 9), (1995, 7, 9), Year),
        ((1970, 7, 9), (1984, 7, 9), Year),
        ((1970, 7, 9), (1985, 7, 9), Generation),
        ((1964, 7, 9), (1984, 7, 9), Generation),
        ((1919, 7, 9), (2018, 7, 9), Generation),
        ((1919, 7, 9), (2020, 7, 9), Generation),
        ((1919, 7, 9), (2019, 7, 9), Digit),
        ((1919, 7, 9), (2019, 7, 23), Other),
        ((1919, 7, 9), (2019, 8, 10), Other),
        ((1970, 7, 9), (1985, 8, 9), Other),
        // Another day of the year, or of the month.
        ((1984, 7, 9), (1984, 7, 23), Part),
        ((1984, 7, 9), (1984, 11, 9), Part),
        ((1984, 7, 9), (1984, 11, 23), Other),
        ((1984, 7, 9), (1985, 7, 23), Other),
        ((1984, 7, 9), (1985, 11, 9), Other),
    ] {
        let [a, b] = [a, b].map(|(year, month, day)| birth(year, month, day));
        assert_eq!(compare(a, b), class, "{a:?} {b:?}");
        assert_eq!(compare(b, a), class, "{b:?} {a:?}");
    }
}
