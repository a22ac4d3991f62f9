//! SMART system scopes, v1 and v2, and operation URLs: parsed, intersected with the registered scopes, and checked.
//!
//! Pure functions. Nothing is decided by comparing prefixes: a scope that cannot be parsed grants nothing.

/// What a request does to a resource type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read one resource.
    Read,
    /// Search a type.
    Search,
}

const CREATE: u8 = 1;
const READ: u8 = 2;
const UPDATE: u8 = 4;
const DELETE: u8 = 8;
const SEARCH: u8 = 16;
const V1_READ: u8 = READ | SEARCH;
const V1_WRITE: u8 = CREATE | UPDATE | DELETE;
const ALL: u8 = V1_READ | V1_WRITE;
const LETTERS: [(u8, char); 5] = [(CREATE, 'c'), (READ, 'r'), (UPDATE, 'u'), (DELETE, 'd'), (SEARCH, 's')];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// `system/<type>.<permissions>`; without a type it is `system/*`.
    Data { rtype: Option<String>, may: u8, v1: bool },
    /// The canonical URL of an operation.
    Operation(String),
}

impl Scope {
    fn parse(text: &str) -> Option<Scope> {
        if text.starts_with("https://") || text.starts_with("http://") {
            // SMART's own URI form of a scope is not an operation, and is not supported.
            let ours = !text.starts_with("http://smarthealthit.org/");
            return (ours && is_token(text)).then(|| Scope::Operation(text.to_owned()));
        }
        let (rtype, may) = text.strip_prefix("system/")?.split_once('.')?;
        let rtype = match rtype {
            "*" => None,
            name => Some(name)
                .filter(|name| causeway_fhir_types::is_type(name))
                .map(|name| Some(name.to_owned()))?,
        };
        match may {
            "read" => Some(Scope::Data {
                rtype,
                may: V1_READ,
                v1: true,
            }),
            "write" => Some(Scope::Data {
                rtype,
                may: V1_WRITE,
                v1: true,
            }),
            "*" => Some(Scope::Data {
                rtype,
                may: ALL,
                v1: true,
            }),
            _ => {
                let mut rest = LETTERS.iter();
                let mut bits = 0;
                for letter in may.chars() {
                    // The letters must follow the order of `cruds`; a letter that is out of order, repeated or unknown is refused.
                    bits |= rest.find(|(_, known)| *known == letter)?.0;
                }
                (bits != 0).then_some(Scope::Data {
                    rtype,
                    may: bits,
                    v1: false,
                })
            }
        }
    }

    fn write(&self) -> String {
        match self {
            Scope::Operation(url) => url.clone(),
            Scope::Data { rtype, may, v1 } => {
                let rtype = rtype.as_deref().unwrap_or("*");
                let suffix = match (*v1, *may) {
                    (true, V1_READ) => "read".to_owned(),
                    (true, V1_WRITE) => "write".to_owned(),
                    (true, ALL) => "*".to_owned(),
                    _ => LETTERS
                        .iter()
                        .filter(|(bit, _)| may & bit != 0)
                        .map(|(_, letter)| *letter)
                        .collect(),
                };
                format!("system/{rtype}.{suffix}")
            }
        }
    }

    /// The part of `self` that `registered` covers.
    fn meet(&self, registered: &Scope) -> Option<Scope> {
        match (self, registered) {
            (Scope::Operation(a), Scope::Operation(b)) => (a == b).then(|| self.clone()),
            (
                Scope::Data {
                    rtype: a,
                    may: asked,
                    v1,
                },
                Scope::Data {
                    rtype: b, may: given, ..
                },
            ) => {
                let rtype = match (a, b) {
                    (None, other) | (other, None) => other.clone(),
                    (Some(a), Some(b)) => Some((a == b).then(|| a.clone())?),
                };
                let may = asked & given;
                (may != 0).then_some(Scope::Data { rtype, may, v1: *v1 })
            }
            _ => None,
        }
    }
}

