//! What a script may say, and what is refused before anything listens.

use causeway_sandbox_partner::{Sandbox, SandboxError, SandboxScript};

#[test]
fn an_address_beyond_this_machine_is_refused() {
    for key in ["listen", "control"] {
        for address in [
            "0.0.0.0:0",
            "[::]:0",
            "192.168.0.7:8443",
            "payer.example:443",
            "10.1.2.3:0",
        ] {
            let error = SandboxScript::from_toml(&format!("{key} = \"{address}\"")).expect_err(address);
            assert_eq!(
                error,
                SandboxError::NotLoopback {
                    at: key.into(),
                    address: address.into()
                }
            );
            assert!(error.to_string().contains("loopback only"), "{error}");
        }
    }
    // The check stands also before the socket: a script that is made in code passes it as well.
    let script = SandboxScript {
        listen: "0.0.0.0:0".into(),
        ..SandboxScript::default()
    };
    assert!(matches!(
        Sandbox::start(script).err(),
        Some(SandboxError::NotLoopback { .. })
    ));
    let named = SandboxScript {
        host: "payer.example".into(),
        ..SandboxScript::default()
    };
    assert!(matches!(
        Sandbox::start(named).err(),
        Some(SandboxError::NotLoopback { .. })
    ));
}

#[test]
fn what_is_not_known_or_cannot_be_played_is_refused_with_its_place() {
    for (script, said) in [
        ("lisen = \"127.0.0.1:0\"", "lisen"),
        ("[payer]\nnmae = \"x\"", "nmae"),
        ("[[rule]]\nroute = \"token\"\nact = []", "act"),
        ("[[rule]]\nroute = \"tokens\"\nacts = [\"endless\"]", "tokens"),
        ("[[rule]]\nroute = \"token\"\nacts = []", "at least one act"),
        ("[[rule]]\nroute = \"token\"\nacts = [\"endles\"]", "endles"),
        (
            "[[rule]]\nroute = \"token\"\nacts = [{ delay = { ms = 1, s = 2 } }]",
            "s",
        ),
        ("[[rule]]\nroute = \"token\"\nacts = [\"next-elsewhere\"]", "rule[0]"),
        ("[[rule]]\nroute = \"connection\"\nacts = [\"lost-reply\"]", "rule[0]"),
        ("[[rule]]\nroute = \"token\"\nacts = [\"refuse\"]", "rule[0]"),
        (
            "[[rule]]\nroute = \"connection\"\npage = 1\nacts = [\"refuse\"]",
            "page",
        ),
        (
            "[[rule]]\nroute = \"token\"\nrequests = \"0\"\nacts = [\"endless\"]",
            "request numbers",
        ),
        (
            "[[rule]]\nroute = \"token\"\nchance = 2.0\nacts = [\"endless\"]",
            "chance",
        ),
        (
            "[[rule]]\nroute = \"token\"\nacts = [{ answer = { status = 99 } }]",
            "status",
        ),
        (
            "[[rule]]\nroute = \"token\"\nacts = [{ answer = { status = 429, retry_after = \"1\\r\\nX: y\" } }]",
            "one line",
        ),
        (
            "[[rule]]\nroute = \"search\"\nacts = [{ wrong-member = { every = 0 } }]",
            "every",
        ),
        ("[[rule]]\nroute = \"search\"\nacts = [{ leave-out = {} }]", "leave-out"),
        ("offers = []", "offers"),
        ("clock = \"tomorrow\"", "clock"),
        ("hrex = \"3.0\"", "3.0"),
        ("members = { count = 2, resources = 3 }", "resources"),
        ("[[client]]\nid = \"a\"", "jwks"),
        ("[[member]]\nbirth_date = \"1.1.70\"", "member[0]"),
        ("[[member]]\npatient_id = \"a/b\"", "FHIR id"),
        ("page_size = 0", "page_size"),
    ] {
        let error = SandboxScript::from_toml(script).expect_err(script).to_string();
        assert!(error.contains(said), "{script}: {error}");
    }
}

#[test]
fn a_script_is_toml_or_json_with_paths_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("keys.json"), "{\"keys\":[]}").expect("written");
    std::fs::write(
        path("a.toml"),
        "seed = 4\n[[client]]\nid = \"a\"\njwks_file = \"keys.json\"",
    )
    .expect("written");
    std::fs::write(
        path("b.json"),
        "{\"seed\":4,\"rule\":[{\"route\":\"token\",\"acts\":[\"lost-reply\"]}]}",
    )
    .expect("written");
    let toml = SandboxScript::read(&path("a.toml")).expect("a script");
    assert_eq!(
        (toml.seed, toml.client[0].jwks_file.clone()),
        (4, Some(path("keys.json")))
    );
    let error = Sandbox::start(toml).err().expect("no keys");
    assert!(error.to_string().contains("client[0].jwks"), "{error}");
    let json = SandboxScript::read(&path("b.json")).expect("a script");
    assert_eq!((json.seed, json.rule.len()), (4, 1));
    assert!(matches!(
        SandboxScript::read(&path("c.toml")).err(),
        Some(SandboxError::Unreadable { .. })
    ));
}

#[test]
fn members_are_described_or_made_up_and_the_seed_fixes_them() {
    let script = || {
        SandboxScript::from_toml(
            "seed = 11\nmembers = { count = 3, resources = 12 }\n[[member]]\nnumber = \"M-1\"\nfamily = \"Okafor\"\nresources = 500",
        )
        .expect("a script")
    };
    let (one, two) = (
        Sandbox::start(script()).expect("a sandbox"),
        Sandbox::start(script()).expect("a sandbox"),
    );
    assert_eq!(one.members(), two.members());
    assert_eq!(
        (
            one.members().len(),
            one.members()[0].number.as_str(),
            one.members()[0].resources
        ),
        (4, "M-1", 500)
    );
    assert_eq!(one.members()[0].family, "Okafor");
    assert_ne!(one.base_url(), two.base_url(), "both run at once");
    let ids: std::collections::HashSet<_> = one.members().iter().map(|member| &member.patient_id).collect();
    assert_eq!(ids.len(), 4);
}
