//! What a file of receivers may say, and each way in which it is refused.

use super::*;
use crate::ops::alerts::table::ALERTS;
use crate::security::address::{HOSTILE, INNER, is_on_this_machine};
use crate::security::tls::install_provider;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        install_provider();
        let folder = Folder(tempfile::tempdir().expect("a folder"));
        folder.file("a.key", SECRET, 0o600);
        folder
    }

    fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, text).expect("a file");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("a mode");
        path
    }

    fn read(&self, text: &str) -> Result<ReceiverList, Failure> {
        ReceiverList::read(Some(&self.file("receivers.toml", text, 0o644)))
    }

    /// The remedy for this file, which is refused.
    #[track_caller]
    fn refused(&self, text: &str) -> String {
        let failure = self.read(text).err().unwrap_or_else(|| panic!("taken: {text}"));
        assert_eq!(failure.fault(), Fault::ConfigInvalid, "{text}");
        assert_eq!(failure.expressions(), [KEY], "{text}");
        failure.remedy_text().to_owned()
    }
}

fn entry(name: &str, url: &str, more: &str) -> String {
    format!("[[receiver]]\nname = \"{name}\"\nurl = \"{url}\"\nsecret_file = \"a.key\"\n{more}\n")
}

fn told(list: &ReceiverList, name: &str) -> Vec<&'static str> {
    let receiver = list.find(name).expect("a receiver");
    let wanted = ALERTS.iter().filter(|alert| receiver.wants(alert));
    wanted.map(|alert| alert.code).collect()
}

#[test]
fn receivers_are_told_by_owner_and_severity() {
    let folder = Folder::new();
    let text = [
        entry("all", "https://hooks.example.org/causeway", ""),
        entry("oncall", "https://8.8.8.8:8443/x?y=z", "severities = [\"page\"]"),
        entry("desk", "http://127.0.0.1:9700/desk", "owners = [\"reviewer\"]"),
        entry(
            "nothing",
            "http://[::1]:9700/",
            "owners = [\"reviewer\"]\nseverities = [\"page\"]",
        ),
    ];
    let list = folder.read(&text.concat()).expect("receivers");
    assert_eq!(list.iter().count(), 4);
    assert_eq!(told(&list, "all").len(), ALERTS.len());
    let pages = ALERTS.iter().filter(|alert| alert.severity == AlertSeverity::Page);
    assert_eq!(told(&list, "oncall"), pages.map(|alert| alert.code).collect::<Vec<_>>());
    assert_eq!(told(&list, "desk"), ["reviews-overdue"]);
    assert_eq!(told(&list, "nothing"), [""; 0]);
    assert!(list.find("nobody").is_none() && !list.is_empty());
    assert!(ReceiverList::read(None).expect("none").is_empty());
}

#[test]
fn only_public_hosts_are_called_and_without_tls_only_this_machine() {
    let folder = Folder::new();
    // This machine is allowed here, if it is named plainly.
    let here = |url: &&&str| Url::parse(url).is_ok_and(|url| is_on_this_machine(&url) && url.username().is_empty());
    for url in HOSTILE.iter().chain(INNER).filter(|url| !here(url)) {
        assert!(check_configured(url).is_err(), "{url}");
    }
    for url in [
        "http://hooks.example.org/x",
        "http://10.0.0.1/x",
        "https://10.0.0.1/x",
        "https://chat.internal/x",
        "http://user@127.0.0.1/x",
        "http://127.0.0.1/#x",
        "ftp://127.0.0.1/x",
        "http://127.0.0.2/x",
        "hooks",
    ] {
        let remedy = folder.refused(&entry("chat", url, ""));
        assert!(
            remedy.starts_with("Correct the receiver chat: its url cannot be called"),
            "{remedy}"
        );
        assert!(!remedy.contains(url), "a URL may open a chat room: {remedy}");
    }
    for url in [
        "http://localhost:9700/x",
        "https://127.0.0.1/x",
        "https://hooks.example.org/x",
    ] {
        assert!(folder.read(&entry("chat", url, "")).is_ok(), "{url}");
    }
}

#[test]
fn a_secret_that_is_missing_short_or_open_is_refused() {
    let folder = Folder::new();
    let good = entry("chat", "https://hooks.example.org/x", "");
    for (name, text, mode, wanted) in [
        ("short.key", "0123456789abcdef0123456789abcde\n", 0o600, "less than 32"),
        ("open.key", SECRET, 0o640, "0600"),
        ("empty.key", " \n", 0o600, "less than 32"),
        ("long.key", "x".repeat(2_000).as_str(), 0o600, "too long"),
    ] {
        folder.file(name, text, mode);
        let remedy = folder.refused(&good.replace("a.key", name));
        assert!(remedy.contains(wanted) && remedy.contains("chat"), "{name}: {remedy}");
        assert!(!remedy.contains("0123456789abcdef"), "{remedy}");
    }
    let remedy = folder.refused(&good.replace("a.key", "none.key"));
    assert!(remedy.contains("is not there"), "{remedy}");
}

#[test]
fn a_file_that_says_something_else_is_refused() {
    let folder = Folder::new();
    let good = entry("chat", "https://hooks.example.org/secret-room", "");
    for (text, wanted) in [
        (String::new(), "Name 1 to 16"),
        (
            good.replace("name = \"chat\"", "name = \"<b>chat</b>\""),
            "letters, digits",
        ),
        (good.repeat(2), "chat is there twice"),
        (format!("{good}colour = \"red\"\n"), "colour"),
        (format!("{good}owners = [\"somebody\"]\n"), "caller, operator, reviewer"),
        (format!("{good}severities = []\n"), "page, ticket"),
        (format!("{good}trust = \"none.pem\"\n"), "trust"),
        (format!("{good}trust = \"a.key\"\n"), "trust"),
        (good.replace("secret_file = \"a.key\"\n", ""), "secret_file"),
        ("[[receiver]\n".to_owned(), "as docs/operators/alerts.md says"),
        (
            (0..17).map(|n| good.replace("chat", &format!("c{n}"))).collect(),
            "Name 1 to 16",
        ),
    ] {
        let remedy = folder.refused(&text);
        assert!(remedy.contains(wanted), "{text}: {remedy}");
        assert!(!remedy.contains("secret-room"), "{remedy}");
    }
    let missing = ReceiverList::read(Some(&folder.0.path().join("none.toml")));
    assert_eq!(missing.err().map(|failure| failure.fault()), Some(Fault::ConfigInvalid));
}
