//! What a witness answers, as a status and a body. Pure.

/// The answer to an `add-checkpoint` request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WitnessReply {
    /// The line of the cosignature.
    Confirmed(String),
    /// The request is not written as one, or names an older tree that is larger.
    Malformed,
    /// The witness does not know the log.
    UnknownLog,
    /// The checkpoint is not signed by the log's key.
    NotSigned,
    /// The tree that was confirmed last has another size, which is told; or the same size and another root.
    OtherSize(u64),
    /// The proof does not show that the new tree extends the one that was confirmed last.
    NotProved,
    /// The witness cannot keep the checkpoint, so it does not confirm it.
    Failed,
}

impl WitnessReply {
    /// HTTP status, media type and body.
    pub fn http(&self) -> (u16, &'static str, String) {
        const TEXT: &str = "text/plain; charset=utf-8";
        let said = |status, text: &str| (status, TEXT, format!("{text}\n"));
        match self {
            WitnessReply::Confirmed(line) => (200, TEXT, line.clone()),
            WitnessReply::Malformed => said(400, "this is no add-checkpoint request"),
            WitnessReply::NotSigned => said(403, "the checkpoint is not signed by the key of its log"),
            WitnessReply::UnknownLog => said(404, "this witness does not know the log"),
            WitnessReply::OtherSize(size) => (409, "text/x.tlog.size", format!("{size}\n")),
            WitnessReply::NotProved => said(422, "the proof does not show that the tree extends the confirmed one"),
            WitnessReply::Failed => said(500, "the checkpoint could not be kept"),
        }
    }
}
