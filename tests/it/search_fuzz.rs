//! Searches that nobody sends in good faith (threats B09, B12): never a 5xx, never a wait, nothing of another member, and
//! nothing of the input in an error, a header or the log. `CAUSEWAY_TEST_SEARCHES` sends more, `CAUSEWAY_TEST_SEED` repeats a run.

use crate::support::client::{ALL_SCOPES, Client, Reply};
use crate::support::payer::TestPayer;
use causeway::synth::Variation;
use serde_json::Value;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Searches in a run, each by GET and one in four by POST as well.
const SEARCHES: u64 = 600;
/// Longer than this is a hang, even on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);
/// A token lives longer than it takes to send as many, even on a busy machine.
const SEARCHES_A_TOKEN: u64 = 50;
/// What a caller may be told of its own words are places and codes; every free word that it sends begins like this.
const MARK: &str = "zq7k";

/// Patterns of parameters that identify a person; their values are in no link.
#[rustfmt::skip]
const PERSONAL: &[&str] = &[
    "name", "family", "given", "birthdate", "identifier", "address", "phone", "email", "telecom",
];

/// SplitMix64, so that a seed is a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).expect("small")).expect("small")
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Copy>(&mut self, table: &[T]) -> T {
        table[self.below(table.len())]
    }

    /// A word that is in no resource.
    fn mark(&mut self) -> String {
        format!("{MARK}{:08x}", self.next() >> 32)
    }
}

/// What the server says can be searched: type, and the names and types of its parameters.
type Declared = Vec<(String, Vec<(String, String)>)>;

/// A query string as it goes out, and the words in it that no link may repeat.
struct Query {
    rtype: String,
    text: String,
    secret: Vec<String>,
    /// Says in the query what form the answer takes; a form body does not.
    formatted: bool,
}

/// Values, `@` stands for a word of ours. They are percent-encoded before they go out.
#[rustfmt::skip]
const HOSTILE: &[&str] = &[
    "' OR '1'='1' -- @", "'; DROP TABLE resource; -- @", "\") UNION SELECT @ FROM member --", "@%", "%@%", "_@_", "@\\",
    "\\@\\\\", "$.@[0]", "{\"@\":1}", "@||'x'", "@\0", "@\r\nset-cookie: a=b", "\x1b[31m@", "<script>@</script>",
    "${jndi:ldap://@}", "{{7*7}}@", "../../etc/@", "@,,,,", ",@", "|@", "@|", "@|@|@", "http://@|@", "@$@", "\u{202e}@",
    "\u{feff}@", "e\u{301}\u{301}\u{301}@", "ﬃ@İıſ", "𝔘𝔫𝔦@", "@ @ @", "", " ", "null", "NaN", "1e400", "-0",
    "99999999999999999999999999",
];

/// The same, already encoded: broken on purpose.
#[rustfmt::skip]
const ENCODED: &[&str] = &[
    "%", "%zz@", "%f@", "%ff@", "%00@", "%0d%0a@", "%c0%ae@", "%ed%a0%80@", "+@+", "@=@=@", "@?@", "%25%32%35@",
];

