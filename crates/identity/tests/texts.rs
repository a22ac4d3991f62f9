//! Text as it is compared: folding, edits, likeness and sound codes, against values worked out by hand.

use causeway_identity::text::{code, digits, edits, fold, jaro_winkler, one_edit_away, phonetic};

#[test]
fn folding_takes_marks_case_and_letters_of_other_alphabets_to_one_spelling() {
    for (text, folded) in [
        ("O'NEIL-Smith 3", "o'neil-smith 3"),
        ("ÀÉÎÕÜ", "aeiou"),
        ("Groß", "gross"),
        ("Ærø", "aero"),
        ("Œuvre", "oeuvre"),
        ("Đặng", "dang"),
        ("Ðorf", "dorf"),
        ("Łódź", "lodz"),
        ("Þór", "thor"),
        ("Iıi", "iii"),
        ("İ", "i"),
        ("a‐b‑c–d—e", "a-b-c-d-e"),
        ("O’Neil ‘x ʼy", "o'neil 'x 'y"),
        ("Жанна", "жанна"),
        ("", ""),
    ] {
        assert_eq!(fold(text), folded, "{text}");
    }
}

#[test]
fn codes_keep_letters_and_digits_and_digits_only_digits() {
    assert_eq!(code(" w-41.47 é/5 "), "W4147E5");
    assert_eq!(code("?!"), "");
    assert_eq!(digits("+1 (555) ４４４-0336 x"), "15554440336");
    assert_eq!(digits("none"), "");
}

#[test]
fn edits_are_counted_up_to_the_limit() {
    for (a, b, expected) in [
        ("", "", 0),
        ("abc", "abc", 0),
        ("", "ab", 2),
        ("abc", "abd", 1),
        ("abc", "xbc", 1),
        ("abc", "ab", 1),
        ("abc", "bc", 1),
        ("abc", "abxc", 1),
        // Neighbours that change places are one edit, at either end and in the middle; others are two.
        ("abcd", "bacd", 1),
        ("abcd", "acbd", 1),
        ("abcd", "abdc", 1),
        ("abcd", "badc", 2),
        ("abcd", "cbad", 2),
        ("abcd", "bcda", 2),
        ("kitten", "sitting", 3),
        ("sunday", "saturday", 3),
        ("abcdef", "uvwxyz", 6),
        ("ñandu", "nandu", 1),
        ("naïve", "nïave", 1),
    ] {
        for limit in 0..8 {
            let expected = expected.min(limit + 1);
            assert_eq!(edits(a, b, limit), expected, "{a} {b} {limit}");
            assert_eq!(edits(b, a, limit), expected, "{b} {a} {limit}");
        }
    }
}

#[test]
fn only_the_first_sixty_four_letters_are_compared() {
    let after = |count: usize, tail: &str| format!("{}{tail}", "ab".repeat(count / 2));
    assert_eq!(edits(&after(64, "x"), &after(64, "y"), 3), 0);
    assert_eq!(edits(&after(62, "x"), &after(62, "y"), 3), 1);
    assert_eq!(edits(&after(62, "xxq"), &after(62, "yyr"), 3), 2);
    assert_eq!(edits(&after(64, ""), &after(64, "zzzzzzzz"), 3), 0);
    assert!((jaro_winkler(&after(64, "x"), &after(64, "y")) - 1.0).abs() < 1e-12);
    assert!(jaro_winkler(&after(62, "x"), &after(62, "y")) < 1.0);
    assert_eq!(phonetic(&format!("{}t", "a".repeat(64))), "a");
    assert_eq!(phonetic(&format!("{}t", "a".repeat(63))), "at");
}

