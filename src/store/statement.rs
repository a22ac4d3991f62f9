//! A fixed SQL text with its values, prepared once for each connection of either database.
//!
//! For the few frequent statements that the query builder cannot express (data-modifying CTEs, unions with joins).
//! With `sql_query` they would be parsed and planned at every call.

use super::Db;
use diesel::backend::Backend;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt, Binary, Nullable, Text};
use diesel::sqlite::Sqlite;
use std::marker::PhantomData;

/// A list of texts as a table `w` with one column, `value`; its value is a JSON array. However long the list is, the statement stays the same.
pub(super) struct ListedTexts {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

pub(super) const LISTED: ListedTexts = ListedTexts {
    sqlite: "json_each(?) w",
    postgres: "json_array_elements_text(CAST(? AS json)) AS w(value)",
};

/// A value to bind.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bind<'a> {
    Text(&'a str),
    OptText(Option<&'a str>),
    Big(i64),
    OptBig(Option<i64>),
    Blob(&'a [u8]),
    OptBlob(Option<&'a [u8]>),
    /// A list of numbers, of which only PostgreSQL has a type.
    Bigs(&'a [i64]),
}

impl<'a> From<&'a str> for Bind<'a> {
    fn from(text: &'a str) -> Bind<'a> {
        Bind::Text(text)
    }
}

impl From<i64> for Bind<'_> {
    fn from(number: i64) -> Self {
        Bind::Big(number)
    }
}

/// `sql` has a `?` for each value. `Tag` identifies the text, so each text needs a tag of
/// its own. `Row` is the SQL type of the rows it returns.
#[derive(Debug)]
pub(super) struct Statement<'a, Tag, Row = ()> {
    sql: &'static str,
    binds: Vec<Bind<'a>>,
    kind: PhantomData<(Tag, Row)>,
}

impl<'a, Tag, Row> Statement<'a, Tag, Row> {
    pub(super) fn new(sql: &'static str, binds: Vec<Bind<'a>>) -> Self {
        Statement {
            sql,
            binds,
            kind: PhantomData,
        }
    }

    fn walk<'b, DB: Backend>(
        &'b self,
        mut out: AstPass<'_, 'b, DB>,
        push: impl Fn(&mut AstPass<'_, 'b, DB>, &'b Bind<'a>) -> QueryResult<()>,
    ) -> QueryResult<()> {
        let mut binds = self.binds.iter();
        for (index, piece) in self.sql.split('?').enumerate() {
            if index > 0 {
                let bind = binds
                    .next()
                    .ok_or_else(|| diesel::result::Error::QueryBuilderError("a value is missing".into()))?;
                push(&mut out, bind)?;
            }
            out.push_sql(piece);
        }
        match binds.next() {
            None => Ok(()),
            Some(_) => Err(diesel::result::Error::QueryBuilderError("a value is left over".into())),
        }
    }
}

macro_rules! fragment {
    ($backend:ty, $push:ident, $bigs:expr) => {
        impl Bind<'_> {
            /// Binds the value in a statement of this database.
            pub(super) fn $push<'b>(&'b self, out: &mut AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                match self {
                    Bind::Text(value) => out.push_bind_param::<Text, _>(value),
                    Bind::OptText(value) => out.push_bind_param::<Nullable<Text>, _>(value),
                    Bind::Big(value) => out.push_bind_param::<BigInt, _>(value),
                    Bind::OptBig(value) => out.push_bind_param::<Nullable<BigInt>, _>(value),
                    Bind::Blob(value) => out.push_bind_param::<Binary, _>(value),
                    Bind::OptBlob(value) => out.push_bind_param::<Nullable<Binary>, _>(value),
                    Bind::Bigs(values) => $bigs(out, values),
                }
            }
        }

        impl<Tag, Row> QueryFragment<$backend> for Statement<'_, Tag, Row> {
            fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, $backend>) -> QueryResult<()> {
                self.walk(out, |out, bind| bind.$push(out))
            }
        }
    };
}

fn bigs<'b>(out: &mut AstPass<'_, 'b, Pg>, values: &'b &[i64]) -> QueryResult<()> {
    out.push_bind_param::<Array<BigInt>, _>(values)
}

fn no_bigs(_: &mut AstPass<'_, '_, Sqlite>, _: &&[i64]) -> QueryResult<()> {
    Err(diesel::result::Error::QueryBuilderError("SQLite has no lists".into()))
}

fragment!(Pg, push_pg, bigs);
fragment!(Sqlite, push_sqlite, no_bigs);

impl<Tag: 'static, Row: 'static> QueryId for Statement<'_, Tag, Row> {
    type QueryId = Statement<'static, Tag, Row>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Tag, Row> Query for Statement<'_, Tag, Row> {
    type SqlType = Row;
}

impl<Tag, Row, Conn> RunQueryDsl<Conn> for Statement<'_, Tag, Row> {}

/// Runs a statement that returns no rows. Returns how many rows it changed.
pub(super) fn run<Tag: 'static>(db: &mut Db, statement: Statement<'_, Tag>) -> QueryResult<usize> {
    match db {
        Db::Pg(pg) => statement.execute(pg),
        Db::Sqlite(sqlite) => statement.execute(sqlite),
    }
}
