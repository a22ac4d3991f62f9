//! SQL put together from fixed pieces with bound values, for searches. No text of a caller ever becomes SQL: only binds.

use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::Sqlite;
use std::marker::PhantomData;

/// Values up to which a text is worth keeping prepared; there are few such texts, and they come often.
const PREPARED_BINDS: usize = 24;

/// A value that a statement keeps.
#[derive(Clone, Debug)]
pub(super) enum Held {
    Text(String),
    Big(i64),
}

impl From<&str> for Held {
    fn from(text: &str) -> Held {
        Held::Text(text.to_owned())
    }
}

impl From<i64> for Held {
    fn from(number: i64) -> Held {
        Held::Big(number)
    }
}

/// A statement being written. `?` in a piece takes the next value.
#[derive(Clone, Debug, Default)]
pub(super) struct Sql {
    text: String,
    values: Vec<Held>,
}

impl Sql {
    /// A statement that begins so.
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
    pub(super) fn with<const N: usize>(&mut self, text: &str, values: [Held; N]) -> &mut Sql {
        debug_assert_eq!(text.matches('?').count(), N);
        self.text.push_str(text);
        self.values.extend(values);
        self
    }

    /// Adds a list of values in brackets; one that is empty holds nothing.
    pub(super) fn list(&mut self, values: impl IntoIterator<Item = Held>) -> &mut Sql {
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

    /// The statement, returning rows of these SQL types.
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
                    Held::Text(value) => out.push_bind_param::<Text, _>(value),
                    Held::Big(value) => out.push_bind_param::<BigInt, _>(value),
                })
            }
        }
    };
}

fn walk<'b, DB: Backend>(
    sql: &'b Sql,
    mut out: AstPass<'_, 'b, DB>,
    push: impl Fn(&mut AstPass<'_, 'b, DB>, &'b Held) -> QueryResult<()>,
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