#[test]
fn likeness_is_that_of_jaro_and_winkler() {
    for (a, b, expected) in [
        ("", "a", 0.0),
        ("abc", "xyz", 0.0),
        ("abc", "abc", 1.0),
        // Common letters, their transpositions, then a tenth of what is missing for each of up to four first letters.
        ("martha", "marhta", 0.961_111_111),
        ("dwayne", "duane", 0.84),
        ("dixon", "dicksonx", 0.813_333_333),
        ("crate", "trace", 0.733_333_333),
        ("abcvwxyz", "cabvwxyz", 0.9375),
        ("jon", "john", 0.933_333_333),
        ("abcdefgh", "abcdefxy", 0.9),
        ("abcdexgh", "abcdeygh", 0.95),
        // Letters count as common within half the longer word, less one.
        ("abcdefgh", "efghxyzw", 0.0),
        ("abcdefgh", "defgxyzw", 0.666_666_667),
        ("abcdwxyz", "qrsabcdt", 0.666_666_667),
        ("abcdwxyz", "qrstabcd", 0.0),
        ("a", "ab", 0.85),
        ("ab", "ba", 0.0),
    ] {
        assert!(
            (jaro_winkler(a, b) - expected).abs() < 1e-8,
            "{a} {b} {}",
            jaro_winkler(a, b)
        );
        assert!(
            (jaro_winkler(b, a) - expected).abs() < 1e-8,
            "{b} {a} {}",
            jaro_winkler(b, a)
        );
    }
}

#[test]
fn words_one_edit_away_are_all_of_them_and_nothing_else() {
    let words = one_edit_away("abc");
    for word in [
        "xabc", "abcx", "axbc", "xbc", "abx", "axc", "bc", "ac", "ab", "bac", "acb",
    ] {
        assert!(words.iter().any(|one| one == word), "{word}");
    }
    assert!(words.iter().all(|one| edits(one, "abc", 3) <= 1), "{words:?}");
    // 26 letters before, between and behind, 26 in the place of each, each left out, each pair of neighbours changed.
    assert_eq!(words.len(), 26 * 4 + 26 * 3 + 3 + 2);
    assert_eq!(one_edit_away("").len(), 26);
    assert_eq!(one_edit_away("abcdefghijklmnop").len(), 26 * 17 + 26 * 16 + 16 + 15);
    assert!(one_edit_away("abcdefghijklmnopq").is_empty());
    assert!(one_edit_away("ñandu").is_empty());
}

#[test]
fn each_group_of_letters_has_its_sound() {
    for (name, sound) in [
        ("schmit", "xnt"),
        ("mitch", "nx"),
        ("chris", "krs"),
        ("chad", "xt"),
        ("charo", "xr"),
        ("march", "nrx"),
        ("morchr", "nrxr"),
        ("zachry", "sxr"),
        ("shaw", "x"),
        ("phil", "fl"),
        ("knox", "ns"),
        ("gnat", "nt"),
        ("pnina", "n"),
        ("agnes", "akns"),
        ("apnea", "apn"),
        ("wren", "rn"),
        ("cowry", "kr"),
        ("ghali", "kl"),
        ("leigh", "l"),
        ("beck", "pk"),
        ("quin", "kn"),
        ("lodge", "lj"),
        ("edgar", "atkr"),
        ("cecil", "sl"),
        ("cindy", "snt"),
        ("cyd", "st"),
        ("coq", "k"),
        ("iraq", "ark"),
        ("gene", "jn"),
        ("gigi", "j"),
        ("gyl", "jl"),
        ("gus", "ks"),
        ("zoe", "s"),
        ("xena", "xn"),
        ("alex", "als"),
        ("vic", "fk"),
        ("dan", "tn"),
        ("bo", "p"),
        ("maud", "nt"),
        ("ivy", "af"),
        ("yves", "afs"),
        ("eve", "af"),
        ("otto", "at"),
        ("uma", "an"),
        ("hal", "hl"),
        ("wes", "ws"),
        ("john", "jn"),
        ("dewey", "t"),
        ("anna", "an"),
        ("o'neil", "anl"),
        ("bartholomew", "prtln"),
        ("constantinople", "knstnt"),
        ("", ""),
    ] {
        assert_eq!(phonetic(name), sound, "{name}");
    }
}
