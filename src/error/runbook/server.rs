//! What people do about faults of this server: its store, its ledger, its keys, its imports.

use super::super::procedure::RunbookCommand::{
    AuditVerify, BulkShow, ConfigCheckFiles, ConfigEffective, Durability, ExchangeReplay, ExchangeShow, HoldList,
    ImportDryRun, JobsList, JobsParked, JobsReplay, Migrate, MigrateCheck, Restore, RetentionShow, Trace,
};
use super::super::procedure::RunbookStep::{Do, Run};
use super::super::procedure::{ContactKind, EscalateTo, PersonDecides, Procedure, ReplayRule, RunbookOwner};

/// The server is too slow for what is asked.
pub(super) static LOAD: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::SameKey,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Do("See in /metrics whether requests, the store or the machine is slow, and since when."),
        Run(
            JobsList,
            "See whether background work is late. On PostgreSQL a further process can share it.",
        ),
        Run(
            ConfigEffective,
            "See the keys under [limits] before you change one of them.",
        ),
    ],
};

/// The store takes no writes, or cannot be reached.
pub(super) static STORE: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::SameKey,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Do(
            "See the cause in the log, then look at the database, its disk and its locks. Nothing that was acknowledged is lost.",
        ),
        Run(
            Durability,
            "See whether the settings of the store are safe, once it answers.",
        ),
        Run(JobsParked, "Afterwards: see which background work gave up meanwhile."),
        Run(JobsReplay, "Let each of these jobs continue."),
    ],
};

/// The store is not of this version, or not fit.
pub(super) static SCHEMA: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(
            MigrateCheck,
            "See which version the store has, and what it lacks. It changes nothing.",
        ),
        Do("Make a backup before you migrate. docs/operators/upgrade.md has the order of the steps."),
        Run(Migrate, "Bring the store to this version."),
    ],
};

/// Another process has the store.
pub(super) static BUSY: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::Safe,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Do("Find the process that the message names. While its server runs, commands go through it."),
        Do("If that process hangs, end it with its own signal, and start the server again."),
    ],
};

/// The store is damaged.
pub(super) static DAMAGED: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Do("Stop the server. Copy the store as it is before you change anything."),
        Run(
            AuditVerify,
            "See whether the ledger of the copy is whole, and up to which entry.",
        ),
        Run(
            Restore,
            "Restore the newest backup that is whole. It says what is lost.",
        ),
    ],
};

/// Something that was signed or sealed was changed.
pub(super) static INTEGRITY: Procedure = Procedure {
    owner: RunbookOwner::Security,
    replay: ReplayRule::Never,
    person: PersonDecides::Security,
    escalate: EscalateTo::Security,
    contact: None,
    steps: &[
        Do("Stop the server, and copy its store, its log folder and its backups as they are."),
        Run(AuditVerify, "See what was changed, and from which entry on."),
        Do("Compare with checkpoints that others keep: witnesses, partners, backups."),
        Do("Start the server again only after it was decided how."),
    ],
};

/// Sealed data of an exchange was changed.
pub(super) static SEAL: Procedure = Procedure {
    owner: RunbookOwner::Security,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Security,
    escalate: EscalateTo::Security,
    contact: None,
    steps: &[
        Do("Copy the store as it is, and check its disk."),
        Run(ExchangeShow, "See which step of the exchange stands still."),
        Run(
            ExchangeReplay,
            "When that was decided: what cannot be read is fetched again, and only that.",
        ),
    ],
};

/// A file with keys is missing or not readable.
pub(super) static KEY_FILES: Procedure = Procedure {
    owner: RunbookOwner::Security,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Security,
    escalate: EscalateTo::Security,
    contact: None,
    steps: &[
        Do(
            "Put the file back from where keys are kept, readable by the user of the server only. Make no new key before you know where the old one is.",
        ),
        Run(
            ConfigCheckFiles,
            "See whether the server can read each file that its configuration names.",
        ),
    ],
};

/// The law or a hold keeps what would be deleted.
pub(super) static KEPT: Procedure = Procedure {
    owner: RunbookOwner::Privacy,
    replay: ReplayRule::AfterDecision,
    person: PersonDecides::Privacy,
    escalate: EscalateTo::Privacy,
    contact: None,
    steps: &[
        Run(HoldList, "See which holds are in force, and who ordered them."),
        Run(RetentionShow, "See how long each kind of data is kept."),
    ],
};

/// A bulk job of a partner did not end in time.
pub(super) static BULK_LATE: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::NotUseful,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: Some(ContactKind::Technical),
    steps: &[
        Run(BulkShow, "See how many pieces were done."),
        Run(JobsParked, "See whether its work is parked, and why."),
        Do("When the cause is gone, tell the partner to start the job again: a job that failed does not continue."),
    ],
};

/// The folder or bucket of bulk files does not work.
pub(super) static FILES: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::Safe,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Lead,
    contact: None,
    steps: &[
        Run(ConfigCheckFiles, "See whether the server reaches exports.url."),
        Do("Restore the folder, or the rights on the bucket. Jobs wait, and continue by themselves."),
        Run(JobsParked, "See whether a job gave up meanwhile."),
        Run(JobsReplay, "Let each of these jobs continue."),
    ],
};

/// The program has an error.
pub(super) static DEFECT: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Operator,
    escalate: EscalateTo::Maintainers,
    contact: None,
    steps: &[
        Run(Trace, "See what happened under the id of the request or the exchange."),
        Do("Send the maintainers the version, the code and the log lines with the id. Leave out data of members."),
        Do("Go on without what failed, and try again after an upgrade."),
    ],
};

/// What is imported is refused.
pub(super) static IMPORT: Procedure = Procedure {
    owner: RunbookOwner::Operations,
    replay: ReplayRule::AfterCause,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[
        Do("See in import-rejects.ndjson which lines were refused, and why. All others are stored."),
        Run(ImportDryRun, "Check a corrected file. It stores nothing."),
        Do("Import the corrected file. What is stored already stays as it is."),
    ],
};

/// Nobody has to do anything.
pub(super) static BY_ITSELF: Procedure = Procedure {
    owner: RunbookOwner::Us,
    replay: ReplayRule::Nothing,
    person: PersonDecides::Nobody,
    escalate: EscalateTo::Nobody,
    contact: None,
    steps: &[Do("Do nothing: it ends by itself.")],
};
