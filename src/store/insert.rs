//! An INSERT that is written once for both databases and both uses: as a statement by itself, or as a part of a larger statement.

/// A table and the columns that are written, in the order of their values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Insert {
    pub(super) table: &'static str,
    pub(super) columns: &'static str,
}

impl Insert {
    /// Returns `(?, ?, …)`, repeated for each of `rows`.
    fn rows(&self, rows: usize) -> String {
        let marks = vec!["?"; self.columns.split(',').count()].join(", ");
        vec![format!("({marks})"); rows].join(", ")
    }

    /// Returns the statement that inserts so many rows.
    pub(super) fn text(&self, rows: usize) -> String {
        let Insert { table, columns } = self;
        format!("INSERT INTO {table} ({columns}) VALUES {}", self.rows(rows))
    }

    /// Returns the statement that inserts one row if `condition` holds.
    pub(super) fn text_if(&self, condition: &str) -> String {
        let Insert { table, columns } = self;
        let marks = self.rows(1);
        let marks = marks.trim_matches(['(', ')']);
        format!("INSERT INTO {table} ({columns}) SELECT {marks} WHERE {condition}")
    }

    /// Returns the statement that inserts so many rows for each row of `from`. Only for PostgreSQL, as a part of a larger statement.
    pub(super) fn text_for(&self, rows: usize, from: &str) -> String {
        let Insert { table, columns } = self;
        format!(
            "INSERT INTO {table} ({columns}) SELECT v.* FROM (VALUES {}) AS v, {from}",
            self.rows(rows)
        )
    }
}

/// Keeps a text, which is made once, for as long as the process runs.
pub(super) fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_mark() {
        let insert = Insert {
            table: "t",
            columns: "a, b",
        };
        assert_eq!(insert.text(2), "INSERT INTO t (a, b) VALUES (?, ?), (?, ?)");
        assert_eq!(insert.text_if("1 = 1"), "INSERT INTO t (a, b) SELECT ?, ? WHERE 1 = 1");
        assert_eq!(
            insert.text_for(1, "g"),
            "INSERT INTO t (a, b) SELECT v.* FROM (VALUES (?, ?)) AS v, g"
        );
    }
}
