//! The fault table: one row for everything that can go wrong, published as a FHIR CodeSystem and by `causeway faults`.
//!
//! Codes are forever: a row may be added, never renumbered or reused. Texts never carry input or member data.

/// How grave an issue is; the FHIR `issue-severity` code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The request failed and the caller must change something.
    Error,
    /// The server cannot go on with this request.
    Fatal,
    /// The request went through, with something to note.
    Warning,
}

impl Severity {
    /// The code of `http://hl7.org/fhir/issue-severity`.
    pub const fn code(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Fatal => "fatal",
            Severity::Warning => "warning",
        }
    }
}

/// What a caller should do about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again.
    Never,
    /// Try again after the `Retry-After` of the answer, or with exponential back-off.
    Backoff,
    /// Get a fresh token, then try once.
    FreshToken,
}

impl Retry {
    /// The word printed by `causeway faults`.
    pub const fn code(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::Backoff => "backoff",
            Retry::FreshToken => "fresh-token",
        }
    }
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Our stable code, such as `MM-001`.
    pub code: &'static str,
    /// The FHIR `issue-type` code.
    pub issue: &'static str,
    /// Severity of the issue.
    pub severity: Severity,
    /// HTTP status of the answer.
    pub http: u16,
    /// Whether trying again can help.
    pub retry: Retry,
    /// What happened, in words fit for the caller.
    pub text: &'static str,
    /// What the caller can do about it.
    pub remedy: &'static str,
}

macro_rules! faults {
    ($($name:ident => ($code:literal, $issue:literal, $severity:ident, $http:literal, $retry:ident, $text:literal, $remedy:literal),)+) => {
        /// Something that went wrong, by its row in the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $(#[doc = $text] $name,)+
        }

        impl Fault {
            /// Every fault, in table order.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)+];

            /// The row of this fault.
            pub const fn row(self) -> Row {
                match self {
                    $(Fault::$name => Row {
                        code: $code, issue: $issue, severity: Severity::$severity, http: $http,
                        retry: Retry::$retry, text: $text, remedy: $remedy,
                    },)+
                }
            }
        }
    };
}

