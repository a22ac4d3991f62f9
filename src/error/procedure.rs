//! What people do about something that can happen: who owns it, how soon, the steps, whether a replay is safe, who decides, and whom to call.
//!
//! Vocabulary only, and pure. Each table of [`RunbookRow`]s stands beside what it is about: those of faults in this module, those of exchanges
//! beside their phases, and so on. Nothing here puts them together.

use super::row::ActWithin;

/// Defines an enumeration with a stable word and a sentence for each value.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($value:ident => ($code:literal, $text:literal),)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $(#[doc = $text] $value,)+
        }

        impl $name {
            /// Every value, in the order of this table.
            pub const ALL: &'static [$name] = &[$($name::$value,)+];

            /// Its stable word in JSON.
            pub const fn code(self) -> &'static str {
                match self {
                    $($name::$value => $code,)+
                }
            }

            /// What it means.
            pub const fn text(self) -> &'static str {
                match self {
                    $($name::$value => $text,)+
                }
            }

            /// The value with this word.
            pub fn parse(code: &str) -> Option<$name> {
                $name::ALL.iter().copied().find(|one| one.code() == code)
            }
        }
    };
}

words! {
    /// What a row of the runbook is about.
    RunbookAbout {
        Fault => ("fault", "A fault of the fault table."),
        Phase => ("phase", "A phase of an exchange."),
        Identity => ("identity", "The identity state of an exchange."),
        Consent => ("consent", "The consent state of an exchange."),
        Transport => ("transport", "The transport state of an exchange."),
        Delivery => ("delivery", "The delivery state of an exchange."),
        Audit => ("audit", "The audit state of an exchange."),
        BulkJob => ("bulk-job", "The state of a bulk job of a partner."),
        BulkRun => ("bulk-run", "The state of a bulk run of ours."),
        Review => ("review", "The state of a review."),
        Job => ("job", "The state of a background job."),
        Work => ("work", "A kind of background work that stands still: it is parked, or fails each time."),
        Alert => ("alert", "An alert."),
    }
}

words! {
    /// Who owns something: who has to end it.
    RunbookOwner {
        Us => ("us", "This program. Nobody has to act while it makes progress."),
        Partner => ("partner", "The other payer. Operations helps it."),
        Operations => ("operations", "Who runs this server."),
        Privacy => ("privacy", "Who answers for members' data at this payer."),
        Security => ("security", "Who answers for keys, certificates and attacks at this payer."),
    }
}

words! {
    /// Whether the same thing may be done again, and when.
    ReplayRule {
        Safe => ("safe", "Yes, at any time. Work that is done is not done twice."),
        SameKey => ("same-key", "Yes, the same request with the same Idempotency-Key, after the wait that the answer names."),
        AfterCause => ("after-cause", "Yes, when the cause is gone. Before that it fails again, and does no harm."),
        AfterDecision => ("after-decision", "Only after a person has decided."),
        NotUseful => ("not-useful", "It does no harm, but fails again. Send a corrected request with a new Idempotency-Key."),
        Never => ("never", "No."),
        Nothing => ("nothing", "There is nothing to replay."),
    }
}

words! {
    /// When a person decides.
    PersonDecides {
        Nobody => ("nobody", "Nobody has to decide."),
        Operator => ("operator", "An operator decides whether it continues or ends."),
        Reviewer => ("reviewer", "A reviewer decides who the member is."),
        SecondPerson => ("second-person", "A second person decides, who did not ask for it."),
        Member => ("member", "The member decides: only a new consent or a new opt-in helps."),
        Privacy => ("privacy", "Who answers for privacy decides before anything of it is used or sent."),
        Security => ("security", "Who answers for security decides before work continues."),
    }
}

words! {
    /// Who is told next, and when.
    EscalateTo {
        Nobody => ("nobody", "Nobody."),
        Lead => ("lead", "The lead of operations, when the time to act is over."),
        Partner => ("partner", "The partner's escalation contact, when the time to act is over."),
        Privacy => ("privacy", "Who answers for privacy, at once: data may be in the wrong place."),
        Security => ("security", "Who answers for security, at once."),
        Maintainers => ("maintainers", "The maintainers of the program, with version and log lines, without members' data."),
    }
}

words! {
    /// A contact of a partner; `[contacts]` of its registration names them.
    ContactKind {
        Technical => ("technical", "For connections, requests and data."),
        Security => ("security", "For keys, certificates and attacks."),
        Privacy => ("privacy", "For consents, and for data of the wrong person."),
        Escalation => ("escalation", "When another contact does not answer in time."),
    }
}

