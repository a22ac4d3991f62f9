//! The filters of a search as SQL conditions on resources `r`.
//!
//! In one compartment a filter is a range of the index that is read once, and so it is on SQLite in a few compartments. Across all granted
//! members it is an index look-up for each row, which PostgreSQL makes into one pass; SQLite would read a member's range for each row.

use super::super::dynamic::{HeldValue, Sql};
use super::super::search_rows::PEOPLE;
use super::{SearchAsked, SearchScope, inside};
use crate::fhir::search::params::{NOT_OWNER, PATIENT_IDENTIFIER};
use crate::fhir::search::{DateTest, Param, ParamKind, Prefix, SearchFilter, ValueTest};

/// Adds ` AND …` for the resource type and every filter. `postgres` selects the SQL dialect.
pub(super) fn add(sql: &mut Sql, asked: &SearchAsked<'_>, postgres: bool) {
    // A parameter of one resource type is indexed for that type only. Such a filter selects few rows by
    // itself, and a condition on the type would mislead the planner.
    let driven = asked.search.filters.iter().any(|filter| drives(filter, asked));
    if !driven {
        sql.add(" AND ");
        inside(sql, "r.compartment", asked);
        sql.with(" AND r.type = ?", [asked.search.rtype.as_str().into()]);
    }
    for filter in &asked.search.filters {
        sql.add(" AND ");
        one(sql, filter, asked, postgres);
    }
}

/// Whether a filter alone leads to few rows, all of the searched resource type.
fn drives(filter: &SearchFilter, asked: &SearchAsked<'_>) -> bool {
    match filter {
        _ if is_identifier(filter) => true,
        _ if is_of_all(asked) => false,
        SearchFilter::Values { param, not: false, .. } | SearchFilter::Dates { param, .. } => !param.rtype.is_empty(),
        _ => false,
    }
}

/// Whether this filter finds Patients by the index of identifiers across members.
fn is_identifier(filter: &SearchFilter) -> bool {
    matches!(filter, SearchFilter::Values { param, not: false, .. } if param.no == PATIENT_IDENTIFIER)
}

/// Whether this filter finds few resources by an index across members.
pub(super) fn leads(filter: &SearchFilter) -> bool {
    is_identifier(filter) || matches!(filter, SearchFilter::Ids { not: false, .. })
}

/// Whether one statement searches all granted members.
fn is_of_all(asked: &SearchAsked<'_>) -> bool {
    matches!(asked.scope, SearchScope::Granted { .. }) && asked.part.is_empty()
}

fn one(sql: &mut Sql, filter: &SearchFilter, asked: &SearchAsked<'_>, postgres: bool) {
    let not = |not: bool| if not { "NOT " } else { "" };
    match filter {
        SearchFilter::Ids { any, not: turned } => {
            sql.with("(r.type = ? AND r.id ", [asked.search.rtype.as_str().into()])
                .add(not(*turned))
                .add("IN ");
            sql.list(any.iter().map(|id| HeldValue::from(id.as_str()))).add(")");
        }
        SearchFilter::Updated(any) => dates(sql, any, "r.last_updated_ms", "r.last_updated_ms"),
        SearchFilter::Owner { any, name } => {
            match asked.scope {
                SearchScope::One { grant, .. } => sql.add(if any.contains(&grant.patient_id) {
                    "1 = 1"
                } else {
                    "1 = 0"
                }),
                _ => sql
                    .add("r.compartment IN (SELECT no FROM compartment WHERE patient_id IN ")
                    .list(any.iter().map(|id| HeldValue::from(id.as_str())))
                    .add(")"),
            };
            sql.add(" AND ");
            owner_named(sql, name, true, asked);
        }
        SearchFilter::OwnerMissing { name, missing } => owner_named(sql, name, !missing, asked),
        SearchFilter::Values { param, any, .. } if is_identifier(filter) => {
            sql.add("r.key IN (SELECT key FROM search_value WHERE ");
            if matches!(asked.scope, SearchScope::Granted { .. }) {
                sql.with("compartment = ?", [PEOPLE.into()]);
            } else {
                inside(sql, "compartment", asked);
            }
            sql.with(" AND param = ? AND ", [param.no.into()]);
            values(sql, any, postgres);
            umb(sql, any, asked.umb_system);
            sql.add(")");
        }
        SearchFilter::Values {
            param,
            any,
            not: turned,
        } => among(sql, "search_value", param, *turned, asked, &mut |sql| {
            sql.add(" AND ");
            values(sql, any, postgres);
        }),
        SearchFilter::Dates { param, any } => among(sql, "search_date", param, false, asked, &mut |sql| {
            sql.add(" AND ");
            dates(sql, any, "from_ms", "to_ms");
        }),
        SearchFilter::Missing { param, missing } => {
            let table = if param.kind == ParamKind::Date {
                "search_date"
            } else {
                "search_value"
            };
            among(sql, table, param, *missing, asked, &mut |_| {});
        }
    }
}

/// Adds the condition that the resource is, or with `not` is not, among those with an indexed value; `more` adds conditions on the value.
fn among(
    sql: &mut Sql,
    table: &str,
    param: &Param,
    not: bool,
    asked: &SearchAsked<'_>,
    more: &mut dyn FnMut(&mut Sql),
) {
    let not = if not { "NOT " } else { "" };
    if is_of_all(asked) {
        sql.add(not).add("EXISTS (SELECT 1 FROM ").add(table);
        sql.with(
            " s WHERE s.compartment = r.compartment AND s.param = ? AND s.key = r.key",
            [param.no.into()],
        );
    } else {
        sql.add("r.key ")
            .add(not)
            .add("IN (SELECT key FROM ")
            .add(table)
            .add(" WHERE ");
        inside(sql, "compartment", asked);
        sql.with(" AND param = ?", [param.no.into()]);
    }
    more(sql);
    sql.add(")");
}