#[rustfmt::skip]
const DATES: &[&str] = &[
    "2024", "2024-02", "2024-02-29", "2023-02-29", "2024-13-01", "0000", "0001-01-01", "9999-12-31T23:59:60Z", "9999",
    "10000-01-01", "-2024", "2024-02-29T24:00:00Z", "2024-02-29T12:00", "2024-02-29T12:00:00.123456789123Z",
    "2024-02-29T12:00:00+14:00", "2024-02-29T12:00:00+99:99", "2024-02-29T12:00:00 05:00", "20240229", "2024-2-9", "@",
];
#[rustfmt::skip]
const PREFIXES: &[&str] = &[
    "", "", "eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap", "ap", "zz", "EQ", "eqeq", "@",
];
#[rustfmt::skip]
const MODIFIERS: &[&str] = &[
    "exact", "contains", "not", "missing", "in", "not-in", "below", "above", "text", "identifier", "of-type", "iterate",
    "Patient", "Group", "@", "", "exact:exact", "missing:not",
];
/// General parameters with values of all kinds.
#[rustfmt::skip]
const GENERAL: &[(&str, &[&str])] = &[
    ("_count", &["0", "1", "2", "200", "201", "-1", "1.5", "1e3", "99999999999999999999", "@", "", " 1", "+1", "0x10"]),
    ("_sort", &["_id", "-_id", "--_id", "-", "_lastUpdated,-_id", "_id,_id,_id", "@", "date", "-date,date", "subject.@", "(SELECT @)", ","]),
    ("_summary", &["true", "false", "count", "data", "text", "@", "TRUE"]),
    ("_total", &["none", "estimate", "accurate", "@", "-1"]),
    ("_elements", &["id", "id,meta", "@", "code.coding.code", ",,,", "*", "Patient.name", "resourceType"]),
    ("_include", &["*", "Patient:*", "Observation:subject", "Observation:subject:Patient", "Provenance:target", "@:@", ":", "::", "a:b:c:d", "Observation:subject:@"]),
    ("_revinclude", &["*", "Provenance:target", "Provenance:target:Patient", "Observation:subject", "@", "Group:member", "AuditEvent:entity"]),
    ("_page", &["@", "", "AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "..", "%"]),
    ("_lastUpdated", &["gt2000", "lt2000", "ap2024-01-01", "@"]),
    ("_id", &["@", "a,b,c", "*", "%", "..", ""]),
    ("_profile", &["@", "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient", "http://@|1"]),
    ("_security", &["@", "http://terminology.hl7.org/CodeSystem/v3-Confidentiality|R", "|"]),
    ("_tag", &["@", "|@"]),
    ("_format", &["json", "application/fhir+json", "xml", "@", "html"]),
    ("_pretty", &["true", "@"]),
    ("_filter", &["name eq @", "id eq x or true"]),
    ("_query", &["@"]),
    ("_list", &["@", "$current-problems"]),
    ("_text", &["@"]),
    ("_content", &["@"]),
    ("_type", &["Patient", "@"]),
    ("_has:Observation:patient:code", &["@", "8480-6"]),
    ("_has:Group:member:_id", &["@"]),
    ("_contained", &["both", "@"]),
    ("_since", &["2000-01-01T00:00:00Z", "@"]),
];

fn filled(template: &str, mark: &str) -> String {
    template.replace('@', mark)
}

/// Percent-encodes all that is not plain, so that every byte arrives.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

/// A value that the type of the parameter makes likely to get far.
fn likely(random: &mut Random, kind: &str, mark: &str, patient: &str) -> String {
    match kind {
        "date" => filled(&format!("{}{}", random.pick(PREFIXES), random.pick(DATES)), mark),
        "reference" => {
            let own = format!("Patient/{patient}");
            let values = [
                own.as_str(),
                patient,
                "Patient/@",
                "Patient/",
                "Group/@",
                "http://@/Patient/@",
                "#@",
                "Patient/@/_history/1",
                "/",
            ];
            filled(random.pick(&values), mark)
        }
        "token" => filled(
            random.pick(&[
                "@",
                "|@",
                "@|",
                "http://loinc.org|@",
                "http://loinc.org|8480-6",
                "8480-6",
                "active",
                "true",
                "|",
                "a|b|c",
            ]),
            mark,
        ),
        "uri" => filled(
            random.pick(&["http://@", "urn:oid:@", "@|1.0", "http://hl7.org/fhir/@#x"]),
            mark,
        ),
        _ => filled(random.pick(&["@", "@,@", "S", "é", "@\\,@", "\\"]), mark),
    }
}

fn value(random: &mut Random, kind: &str, mark: &str, patient: &str) -> String {
    let dice = random.below(100);
    match dice {
        0..55 => encoded(&likely(random, kind, mark, patient)),
        55..85 => encoded(&filled(random.pick(HOSTILE), mark)),
        85..93 => filled(random.pick(ENCODED), mark),
        93..96 => encoded(&vec![mark; 2 + random.below(120)].join(",")),
        96..98 => encoded(&format!("{mark}{}", "x".repeat(random.below(4_000)))),
        _ => encoded(&format!("{mark}{}", "\\,".repeat(random.below(400)))),
    }
}

fn query(random: &mut Random, declared: &Declared, patient: &str) -> Query {
    let (rtype, parameters) = &declared[random.below(declared.len())];
    let mut query = Query {
        rtype: rtype.clone(),
        text: String::new(),
        secret: Vec::new(),
        formatted: false,
    };
    if random.chance(4) {
        query.rtype = random
            .pick(&["Nonsense", "patient", "Group", "_search", "Patient.", "Patient%00"])
            .to_owned();
    }
    let known = !parameters.is_empty();
    for _ in 0..random.pick(&[0, 1, 1, 1, 2, 2, 3, 3, 5, 12, 51, 200]) {
        let mark = random.mark();
        let (name, text) = match random.below(100) {
            0..60 if known => {
                let (name, kind) = &parameters[random.below(parameters.len())];
                let mut shown = name.clone();
                if random.chance(15) {
                    shown = format!("{name}:{}", filled(random.pick(MODIFIERS), &mark));
                } else if random.chance(5) {
                    shown = format!(
                        "{name}.{}",
                        random.pick(&["name", "Patient:name", "@", "."]).replace('@', &mark)
                    );
                }
                let personal = PERSONAL.iter().any(|one| name.starts_with(one));
                // A modifier that is served is repeated with its value, like any parameter that names no person.
                let odd = shown.contains(&mark) || shown.contains('.');
                if odd || personal && matches!(rtype.as_str(), "Patient" | "RelatedPerson") {
                    query.secret.push(mark.clone());
                }
                (shown, value(random, kind, &mark, patient))
            }
            0..90 => {
                let (name, values) = random.pick(GENERAL);
                query.formatted |= name == "_format";
                (
                    String::from(name),
                    if random.chance(75) {
                        encoded(&filled(random.pick(values), &mark))
                    } else {
                        value(random, "", &mark, patient)
                    },
                )
            }
            _ => {
                query.secret.push(mark.clone());
                let name = random.pick(&[
                    "@",
                    "_@",
                    "@:exact",
                    "subject.@",
                    "a' OR 1=1 --@",
                    "@\r\n",
                    "__proto__",
                    "",
                    "patient[@]",
                    "*",
                ]);
                (filled(name, &mark), value(random, "", &mark, patient))
            }
        };
        let name = if name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.:".contains(&byte))
        {
            name
        } else {
            encoded(&name)
        };
        let joint = if query.text.is_empty() {
            ""
        } else {
            random.pick(&["&", "&", "&", "&", "&&", "&="])
        };
        query.text.push_str(&format!("{joint}{name}={text}"));
    }
    query
}

/// Words of ours in a text, whatever became of their case.
fn marks(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    lower
        .find(MARK)
        .map(|at| lower[at.saturating_sub(60)..].chars().take(120).collect())
}

fn check(query: &Query, reply: &Reply, patient: &str, seed: u64) {
    let about = || format!("seed {seed}: {} for {}?{}", reply.status, query.rtype, query.text);
    assert!(reply.status < 500, "{}: {}", about(), reply.text());
    assert_eq!(marks(&format!("{:?}", reply.headers)), None, "{}", about());
    if reply.header("content-type").starts_with("text/html") {
        assert!(!reply.text().contains("<script"), "{}", about());
        return;
    }
    let mut answer = reply.json();
    if reply.status != 200 {
        assert_eq!(answer["resourceType"], "OperationOutcome", "{}", about());
        assert_eq!(marks(&reply.text()), None, "{}", about());
        return;
    }
    assert_eq!(answer["resourceType"], "Bundle", "{}", about());
    let links = answer["link"].take().to_string();
    for secret in &query.secret {
        assert!(!links.contains(secret), "{}: {secret} in {links}", about());
    }
    assert_eq!(marks(&answer.to_string()), None, "{}", about());
    for entry in answer["entry"].as_array().into_iter().flatten() {
        let resource = &entry["resource"];
        let url = entry["fullUrl"]
            .as_str()
            .unwrap_or_else(|| panic!("{}: an entry without fullUrl", about()));
        let outcome = entry["search"]["mode"] == "outcome";
        assert!(
            outcome && url.starts_with("urn:uuid:") || url.ends_with(resource["id"].as_str().expect("an id")),
            "{}: {url}",
            about()
        );
        for reference in patients(resource) {
            assert_eq!(reference, format!("Patient/{patient}"), "{}: {resource}", about());
        }
        if resource["resourceType"] == "Patient" {
            assert_eq!(resource["id"], patient, "{}", about());
        }
    }
}

/// Every reference to a Patient in a resource.
fn patients(value: &Value) -> Vec<&str> {
    match value {
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match (name.as_str(), value.as_str()) {
                ("reference", Some(text)) if text.starts_with("Patient/") => vec![text],
                _ => patients(value),
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(patients).collect(),
        _ => Vec::new(),
    }
}

async fn declared(client: &Client, token: &str) -> Declared {
    let statement = client.get(token, "metadata").await.json();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let all = statement["rest"][0]["resource"].as_array().expect("resources").clone();
    all.iter()
        .filter(|resource| {
            let interactions = resource["interaction"].as_array();
            interactions
                .into_iter()
                .flatten()
                .any(|one| one["code"] == "search-type")
        })
        .map(|resource| {
            let parameters = resource["searchParam"].as_array().into_iter().flatten();
            let parameters = parameters.map(|one| (text(&one["name"]), text(&one["type"]))).collect();
            (text(&resource["type"]), parameters)
        })
        .collect()
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[tokio::test]
async fn t_b09_b12_hostile_searches_neither_break_nor_echo() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let seed = number("CAUSEWAY_TEST_SEED").unwrap_or_else(|| u64::from(clock.subsec_nanos()));
    println!("seed {seed}");
    let mut random = Random(seed);
    let (mut payer, client) = TestPayer::prepare(3);
    let config = payer.home().join("causeway.toml");
    let text = std::fs::read_to_string(&config).expect("a file");
    std::fs::write(&config, text.replace("level = \"warn\"", "level = \"debug\"")).expect("a file");
    payer.serve();
    let mut token = client.token(ALL_SCOPES).await;
    let (patient, _) = client.matched(&token, &payer.request(0, Variation::Exact)).await;
    let declared = declared(&client, &token).await;
    assert!(declared.iter().any(|(rtype, _)| rtype == "Patient"), "{declared:?}");

    let (mut answered, mut slowest) = (std::collections::BTreeMap::<u16, u64>::new(), Duration::ZERO);
    for at in 1..=number("CAUSEWAY_TEST_SEARCHES").unwrap_or(SEARCHES) {
        if at % SEARCHES_A_TOKEN == 0 {
            token = client.token(ALL_SCOPES).await;
        }
        let query = query(&mut random, &declared, &patient);
        let bearer = format!("Bearer {token}");
        let prefer = random.pick(&["handling=strict", "handling=lenient", "return=minimal", "x"]);
        let headers = [("authorization", bearer.as_str()), ("prefer", prefer)];
        let started = Instant::now();
        let reply = client
            .send("GET", &format!("/fhir/{}?{}", query.rtype, query.text), &headers, "")
            .await;
        slowest = slowest.max(started.elapsed());
        assert!(
            started.elapsed() < LONGEST,
            "seed {seed}: {:?} for {}?{}",
            started.elapsed(),
            query.rtype,
            query.text
        );
        check(&query, &reply, &patient, seed);
        *answered.entry(reply.status).or_default() += 1;
        if at % 4 == 0 {
            let form = [
                headers[0],
                headers[1],
                ("content-type", "application/x-www-form-urlencoded"),
            ];
            let posted = client
                .send(
                    "POST",
                    &format!("/fhir/{}/_search", query.rtype),
                    &form,
                    query.text.clone(),
                )
                .await;
            check(&query, &posted, &patient, seed);
            // What is too long for an address may come in a body.
            let same =
                reply.status == 431 || query.formatted || declared.iter().all(|(rtype, _)| *rtype != query.rtype);
            assert!(
                same || posted.status == reply.status,
                "seed {seed}: {} by POST, {} by GET for {}?{}",
                posted.status,
                reply.status,
                query.rtype,
                query.text
            );
        }
    }
    println!("{answered:?}, slowest {slowest:?}");
    assert!(
        answered.contains_key(&200) && answered.contains_key(&400),
        "{answered:?}"
    );
    assert_eq!(payer.terminate(), Some(0));
    let log = payer.log();
    assert_eq!(marks(&log), None, "seed {seed}: the log repeats what was sent");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Map<String, Value>>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}
