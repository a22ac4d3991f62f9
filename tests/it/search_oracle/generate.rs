//! Random searches whose values are drawn from the data, from near misses of it, and from other members' data.

use super::chance::Chance;
use super::judge::{Condition, Modifier, Prefix, Wanted};
use super::readings::{COMBINATIONS, Kind, Reading, reading};
use super::search::{Include, Search};
use super::values::{Pointer, Span, pointers, spans, texts, tokens, uris};
use super::world::{Caller, World};
use chrono::{DateTime, Datelike, FixedOffset};
use serde_json::Value;

/// Words that are nowhere in the data.
const NOWHERE: &[&str] = &["zzz", "no-such-code", "%", "_", "' OR 1=1 --", "\u{1F600}"];

/// A type that nothing refers to.
const OTHER: &str = "Basic";
/// Parameters that name the member: nothing to sort by.
const MEMBERS: &[&str] = &["patient", "subject", "beneficiary"];

pub struct Generator<'w> {
    pub world: &'w World,
    pub chance: Chance,
    /// Types that are declared and stored.
    types: Vec<String>,
}

impl<'w> Generator<'w> {
    pub fn new(world: &'w World, chance: Chance) -> Generator<'w> {
        let types = world.declared.keys().filter(|rtype| world.pool.contains_key(*rtype));
        Generator {
            world,
            chance,
            types: types.cloned().collect(),
        }
    }

    /// A caller and a search.
    pub fn next(&mut self) -> (&'w Caller, Search) {
        let world = self.world;
        let caller = self.chance.pick(&world.callers);
        let mut search = Search::default();
        let names: Vec<String> = if self.chance.percent(45) {
            let (rtype, names) = *self.chance.pick(COMBINATIONS);
            search.rtype = rtype.to_owned();
            names.iter().map(|name| (*name).to_owned()).collect()
        } else {
            let seen: Vec<&String> = caller.sees.keys().filter(|rtype| self.types.contains(rtype)).collect();
            search.rtype = match self.chance.maybe(&seen) {
                Some(rtype) if self.chance.percent(85) => (*rtype).clone(),
                _ => self.chance.pick(&self.types).clone(),
            };
            let declared = &world.declared[&search.rtype].parameters;
            (0..self.chance.below(4))
                .map(|_| self.chance.pick(declared).0.clone())
                .collect()
        };
        for name in names {
            let Some(reading) = reading(&search.rtype, &name) else {
                continue;
            };
            let condition = self.condition(caller, &search.rtype, reading);
            search.conditions.extend(condition);
        }
        self.shape(&mut search);
        (caller, search)
    }

    fn shape(&mut self, search: &mut Search) {
        let declared = self.world.declared.get(&search.rtype);
        search.post = self.chance.percent(50);
        let keys = if self.chance.percent(30) {
            1 + self.chance.below(2)
        } else {
            0
        };
        for _ in 0..keys {
            if let Some((name, _)) = declared.and_then(|one| self.chance.maybe(&one.parameters))
                && !MEMBERS.contains(&name.as_str())
            {
                let by = reading(&search.rtype, name);
                let by = by.unwrap_or_else(|| panic!("no reading of {} {name}", search.rtype));
                search.sort.push((by, self.chance.percent(50)));
            }
        }
        if self.chance.percent(35) {
            search.count = Some(1 + self.chance.below(30));
        }
        if self.chance.percent(25) {
            search.total = Some(*self.chance.pick(&["accurate", "none", "estimate"]));
        }
        if self.chance.percent(4) {
            search.unknown = Some(("no-such-parameter".to_owned(), "1".to_owned()));
        }
        search.count_only = self.chance.percent(3);
        for (reverse, declared) in [
            (false, declared.map(|one| &one.includes)),
            (true, declared.map(|one| &one.revincludes)),
        ] {
            if self.chance.percent(15)
                && let Some(text) = declared.and_then(|all| self.chance.maybe(all))
            {
                let mut parts = text.split(':');
                let source = parts.next().unwrap_or_default().to_owned();
                let parameter = parts.next().filter(|name| *name != "*").map(str::to_owned);
                search.includes.push(Include {
                    source: if source == "*" { search.rtype.clone() } else { source },
                    parameter,
                    target: parts.next().map(str::to_owned),
                    reverse,
                });
            }
        }
        // Any reference to here, declared or not.
        if self.chance.percent(5) {
            let source = self.chance.pick(&self.types).clone();
            let all = &self.world.declared[&source].parameters;
            let (parameter, kind) = self.chance.pick(all).clone();
            // A canonical leads to nothing that could come along.
            if kind == Kind::Reference.code() && parameter != "questionnaire" {
                search.includes.push(Include {
                    source,
                    parameter: Some(parameter),
                    target: None,
                    reverse: true,
                });
            }
        }
    }

    fn condition(&mut self, caller: &Caller, rtype: &str, reading: Reading) -> Option<Condition> {
        let mut modifier = Modifier::None;
        if !["_id", "_lastUpdated"].contains(&reading.name) && self.chance.percent(6) {
            return Some(Condition {
                reading,
                modifier: Modifier::Missing,
                wanted: vec![Wanted::Missing(self.chance.percent(50))],
            });
        }
        match reading.kind {
            Kind::Token if reading.name != "_id" && self.chance.percent(10) => modifier = Modifier::Not,
            Kind::Text if self.chance.percent(15) => modifier = Modifier::Exact,
            Kind::Text if self.chance.percent(18) => modifier = Modifier::Contains,
            _ => {}
        }
        let several = if self.chance.percent(25) {
            2 + self.chance.below(2)
        } else {
            1
        };
        let mut wanted = Vec::new();
        for _ in 0..several {
            let one = self.value(caller, rtype, &reading, &modifier);
            wanted.extend(one);
        }
        if let (Kind::Reference, [Wanted::Pointer { rtype: Some(named), .. }]) = (reading.kind, &wanted[..])
            && named != OTHER
            && self.chance.percent(15)
        {
            modifier = Modifier::Type(named.clone());
            if let Some(Wanted::Pointer { rtype, .. }) = wanted.first_mut() {
                *rtype = None;
            }
        }
        (!wanted.is_empty()).then_some(Condition {
            reading,
            modifier,
            wanted,
        })
    }

    /// A resource of this type: mostly one that the caller sees, else anybody's.
    fn resource(&mut self, caller: &Caller, rtype: &str) -> Option<Value> {
        if self.chance.percent(80)
            && let Some(one) = self.chance.maybe(caller.of_type(rtype))
        {
            return Some(one.body.clone());
        }
        let pool = self.world.pool.get(rtype)?;
        self.chance.maybe(pool).cloned()
    }

    fn value(&mut self, caller: &Caller, rtype: &str, reading: &Reading, modifier: &Modifier) -> Option<Wanted> {
        for _ in 0..6 {
            let resource = self.resource(caller, rtype)?;
            let found = match reading.kind {
                Kind::Token => self.token(&resource, reading),
                Kind::Text => self.text(&resource, reading, modifier),
                Kind::Date => self.date(&resource, reading),
                Kind::Reference => self.pointer(&resource, reading),
                Kind::Uri => self.uri(&resource, reading),
            };
            if found.is_some() {
                return found;
            }
        }
        // Nobody has a value: look for one all the same.
        Some(match reading.kind {
            Kind::Token => Wanted::Token {
                system: None,
                code: Some((*self.chance.pick(NOWHERE)).to_owned()),
            },
            Kind::Text => Wanted::Text((*self.chance.pick(NOWHERE)).to_owned()),
            Kind::Date => self.date_near(Span {
                from: Some(1_600_000_000_000),
                to: None,
            }),
            Kind::Reference => Wanted::Pointer {
                rtype: None,
                id: "nobody".to_owned(),
                absolute: false,
            },
            Kind::Uri => Wanted::Uri("http://nowhere.example".to_owned()),
        })
    }

    fn token(&mut self, resource: &Value, reading: &Reading) -> Option<Wanted> {
        let all = tokens(resource, reading);
        let token = self.chance.maybe(&all)?.clone();
        let system = token.system.clone();
        let mut code = token.code;
        if reading.name == "_id" {
            if self.chance.percent(5) {
                code = code.map(|id| swap_case(&id));
            }
            return Some(Wanted::Token { system: None, code });
        }
        if self.chance.percent(12) {
            code = code.map(|code| swap_case(&code));
        }
        if self.chance.percent(6) {
            code = code.map(|code| format!("{code}x"));
        }
        Some(match self.chance.below(12) {
            0..=4 if code.is_some() => Wanted::Token { system: None, code },
            10 if code.is_some() => Wanted::Token {
                system: Some(String::new()),
                code,
            },
            11 => Wanted::Token {
                system: Some(system.filter(|system| !system.is_empty())?),
                code: None,
            },
            9 => Wanted::Token {
                system: Some("http://elsewhere.example".to_owned()),
                code,
            },
            _ => Wanted::Token {
                system: Some(system.unwrap_or_default()),
                code: Some(code?),
            },
        })
    }

    fn text(&mut self, resource: &Value, reading: &Reading, modifier: &Modifier) -> Option<Wanted> {
        let all = texts(resource, reading);
        let text = self.chance.maybe(&all)?.clone();
        let letters: Vec<char> = text.chars().collect();
        let mut piece: String = match modifier {
            Modifier::Exact if self.chance.percent(75) => return Some(Wanted::Text(text)),
            Modifier::Contains => {
                let from = self.chance.below(letters.len());
                let many = 1 + self.chance.below(letters.len() - from);
                letters[from..from + many].iter().collect()
            }
            _ => letters[..1 + self.chance.below(letters.len())].iter().collect(),
        };
        match self.chance.below(8) {
            0 => piece = piece.to_uppercase(),
            1 => piece = swap_case(&piece),
            2 => piece = super::values::folded(&piece),
            3 => piece.push('q'),
            _ => {}
        }
        // Blanks at the ends are nobody's wish.
        let piece = piece.trim().to_owned();
        (!piece.is_empty() && !super::values::folded(&piece).is_empty()).then_some(Wanted::Text(piece))
    }

    fn date(&mut self, resource: &Value, reading: &Reading) -> Option<Wanted> {
        let all = spans(resource, reading);
        let span = *self.chance.maybe(&all)?;
        Some(self.date_near(span))
    }

    /// A date at an end of `span`, or one unit of its precision beside it.
    fn date_near(&mut self, span: Span) -> Wanted {
        let ends: Vec<i64> = [span.from, span.to].into_iter().flatten().collect();
        let mut at = self.chance.maybe(&ends).copied().unwrap_or(0);
        let precision = self.chance.below(7);
        if self.chance.percent(30) {
            let unit = [366 * 86_400_000, 31 * 86_400_000, 86_400_000, 60_000, 1_000, 1_000, 1][precision];
            at += if self.chance.percent(50) { unit } else { -unit };
        }
        let offset_min = *self.chance.pick(&[0, 0, 0, -300, 330, 840]);
        let zone = FixedOffset::east_opt(if precision >= 3 { offset_min * 60 } else { 0 }).expect("an offset");
        let time = DateTime::from_timestamp_millis(at)
            .expect("a time")
            .with_timezone(&zone);
        let text = match precision {
            0 => time.format("%Y"),
            1 => time.format("%Y-%m"),
            2 => time.format("%Y-%m-%d"),
            3 => time.format("%Y-%m-%dT%H:%M%:z"),
            4 | 5 => time.format("%Y-%m-%dT%H:%M:%S%:z"),
            _ => time.format("%Y-%m-%dT%H:%M:%S%.3f%:z"),
        };
        let mut text = text.to_string();
        if offset_min == 0 || time.year() < 1000 {
            text = text.replace("+00:00", "Z");
        }
        let (prefix, spelt) = *self.chance.pick(Prefix::ALL);
        Wanted::Date { prefix, spelt, text }
    }

    fn pointer(&mut self, resource: &Value, reading: &Reading) -> Option<Wanted> {
        let all = pointers(resource, reading, &self.world.base);
        Some(match self.chance.maybe(&all)? {
            Pointer::Elsewhere(url) => {
                let bare = url.split('|').next().unwrap_or(url);
                Wanted::Address(if self.chance.percent(30) { bare } else { url }.to_owned())
            }
            Pointer::Ours(rtype, id) => {
                let rtype = match self.chance.below(12) {
                    0..=4 => None,
                    11 => Some(OTHER.to_owned()),
                    _ => Some(rtype.clone()),
                };
                let id = if self.chance.percent(6) {
                    format!("{id}x")
                } else {
                    id.clone()
                };
                let absolute = self.chance.percent(20);
                Wanted::Pointer { rtype, id, absolute }
            }
        })
    }

    fn uri(&mut self, resource: &Value, reading: &Reading) -> Option<Wanted> {
        let all = uris(resource, reading);
        let uri = self.chance.maybe(&all)?.clone();
        Some(Wanted::Uri(match self.chance.below(6) {
            0 => uri.split('|').next().unwrap_or_default().to_owned(),
            1 => uri[..uri.len() - 1].to_owned(),
            2 => uri.to_uppercase(),
            _ => uri,
        }))
    }
}

fn swap_case(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_ascii_lowercase() {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            }
        })
        .collect()
}