/// Defines the commands that steps name.
macro_rules! commands {
    ($($name:ident => $line:literal,)+) => {
        /// A command of this program that a step of the runbook names.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum RunbookCommand {
            $(#[doc = $line] $name,)+
        }

        impl RunbookCommand {
            /// Every command.
            pub const ALL: &'static [RunbookCommand] = &[$(RunbookCommand::$name,)+];

            /// How it is typed after the word `causeway`; a word in capitals stands for a value.
            pub const fn line(self) -> &'static str {
                match self {
                    $(RunbookCommand::$name => $line,)+
                }
            }
        }
    };
}

commands! {
    AuditPacket => "audit packet ID --reason WHY --out FILE",
    AuditVerify => "audit verify",
    BulkCancel => "bulk cancel JOB --reason WHY",
    BulkList => "bulk list",
    BulkShow => "bulk show JOB",
    ConfigCheckFiles => "config --check-files",
    ConfigEffective => "config --effective",
    ConsentList => "consent list --partner PARTNER",
    Durability => "durability",
    EvidenceList => "evidence list",
    ExchangeClose => "exchange close ID --reason WHY",
    ExchangeList => "exchange list --partner PARTNER",
    ExchangeQuarantine => "exchange show ID --quarantine --reason WHY",
    ExchangeReplay => "exchange replay ID --reason WHY",
    ExchangeReplayParked => "exchange replay --parked --partner PARTNER --reason WHY",
    ExchangeShow => "exchange show ID",
    ExchangeSupersede => "exchange supersede ID --reason WHY",
    HoldList => "retention hold list",
    ImportDryRun => "import PATH --dry-run",
    JobsList => "jobs list",
    JobsParked => "jobs list --parked",
    JobsReplay => "jobs replay JOB --reason WHY",
    LinkList => "link list --partner PARTNER",
    MatchExplain => "match explain ID",
    MatchList => "match list --partner PARTNER",
    Migrate => "migrate",
    MigrateCheck => "migrate --check",
    OperatorList => "operator list",
    PartnerCheck => "partner check PARTNER",
    PartnerResume => "partner resume PARTNER",
    PartnerRotate => "partner rotate PARTNER --file FILE",
    PartnerShow => "partner show PARTNER",
    PartnerSuspend => "partner suspend PARTNER --reason WHY",
    PartnerUnlock => "partner unlock PARTNER --reason WHY",
    PolicyActs => "policy acts",
    PolicyApprove => "policy approve ACT --reason WHY",
    Restore => "restore DIR --reason WHY",
    RetentionShow => "retention show",
    ReviewDecide => "review decide ID --confirm CANDIDATE --operator WHO --reason WHY",
    ReviewList => "review list",
    ReviewReopen => "review reopen ID --operator WHO --reason WHY",
    ReviewShow => "review show ID --reason WHY",
    States => "states",
    Trace => "trace ID",
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunbookStep {
    /// A command, and what it is for.
    Run(RunbookCommand, &'static str),
    /// Something else that a person does.
    Do(&'static str),
}

/// What people do, for one thing or for several alike.
#[derive(Debug, PartialEq, Eq)]
pub struct Procedure {
    /// Who owns it.
    pub owner: RunbookOwner,
    /// Whether a replay is safe, and when.
    pub replay: ReplayRule,
    /// When a person decides.
    pub person: PersonDecides,
    /// Who is told next.
    pub escalate: EscalateTo,
    /// Which contact of the partner to call, if any.
    pub contact: Option<ContactKind>,
    /// The steps, in order.
    pub steps: &'static [RunbookStep],
}

/// A row of the runbook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunbookRow {
    /// What it is about.
    pub about: RunbookAbout,
    /// The code of that: of a fault, a state, a kind of work.
    pub code: &'static str,
    /// What happened, or what the state means.
    pub meaning: &'static str,
    /// How soon the owner has to act.
    pub within: ActWithin,
    /// What the table of faults says that ends it; states have none.
    pub remedy: Option<&'static str>,
    /// What to do.
    pub procedure: &'static Procedure,
}

impl RunbookRow {
    /// By what the runbook knows it: the code of a fault, and `phase.completed` or `work.bulk-export` for the others.
    pub fn id(&self) -> String {
        match self.about {
            RunbookAbout::Fault => self.code.to_owned(),
            other => format!("{}.{}", other.code(), self.code),
        }
    }
}