/// Whether `text` has only scope-token characters (RFC 6749).
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| (0x21..=0x7e).contains(&b) && b != b'"' && b != b'\\')
}

/// A parsed set of scopes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Reads space separated scopes. Scopes that this server does not support (other levels, other suffixes, search parameters) are ignored
    /// and grant nothing.
    pub fn parse(text: &str) -> Scopes {
        let mut scopes = Vec::new();
        for scope in text.split(' ').filter_map(Scope::parse) {
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        Scopes(scopes)
    }

    /// The index of the first of `texts` that is not a scope that can be registered.
    pub fn first_unknown(texts: &[String]) -> Option<usize> {
        texts
            .iter()
            .position(|text| text.contains(' ') || Scope::parse(text).is_none())
    }

    /// Whether `text` has only characters that a scope parameter may have.
    pub fn is_well_formed(text: &str) -> bool {
        text.split(' ').all(|scope| scope.is_empty() || is_token(scope))
    }

    /// The part of `requested` that these registered scopes cover, with v1 scopes written as v1; `None` when nothing is covered.
    pub fn grant(&self, requested: &str) -> Option<String> {
        let mut granted: Vec<Scope> = Vec::new();
        for asked in &Scopes::parse(requested).0 {
            for met in self.0.iter().filter_map(|registered| asked.meet(registered)) {
                merge(&mut granted, met);
            }
        }
        (!granted.is_empty()).then(|| granted.iter().map(Scope::write).collect::<Vec<_>>().join(" "))
    }

    /// Whether resources of `rtype` may be read or searched.
    pub fn allows(&self, rtype: &str, permission: Permission) -> bool {
        let bit = match permission {
            Permission::Read => READ,
            Permission::Search => SEARCH,
        };
        self.0.iter().any(|scope| match scope {
            Scope::Data { rtype: own, may, .. } => may & bit != 0 && own.as_deref().is_none_or(|own| own == rtype),
            Scope::Operation(_) => false,
        })
    }

    /// The types that are allowed by name; `None` when all types are allowed.
    pub fn types(&self, permission: Permission) -> Option<Vec<String>> {
        if self.allows("*", permission) {
            return None;
        }
        let named = self.0.iter().filter_map(|scope| match scope {
            Scope::Data { rtype: Some(rtype), .. } => Some(rtype.clone()),
            _ => None,
        });
        Some(named.filter(|rtype| self.allows(rtype, permission)).collect())
    }

    /// Whether the operation with this canonical URL may be called.
    pub fn allows_operation(&self, url: &str) -> bool {
        self.0
            .iter()
            .any(|scope| matches!(scope, Scope::Operation(own) if own == url))
    }

    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Adds `scope`, or merges it with one of the same type and version.
fn merge(granted: &mut Vec<Scope>, scope: Scope) {
    for known in granted.iter_mut() {
        match (&mut *known, &scope) {
            (
                Scope::Data { rtype: a, may, v1: x },
                Scope::Data {
                    rtype: b,
                    may: more,
                    v1: y,
                },
            ) if a == b && x == y => {
                *may |= more;
                return;
            }
            (known, scope) if known == scope => return,
            _ => {}
        }
    }
    granted.push(scope);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MATCH: &str = "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match";

    #[test]
    fn t_a15_the_intersection_is_granted_and_nothing_more() {
        let rows: &[(&str, &str, Option<&str>)] = &[
            ("system/*.rs", "system/*.rs", Some("system/*.rs")),
            ("system/*.rs", "system/Patient.rs", Some("system/Patient.rs")),
            ("system/*.rs", "system/Patient.read", Some("system/Patient.read")),
            ("system/*.rs", "system/*.read", Some("system/*.read")),
            ("system/*.rs", "system/*.*", Some("system/*.read")),
            ("system/*.rs", "system/*.cruds", Some("system/*.rs")),
            ("system/*.rs", "system/*.write", None),
            ("system/*.rs", "system/*.cud", None),
            ("system/*.read", "system/*.rs", Some("system/*.rs")),
            ("system/*.r", "system/*.read", Some("system/*.r")),
            ("system/*.rs", "system/*.s", Some("system/*.s")),
            (
                "system/Patient.rs system/Coverage.r",
                "system/*.rs",
                Some("system/Patient.rs system/Coverage.r"),
            ),
            (
                "system/Patient.r system/Patient.s",
                "system/Patient.rs",
                Some("system/Patient.rs"),
            ),
            (
                "system/Patient.rs",
                "system/Patient.rs system/Coverage.rs",
                Some("system/Patient.rs"),
            ),
            ("system/Patient.rs", "system/Coverage.rs", None),
            (
                "system/*.rs",
                "system/Patient.rs system/Patient.rs",
                Some("system/Patient.rs"),
            ),
            ("system/*.rs", "system/*.readrs", None),
            ("system/*.rs", "system/*.rsread", None),
            ("system/*.rs", "system/*.sr", None),
            ("system/*.rs", "system/*.rrs", None),
            ("system/*.rs", "system/*.", None),
            ("system/*.rs", "system/*", None),
            ("system/*.rs", "system/.rs", None),
            ("system/*.rs", "system/patient.rs", None),
            ("system/*.rs", "system/Patients.rs", None),
            ("system/*.rs", "system/Pat*.rs", None),
            ("system/*.rs", "SYSTEM/*.rs", None),
            ("system/*.rs", "patient/*.rs", None),
            ("system/*.rs", "user/*.rs", None),
            ("system/*.rs", "system/Observation.rs?category=laboratory", None),
            ("system/*.rs", "system/*.READ", None),
            ("system/*.rs", "openid", None),
            ("system/*.rs", "", None),
            ("system/*.rs", "   ", None),
            ("system/*.rs", "system/*.rs\tsystem/*.cud", None),
            ("system/*.rs", MATCH, None),
            (MATCH, MATCH, Some(MATCH)),
            (
                MATCH,
                "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member",
                None,
            ),
            (
                MATCH,
                "http://hl7.org/fhir/us/davinci-hrex/OperationDefinition/member-match2",
                None,
            ),
            (MATCH, "system/*.rs", None),
            (
                "system/*.rs http://a/op",
                "http://a/op system/*.read",
                Some("http://a/op system/*.read"),
            ),
            (
                "system/*.cruds",
                "system/*.* system/*.rs",
                Some("system/*.* system/*.rs"),
            ),
            (
                "system/*.cruds",
                "http://smarthealthit.org/fhir/scopes/system/*.rs",
                None,
            ),
        ];
        for (registered, requested, granted) in rows {
            assert_eq!(
                Scopes::parse(registered).grant(requested).as_deref(),
                *granted,
                "{registered} <- {requested}"
            );
        }
    }

    #[test]
    fn t_a15_enforcement_is_by_parsed_scope() {
        let scopes = Scopes::parse(&format!("system/Patient.r system/Coverage.read {MATCH}"));
        assert!(scopes.allows("Patient", Permission::Read) && !scopes.allows("Patient", Permission::Search));
        assert!(scopes.allows("Coverage", Permission::Search) && !scopes.allows("PatientX", Permission::Read));
        assert!(!scopes.allows("Pat", Permission::Read) && !scopes.allows("*", Permission::Read));
        assert!(scopes.allows_operation(MATCH) && !scopes.allows_operation("http://hl7.org/"));
        assert!(!Scopes::parse("system/*.cruds").allows_operation(MATCH));
        assert!(Scopes::parse("system/*.read").allows("Anything", Permission::Search));
        assert!(!Scopes::parse("system/*.write").allows("Patient", Permission::Read));
    }
}
