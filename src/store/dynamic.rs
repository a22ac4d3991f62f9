//! Builds SQL for searches from fixed pieces and bound values. Text from a request is only ever bound, and never becomes SQL.

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::Sqlite;
use std::marker::PhantomData;

/// Up to how many values a statement is kept prepared: such texts are few and recur often.
const PREPARED_BINDS: usize = 24;

/// A value that the statement owns until it is bound.
#[derive(Clone, Debug)]
pub(super) enum HeldValue {
    Text(String),
    Big(i64),
}

impl From<&str> for HeldValue {
    fn from(text: &str) -> HeldValue {
        HeldValue::Text(text.to_owned())
    }
}

impl From<i64> for HeldValue {
    fn from(number: i64) -> HeldValue {
        HeldValue::Big(number)
    }
}

/// A statement under construction. Each `?` in a piece takes the next value.
#[derive(Clone, Debug, Default)]
pub(super) struct Sql {
    text: String,
    values: Vec<HeldValue>,
}

impl Sql {
    /// Begins a statement with this text.
    pub(super) fn new(text: &str) -> Sql {
        Sql {
            text: text.to_owned(),
            values: Vec::new(),
        }
    }

    /// Adds a piece without values.
    pub(super) fn add(&mut self, text: &str) -> &mut Sql {
        debug_assert!(!text.contains('?'));
        self.text.push_str(text);
        self
    }

    /// Adds a piece with a value for each `?`.
    pub(super) fn with<const N: usize>(&mut self, text: &str, values: [HeldValue; N]) -> &mut Sql {
        debug_assert_eq!(text.matches('?').count(), N);
        self.text.push_str(text);
        self.values.extend(values);
        self
    }

    /// Adds a piece with a value for each `?`, when their number is not known to the compiler.
    pub(super) fn all(&mut self, text: &str, values: Vec<HeldValue>) -> &mut Sql {
        debug_assert_eq!(text.matches('?').count(), values.len());
        self.text.push_str(text);
        self.values.extend(values);
        self
    }

    /// Adds a list of values in parentheses. An empty list becomes `(NULL)`, which matches nothing.
    pub(super) fn list(&mut self, values: impl IntoIterator<Item = HeldValue>) -> &mut Sql {
        let before = self.values.len();
        self.values.extend(values);
        let count = self.values.len() - before;
        self.text.push('(');
        self.text.push_str(if count == 0 { "NULL" } else { "?" });
        for _ in 1..count {
            self.text.push_str(", ?");
        }
        self.text.push(')');
        self
    }

    /// Makes the statement ready to run; `Row` is the SQL types of the rows it returns.
    pub(super) fn rows<Row>(&self) -> Dynamic<'_, Row> {
        Dynamic {
            sql: self,
            kind: PhantomData,
        }
    }
}

/// A statement ready to run.
#[derive(Debug)]
pub(super) struct Dynamic<'a, Row> {
    sql: &'a Sql,
    kind: PhantomData<Row>,
}

macro_rules! fragment {
    ($backend:ty) => {
        impl<Row> QueryFragment<$backend> for Dynamic<'_, Row> {
            fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                if self.sql.values.len() > PREPARED_BINDS {
                    out.unsafe_to_cache_prepared();
                }
                walk(self.sql, out, |out, value| match value {
                    HeldValue::Text(value) => out.push_bind_param::<Text, _>(value),
                    HeldValue::Big(value) => out.push_bind_param::<BigInt, _>(value),
                })
            }
        }
    };
}

fn walk<'b, DB: Backend>(
    sql: &'b Sql,
    mut out: AstPass<'_, 'b, DB>,
    push: impl Fn(&mut AstPass<'_, 'b, DB>, &'b HeldValue) -> QueryResult<()>,
) -> QueryResult<()> {
    let mut values = sql.values.iter();
    for (index, piece) in sql.text.split('?').enumerate() {
        if index > 0 {
            let missing = || diesel::result::Error::QueryBuilderError("a value is missing".into());
            push(&mut out, values.next().ok_or_else(missing)?)?;
        }
        out.push_sql(piece);
    }
    match values.next() {
        None => Ok(()),
        Some(_) => Err(diesel::result::Error::QueryBuilderError("a value is left over".into())),
    }
}

fragment!(Pg);
fragment!(Sqlite);

impl<Row> QueryId for Dynamic<'_, Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Dynamic<'_, Row> {
    type SqlType = Row;
}

impl<Row, Conn> RunQueryDsl<Conn> for Dynamic<'_, Row> {}
