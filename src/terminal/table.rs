//! Lays a table out as lines that fit a screen: as it is, or else wrapped at words, with times whole or in two words, whichever takes
//! fewer lines, and at last with a block of lines for each row. It never drops text, and it decides nothing about what a table holds.

/// Columns between two cells.
const GAP: usize = 2;
/// A longer word may be broken after a mark; a shorter one only when nothing else helps.
const WORD_MOST: usize = 24;
/// The marks after which a long word may be broken.
const MARKS: [char; 6] = ['/', '.', '_', ':', ',', '='];
/// The least width of a value in a block.
const VALUE_LEAST: usize = 20;
/// Length of a time such as `2026-07-01T16:00:00.000Z`, and the position of its `T`.
const TIME: (usize, usize) = (24, 10);

const BOLD: &str = "1";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

/// The lines of a table in at most `columns` columns, where a width is known.
pub(super) fn lines(header: &[&str], rows: &[Vec<String>], columns: Option<usize>, color: bool) -> Vec<String> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| plain(cell)).collect())
        .collect();
    let natural = widths(header, &rows, |cell| cell.chars().count());
    let Some(columns) = columns else {
        return grid(header, &rows, &natural, color);
    };
    let room = columns.saturating_sub(GAP * header.len().saturating_sub(1));
    let whole =
        fit(&natural, &widths(header, &rows, longest_word), room).map(|fitted| grid(header, &rows, &fitted, color));
    if natural.iter().sum::<usize>() <= room
        && let Some(whole) = whole
    {
        return whole;
    }
    let spaced: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.iter().map(|cell| two_words(cell)).collect())
        .collect();
    let natural = widths(header, &spaced, |cell| match is_parted_time(cell) {
        true => longest_word(cell),
        false => cell.chars().count(),
    });
    let parted =
        fit(&natural, &widths(header, &spaced, longest_word), room).map(|fitted| grid(header, &spaced, &fitted, color));
    // A time in two words costs a line, and may spare several where it leaves room for another column.
    let fewest = [whole, parted].into_iter().flatten().min_by_key(Vec::len);
    fewest.unwrap_or_else(|| blocks(header, &rows, columns, color))
}

/// `text` in lines of at most `width` characters, broken at words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    if text.chars().count() <= width {
        return vec![text.to_owned()];
    }
    let (mut lines, mut line) = (Vec::new(), String::new());
    for (piece, spaced) in pieces(text) {
        let gap = usize::from(spaced && !line.is_empty());
        if !line.is_empty() && line.chars().count() + gap + piece.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        } else if gap == 1 {
            line.push(' ');
        }
        // Only a piece at the beginning of a line can be too long for it.
        let mut rest = piece;
        while let Some((at, _)) = rest.char_indices().nth(width) {
            let (head, tail) = rest.split_at(at);
            lines.push(head.to_owned());
            rest = tail;
        }
        line.push_str(rest);
    }
    lines.push(line);
    lines
}

/// `text` in a color or style of the terminal.
pub(super) fn painted(text: &str, style: &str) -> String {
    format!("\u{1b}[{style}m{text}\u{1b}[0m")
}

/// `text` so that it stands out.
pub(super) fn loud(text: &str) -> String {
    painted(text, "1;31")
}

/// A cell without control characters, which could move the cursor or break the table.
fn plain(cell: &str) -> String {
    cell.replace(char::is_control, "\u{fffd}")
}

fn widths(header: &[&str], rows: &[Vec<String>], measure: impl Fn(&str) -> usize) -> Vec<usize> {
    let mut widths: Vec<usize> = header.iter().map(|cell| measure(cell)).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(measure(cell));
        }
    }
    widths
}

/// The widths that together have `room`: the widest columns give first, none becomes narrower than `least`. `None` when that is not enough.
fn fit(natural: &[usize], least: &[usize], room: usize) -> Option<Vec<usize>> {
    let mut widths = natural.to_vec();
    while widths.iter().sum::<usize>() > room {
        let can_give = (0..widths.len()).filter(|at| widths[*at] > least[*at]);
        let widest = can_give.max_by_key(|at| widths[*at])?;
        widths[widest] -= 1;
    }
    Some(widths)
}

/// Whether `cell` is what [`two_words`] made of a time.
fn is_parted_time(cell: &str) -> bool {
    cell.split_once(' ')
        .is_some_and(|(date, time)| is_time(&format!("{date}T{time}")))
}

fn longest_word(cell: &str) -> usize {
    pieces(cell)
        .iter()
        .map(|(piece, _)| piece.chars().count())
        .max()
        .unwrap_or(0)
}

