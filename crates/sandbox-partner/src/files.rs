//! The files that let a program or a person connect: addresses, the authority, and what a client must register.

use crate::error::SandboxError;
use crate::sandbox::RunningSandbox;
use crate::script::{HrexVersion, UsCoreVersion};
use serde_json::json;
use std::fs::{OpenOptions, Permissions, create_dir_all};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// The URI name of the client certificate that is written.
const CLIENT_URI: &str = "https://new-payer.example/fhir";
/// The NPI of the requester in the match body that is written.
const CLIENT_NPI: &str = "1992000020";

impl RunningSandbox {
    /// Writes the files into `folder`, which is made if it is missing; see `docs/sandbox-partner.md` for what each holds.
    ///
    /// # Errors
    /// [`SandboxError::Unreadable`] when the folder cannot be written; [`SandboxError::Certificate`].
    pub fn write_files(&self, folder: &Path) -> Result<(), SandboxError> {
        create_dir_all(folder).map_err(|error| SandboxError::unreadable(folder, &error))?;
        let script = self.script();
        let mut connection = self.connection();
        let client = self.client_certificate(CLIENT_URI)?;
        write(folder, "ca.pem", self.trust_pem(), false)?;
        write(folder, "client.pem", &client.certificate_pem, false)?;
        write(folder, "client.key", &client.key_pem, true)?;
        connection["files"] = json!(["ca.pem", "client.pem", "client.key", "payer-jwks.json", "partner.toml"]);
        if let Some((id, key)) = self.own_client() {
            let keys = json!({ "keys": [key] });
            write(folder, "client-jwks.json", &format!("{keys:#}\n"), true)?;
            connection["own_client"] = json!({ "client_id": id, "private_jwks": "client-jwks.json" });
        }
        let payer_keys = json!({ "keys": [self.payer_key()] });
        write(folder, "payer-jwks.json", &format!("{payer_keys:#}\n"), false)?;
        write(folder, "partner.toml", &self.partner_toml(), false)?;
        if let Some(member) = self.members().first() {
            let today = chrono::DateTime::from_timestamp_millis(self.control().now_ms())
                .unwrap_or_default()
                .date_naive();
            let body = member.match_parameters(&script.payer, CLIENT_NPI, today);
            write(folder, "match.json", &format!("{body:#}\n"), false)?;
        }
        // Last, so that whoever waits for it finds the others.
        write(folder, "connection.json", &format!("{connection:#}\n"), true)
    }

    /// The registration of this payer at a Causeway server, for `causeway partner add`.
    fn partner_toml(&self) -> String {
        let script = self.script();
        let hrex = match script.hrex {
            HrexVersion::V1_0 => "1.0",
            HrexVersion::V1_1 => "1.1",
            HrexVersion::V1_2 => "1.2",
        };
        let us_core = match script.us_core {
            UsCoreVersion::V3_1_1 => "3.1.1",
            UsCoreVersion::V6_1_0 => "6.1.0",
        };
        let quoted = |text: &str| json!(text).to_string();
        format!(
            "id = \"sandbox-payer\"\nname = {}\nnpi = {}\nclient_id = \"sandbox-payer\"\njwks_file = \"payer-jwks.json\"\n\
             mtls = \"off\"\nscopes = [\"system/*.rs\"]\n\
             dialect = {{ hrex = \"{hrex}\", pdex = \"{}\", us_core = \"{us_core}\" }}\n\n\
             [endpoint]\nfhir = {}\ntrust = \"ca.pem\"\n",
            quoted(&script.payer.name),
            quoted(&script.payer.npi),
            script.pdex.text(),
            quoted(&self.base_url()),
        )
    }
}

/// Writes a file whole or not at all; `private` sets mode 0600.
fn write(folder: &Path, name: &str, text: &str, private: bool) -> Result<(), SandboxError> {
    let (path, new) = (folder.join(name), folder.join(format!(".{name}.new")));
    let failed = |error: std::io::Error| SandboxError::unreadable(&path, &error);
    let mode = if private { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(mode)
        .open(&new)
        .map_err(failed)?;
    // The mode above is only that of a new file.
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    std::fs::rename(&new, &path).map_err(failed)
}
