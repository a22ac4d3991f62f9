//! Selects resources by a list of names, with a condition whose text is the same for any length of the list.
//!
//! A list of values in the text (`IN (?, ?, …)`) makes a different statement for each
//! length, which SQLite would prepare again at each call.

use diesel::expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Array, Bool, Text};
use diesel::sqlite::Sqlite;

/// The condition that the resource of a row has one of these names.
pub(super) struct Named<'n> {
    types: Vec<&'n str>,
    ids: Vec<&'n str>,
    /// The same names as a JSON array of pairs, for SQLite.
    json: String,
}

impl<'n> Named<'n> {
    /// Makes the condition for these pairs of type and id.
    pub(super) fn of(names: impl Iterator<Item = &'n (String, String)> + Clone) -> Named<'n> {
        let types: Vec<&str> = names.clone().map(|(rtype, _)| rtype.as_str()).collect();
        let ids: Vec<&str> = names.map(|(_, id)| id.as_str()).collect();
        let pairs: Vec<[&str; 2]> = types.iter().zip(&ids).map(|(rtype, id)| [*rtype, *id]).collect();
        Named {
            json: serde_json::json!(pairs).to_string(),
            types,
            ids,
        }
    }
}

impl Expression for Named<'_> {
    type SqlType = Bool;
}

// The condition can be added to any query, but the SQL is valid only over `resource`.
impl<Tables: ?Sized> AppearsOnTable<Tables> for Named<'_> {}
impl<Tables: ?Sized> SelectableExpression<Tables> for Named<'_> {}

impl ValidGrouping<()> for Named<'_> {
    type IsAggregate = is_aggregate::No;
}

impl QueryId for Named<'_> {
    type QueryId = Named<'static>;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl QueryFragment<Pg> for Named<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("(resource.type, resource.id) IN (SELECT * FROM unnest(");
        out.push_bind_param::<Array<Text>, _>(&self.types)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<Text>, _>(&self.ids)?;
        out.push_sql("))");
        Ok(())
    }
}

impl QueryFragment<Sqlite> for Named<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(
            "(resource.type, resource.id) IN \
             (SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(",
        );
        out.push_bind_param::<Text, _>(&self.json)?;
        out.push_sql("))");
        Ok(())
    }
}
