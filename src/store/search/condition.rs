//! The filters of a search as SQL conditions on resources `r`.
//!
//! Inside one compartment a filter is a range of the index, read once; across members it is a probe for each row.

use super::super::dynamic::{Held, Sql};
use super::super::resources::PEOPLE;
use super::{Asked, Scope, inside};
use crate::fhir::search::params::{NOT_OWNER, PATIENT_IDENTIFIER};
use crate::fhir::search::{DateTest, Filter, Kind, Param, Prefix, ValueTest};

/// Adds ` AND …` for the type and every filter. `postgres` says whose dialect to write.
pub(super) fn add(sql: &mut Sql, asked: &Asked<'_>, postgres: bool) {
    // A parameter of a type is indexed for that type only; then the index drives, and the type would mislead the planner.
    let driven = asked.search.filters.iter().any(|filter| drives(filter, asked.scope));
    if !driven {
        sql.add(" AND ");
        inside(sql, "r.compartment", asked.scope);
        sql.with(" AND r.type = ?", [asked.search.rtype.as_str().into()]);
    }
    for filter in &asked.search.filters {
        sql.add(" AND ");
        one(sql, filter, asked, postgres);
    }
}

/// Whether a filter alone leads to few rows, all of the type that is searched.
fn drives(filter: &Filter, scope: &Scope) -> bool {
    match filter {
        Filter::Values { param, not: false, .. } if matches!(scope, Scope::Granted { .. }) => {
            param.no == PATIENT_IDENTIFIER
        }
        Filter::Values { param, not: false, .. } => !param.rtype.is_empty(),
        Filter::Dates { param, .. } => !param.rtype.is_empty() && !matches!(scope, Scope::Granted { .. }),
        _ => false,
    }
}

fn one(sql: &mut Sql, filter: &Filter, asked: &Asked<'_>, postgres: bool) {
    let not = |not: bool| if not { "NOT " } else { "" };
    match filter {
        Filter::Ids { any, not: turned } => {
            sql.with("(r.type = ? AND r.id ", [asked.search.rtype.as_str().into()])
                .add(not(*turned))
                .add("IN ");
            sql.list(any.iter().map(|id| Held::from(id.as_str()))).add(")");
        }
        Filter::Updated(any) => dates(sql, any, "r.last_updated_ms", "r.last_updated_ms"),
        Filter::Owner { any, name } => {
            match asked.scope {
                Scope::One { grant, .. } => sql.add(if any.contains(&grant.patient_id) {
                    "1 = 1"
                } else {
                    "1 = 0"
                }),
                _ => sql
                    .add("r.compartment IN (SELECT no FROM compartment WHERE patient_id IN ")
                    .list(any.iter().map(|id| Held::from(id.as_str())))
                    .add(")"),
            };
            sql.add(" AND ");
            owner_named(sql, name, true, asked.scope);
        }
        Filter::OwnerMissing { name, missing } => owner_named(sql, name, !missing, asked.scope),
        Filter::Values {
            param,
            any,
            not: turned,
        } if param.no == PATIENT_IDENTIFIER && !turned => {
            sql.add("r.key IN (SELECT key FROM search_value WHERE ");
            if matches!(asked.scope, Scope::Granted { .. }) {
                sql.with("compartment = ?", [PEOPLE.into()]);
            } else {
                inside(sql, "compartment", asked.scope);
            }
            sql.with(" AND param = ? AND ", [param.no.into()]);
            values(sql, any, postgres);
            umb(sql, any, asked.umb_system);
            sql.add(")");
        }
        Filter::Values {
            param,
            any,
            not: turned,
        } => among(sql, "search_value", param, *turned, asked.scope, &mut |sql| {
            sql.add(" AND ");
            values(sql, any, postgres);
        }),
        Filter::Dates { param, any } => among(sql, "search_date", param, false, asked.scope, &mut |sql| {
            sql.add(" AND ");
            dates(sql, any, "from_ms", "to_ms");
        }),
        Filter::Missing { param, missing } => {
            let table = if param.kind == Kind::Date {
                "search_date"
            } else {
                "search_value"
            };
            among(sql, table, param, *missing, asked.scope, &mut |_| {});
        }
    }
}

/// The resource is, or is not, among those with an indexed value that `more` says.
fn among(sql: &mut Sql, table: &str, param: &Param, not: bool, scope: &Scope, more: &mut dyn FnMut(&mut Sql)) {
    let not = if not { "NOT " } else { "" };
    if matches!(scope, Scope::Granted { .. }) {
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
        inside(sql, "compartment", scope);
        sql.with(" AND param = ?", [param.no.into()]);
    }
    more(sql);
    sql.add(")");
}

/// Whether the element behind an owner's parameter names the owner; those where it does not are noted.
fn owner_named(sql: &mut Sql, name: &str, named: bool, scope: &Scope) {
    let not = if named { "NOT " } else { "" };
    if matches!(scope, Scope::Granted { .. }) {
        sql.add(not).with(
            "EXISTS (SELECT 1 FROM search_value s WHERE s.compartment = r.compartment AND s.param = ? AND s.value = ? AND s.key = r.key)",
            [NOT_OWNER.into(), name.into()],
        );
    } else {
        sql.add("r.key ")
            .add(not)
            .add("IN (SELECT key FROM search_value WHERE ");
        inside(sql, "compartment", scope);
        sql.with(" AND param = ? AND value = ?)", [NOT_OWNER.into(), name.into()]);
    }
}

/// The Patients whose UMB this is, as more rows of an identifier's subquery.
fn umb(sql: &mut Sql, any: &[ValueTest], umb_system: &str) {
    let ours = any.iter().filter_map(|test| match test {
        ValueTest::Token {
            code: Some(code),
            system,
        } if system.as_deref().is_none_or(|own| own == umb_system) => Some(Held::from(code.as_str())),
        _ => None,
    });
    let ours: Vec<Held> = ours.collect();
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

/// Dates between two columns, by prefix (FHIR R4 search, "Prefixes").
fn dates(sql: &mut Sql, any: &[DateTest], from: &str, to: &str) {
    either(sql, any, &mut |sql, test| {
        let (first, last): (Held, Held) = (test.from_ms.into(), test.to_ms.into());
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
