//! From the calls of the table of operations routes to what answers them, for requests and for pages of the console.

use super::request::{JsonBody, OpsRequest};
use super::table::OpsCall;
use super::{
    accounts, audit_events, cases, decisions, exchanges, jobs, packets, policy_acts, policy_looks, reconciliation,
    registries, retention, reviews, rights, scorecards,
};
use crate::error::{Failure, Fault};
use crate::exchange::acts::ExchangeAct;
use actix_web::web::Bytes;

/// The bytes of an answer.
///
/// # Errors
/// Those of the call.
pub(super) async fn call(call: OpsCall, asked: &OpsRequest) -> Result<Bytes, Failure> {
    match call {
        OpsCall::PacketFile => packets::file(asked).await,
        OpsCall::Evidence => packets::of_exchange(asked).await,
        OpsCall::ServicePage => scorecards::service_page(asked).await,
        OpsCall::ScorecardPage => scorecards::page_of_one(asked).await,
        other => json(other, asked).await.map(|JsonBody(text)| Bytes::from(text)),
    }
}

/// An answer that is JSON.
///
/// # Errors
/// Those of the call; [`Fault::Internal`] for a call whose answer is none.
pub(super) async fn json(call: OpsCall, asked: &OpsRequest) -> Result<JsonBody, Failure> {
    use OpsCall::{Evidence, Live, Metrics, PacketFile, Ready, ScorecardPage, ServicePage};
    match call {
        OpsCall::Decisions => decisions::list(asked).await,
        OpsCall::Decision => decisions::one(asked).await,
        OpsCall::Grants => rights::grants(asked).await,
        OpsCall::GrantsSearch => rights::grants_search(asked).await,
        OpsCall::GrantRevoke => rights::revoke_grant(asked).await,
        OpsCall::Consents => rights::consents(asked).await,
        OpsCall::Consent => rights::consent(asked).await,
        OpsCall::ConsentRevoke => rights::revoke_consent(asked).await,
        OpsCall::Disclosures => accounts::disclosures(asked).await,
        OpsCall::DisclosuresSearch => accounts::disclosures_search(asked).await,
        OpsCall::Trace => accounts::trace(asked).await,
        OpsCall::Ledger => accounts::ledger(asked).await,
        OpsCall::Looks => accounts::looks(asked).await,
        OpsCall::Packets => packets::list(asked).await,
        OpsCall::PacketAsk => packets::ask(asked).await,
        OpsCall::Packet => packets::one(asked).await,
        OpsCall::Cases => cases::list(asked).await,
        OpsCall::Case => cases::one(asked).await,
        OpsCall::CaseOpen => cases::open(asked).await,
        OpsCall::CaseAdd => cases::add(asked).await,
        OpsCall::CaseClose => cases::close(asked).await,
        OpsCall::AuditEvents => audit_events::search(asked).await,
        OpsCall::AuditEvent => audit_events::one(asked).await,
        OpsCall::Controls => registries::controls(asked).await,
        OpsCall::Reviews => reviews::queue(asked).await,
        OpsCall::Review => reviews::one(asked).await,
        OpsCall::ReviewDecide => reviews::decide(asked).await,
        OpsCall::Links => reviews::edges(asked).await,
        OpsCall::LinkDispute => reviews::dispute(asked).await,
        OpsCall::MemberGraph => reviews::graph(asked).await,
        OpsCall::Partners => registries::partners(asked).await,
        OpsCall::Faults => registries::faults(),
        OpsCall::Runbook => registries::runbook(asked),
        OpsCall::RunbookEntry => registries::runbook_entry(asked),
        OpsCall::States => exchanges::state_tables(),
        OpsCall::Alerts => registries::alerts(asked).await,
        OpsCall::Slo => registries::slo(asked).await,
        OpsCall::Service => scorecards::service(asked).await,
        OpsCall::Scorecard => scorecards::one(asked).await,
        OpsCall::Jobs => registries::jobs(asked).await,
        OpsCall::JobReplay => jobs::replay(asked).await,
        OpsCall::BulkJobs => registries::bulk_jobs(asked).await,
        OpsCall::BulkRuns => registries::bulk_runs(asked).await,
        OpsCall::Exchanges => exchanges::list(asked).await,
        OpsCall::Exchange => exchanges::one(asked).await,
        OpsCall::ExchangeStart => exchanges::start(asked).await,
        OpsCall::ExchangesReplay => exchanges::replay_many(asked).await,
        OpsCall::ExchangeCancel => exchanges::do_act(asked, ExchangeAct::Cancel).await,
        OpsCall::ExchangeReplay => exchanges::do_act(asked, ExchangeAct::Replay).await,
        OpsCall::ExchangeSupersede => exchanges::do_act(asked, ExchangeAct::Supersede).await,
        OpsCall::ExchangePause => exchanges::do_act(asked, ExchangeAct::Pause).await,
        OpsCall::ExchangeClose => exchanges::do_act(asked, ExchangeAct::Close).await,
        OpsCall::ExchangeRetract => exchanges::do_act(asked, ExchangeAct::Retract).await,
        OpsCall::Reconciliation => reconciliation::list(asked).await,
        OpsCall::Retention => retention::whole(asked).await,
        OpsCall::Holds => retention::holds(asked).await,
        OpsCall::HoldPlace => retention::place(asked).await,
        OpsCall::HoldRelease => retention::release(asked).await,
        OpsCall::Policies => registries::policies(asked).await,
        OpsCall::PolicyActs => policy_acts::list(asked).await,
        OpsCall::Policy => policy_looks::one(asked).await,
        OpsCall::PolicyDiff => policy_looks::diff(asked).await,
        OpsCall::PolicyReplay => policy_looks::replay(asked).await,
        OpsCall::PolicyCompare => policy_looks::compare(asked).await,
        OpsCall::PolicyImport => policy_acts::import(asked).await,
        OpsCall::PolicyActivate => policy_acts::activate(asked).await,
        OpsCall::PolicyRollback => policy_acts::roll_back(asked).await,
        OpsCall::PolicyApprove => policy_acts::approve(asked).await,
        OpsCall::PolicyWithdraw => policy_acts::withdraw(asked).await,
        OpsCall::PolicyShadowStart => policy_acts::start_shadow(asked).await,
        OpsCall::PolicyShadowStop => policy_acts::stop_shadow(asked).await,
        // Health has handlers of its own, since it looks at no token; packets and pages are no JSON.
        Live | Ready | Metrics | PacketFile | Evidence | ServicePage | ScorecardPage => Err(Fault::Internal.into()),
    }
}
