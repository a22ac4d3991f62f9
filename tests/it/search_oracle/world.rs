//! What is searched, and by whom: a running payer with data, partners with grants, and what each of them may see.
//!
//! What a caller may see is what `$everything` gives it, member by member, and what it can read of resources that belong to
//! nobody. So the release rules are taken as they are, and search alone is judged.

use super::awkward;
use super::chance::Chance;
use super::readings::CONFORMANCE;
use crate::support::client::{ALL_SCOPES, Client};
use crate::support::grants::grant;
use crate::support::payer::{TestPayer, today};
use causeway::synth::{self, SharingPolicy};
use diesel::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A token lives 300 s; a run may be longer.
const TOKEN_AGE: Duration = Duration::from_secs(100);

/// A resource that a caller may see.
pub struct Seen {
    pub id: String,
    /// The member it belongs to; nobody when `None`.
    pub owner: Option<String>,
    pub body: Value,
}

/// Somebody who searches.
pub struct Caller {
    pub name: String,
    client: Arc<Client>,
    narrowed: Option<String>,
    token: Mutex<Option<(Instant, String)>>,
    /// The members on whom it has grants, or the one of its token.
    pub members: Vec<String>,
    /// By type; shared resources come after those of members.
    pub sees: BTreeMap<String, Vec<Arc<Seen>>>,
}

impl Caller {
    fn new(name: &str, client: &Arc<Client>, narrowed: Option<String>) -> Caller {
        Caller {
            name: name.to_owned(),
            client: Arc::clone(client),
            narrowed,
            token: Mutex::new(None),
            members: Vec::new(),
            sees: BTreeMap::new(),
        }
    }

    /// The partner whose all members it may ask for; `None` with a token for one member.
    pub fn partner(&self) -> Option<&str> {
        self.narrowed.is_none().then_some(self.name.as_str())
    }

    /// A token that lives, fresh when the last one grows old.
    pub async fn token(&self) -> String {
        if let Some((made, token)) = self.token.lock().expect("a token").as_ref()
            && made.elapsed() < TOKEN_AGE
        {
            return token.clone();
        }
        let mut fields = vec![("grant_type", "client_credentials"), ("scope", ALL_SCOPES)];
        if let Some(patient) = &self.narrowed {
            fields[1].1 = "system/*.rs";
            fields.push(("patient", patient));
        }
        let reply = self.client.oauth("/oauth/token", &fields).await;
        reply.assert_status(200);
        let token = reply.json()["access_token"].as_str().expect("a token").to_owned();
        *self.token.lock().expect("a token") = Some((Instant::now(), token.clone()));
        token
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    pub fn of_type(&self, rtype: &str) -> &[Arc<Seen>] {
        self.sees.get(rtype).map_or(&[], Vec::as_slice)
    }

    /// Whether a resource of `target`'s owner may appear beside one of `source`'s: the same member, or nobody's.
    pub fn find(&self, rtype: &str, id: &str, owner: Option<&str>) -> Option<&Arc<Seen>> {
        let found = self.of_type(rtype).iter().find(|one| one.id == id)?;
        (found.owner.is_none() || found.owner.as_deref() == owner).then_some(found)
    }

    async fn look(&mut self, nobodys: &[Arc<Seen>], nobodys_names: &HashSet<String>) {
        self.sees.clear();
        for member in &self.members {
            let path = format!("Patient/{member}/$everything");
            let reply = self.client.get(&self.token().await, &path).await;
            reply.assert_status(200);
            for entry in reply.json()["entry"].as_array().into_iter().flatten() {
                let body = entry["resource"].clone();
                let rtype = body["resourceType"].as_str().expect("a type").to_owned();
                let id = body["id"].as_str().expect("an id").to_owned();
                // Supporting resources that come along are the ones that are read below. Who transmits is no part of what is stored.
                if nobodys_names.contains(&format!("{rtype}/{id}")) || id.starts_with("tx.") {
                    continue;
                }
                self.sees.entry(rtype).or_default().push(Arc::new(Seen {
                    id,
                    owner: Some(member.clone()),
                    body,
                }));
            }
        }
        for one in nobodys {
            let rtype = one.body["resourceType"].as_str().expect("a type").to_owned();
            self.sees.entry(rtype).or_default().push(Arc::clone(one));
        }
    }
}

/// What the CapabilityStatement says of one type.
#[derive(Default)]
pub struct Declared {
    /// Name and type.
    pub parameters: Vec<(String, String)>,
    pub includes: Vec<String>,
    pub revincludes: Vec<String>,
}

pub struct World {
    /// Kept running.
    pub payer: TestPayer,
    pub base: String,
    pub callers: Vec<Caller>,
    pub declared: BTreeMap<String, Declared>,
    /// Everything that is stored, by type: what values are drawn from.
    pub pool: HashMap<String, Vec<Value>>,
}

impl World {
    /// Synthetic members and awkward resources; grants on some members, regular and sensitive, and a narrowed token.
    pub async fn synthetic() -> World {
        let (mut payer, client) = TestPayer::prepare_with(synth::SynthOptions {
            members: 9,
            resources_per_member: 45,
            as_of: today(),
            ..synth::SynthOptions::default()
        });
        let base = format!("{}/fhir", payer.origin);
        let members: Vec<String> = (0..9).map(|index| payer.member(index).patient_id).collect();
        let mut lines = awkward::shared();
        lines.extend(awkward::patients());
        for (index, member) in members.iter().enumerate().take(6) {
            lines.extend(awkward::of_member(member, &format!("m{index}"), &base));
        }
        lines.extend(awkward::of_member("Pat.Awkward", "odd", &base));
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(payer.home().join("awkward.ndjson"), text).expect("a file");
        let said = payer.json_command(&["import", "awkward.ndjson"]);
        assert_eq!(
            (said["rejected"].as_u64(), said["stored"].as_u64()),
            (Some(0), Some(lines.len() as u64)),
            "{said}"
        );
        payer.serve();
        let odd = "Pat.Awkward".to_owned();
        let first = [members[0].clone(), members[1].clone(), members[2].clone(), odd.clone()];
        let second = [members[2].clone(), members[3].clone(), members[6].clone()];
        World::with(payer, client, &first, &second, &[members[7].clone(), odd]).await
    }