/// Adds the condition that the element behind a parameter for the owner references the owner, or with `named` false
/// does not. The index contains the resources where it does not.
fn owner_named(sql: &mut Sql, name: &str, named: bool, asked: &SearchAsked<'_>) {
    let not = if named { "NOT " } else { "" };
    if is_of_all(asked) {
        sql.add(not).with(
            "EXISTS (SELECT 1 FROM search_value s WHERE s.compartment = r.compartment AND s.param = ? AND s.value = ? AND s.key = r.key)",
            [NOT_OWNER.into(), name.into()],
        );
    } else {
        sql.add("r.key ")
            .add(not)
            .add("IN (SELECT key FROM search_value WHERE ");
        inside(sql, "compartment", asked);
        sql.with(" AND param = ? AND value = ?)", [NOT_OWNER.into(), name.into()]);
    }
}

/// Adds the Patients with one of these UMBs to the subquery of an identifier.
fn umb(sql: &mut Sql, any: &[ValueTest], umb_system: &str) {
    let ours = any.iter().filter_map(|test| match test {
        ValueTest::Token {
            code: Some(code),
            system,
        } if system.as_deref().is_none_or(|own| own == umb_system) => Some(HeldValue::from(code.as_str())),
        _ => None,
    });
    let ours: Vec<HeldValue> = ours.collect();
    if !ours.is_empty() {
        sql.add(" UNION SELECT p.key FROM compartment c JOIN resource p ON p.type = 'Patient' AND p.id = c.patient_id WHERE c.umb IN ");
        sql.list(ours);
    }
}

fn values(sql: &mut Sql, any: &[ValueTest], postgres: bool) {
    either(sql, any, &mut |sql, test| {
        match test {
            ValueTest::Token {
                code: Some(code),
                system: Some(system),
            } => sql.with(
                "(value = ? AND system = ?)",
                [code.as_str().into(), system.as_str().into()],
            ),
            ValueTest::Token {
                code: Some(code),
                system: None,
            } => sql.with("value = ?", [code.as_str().into()]),
            ValueTest::Token { code: None, system } => {
                sql.with("system = ?", [system.as_deref().unwrap_or_default().into()])
            }
            ValueTest::Reference { rtype: Some(rtype), id } => sql.with(
                "(value = ? AND system = ?)",
                [id.as_str().into(), rtype.as_str().into()],
            ),
            ValueTest::Reference { rtype: None, id } => sql.with("(value = ? AND system <> '')", [id.as_str().into()]),
            ValueTest::Url(url) => sql.with("(value = ? AND system = '')", [url.as_str().into()]),
            ValueTest::Starts(text) => sql.with(
                "(value >= ? AND value < ?)",
                [text.as_str().into(), format!("{text}\u{10FFFF}").as_str().into()],
            ),
            ValueTest::Exact { folded, text } => sql.with(
                "(value = ? AND system = ?)",
                [folded.as_str().into(), text.as_str().into()],
            ),
            ValueTest::Contains(text) if postgres => sql.with("strpos(value, ?) > 0", [text.as_str().into()]),
            ValueTest::Contains(text) => sql.with("instr(value, ?) > 0", [text.as_str().into()]),
        };
    });
}

/// Adds conditions on a period given by two columns, for each prefix (FHIR R4 search, "Prefixes").
fn dates(sql: &mut Sql, any: &[DateTest], from: &str, to: &str) {
    either(sql, any, &mut |sql, test| {
        let (first, last): (HeldValue, HeldValue) = (test.from_ms.into(), test.to_ms.into());
        let text = match test.prefix {
            Prefix::Eq => "(F >= ? AND T <= ?)",
            Prefix::Ne => "(F < ? OR T > ?)",
            Prefix::Gt => "T > ?",
            Prefix::Lt => "F < ?",
            Prefix::Ge => "(T > ? OR (F >= ? AND T <= ?))",
            Prefix::Le => "(F < ? OR (F >= ? AND T <= ?))",
            Prefix::Sa => "F > ?",
            Prefix::Eb => "T < ?",
            Prefix::Ap => "(F <= ? AND T >= ?)",
        };
        let text = text.replace('F', from).replace('T', to);
        match test.prefix {
            Prefix::Eq | Prefix::Ne => sql.with(&text, [first, last]),
            Prefix::Gt | Prefix::Sa => sql.with(&text, [last]),
            Prefix::Lt | Prefix::Eb => sql.with(&text, [first]),
            Prefix::Ge => sql.with(&text, [last.clone(), first, last]),
            Prefix::Le => sql.with(&text, [first.clone(), first, last]),
            Prefix::Ap => sql.with(&text, [last, first]),
        };
    });
}

fn either<T>(sql: &mut Sql, any: &[T], write: &mut dyn FnMut(&mut Sql, &T)) {
    sql.add("(");
    for (index, test) in any.iter().enumerate() {
        if index > 0 {
            sql.add(" OR ");
        }
        write(sql, test);
    }
    sql.add(")");
}
