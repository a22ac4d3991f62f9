//! A match decision, decided again from its record: identity by another version of the matching policy, consent by the table of this program.
//! Reads a record, decides, and changes nothing.

use super::decisions::DecisionItem;
use super::detail::{ComparedCandidate, DecisionDetail};
use crate::consent::{self, ConsentQuestion};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::elements::Consent;
use crate::identity::{Field, Levels, OutcomeKind, RecordedCandidate, RecordedDecision, Rules, decide_again};
use crate::policy::Version;
use crate::secret::hex;
use crate::store::{Db, consents, partners};

/// What became of a decision.
#[derive(Clone, Debug, Default)]
pub(super) struct Redecided {
    /// The version that decided, as it is cited.
    pub decided_by: String,
    pub decided: Option<String>,
    pub would: Option<String>,
    pub reason: Option<String>,
    pub total: Option<f64>,
    pub needed: Option<f64>,
    pub lacks: Vec<String>,
}

impl Redecided {
    fn lacking(decided_by: &str, decided: Option<String>, what: &str) -> Redecided {
        Redecided {
            decided_by: decided_by.to_owned(),
            decided,
            lacks: vec![what.to_owned()],
            ..Redecided::default()
        }
    }
}

/// Decides about identity by another version. `old` are the rules that decided, if they are known here.
pub(super) fn by_matching(
    item: &DecisionItem,
    detail: &DecisionDetail,
    old: Option<&Rules>,
    version: &Version,
) -> Result<Redecided, Failure> {
    let by = &item.policy_version;
    if !detail.is_tried() {
        return Ok(Redecided::lacking(
            by,
            Some("not-tried".to_owned()),
            "anything about identity: the consent was refused before anybody was looked up",
        ));
    }
    let outcome = item.detail["outcome"].as_str().and_then(kind_of);
    let decided = outcome.map(|outcome| outcome.code().to_owned());
    let Some(new) = &version.rules else {
        return Err(Failure::new(Fault::StoreDamaged).because("a matching policy without rules"));
    };
    let (Some(old), Some(outcome)) = (old, outcome) else {
        return Ok(Redecided::lacking(
            by,
            decided,
            "the version that decided, which is not in this store",
        ));
    };
    let is_whole = detail.candidates.iter().all(|one| one.total.is_some());
    if !is_whole {
        return Ok(Redecided::lacking(
            by,
            decided,
            "the bits of its candidates: an older version of the program wrote it",
        ));
    }
    let once = RecordedDecision {
        outcome,
        guard: detail.guard(),
        margin: detail.margin,
        records: detail.roster.records,
        candidates: detail.candidates.iter().map(candidate).collect(),
        compared: usize::try_from(detail.candidates_count).unwrap_or(usize::MAX),
    };
    let again = decide_again(&once, (&old.policy, old.point), (&new.policy, new.point));
    Ok(Redecided {
        decided_by: by.clone(),
        decided,
        would: again.outcome.map(|outcome| outcome.code().to_owned()),
        reason: again.guard.map(|guard| guard.code().to_owned()),
        total: again.total,
        needed: again.needed,
        lacks: again.lacks.into_iter().map(str::to_owned).collect(),
    })
}

fn kind_of(word: &str) -> Option<OutcomeKind> {
    [OutcomeKind::Match, OutcomeKind::Review, OutcomeKind::None]
        .into_iter()
        .find(|kind| kind.code() == word)
}

fn candidate(one: &ComparedCandidate) -> RecordedCandidate {
    let named = one
        .fields
        .iter()
        .filter_map(|(field, level)| Some((field.as_str(), level.as_str()?)));
    let mut weights = RecordedCandidate::default().weights;
    for field in Field::ALL {
        weights[field as usize] = one.weight(field.code()).unwrap_or_default();
    }
    RecordedCandidate {
        levels: Levels::named(named),
        weights,
        total: one.total.unwrap_or_default(),
    }
}

/// Judges the consent again. Only the table of this program can be run, and only over a consent that is kept, which that of a refusal is not.
pub(super) fn by_consent(
    ctx: &Context,
    db: &mut Db,
    item: &DecisionItem,
    detail: &DecisionDetail,
    version: &Version,
) -> Result<Redecided, Failure> {
    let judged = &detail.consent;
    let word = |decision: Option<&str>, rule: Option<&str>| match (decision, rule) {
        (Some("permit"), Some(scope)) => Some(format!("permit {scope}")),
        (Some(_), Some(rule)) => Some(format!("refuse {rule}")),
        _ => None,
    };
    let decided = word(judged.decision.as_deref(), judged.rule.as_deref());
    // A decision row cites the matching policy; its entry cites the table by its hash.
    let by = "the table that its ledger entry cites";
    if version.id != hex(&consent::table_digest()) {
        return Ok(Redecided::lacking(
            by,
            decided,
            "nothing, but the rules of that version are code that is not in this program",
        ));
    }
    let Some(consent_id) = &item.consent_id else {
        return Ok(Redecided::lacking(
            by,
            decided,
            "the consent itself: that of a refusal is not kept",
        ));
    };
    let (Some(body), Some(partner)) = (consents::body_of(db, consent_id)?, partners::by_id(db, &item.partner)?) else {
        return Ok(Redecided::lacking(by, decided, "the consent itself: it was erased"));
    };
    let Ok(consent) = serde_json::from_slice::<Consent>(&body) else {
        return Ok(Redecided::lacking(
            by,
            decided,
            "a consent that can be read: it was erased",
        ));
    };
    let member = consent
        .patient
        .as_ref()
        .and_then(|patient| patient.reference.clone())
        .unwrap_or_default();
    let again = consent::judge(&ConsentQuestion {
        consent: &consent,
        member: &member,
        our_npi: &ctx.payer.npi,
        partner_npi: &partner.npi,
        now_ms: item.created_ms,
        zone: ctx.payer.time_zone,
        segments: true,
    });
    let (would, reason) = match again {
        Ok(terms) => (word(Some("permit"), Some(terms.scope.code())), None),
        Err(rule) => (word(Some("refuse"), Some(rule.name)), Some(rule.name.to_owned())),
    };
    Ok(Redecided {
        decided_by: by.to_owned(),
        decided,
        would,
        reason,
        ..Redecided::default()
    })
}
