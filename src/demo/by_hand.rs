//! The files that the demonstration writes for trying it by hand: requests, a client file for the conformance runner, and the commands to
//! type.

use super::story::{CLEAN, Demo, MATCH_SCOPE, READ_SCOPE, TWIN};
use crate::dev::{self, by_hand, pretty};
use crate::error::Failure;
use crate::fhir::operations::BULK_MEMBER_MATCH;
use crate::synth::Variation;

impl Demo {
    pub(super) fn write_files(&self) -> Result<(), Failure> {
        let bodies = [
            ("no-match.json", CLEAN, Variation::WrongBirthDate),
            ("ambiguous.json", TWIN, Variation::Exact),
            ("consent-ended.json", CLEAN, Variation::ConsentExpired),
        ];
        for (name, member, variation) in bodies {
            self.files
                .write(name, &pretty(&self.request(member, variation)), false)?;
        }
        let showcase = self.request_of(&dev::showcase(&self.ctx), Variation::Exact);
        self.files.write("showcase.json", &pretty(&showcase), false)?;
        self.files.write("conformance.toml", &self.conformance(), false)?;
        by_hand::leave(&self.files, &self.ctx, &self.base_url, &self.more())
    }

    /// The client file with which `causeway conformance run` tests the old payer, with the showcase member's record.
    fn conformance(&self) -> String {
        let other = dev::member(&self.ctx, CLEAN + 1).patient_id;
        format!(
            "client_id = \"{}\"\njwks = \"partner-jwks.json\"\ncertificate = \"partner.pem\"\nkey = \"partner.key\"\nca = \"ca.pem\"\n\
             scope = \"{READ_SCOPE}\"\nmatch_scope = \"{MATCH_SCOPE}\"\nbulk_match_scope = \"{BULK_MEMBER_MATCH}\"\n\
             other_patients = [\"{other}\"]\n\
             [bodies]\nmatch = \"showcase.json\"\nno_match = \"no-match.json\"\nambiguous = \"ambiguous.json\"\nconsent = \"consent-ended.json\"\n",
            dev::PARTNER_ID
        )
    }

    /// The commands that repeat the demonstration by hand.
    pub fn by_hand(&self) -> String {
        by_hand::commands(&self.files, &self.ctx, &self.base_url, &self.more())
    }

    /// What the demonstration has that a development server has not.
    fn more(&self) -> String {
        let curl = by_hand::curl(&self.files);
        let (base, folder, program) = (&self.base_url, by_hand::folder(&self.files), by_hand::program());
        format!(
            "Ask for people who cannot be matched:\n\n    \
             {curl} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/fhir+json' -d @{folder}/no-match.json '{base}/Patient/$member-match'\n    \
             {curl} -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/fhir+json' -d @{folder}/ambiguous.json '{base}/Patient/$member-match'\n\n\
             Test the server. showcase.json asks for the member whose record holds every element that the guides mark mustSupport:\n\n    \
             {program} conformance run --base-url {base} --client {folder}/conformance.toml\n\n"
        )
    }
}
