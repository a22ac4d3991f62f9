//! How a command tells that it failed: what happened, what to do next and the cause, for people at a terminal, and the exit code. The table
//! of faults speaks to a partner's program; what this says of arguments and of finding ids is for a person who typed a command.

use crate::error::{Failure, Fault};
use crate::terminal::{Exit, Out};

/// Prints a failure for people and picks the exit code.
pub fn report(failure: &Failure, out: &mut Out) -> Exit {
    let (error, fault) = (out.loud("error:"), failure.fault());
    let places: String = failure
        .expressions()
        .iter()
        .map(|place| format!(" [{place}]"))
        .collect();
    out.error(&format!("{error} {} {}{places}", fault.code(), happened(fault)));
    out.error(&format!("  next: {}", next(failure)));
    if let Some(cause) = failure.cause() {
        out.error(&format!("  cause: {}", cause.to_string().trim_end()));
    }
    exit(fault)
}

/// What happened, in the words of a command line.
fn happened(fault: Fault) -> &'static str {
    match fault {
        Fault::ParameterInvalid => "An argument has a value that cannot be used.",
        Fault::ParameterUnknown => "An argument is not supported.",
        Fault::NotFound => "Nothing here has this id.",
        other => other.row().text,
    }
}

/// What to do next: the exact remedy, or that of the table in the words of a command line.
fn next(failure: &Failure) -> &str {
    let told = failure.operator_remedy_text();
    if told != failure.fault().row().remedy {
        return told;
    }
    match failure.fault() {
        Fault::ParameterInvalid => "Correct the argument that the message names; --help describes it.",
        Fault::ConsentUnknown => "Find its id by partner or member: `causeway consent list`.",
        Fault::GrantUnknown => "Find its id by partner or member: `causeway grant list`.",
        Fault::MemberUnknown => {
            "Give the Patient's id as Patient/ID, or --member - and the member number on standard input."
        }
        _ => told,
    }
}

fn exit(fault: Fault) -> Exit {
    match fault {
        Fault::StoreBusy | Fault::Overloaded | Fault::StoreSlow | Fault::ErasureWaits | Fault::PacketNotMade => {
            Exit::Busy
        }
        Fault::ConfigInvalid
        | Fault::PartnerInvalid
        | Fault::DurabilityUnsafe
        | Fault::ParameterInvalid
        | Fault::PolicyInvalid
        | Fault::PeriodRefused
        | Fault::SchemaBehind
        | Fault::SchemaNewer
        | Fault::StoreUnfit
        | Fault::StoreReadOnly => Exit::Usage,
        Fault::InputUnreadable => Exit::Unreadable,
        Fault::StoreDamaged | Fault::LedgerForked | Fault::BackupAltered => Exit::Integrity,
        _ => Exit::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_never_told_of_requests_or_bodies() {
        for fault in [
            Fault::ParameterInvalid,
            Fault::NotFound,
            Fault::ConsentUnknown,
            Fault::GrantUnknown,
            Fault::MemberUnknown,
            Fault::ReviewUnknown,
            Fault::LinkUnknown,
            Fault::JobUnknown,
            Fault::PartnerUnknown,
            Fault::StoreUnavailable,
            Fault::StoreBusy,
        ] {
            let failure = Failure::new(fault);
            let told = format!("{} {}", happened(fault), next(&failure));
            for word in ["request", "GET ", "POST ", "Retry-After", "HTTP", "header", "body"] {
                assert!(!told.contains(word), "{word} in {told}");
            }
        }
    }

    #[test]
    fn an_exact_remedy_comes_before_that_of_the_table() {
        let failure = Failure::new(Fault::ConsentUnknown).remedy("Do this.");
        assert_eq!(next(&failure), "Do this.");
    }
}
