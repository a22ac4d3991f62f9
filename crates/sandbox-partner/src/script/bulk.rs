//! What can go wrong with bulk work.

use super::route::SandboxRoute;
use serde::Deserialize;

/// Another course of bulk work. Manifest and files are honest in everything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScriptedBulk {
    /// The manifest counts one resource too many.
    WrongCount,
    /// The manifest tells another SHA-256.
    WrongDigest,
    /// The manifest names a file that is not there.
    MissingFile,
    /// The manifest names a file on the second origin.
    FileElsewhere,
    /// The manifest counts ten million resources.
    ManyLines,
    /// The manifest names each file twice.
    FilesTwice,
    /// The files have ten million lines, and the manifest does not say how many.
    UntoldLines,
    /// The files are one line that never ends, and the manifest does not say how long they are.
    EndlessLine,
    /// Each resource comes twice.
    Twice,
    /// One resource is about a person who is not of the group.
    Stranger,
    /// The receipt is signed with a key that is not published.
    ForgedReceipt,
    /// The receipt counts one resource more than is given.
    ReceiptOfMore,
}

impl ScriptedBulk {
    /// The request at which it begins.
    pub(super) const fn route(self) -> SandboxRoute {
        match self {
            ScriptedBulk::Twice
            | ScriptedBulk::Stranger
            | ScriptedBulk::ForgedReceipt
            | ScriptedBulk::ReceiptOfMore => SandboxRoute::GroupExport,
            _ => SandboxRoute::BulkStatus,
        }
    }

    /// Whether it goes on in the files.
    pub(super) const fn is_of_files(self) -> bool {
        matches!(self, ScriptedBulk::UntoldLines | ScriptedBulk::EndlessLine)
    }
}