    /// The published records of `folder` (its `examples` and `clinical`), a handful of members granted by lot.
    pub async fn of_folder(folder: &Path, chance: &mut Chance) -> World {
        let (mut payer, client) = TestPayer::prepare(1);
        for name in ["clinical", "examples"] {
            let path = folder.join(name);
            let path = path.to_str().expect("UTF-8");
            let said = payer.command(&["import", path, "--json", "--quiet"]);
            let said: Value = serde_json::from_slice(&said.stdout).expect("what the import says");
            assert!(
                said["stored"].as_u64().is_some_and(|stored| stored > 100),
                "{name}: {said}"
            );
            println!("{name}: {said}");
        }
        payer.serve();
        let mut members = members_with_records(&payer);
        let mut some = |many: usize| -> Vec<String> {
            (0..many.min(members.len()))
                .map(|_| members.swap_remove(chance.below(members.len())))
                .collect()
        };
        let (both, first, second, third) = (some(4), some(14), some(14), some(6));
        let first = [both.clone(), first].concat();
        World::with(payer, client, &first, &[both, second].concat(), &third).await
    }

    async fn with(payer: TestPayer, client: Client, first: &[String], second: &[String], third: &[String]) -> World {
        let base = format!("{}/fhir", payer.origin);
        let register = |id: &str, npi: &str| payer.register(id, npi, &format!("https://{id}.example/fhir"));
        let others = [
            register("second-payer", "1992000038"),
            register("third-payer", "1992000046"),
        ];
        for (partner, members, policy) in [
            ("new-payer", first, SharingPolicy::Regular),
            ("second-payer", second, SharingPolicy::Sensitive),
            ("third-payer", third, SharingPolicy::Regular),
        ] {
            for member in members {
                grant(&payer, partner, member, policy);
            }
        }
        let client = Arc::new(client);
        let mut callers = vec![Caller::new("new-payer", &client, None)];
        for (name, other) in ["second-payer", "third-payer"].iter().zip(others) {
            callers.push(Caller::new(name, &Arc::new(other), None));
        }
        let only = first[0].clone();
        callers.push(Caller::new(
            "new-payer, one member",
            &client,
            Some(format!("Patient/{only}")),
        ));
        let mut world = World {
            declared: declared(&callers[0].client).await,
            pool: pool(&payer),
            payer,
            base,
            callers,
        };
        for (caller, members) in world.callers.iter_mut().zip([first, second, third, &[only]]) {
            caller.members = members.to_vec();
        }
        world.look_again().await;
        world
    }

