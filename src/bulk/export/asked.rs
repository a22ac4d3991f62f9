//! The parameters of an export: which are served, and what a request asks for. Nothing is ignored unless the request allows it, and then
//! it is told.

use crate::error::{Failure, Fault};
use crate::fhir::when;
use crate::release;
use crate::store::bulk::BulkJobRow;
use crate::store::granted_members::MembersAsked;
use crate::store::record_rows::Window;
use serde::{Deserialize, Serialize};

/// Formats in which an export may be asked for; they mean the same.
const FORMATS: &[&str] = &["application/fhir+ndjson", "application/ndjson", "ndjson"];
/// The one kind of `$davinci-data-export` that is served (PDex, pdex-171).
const PAYER_TO_PAYER: &str = "hl7.fhir.us.davinci-pdex#payertopayer";
/// Parameters that choose resources or members. Leaving one out would release more than was asked for, so they are always refused.
const NARROWING: &[&str] = &["_typeFilter", "_elements", "includeAssociatedData"];
/// What was granted so long after the start counts too: the clocks of several hosts differ.
const CLOCKS_MS: i64 = 60_000;
/// Most members that one request names.
pub const PATIENTS_MAX: usize = 1_000;

/// What an export is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportAsked {
    /// FHIR types; all when empty.
    pub types: Vec<String>,
    /// Only what became visible after this, UTC milliseconds.
    pub since_ms: Option<i64>,
    /// Only what became visible at this or before, UTC milliseconds.
    pub until_ms: Option<i64>,
    /// Patient ids; all members when empty.
    pub patients: Vec<String>,
    /// Names of parameters that were left out, because the request allows it.
    pub left_out: Vec<String>,
    /// Types that the token covers; all when `None`.
    #[serde(default)]
    pub readable: Option<Vec<String>>,
    /// Types that were asked for by name, and that the token does not cover.
    #[serde(default)]
    pub uncovered: Vec<String>,
    /// Members whom the request names and who are passed over, by Patient id; empty for what is no reference to a Patient.
    #[serde(default)]
    pub passed_over: Vec<String>,
}

/// How parameters are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadingOfParameters {
    /// Parameters that are not served are left out, and told.
    pub is_lenient: bool,
    /// Members whom the partner cannot name are passed over, and told (ATR, `$davinci-data-export`).
    pub passes_over: bool,
}

fn wrong(name: &str, remedy: &'static str) -> Failure {
    Failure::new(Fault::ParameterInvalid)
        .at(format!("$export.{name}"))
        .remedy(remedy)
}

impl ExportAsked {
    /// Reads the parameters. `latest_ms`: no time after this has come yet, UTC milliseconds.
    ///
    /// # Errors
    /// [`Fault::ParameterInvalid`], [`Fault::ParameterUnknown`].
    pub fn read(pairs: &[(String, String)], how: ReadingOfParameters, latest_ms: i64) -> Result<ExportAsked, Failure> {
        let mut asked = ExportAsked::default();
        for (name, value) in pairs {
            match name.as_str() {
                "_outputFormat" if FORMATS.contains(&value.as_str()) => {}
                "_outputFormat" => return Err(wrong(name, "Ask for application/fhir+ndjson.")),
                "_type" => {
                    for rtype in value.split(',').map(str::trim) {
                        if !release::is_searchable(rtype) {
                            return Err(wrong(
                                name,
                                "Name types that rest.resource of the CapabilityStatement has, with commas between.",
                            ));
                        }
                        if !asked.types.iter().any(|known| known == rtype) {
                            asked.types.push(rtype.to_owned());
                        }
                    }
                }
                "_since" => set_once(&mut asked.since_ms, name, value, latest_ms)?,
                "_until" => set_once(&mut asked.until_ms, name, value, i64::MAX)?,
                "patient" => asked.name_patient(value, how.passes_over)?,
                "exportType" if value == PAYER_TO_PAYER => {}
                "exportType" => return Err(wrong(name, "Ask for hl7.fhir.us.davinci-pdex#payertopayer.")),
                "_format" | "_pretty" => {}
                _ if how.is_lenient && !NARROWING.contains(&name.as_str()) => {
                    let known: String = name
                        .chars()
                        .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
                        .take(40)
                        .collect();
                    asked.left_out.push(known);
                }
                _ => {
                    return Err(Failure::new(Fault::ParameterUnknown)
                        .at("$export")
                        .remedy("This operation takes _outputFormat, _type, _since, _until and patient."));
                }
            }
        }
        asked.keep_named();
        match (asked.since_ms, asked.until_ms) {
            (Some(since), Some(until)) if since > until => Err(wrong("_until", "Give a time after _since.")),
            _ => Ok(asked),
        }
    }