faults! {
    // Requests and bodies
    NotJson             => ("RQ-001", "structure",        Error, 400, Never,   "The body is not well-formed JSON.", "Send one JSON document in UTF-8."),
    DuplicateKey        => ("RQ-002", "structure",        Error, 400, Never,   "An object has the same property twice.", "Send each property once."),
    TooDeep             => ("RQ-003", "structure",        Error, 400, Never,   "The body is nested too deeply.", "Send at most 50 levels."),
    TooLarge            => ("RQ-004", "too-long",         Error, 413, Never,   "The body is larger than this route takes.", "Send a smaller body; the payer's operator knows the limit."),
    MediaTypeRefused    => ("RQ-005", "not-supported",    Error, 415, Never,   "The media type of the body is not supported here.", "Send application/fhir+json."),
    NotAcceptable       => ("RQ-006", "not-supported",    Error, 406, Never,   "None of the accepted media types can be served.", "Accept application/fhir+json."),
    ResourceInvalid     => ("RQ-007", "structure",        Error, 400, Never,   "The resource is not valid FHIR R4.", "Correct the element named in expression."),
    ParameterInvalid    => ("RQ-008", "value",            Error, 400, Never,   "A request parameter has a value that cannot be used.", "Correct the parameter named in expression."),
    ParameterUnknown    => ("RQ-009", "not-supported",    Error, 400, Never,   "A request parameter is not supported.", "Leave it out, or see the CapabilityStatement for what is supported."),
    RouteUnknown        => ("RQ-010", "not-supported",    Error, 404, Never,   "There is nothing at this address.", "See the CapabilityStatement for what is served."),
    MethodRefused       => ("RQ-011", "not-supported",    Error, 405, Never,   "This method is not allowed here.", "Use a method named in the Allow header."),
    EmptyValue          => ("RQ-012", "structure",        Error, 400, Never,   "FHIR forbids empty arrays, objects, strings and misplaced nulls.", "Leave the element out instead."),
    NotUtf8             => ("RQ-013", "structure",        Error, 400, Never,   "The body is not UTF-8.", "Encode the body as UTF-8 without a byte order mark."),
    EncodingRefused     => ("RQ-014", "not-supported",    Error, 415, Never,   "Encoded bodies are not taken.", "Send the body without Content-Encoding."),
    NotFound            => ("RQ-015", "not-found",        Error, 404, Never,   "There is no such resource for this caller.", "Check the id; a member becomes readable after a successful $member-match."),
    RequestTimeout      => ("RQ-016", "timeout",          Error, 408, Backoff, "The request did not arrive in time.", "Send the whole request promptly."),
    PreconditionFailed  => ("RQ-017", "conflict",         Error, 412, Never,   "The resource is not in the version that was asked for.", "Read it again without If-Match or If-Unmodified-Since."),
    HeadTooLarge        => ("RQ-018", "too-long",         Error, 431, Never,   "The request's address and headers are too long.", "Send less in them; put search parameters into the body of a POST _search."),
    OperationNotServed  => ("RQ-030", "not-supported",    Error, 404, Never,   "This operation is not served here.", "Use an operation that rest.resource.operation of the CapabilityStatement names."),
    TypeNotServed       => ("RQ-031", "not-supported",    Error, 404, Never,   "Resources of this type are not served here.", "Ask for a type that rest.resource of the CapabilityStatement names."),
    // Idempotency
    IdempotencyKeyBad   => ("ID-001", "value",            Error, 400, Never,   "The Idempotency-Key header cannot be used.", "Send one key of 1 to 255 visible ASCII characters."),
    IdempotencyKeyReused=> ("ID-002", "business-rule",    Error, 422, Never,   "This Idempotency-Key was used for another request.", "Use a new key for a new request."),
    IdempotencyRunning  => ("ID-003", "conflict",         Error, 409, Backoff, "The first request with this Idempotency-Key is still running.", "Try again after Retry-After."),
    // Security
    TokenMissing        => ("SE-001", "login",            Error, 401, FreshToken, "A bearer token is needed.", "Get a token from the token endpoint named in /.well-known/smart-configuration."),
    TokenInvalid        => ("SE-002", "login",            Error, 401, FreshToken, "The access token is not valid.", "Get a new token; a bound token works only with the certificate it was issued to."),
    ScopeMissing        => ("SE-003", "forbidden",        Error, 403, Never,   "The token's scope does not cover this request.", "Ask for a token with the scope this interaction needs."),
    CertificateNeeded   => ("SE-004", "security",         Error, 401, Never,   "This partner must present its client certificate.", "Connect with the certificate that is registered for this partner."),
    CertificateUnknown  => ("SE-005", "security",         Error, 401, Never,   "The client certificate is not registered.", "Ask the payer's operator to register the URI name of the certificate."),
    PartnerSuspended    => ("SE-006", "forbidden",        Error, 403, Never,   "This partner is suspended.", "Contact the payer's operator."),
    RoleMissing         => ("SE-007", "forbidden",        Error, 403, Never,   "The operator token's role does not allow this.", "Use a token of a role that does; see the documentation of /ops/v1."),
    // OAuth (answered as RFC 6749 JSON)
    OauthRequest        => ("OA-001", "invalid",          Error, 400, Never,   "The token request is malformed.", "Send each form field once, as application/x-www-form-urlencoded."),
    OauthClient         => ("OA-002", "login",            Error, 401, Never,   "The client could not be authenticated.", "Sign a fresh assertion with a registered key: iss and sub the client_id, aud the token endpoint, exp at most 300 s ahead, a new jti."),
    OauthGrantType      => ("OA-003", "not-supported",    Error, 400, Never,   "Only client_credentials is granted here.", "Send grant_type=client_credentials."),
    OauthScope          => ("OA-004", "forbidden",        Error, 400, Never,   "None of the requested scopes can be granted.", "Ask for scopes registered for this client."),
    OauthTarget         => ("OA-005", "not-found",        Error, 400, Never,   "The patient of the token request is not granted to this client.", "Match the member first."),
    OauthThrottled      => ("OA-020", "throttled",        Error, 429, Backoff, "Too many requests of this client to the OAuth endpoints failed.", "Wait for Retry-After; then correct what the failed answers named."),
    // Member match
    MatchInvalid        => ("MM-001", "invariant",        Error, 422, Never,   "The member match request breaks its profile.", "Correct the element named in expression; see HRex member-match."),
    MatchParameterMissing => ("MM-002", "required",       Error, 422, Never,   "A required parameter is missing.", "Send MemberPatient, CoverageToMatch and Consent, each once."),
    MatchParameterUnknown => ("MM-003", "not-supported",  Error, 422, Never,   "A parameter is unknown or sent twice.", "Send only MemberPatient, CoverageToMatch, CoverageToLink and Consent, each at most once."),
    MatchReference      => ("MM-004", "value",            Error, 422, Never,   "A reference does not resolve to the MemberPatient of the request.", "Refer to it as Patient/<id> with the id of MemberPatient."),
    NoUniqueMember      => ("MM-005", "not-found",        Error, 422, Never,   "No unique member could be matched.", "Check the demographics and the coverage identifiers, and send all that are known."),
    MatchLocked         => ("MM-006", "throttled",        Error, 429, Backoff, "Too many member matches failed.", "Wait, and contact the payer's operator."),
    // Reviews and identity links (operators only)
    ReviewUnknown       => ("RV-001", "not-found",        Error, 404, Never,   "There is no such review.", "See `causeway review list`."),
    ReviewMoved         => ("RV-002", "conflict",         Error, 409, Never,   "The review does not stand so that this could be done.", "Look at it again: it was decided or changed meanwhile."),
    ReviewSecondNeeded  => ("RV-003", "business-rule",    Error, 409, Never,   "Another operator has to decide this.", "Have somebody else look at it who did not propose it."),
    LinkUnknown         => ("LK-001", "not-found",        Error, 404, Never,   "There is no such identity link, step or member.", "See `causeway link list`."),
    LinkMoveRefused     => ("LK-002", "conflict",         Error, 409, Never,   "The identity link cannot make this move.", "See `causeway link list` for how it stands."),
    // Consent
    ConsentNotHonoured  => ("CO-001", "suppressed",       Error, 422, Never,   "The member was matched, but the consent cannot be honoured.", "Ask the member for a new consent; what is wrong with a consent by itself is told by a fault of its own."),
    // Consent, judged by the request, the caller and the clock alone, before anybody is looked up
    ConsentPatient      => ("CO-010", "business-rule",    Error, 422, Never,   "The consent is about somebody else than the MemberPatient.", "Let Consent.patient refer to the MemberPatient of the request."),
    ConsentGrantor      => ("CO-011", "business-rule",    Error, 422, Never,   "The consent was not given by the member or a representative.", "Let Consent.performer refer to the MemberPatient, or to an actor of the consent in a role such as HPOWATT."),
    ConsentRecipient    => ("CO-012", "business-rule",    Error, 422, Never,   "The consent does not name the caller as recipient.", "Add an actor in the role IRCP with the NPI under which you are registered here."),
    ConsentSource       => ("CO-013", "business-rule",    Error, 422, Never,   "The consent does not name this payer as the one who may disclose.", "Add an actor in the role performer with this payer's NPI."),
    ConsentInactive     => ("CO-014", "business-rule",    Error, 422, Never,   "The consent is not active.", "Send a consent whose status is active."),
    ConsentKind         => ("CO-015", "business-rule",    Error, 422, Never,   "The consent is no privacy consent for disclosure.", "Use the scope patient-privacy and the category IDSCL."),
    ConsentAction       => ("CO-016", "business-rule",    Error, 422, Never,   "The consent does not permit disclosure.", "Use provision.type permit and the one action disclose."),
    ConsentFiltered     => ("CO-017", "business-rule",    Error, 422, Never,   "The consent has filters that HRex does not allow.", "Leave out securityLabel, purpose, class, code, dataPeriod, data and nested provisions."),
    ConsentPolicy       => ("CO-018", "business-rule",    Error, 422, Never,   "The consent does not carry one policy that is supported.", "Send exactly one policy: HRex's #regular or #sensitive."),
    ConsentPeriod       => ("CO-019", "business-rule",    Error, 422, Never,   "The consent's period does not hold now.", "Send a consent whose provision.period has begun and has not ended."),
    ConsentUnknown      => ("CO-020", "not-found",        Error, 404, Never,   "There is no such consent on record.", "Find its id by partner or member: `causeway consent list`, or GET /ops/v1/consents."),
    GrantUnknown        => ("CO-021", "not-found",        Error, 404, Never,   "There is no such grant.", "Find its id by partner or member: `causeway grant list`, or GET /ops/v1/grants."),
    // What is on record (operators only)
    MemberUnknown       => ("AU-001", "not-found",        Error, 404, Never,   "There is no such member.", "Give the Patient's id as Patient/<id>, or the member number in the body of a _search."),
    MemberNumberShared  => ("AU-002", "multiple-matches", Error, 409, Never,   "Several members have this number.", "Ask for each of them by the id of its Patient."),
    TraceUnknown        => ("AU-003", "not-found",        Error, 404, Never,   "Nothing is on record under this id.", "Give a correlation id, or the id of a request, decision, grant, consent or review; refusals that are only counted show when their minute is over."),
    // Store and server
    Overloaded          => ("SV-001", "throttled",        Error, 503, Backoff, "The server is at its limit.", "Try again after Retry-After."),
    StoreUnavailable    => ("SV-002", "no-store",         Error, 503, Backoff, "The store cannot be reached.", "Try again after Retry-After."),
    StoreDamaged        => ("SV-003", "exception",        Fatal, 500, Never,   "The store does not hold what it should.", "Contact the payer's operator with the X-Request-Id."),
    Internal            => ("SV-004", "exception",        Fatal, 500, Never,   "Something went wrong inside the server.", "Contact the payer's operator with the X-Request-Id."),
    AuditUnavailable    => ("SV-005", "no-store",         Error, 503, Backoff, "The disclosure could not be recorded, so nothing was disclosed.", "Try again after Retry-After."),
    RateLimited         => ("SV-006", "throttled",        Error, 429, Backoff, "This partner is over its limit.", "Try again after Retry-After."),
    NoRoom              => ("SV-009", "no-store",         Error, 503, Backoff, "The store has no room left.", "Try again after Retry-After."),
    // Commands and operation
    ConfigInvalid       => ("OP-001", "value",            Error, 500, Never,   "The configuration cannot be used.", "Correct the key that is named."),
    StoreBusy           => ("OP-002", "lock-error",       Error, 503, Backoff, "Another process holds the store.", "Use the running server's commands, or stop it first."),
    InputUnreadable     => ("OP-003", "structure",        Error, 400, Never,   "An input could not be read.", "Check the path and its permissions."),
    PartnerInvalid      => ("OP-004", "value",            Error, 400, Never,   "The partner's registration cannot be used.", "Correct the field that is named."),
    PartnerUnknown      => ("OP-005", "not-found",        Error, 404, Never,   "There is no such partner.", "See `causeway partner list`."),
    DurabilityUnsafe    => ("OP-006", "business-rule",    Error, 503, Never,   "The store's durability settings would lose acknowledged work.", "Correct the setting that is named; `causeway durability` shows all."),
    PolicyInvalid       => ("PO-001", "value",            Error, 400, Never,   "The policy cannot be used.", "Correct what is named."),
    PolicyUnknown       => ("PO-002", "not-found",        Error, 404, Never,   "There is no such policy version, or several.", "See `causeway policy list`, and give more of the id."),
    // Import
    ReferenceUnresolved => ("IM-001", "not-found",        Error, 422, Never,   "A reference that decides the member does not resolve.", "Import the resource it names first, or in the same run."),
    TypeUnsupported     => ("IM-002", "not-supported",    Error, 422, Never,   "This resource type is not kept here.", "Leave it out."),
    ValueInvalid        => ("IM-003", "value",            Error, 422, Never,   "An element has a value that its type does not allow.", "Correct the element named in expression."),
    ElementUnknown      => ("IM-010", "structure",        Error, 422, Never,   "R4 has no such element here.", "Leave it out, or send it as an extension."),
    ElementShape        => ("IM-011", "structure",        Error, 422, Never,   "An element is not of the JSON shape that R4 gives it.", "Correct the element named in expression."),
    CodeUnknown         => ("IM-012", "code-invalid",     Error, 422, Never,   "A code is not of the value set that R4 requires.", "Use a code of the value set."),
    ElementMissing      => ("IM-013", "required",         Error, 422, Never,   "An element that R4 requires is missing.", "Send the element."),
    ChoiceConflict      => ("IM-014", "structure",        Error, 422, Never,   "Of elements that exclude each other, both or none is there.", "Send exactly one of them."),
    NotStorable         => ("IM-015", "processing",       Error, 422, Never,   "The store cannot hold a value of this resource.", "Shorten or leave out the value that no database takes."),
    JudgementFailed     => ("IM-016", "exception",        Error, 500, Never,   "The resource could not be judged: a fault of the program.", "Import the rest; tell the maintainers the type and the place of this one."),
    RecordFull          => ("IM-017", "too-long",         Error, 422, Never,   "The record has no room for another resource.", "Leave it out."),
    SourceBaseConflict  => ("IM-020", "duplicate",        Error, 422, Never,   "The same type and id come from two servers.", "Give one of them an id prefix: --source-base URL=PREFIX."),
    BinaryOfSeveral     => ("IM-021", "conflict",         Error, 422, Never,   "Resources of several members name this Binary.", "Give each member a Binary of its own."),
    DeletedAtSource     => ("IM-022", "deleted",          Error, 422, Never,   "The history that holds this says that it was deleted.", "Nothing: an import deletes nothing, and does not bring it back."),
    PartnerUnreachable  => ("PA-001", "transient",        Error, 503, Backoff, "The other payer cannot be reached.", "Try again later."),
    PartnerAnswer       => ("PA-002", "processing",       Error, 502, Never,   "The other payer's answer cannot be used.", "Contact the other payer with the correlation id."),
}