    /// Looks at what each caller may see now.
    pub async fn look_again(&mut self) {
        let (nobodys, names) = self.nobodys().await;
        for caller in &mut self.callers {
            caller.look(&nobodys, &names).await;
        }
    }

    /// Resources without a member that can be read.
    async fn nobodys(&self) -> (Vec<Arc<Seen>>, HashSet<String>) {
        use causeway::store::schema::resource;
        let names: Vec<(String, String)> = resource::table
            .filter(resource::compartment.eq(0))
            .select((resource::rtype, resource::id))
            .load(&mut self.payer.db())
            .expect("rows");
        let caller = &self.callers[0];
        let mut readable = Vec::new();
        for (rtype, id) in &names {
            let reply = caller.client.get(&caller.token().await, &format!("{rtype}/{id}")).await;
            match reply.status {
                200 => readable.push(Arc::new(Seen {
                    id: id.clone(),
                    owner: None,
                    body: reply.json(),
                })),
                404 => {}
                other => panic!("{rtype}/{id}: {other} {}", reply.text()),
            }
        }
        assert!(!readable.is_empty(), "no shared resource can be read");
        (
            readable,
            names.into_iter().map(|(rtype, id)| format!("{rtype}/{id}")).collect(),
        )
    }
}

/// What a server declares, by type.
pub async fn declared(client: &Client) -> BTreeMap<String, Declared> {
    let reply = client.get("none", "metadata").await;
    reply.assert_status(200);
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.filter_map(|one| one.as_str().map(str::to_owned)).collect()
    };
    let mut all = BTreeMap::new();
    for resource in reply.json()["rest"][0]["resource"].as_array().into_iter().flatten() {
        let parameters: Vec<(String, String)> = resource["searchParam"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| {
                let text = |name: &str| one[name].as_str().expect("a text").to_owned();
                (text("name"), text("type"))
            })
            .collect();
        let name = resource["type"].as_str().expect("a type").to_owned();
        if parameters.is_empty() || CONFORMANCE.contains(&name.as_str()) {
            continue;
        }
        all.insert(
            name,
            Declared {
                parameters,
                includes: texts(&resource["searchInclude"]),
                revincludes: texts(&resource["searchRevInclude"]),
            },
        );
    }
    all
}

fn pool(payer: &TestPayer) -> HashMap<String, Vec<Value>> {
    use causeway::store::schema::resource;
    let rows: Vec<(String, Vec<u8>)> = resource::table
        .select((resource::rtype, resource::body))
        .order(resource::key.asc())
        .load(&mut payer.db())
        .expect("rows");
    let mut all: HashMap<String, Vec<Value>> = HashMap::new();
    for (rtype, body) in rows {
        all.entry(rtype)
            .or_default()
            .push(serde_json::from_slice(&body).expect("JSON"));
    }
    all
}

/// Members with more than a Patient, in their order.
fn members_with_records(payer: &TestPayer) -> Vec<String> {
    use causeway::store::schema::{compartment, resource};
    let owners: Vec<i64> = resource::table
        .filter(resource::rtype.ne("Patient"))
        .select(resource::compartment)
        .distinct()
        .load(&mut payer.db())
        .expect("rows");
    let owners: HashSet<i64> = owners.into_iter().collect();
    let all: Vec<(i64, String)> = compartment::table
        .select((compartment::no, compartment::patient_id))
        .order(compartment::no.asc())
        .load(&mut payer.db())
        .expect("rows");
    all.into_iter()
        .filter(|(no, _)| owners.contains(no))
        .map(|(_, id)| id)
        .collect()
}