    fn name_patient(&mut self, value: &str, passes_over: bool) -> Result<(), Failure> {
        let id = value.strip_prefix("Patient/").unwrap_or(value);
        let is_id = crate::ids::is_fhir_id(id);
        if (!is_id && !passes_over) || self.patients.len() + self.passed_over.len() == PATIENTS_MAX {
            return Err(wrong(
                "patient",
                "Name each member as Patient/<id>, at most 1000 of them.",
            ));
        }
        if !is_id {
            self.passed_over.push(String::new());
        } else if !self.patients.iter().any(|known| known == id) {
            self.patients.push(id.to_owned());
        }
        Ok(())
    }

    /// How many members the request names, but for those who are passed over; `None` when it means all.
    pub fn named(&self) -> Option<usize> {
        let count = self.patients.iter().filter(|id| !id.is_empty()).count();
        (!self.patients.is_empty()).then_some(count)
    }

    /// Passes over all members whom the request names but these.
    pub fn pass_over_all_but(&mut self, known: &[String]) {
        let named = std::mem::take(&mut self.patients).into_iter();
        let (kept, others): (Vec<String>, Vec<String>) =
            named.filter(|id| !id.is_empty()).partition(|id| known.contains(id));
        self.patients = kept;
        self.passed_over.extend(others);
        self.keep_named();
    }

    fn keep_named(&mut self) {
        if self.patients.is_empty() && !self.passed_over.is_empty() {
            // No Patient has this id, whereas no id at all would mean all members.
            self.patients.push(String::new());
        }
    }

    /// What a run was asked for.
    ///
    /// # Errors
    /// [`Fault::Internal`] when its row has no such thing.
    pub fn of_run(row: &BulkJobRow) -> Result<ExportAsked, Failure> {
        serde_json::from_str(&row.request_json).map_err(|error| Failure::new(Fault::Internal).because(error))
    }

    /// The members of this run who may be in it at `now_ms` (UTC milliseconds): not those who were granted after its start.
    pub fn members(&self, row: &BulkJobRow, now_ms: i64) -> MembersAsked {
        MembersAsked {
            partner: row.partner_id.clone(),
            group: row.group_id.clone(),
            patients: self.patients.clone(),
            now_ms,
            granted_until_ms: row.created_ms.saturating_add(CLOCKS_MS),
        }
    }

    /// Limits it to these types, if there is a limit; what that leaves out of the types that were named is told.
    pub fn narrow_to(&mut self, readable: Option<Vec<String>>) {
        self.readable.clone_from(&readable);
        let Some(readable) = readable else { return };
        match self.types.is_empty() {
            true => self.types = readable,
            false => {
                let asked = std::mem::take(&mut self.types);
                (self.types, self.uncovered) = asked.into_iter().partition(|rtype| readable.contains(rtype));
            }
        }
        if self.types.is_empty() {
            // No type has this name, whereas no name at all would mean all types.
            self.types.push(String::new());
        }
    }

    /// The part of each record that may lead to shared resources: all that the token covers, whatever of it the export has.
    pub fn readable_window(&self) -> Window {
        Window {
            types: self.readable.clone().unwrap_or_default(),
            ..Window::default()
        }
    }

    /// Whether the export may have less than the whole record of a member.
    pub fn is_narrowed(&self) -> bool {
        !self.types.is_empty() || self.since_ms.is_some() || self.until_ms.is_some()
    }

    /// The part of each record that the export has, as of `transaction_ms` (UTC milliseconds).
    pub fn window(&self, transaction_ms: i64) -> Window {
        Window {
            types: self.types.clone(),
            since_ms: self.since_ms,
            until_ms: Some(self.until_ms.unwrap_or(i64::MAX).min(transaction_ms)),
            ..Window::default()
        }
    }
}