/// The pieces that stay whole, each with whether a space stands before it.
fn pieces(text: &str) -> Vec<(&str, bool)> {
    let mut found = Vec::new();
    for word in text.split_whitespace() {
        let (mut rest, mut spaced) = (word, true);
        while let Some(at) = break_at(rest) {
            let (head, tail) = rest.split_at(at);
            found.push((head, spaced));
            (rest, spaced) = (tail, false);
        }
        found.push((rest, spaced));
    }
    found
}

/// After which byte a long word may be broken first.
fn break_at(word: &str) -> Option<usize> {
    if word.chars().count() <= WORD_MOST || is_time(word) {
        return None;
    }
    // All marks are of one byte.
    let at = word.find(MARKS)? + 1;
    (at < word.len()).then_some(at)
}

fn is_time(word: &str) -> bool {
    let (length, t) = TIME;
    let word = word.trim_end_matches([',', ';', ')']);
    word.len() == length
        && word.ends_with('Z')
        && word.as_bytes()[t] == b'T'
        && word.starts_with(|c: char| c.is_ascii_digit())
}

/// A cell in which a time is a date and a time of day.
fn two_words(cell: &str) -> String {
    let word = |word: &str| match is_time(word) {
        true => word.replacen('T', " ", 1),
        false => word.to_owned(),
    };
    match cell.split(' ').any(is_time) {
        true => cell.split(' ').map(word).collect::<Vec<_>>().join(" "),
        false => cell.to_owned(),
    }
}

/// One line for each row, or several where a cell is wrapped.
fn grid(header: &[&str], rows: &[Vec<String>], widths: &[usize], color: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let head: Vec<String> = header.iter().map(|&cell| cell.to_owned()).collect();
    for (at, row) in std::iter::once(&head).chain(rows).enumerate() {
        let cells: Vec<Vec<String>> = row.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0);
        for line in 0..height {
            let mut text = String::new();
            for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
                let piece = cell.get(line).map_or("", String::as_str);
                let style = match at {
                    0 => Some(BOLD),
                    _ => header
                        .get(column)
                        .zip(row.get(column))
                        .and_then(|(head, whole)| style(head, whole)),
                };
                match style.filter(|_| color && !piece.is_empty()) {
                    Some(style) => text.push_str(&painted(piece, style)),
                    None => text.push_str(piece),
                }
                let rest = width.saturating_sub(piece.chars().count()) + GAP;
                text.extend(std::iter::repeat_n(' ', rest));
            }
            lines.push(text.trim_end().to_owned());
        }
    }
    lines
}

/// A block of lines for each row: the name of a column, and the cell beside it. Cells that say nothing are left out.
fn blocks(header: &[&str], rows: &[Vec<String>], columns: usize, color: bool) -> Vec<String> {
    let name = header.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
    let room = columns.saturating_sub(name + GAP).max(VALUE_LEAST);
    let mut lines = Vec::new();
    for row in rows {
        if !lines.is_empty() {
            lines.push(String::new());
        }
        for (head, cell) in header
            .iter()
            .zip(row)
            .filter(|(_, cell)| !matches!(cell.as_str(), "" | "-"))
        {
            for (at, piece) in wrap(cell, room).into_iter().enumerate() {
                let (label, pad) = match at {
                    0 => (*head, name - head.chars().count()),
                    _ => ("", name),
                };
                let label = if color && !label.is_empty() {
                    painted(label, BOLD)
                } else {
                    label.to_owned()
                };
                let piece = match style(head, cell).filter(|_| color) {
                    Some(style) => painted(&piece, style),
                    None => piece,
                };
                lines.push(format!("{label}{}{piece}", " ".repeat(pad + GAP)));
            }
        }
    }
    lines
}