impl Fault {
    /// The stable code, such as `MM-005`.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// What an operator can do where that is not what a partner can do: commands and `/ops/v1` say this instead of the remedy.
    pub const fn operator_remedy(self) -> Option<&'static str> {
        Some(match self {
            Fault::TooLarge => "Send less; the keys under [limits] say how much is taken.",
            Fault::ParameterUnknown | Fault::RouteUnknown => {
                "See docs/operations.md for what /ops/v1 and the commands take."
            }
            Fault::OperationNotServed | Fault::TypeNotServed => "See docs/operations.md for what is served.",
            Fault::NotFound => "Check the id; the lists of /ops/v1 and of the commands name those that are there.",
            Fault::HeadTooLarge => "Send less in the address and the headers.",
            Fault::IdempotencyRunning => "Wait until the first request has ended, then ask again.",
            Fault::TokenMissing | Fault::TokenInvalid => {
                "Mint a token on the host: causeway operator token --role ROLE."
            }
            Fault::CertificateNeeded | Fault::CertificateUnknown => {
                "Compare certificate_uri and mtls of `causeway partner show` with the certificate."
            }
            Fault::PartnerSuspended => "See the reason in `causeway partner show`; `causeway partner resume` ends it.",
            Fault::OauthClient => "See `why` in the log line of the refusal, and `causeway partner check`.",
            Fault::OauthThrottled => {
                "See `why` in the log lines of its refusals; limits.token_failures sets the number."
            }
            Fault::OauthTarget => "See `GET /ops/v1/grants` for what the partner was granted.",
            Fault::MatchLocked => {
                "Look at the partner's decisions, then let it in again with `causeway partner unlock`."
            }
            Fault::Overloaded => "Try again in some seconds; if it lasts, see /metrics and the keys under [limits].",
            Fault::StoreUnavailable => {
                "See that the database is up and has room, then try again; the log has the cause."
            }
            Fault::StoreDamaged => {
                "Stop the server, keep the store as it is, and go back to a backup; the log has the cause."
            }
            Fault::Internal => "Look for the request id in the log: the cause stands there. Report it as a defect.",
            Fault::AuditUnavailable => "See that the database is up and has room: the ledger could not be written.",
            Fault::NoRoom => {
                "Free room on the disk of the store (see limits.free_*); then writes come back by themselves, and an import is run again."
            }
            Fault::RateLimited => "Try again in some seconds; the keys under [limits] set the partner's share.",
            Fault::PartnerUnreachable => "See that the other payer's endpoint answers: `causeway partner check`.",
            Fault::PartnerAnswer => {
                "Send the other payer the correlation id; the log has what was wrong with its answer."
            }
            _ => return None,
        })
    }

    /// Whether a partner can be answered with this fault; the others are of commands and of `/ops/v1` alone.
    pub const fn is_for_partners(self) -> bool {
        let code = self.row().code.as_bytes();
        !matches!(self, Fault::RoleMissing | Fault::ConsentUnknown | Fault::GrantUnknown)
            && matches!(
                (code[0], code[1]),
                (b'R', b'Q') | (b'I', b'D') | (b'S', b'E') | (b'O', b'A') | (b'M', b'M') | (b'C', b'O') | (b'S', b'V')
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut seen = HashSet::new();
        for fault in Fault::ALL {
            let row = fault.row();
            let (area, number) = row.code.split_once('-').expect("area-number");
            assert!(
                area.len() == 2 && area.chars().all(|c| c.is_ascii_uppercase()),
                "{}",
                row.code
            );
            assert!(
                number.len() == 3 && number.chars().all(|c| c.is_ascii_digit()),
                "{}",
                row.code
            );
            assert!(seen.insert(row.code), "{} twice", row.code);
            assert!(row.text.ends_with('.') && row.remedy.ends_with('.'), "{}", row.code);
            assert!((400..=599).contains(&row.http), "{}", row.code);
        }
    }

    #[test]
    fn operators_are_told_what_operators_can_do() {
        for fault in Fault::ALL {
            let row = fault.row();
            let told = fault.operator_remedy().unwrap_or(row.remedy);
            assert!(told.ends_with('.'), "{}", row.code);
            for word in [
                "Retry-After",
                "ontact the payer",
                "payer's operator",
                "CapabilityStatement",
            ] {
                assert!(!told.contains(word), "{}: {told}", row.code);
            }
        }
    }
}