fn set_once(at: &mut Option<i64>, name: &str, value: &str, latest_ms: i64) -> Result<(), Failure> {
    let is_repeated = at.is_some();
    let ms = when::instant_ms(value)
        .filter(|_| !is_repeated)
        .ok_or_else(|| wrong(name, "Give one instant: YYYY-MM-DDThh:mm:ss with its zone."))?;
    if ms > latest_ms {
        return Err(wrong(name, "Give a time that has come."));
    }
    *at = Some(ms);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], is_lenient: bool) -> Result<ExportAsked, Fault> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        let how = ReadingOfParameters {
            is_lenient,
            passes_over: false,
        };
        ExportAsked::read(&pairs, how, 1_767_225_600_000).map_err(|failure| failure.fault())
    }

    #[test]
    fn members_who_are_passed_over_leave_the_others_and_never_all() {
        let read = |values: &[&str]| {
            let pairs: Vec<(String, String)> = values.iter().map(|one| ("patient".into(), (*one).into())).collect();
            let how = ReadingOfParameters {
                is_lenient: false,
                passes_over: true,
            };
            ExportAsked::read(&pairs, how, 0).expect("read")
        };
        let mut asked = read(&["Patient/p1", "Group/1", "Patient/p2"]);
        assert_eq!((asked.named(), asked.passed_over.len()), (Some(2), 1));
        asked.pass_over_all_but(&["p2".to_owned()]);
        assert_eq!(
            (asked.named(), asked.patients.as_slice(), asked.passed_over.as_slice()),
            (Some(1), &["p2".to_owned()][..], &[String::new(), "p1".to_owned()][..])
        );
        asked.pass_over_all_but(&[]);
        assert_eq!(
            (asked.named(), asked.patients.as_slice()),
            (Some(0), &[String::new()][..])
        );
        assert_eq!(read(&["Group/1"]).named(), Some(0));
        assert_eq!(read(&[]).named(), None);
    }

    #[test]
    fn what_is_not_served_is_refused_and_never_ignored() {
        use Fault::{ParameterInvalid, ParameterUnknown};
        for (pairs, fault) in [
            (&[("_type", "Nonsense")][..], ParameterInvalid),
            (&[("_type", "Patient,")], ParameterInvalid),
            (&[("_type", "Binary")], ParameterInvalid),
            (&[("_since", "2026-01-01")], ParameterInvalid),
            (&[("_since", "2026-01-01T00:00:01Z")], ParameterInvalid),
            (
                &[("_since", "2025-01-01T00:00:00Z"), ("_since", "2025-01-01T00:00:00Z")],
                ParameterInvalid,
            ),
            (
                &[("_since", "2025-01-02T00:00:00Z"), ("_until", "2025-01-01T00:00:00Z")],
                ParameterInvalid,
            ),
            (&[("_outputFormat", "application/fhir+parquet")], ParameterInvalid),
            (&[("exportType", "provider")], ParameterInvalid),
            (&[("patient", "Group/1")], ParameterInvalid),
            (&[("_typeFilter", "Condition?code=1")], ParameterUnknown),
            (&[("_elements", "id")], ParameterUnknown),
            (&[("organizeOutputBy", "Patient")], ParameterUnknown),
        ] {
            assert_eq!(read(pairs, false), Err(fault), "{pairs:?}");
        }
        assert_eq!(
            read(&[("_typeFilter", "Condition?code=1")], true),
            Err(ParameterUnknown)
        );
        let lenient = read(&[("organizeOutputBy", "Patient")], true).expect("lenient");
        assert_eq!(lenient.left_out, ["organizeOutputBy"]);
    }

    #[test]
    fn what_is_served_is_read_and_narrowed_to_the_scopes() {
        let mut asked = read(
            &[
                ("_outputFormat", "ndjson"),
                ("_type", "Patient,Condition"),
                ("_type", "Condition"),
                ("_since", "2025-06-01T00:00:00Z"),
                ("patient", "Patient/p1"),
                ("patient", "p1"),
            ],
            false,
        )
        .expect("served");
        assert_eq!(
            (asked.types.len(), asked.patients.as_slice()),
            (2, &["p1".to_owned()][..])
        );
        assert_eq!(asked.window(9).until_ms, Some(9));
        asked.narrow_to(None);
        assert_eq!(asked.types.len(), 2);
        asked.narrow_to(Some(vec!["Condition".into()]));
        assert_eq!(asked.readable_window().types, ["Condition"]);
        assert_eq!(
            (asked.types.as_slice(), asked.uncovered.as_slice()),
            (&["Condition".to_owned()][..], &["Patient".to_owned()][..])
        );
        asked.narrow_to(Some(vec!["Goal".into()]));
        assert_eq!(asked.types, [""], "nothing, and not everything");
    }
}