/// The color of a state or an outcome.
fn style(header: &str, cell: &str) -> Option<&'static str> {
    if !matches!(header, "STATE" | "STATUS" | "OUTCOME") {
        return None;
    }
    match cell {
        "active" | "matched" | "completed" | "confirmed" | "ok" | "done" => Some(GREEN),
        "refused" | "failed" | "revoked" | "parked" | "suspended" | "disputed" | "rejected" => Some(RED),
        "open" | "proposed" | "deferred" | "review" | "expired" | "not-yet" | "candidate" => Some(YELLOW),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0199f0a2-7c1e-7b3a-9d4e-2f6a8b1c3d5e";
    const AT: &str = "2026-07-01T16:00:00.000Z";

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter()
            .map(|row| row.iter().map(|&cell| cell.to_owned()).collect())
            .collect()
    }

    fn widest(lines: &[String]) -> usize {
        lines.iter().map(|line| line.chars().count()).max().unwrap_or(0)
    }

    #[test]
    fn a_table_that_goes_to_a_program_is_neither_wrapped_nor_cut() {
        let long = "word ".repeat(60);
        let laid = lines(&["ID", "WHY"], &rows(&[&[ID, long.trim()]]), None, false);
        assert_eq!(laid.len(), 2);
        assert!(laid[1].starts_with(ID) && laid[1].ends_with("word"));
    }

    #[test]
    fn a_table_fits_the_terminal_by_wrapping_the_widest_columns_at_words() {
        let resources =
            "Coverage 2, Encounter 12, ExplanationOfBenefit 40, MedicationRequest 7, Observation 120, Patient 1";
        let table = rows(&[&["new-payer", "completed", resources], &["x", "refused", "-"]]);
        for columns in [60, 80, 120] {
            let laid = lines(&["PARTNER", "OUTCOME", "RESOURCES"], &table, Some(columns), false);
            assert!(widest(&laid) <= columns, "{laid:#?}");
            let words: Vec<&str> = laid.iter().flat_map(|line| line.split_whitespace()).collect();
            for word in resources.split_whitespace() {
                assert!(words.contains(&word), "{word} is whole in {laid:#?}");
            }
        }
    }

    #[test]
    fn a_time_becomes_two_words_before_rows_become_blocks() {
        let table = rows(&[&[AT, "member-match.matched", "new-payer", "ok", "short"]]);
        let header = ["AT", "WHAT", "PARTNER", "OUTCOME", "MORE"];
        let laid = lines(&header, &table, Some(62), false);
        assert!(widest(&laid) <= 62 && laid.len() == 3, "{laid:#?}");
        assert!(
            laid[1].starts_with("2026-07-01 ") && laid[2].starts_with("16:00:00.000Z"),
            "{laid:#?}"
        );
        let laid = lines(&header, &table, Some(40), false);
        assert_eq!(laid[0], format!("AT       {AT}"));
        assert_eq!(laid.len(), 5, "{laid:#?}");
    }

    #[test]
    fn a_time_becomes_two_words_where_that_makes_the_table_shorter() {
        let why = "another record of this person bears the same member number";
        let table = rows(&[&["01a21d6b-cfd", "open", AT, "new-payer", why]]);
        let header = ["ID", "STATE", "DUE", "PARTNER", "WHY"];
        let laid = lines(&header, &table, Some(80), false);
        assert!(widest(&laid) <= 80 && laid.len() <= 4, "{laid:#?}");
        assert!(laid[1].contains("2026-07-01 "), "{laid:#?}");
    }

    #[test]
    fn a_block_leaves_out_what_says_nothing_and_aligns_what_is_wrapped() {
        let table = rows(&[&[ID, "-", "several words that do not fit in here"], &[ID, "x", ""]]);
        let laid = lines(&["ID", "OWNER", "WHY"], &table, Some(30), false);
        assert!(laid[0].starts_with("ID     "), "{laid:#?}");
        assert!(!laid.iter().any(|line| line.starts_with("OWNER  -")), "{laid:#?}");
        assert!(laid.iter().any(String::is_empty), "rows stand apart: {laid:#?}");
        assert!(laid.iter().skip(1).any(|line| line.starts_with("       ")), "{laid:#?}");
        assert!(widest(&laid) <= 30, "{laid:#?}");
    }

    #[test]
    fn long_words_break_after_marks_and_ids_do_not() {
        let address = "https://new-payer.example/fhir/Patient/everything";
        let broken = wrap(address, 26);
        assert_eq!(broken.concat(), address);
        assert!(broken.iter().all(|line| line.chars().count() <= 26), "{broken:?}");
        assert_eq!(longest_word(ID), ID.len());
        assert_eq!(longest_word(AT), AT.len());
    }

    #[test]
    fn colors_change_no_width_and_cells_move_no_cursor() {
        let table = rows(&[&["a\u{1b}[2Jb", "refused"]]);
        let (colored, bare) = (
            lines(&["X", "STATE"], &table, Some(80), true),
            lines(&["X", "STATE"], &table, None, false),
        );
        assert!(colored[1].contains("\u{1b}[31mrefused\u{1b}[0m") && colored[0].contains("\u{1b}[1mX\u{1b}[0m"));
        assert!(!bare.concat().contains('\u{1b}'));
        let undone = colored[1].replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
        assert_eq!(undone, bare[1]);
    }
}
