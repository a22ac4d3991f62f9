//! The fault table: one row for everything that can go wrong, published as a FHIR CodeSystem and by `causeway faults`.
//!
//! Codes are forever: a row may be added, never renumbered or reused. Texts never carry input or member data.

use super::row::{ActWithin, FaultOwner, FaultRow, Retry, Severity};

macro_rules! faults {
    ($($name:ident => ($code:literal, $issue:literal, $severity:ident, $http:literal, $retry:ident, $owner:ident, $within:ident, $text:literal, $remedy:literal),)+) => {
        /// Something that went wrong, by its row in the table.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Fault {
            $(#[doc = $text] $name,)+
        }

        impl Fault {
            /// Every fault, in table order.
            pub const ALL: &'static [Fault] = &[$(Fault::$name,)+];

            /// The row of this fault.
            pub const fn row(self) -> FaultRow {
                match self {
                    $(Fault::$name => FaultRow {
                        code: $code, issue: $issue, severity: Severity::$severity, http: $http,
                        retry: Retry::$retry, owner: FaultOwner::$owner, within: ActWithin::$within, text: $text, remedy: $remedy,
                    },)+
                }
            }
        }
    };
}

faults! {
    // name                 code      FHIR issue          severity HTTP retry    owner       act within  what happened, what to do
    // Requests and bodies
    NotJson             => ("RQ-001", "structure",       Error, 400, Never,     Caller,     NextTry, "The body is not well-formed JSON.", "Send one JSON document in UTF-8."),
    DuplicateKey        => ("RQ-002", "structure",       Error, 400, Never,     Caller,     NextTry, "An object has the same property twice.", "Send each property once."),
    TooDeep             => ("RQ-003", "structure",       Error, 400, Never,     Caller,     NextTry, "The body is nested too deeply.", "Send at most 50 levels of nesting."),
    TooLarge            => ("RQ-004", "too-long",        Error, 413, Never,     Caller,     NextTry, "The body is larger than this address accepts.", "Send a smaller body, or ask the payer's operator for the limit."),
    MediaTypeRefused    => ("RQ-005", "not-supported",   Error, 415, Never,     Caller,     NextTry, "This address does not accept the media type of the body.", "Send application/fhir+json."),
    NotAcceptable       => ("RQ-006", "not-supported",   Error, 406, Never,     Caller,     NextTry, "The server has none of the media types that the request accepts.", "Accept application/fhir+json."),
    ResourceInvalid     => ("RQ-007", "structure",       Error, 400, Never,     Caller,     NextTry, "The resource is not valid FHIR R4.", "Correct the element that expression names."),
    ParameterInvalid    => ("RQ-008", "value",           Error, 400, Never,     Caller,     NextTry, "A request parameter has a value that the server cannot use.", "Correct the parameter that expression names."),
    ParameterUnknown    => ("RQ-009", "not-supported",   Error, 400, Never,     Caller,     NextTry, "The server does not support a request parameter.", "Leave the parameter out. The CapabilityStatement names those that are supported."),
    RouteUnknown        => ("RQ-010", "not-supported",   Error, 404, Never,     Caller,     NextTry, "Nothing is served at this address.", "Use an address that the CapabilityStatement names."),
    MethodRefused       => ("RQ-011", "not-supported",   Error, 405, Never,     Caller,     NextTry, "This address does not allow the method.", "Use a method that the Allow header names."),
    EmptyValue          => ("RQ-012", "structure",       Error, 400, Never,     Caller,     NextTry, "FHIR forbids empty arrays, empty objects, empty strings and misplaced nulls.", "Leave the element out."),
    NotUtf8             => ("RQ-013", "structure",       Error, 400, Never,     Caller,     NextTry, "The body is not UTF-8.", "Encode the body as UTF-8 without a byte order mark."),
    EncodingRefused     => ("RQ-014", "not-supported",   Error, 415, Never,     Caller,     NextTry, "The server does not accept encoded bodies.", "Send the body without Content-Encoding."),
    NotFound            => ("RQ-015", "not-found",       Error, 404, Never,     Caller,     NextTry, "There is no such resource for this caller.", "Check the id; a member becomes readable after a successful $member-match."),
    RequestTimeout      => ("RQ-016", "timeout",         Error, 408, Backoff,   Caller,     NextTry, "The request did not arrive in time.", "Send the whole request without a pause, then try again."),
    PreconditionFailed  => ("RQ-017", "conflict",        Error, 412, Never,     Caller,     NextTry, "The resource does not have the version that the request asks for.", "Read the resource again without If-Match and If-Unmodified-Since."),
    HeadTooLarge        => ("RQ-018", "too-long",        Error, 431, Never,     Caller,     NextTry, "The address and the headers of the request are too long.", "Shorten them. Put search parameters into the body of a POST _search."),
    SortTooCostly       => ("RQ-019", "too-costly",      Error, 400, Never,     Caller,     NextTry, "The search finds more resources than the server sorts.", "Narrow the search, for example to one patient or a span of dates, or leave _sort out. The server sorts up to 20,000."),
    SearchTooCostly     => ("RQ-020", "too-costly",      Error, 400, Never,     Caller,     NextTry, "The search is more work than the server does for one search.", "Narrow the search, for example to one patient, or send fewer parameters and values."),
    OperationNotServed  => ("RQ-030", "not-supported",   Error, 404, Never,     Caller,     NextTry, "This operation is not served here.", "Use an operation that rest.resource.operation of the CapabilityStatement names."),
    TypeNotServed       => ("RQ-031", "not-supported",   Error, 404, Never,     Caller,     NextTry, "Resources of this type are not served here.", "Ask for a type that rest.resource of the CapabilityStatement names."),
    // Idempotency
    IdempotencyKeyBad   => ("ID-001", "value",           Error, 400, Never,     Caller,     NextTry, "The server cannot use the Idempotency-Key header.", "Send one key of 1 to 255 visible ASCII characters."),
    IdempotencyKeyReused => ("ID-002", "business-rule",   Error, 422, Never,     Caller,     NextTry, "This Idempotency-Key was used for another request.", "Use a new key for a new request."),
    IdempotencyRunning  => ("ID-003", "conflict",        Error, 409, Backoff,   Caller,     NextTry, "The first request with this Idempotency-Key is still running.", "Wait as long as Retry-After says, then try again."),
    // Security
    TokenMissing        => ("SE-001", "login",           Error, 401, FreshToken,Caller,     NextTry, "A bearer token is needed.", "Get a token from the token endpoint named in /.well-known/smart-configuration."),
    TokenInvalid        => ("SE-002", "login",           Error, 401, FreshToken,Caller,     NextTry, "The access token is not valid.", "Get a new token. A bound token works only with the certificate with which you asked for it."),
    ScopeMissing        => ("SE-003", "forbidden",       Error, 403, Never,     Caller,     NextTry, "The token's scope does not cover this request.", "Ask for a token with the scope this interaction needs."),
    CertificateNeeded   => ("SE-004", "security",        Error, 401, Never,     Caller,     NextTry, "This partner must present its client certificate.", "Connect with the certificate that is registered for this partner."),
    CertificateUnknown  => ("SE-005", "security",        Error, 401, Never,     Caller,     NextTry, "The client certificate is not registered.", "Connect with the registered certificate, or ask the payer's operator to register the URI name of this one."),
    PartnerSuspended    => ("SE-006", "forbidden",       Error, 403, Never,     Operator,   Day,     "This partner is suspended.", "Contact the payer's operator."),
    FormForeign         => ("SE-008", "forbidden",       Error, 403, Never,     Caller,     NextTry, "The form was not sent from a page of this server.", "Open the page again in the same browser, and send the form from there."),
    RoleMissing         => ("SE-007", "forbidden",       Error, 403, Never,     Caller,     NextTry, "The role of the operator token does not allow this.", "Use a token of a role that may do this; docs/operations.md names the roles."),
    // Signing in to the console by an identity provider (operators only)
    SignInUnfit         => ("SI-001", "login",           Error, 401, Never,     Caller,     NextTry, "The sign-in could not be completed.", "Begin again on the first page of the console, in the same browser, and end it within ten minutes."),
    SignInNoRole        => ("SI-002", "forbidden",       Error, 403, Never,     Operator,   NextTry, "The identity provider gives this person no role for the console.", "Ask for one of the groups that oidc.roles names, or add a group of this person to oidc.roles."),
    SignInProvider      => ("SI-003", "transient",       Error, 503, Backoff,   Operator,   Day,     "The identity provider does not answer, or its answer cannot be used.", "Try again in a minute, or sign in by a link of `causeway console link`. The log has the cause."),
    // OAuth (answered as RFC 6749 JSON)
    OauthRequest        => ("OA-001", "invalid",         Error, 400, Never,     Caller,     NextTry, "The token request is malformed.", "Send each form field once, as application/x-www-form-urlencoded."),
    OauthClient         => ("OA-002", "login",           Error, 401, Never,     Caller,     NextTry, "The client could not be authenticated.", "Sign a new assertion with a registered key. Set iss and sub to the client_id, aud to the address of the token endpoint, exp at most 300 s ahead, and jti to a new id."),
    OauthGrantType      => ("OA-003", "not-supported",   Error, 400, Never,     Caller,     NextTry, "The server grants client_credentials only.", "Send grant_type=client_credentials."),
    OauthScope          => ("OA-004", "forbidden",       Error, 400, Never,     Caller,     NextTry, "The server can grant none of the requested scopes.", "Ask for scopes that are registered for this client."),
    OauthTarget         => ("OA-005", "not-found",       Error, 400, Never,     Caller,     NextTry, "The client has no grant for the patient of the token request.", "Match the member first, with $member-match."),
    OauthThrottled      => ("OA-020", "throttled",       Error, 429, Backoff,   Caller,     NextTry, "Too many requests of this client to the OAuth endpoints failed.", "Wait as long as Retry-After says, then correct what the failed answers named."),
    // Member match
    MatchInvalid        => ("MM-001", "invariant",       Error, 422, Never,     Caller,     NextTry, "The member match request does not conform to its profile.", "Correct the element that expression names. The profile is HRex member-match."),
    MatchParameterMissing => ("MM-002", "required",        Error, 422, Never,     Caller,     NextTry, "A required parameter is missing.", "Send MemberPatient, CoverageToMatch and Consent, each once."),
    MatchParameterUnknown => ("MM-003", "not-supported",   Error, 422, Never,     Caller,     NextTry, "A parameter is unknown or sent twice.", "Send only MemberPatient, CoverageToMatch, CoverageToLink and Consent, each at most once."),
    MatchReference      => ("MM-004", "value",           Error, 422, Never,     Caller,     NextTry, "A reference does not resolve to the MemberPatient of the request.", "Refer to it as Patient/<id> with the id of MemberPatient."),
    NoUniqueMember      => ("MM-005", "not-found",       Error, 422, Never,     Caller,     NextTry, "No unique member could be matched.", "Check the demographics and the coverage identifiers, and send all that are known."),
    MatchLocked         => ("MM-006", "throttled",       Error, 429, Backoff,   Operator,   Hour,    "Too many member matches failed.", "Wait, and contact the payer's operator."),
    BulkTooMany         => ("MM-007", "too-costly",      Error, 422, Never,     Caller,     NextTry, "The request names more members than one bulk match takes.", "Send fewer members in one request, and the rest in further ones."),
    BulkContradicts     => ("MM-008", "duplicate",       Error, 422, Never,     Caller,     NextTry, "Two members of the request have the same id and are different people.", "Give each MemberPatient an id of its own."),
    // Reviews and identity links (operators only)
    ReviewUnknown       => ("RV-001", "not-found",       Error, 404, Never,     Reviewer,   NextTry, "There is no such review.", "Find its id with `causeway review list`."),
    ReviewMoved         => ("RV-002", "conflict",        Error, 409, Never,     Reviewer,   NextTry, "The review is in a state that does not allow this.", "Look at the review again: someone decided or changed it in the meantime."),
    ReviewSecondNeeded  => ("RV-003", "business-rule",   Error, 409, Never,     Reviewer,   Day,     "A second person must decide this.", "Ask a person who did not propose this decision to look at it and decide."),
    LinkUnknown         => ("LK-001", "not-found",       Error, 404, Never,     Reviewer,   NextTry, "There is no such identity link, step or member.", "Find its id with `causeway link list`."),
    LinkMoveRefused     => ("LK-002", "conflict",        Error, 409, Never,     Reviewer,   NextTry, "The identity link is in a state that does not allow this.", "See the state of the link with `causeway link list`."),
    // Consent
    ConsentNotHonoured  => ("CO-001", "suppressed",      Error, 422, Never,     Caller,     NextTry, "The member was matched, but the payer cannot honor the consent.", "Ask the member for a new consent. The reason is in the payer's records, not in the form of the consent."),
    // Consent, judged by the request, the caller and the clock alone, before anybody is looked up
    ConsentPatient      => ("CO-010", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent is about another person than the MemberPatient.", "Make Consent.patient refer to the MemberPatient of the request."),
    ConsentGrantor      => ("CO-011", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent was not given by the member or a representative.", "Let Consent.performer refer to the MemberPatient, or to an actor of the consent in a role such as HPOWATT."),
    ConsentRecipient    => ("CO-012", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent does not name the caller as recipient.", "Add an actor in the role IRCP with the NPI under which you are registered here."),
    ConsentSource       => ("CO-013", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent does not name this payer as the one who may disclose.", "Add an actor in the role performer with this payer's NPI."),
    ConsentInactive     => ("CO-014", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent is not active.", "Send a consent whose status is active."),
    ConsentKind         => ("CO-015", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent is not a privacy consent for disclosure.", "Use the scope patient-privacy and the category IDSCL."),
    ConsentAction       => ("CO-016", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent does not permit disclosure.", "Use provision.type permit and the one action disclose."),
    ConsentFiltered     => ("CO-017", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent has filters that HRex does not allow.", "Leave out securityLabel, purpose, class, code, dataPeriod, data and nested provisions."),
    ConsentPolicy       => ("CO-018", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent does not have exactly one policy that is supported.", "Send exactly one policy: HRex's #regular or #sensitive."),
    ConsentPeriod       => ("CO-019", "business-rule",   Error, 422, Never,     Caller,     NextTry, "The consent is not in force at this time.", "Send a consent whose provision.period has begun and has not ended."),
    ConsentUnknown      => ("CO-020", "not-found",       Error, 404, Never,     Caller,     NextTry, "There is no such consent on record.", "Find its id by partner or member with `causeway consent list`, or GET /ops/v1/consents."),
    GrantUnknown        => ("CO-021", "not-found",       Error, 404, Never,     Caller,     NextTry, "There is no such grant.", "Find its id by partner or member with `causeway grant list`, or GET /ops/v1/grants."),
    // What is on record (operators only)
    MemberUnknown       => ("AU-001", "not-found",       Error, 404, Never,     Caller,     NextTry, "There is no such member.", "Give the id of the Patient as Patient/<id>, or the member number in the body of a _search."),
    MemberNumberShared  => ("AU-002", "multiple-matches",Error, 409, Never,     Caller,     NextTry, "Several members have this number.", "Ask for each of these members by the id of the Patient."),
    TraceUnknown        => ("AU-003", "not-found",       Error, 404, Never,     Caller,     NextTry, "Nothing is on record under this id.", "Give a correlation id, or the id of a request, decision, grant, consent, review or exchange. Refusals that are only counted are on record after a minute."),
    LedgerForked        => ("AU-004", "security",        Fatal, 500, Never,     Operator,   Now,     "The ledger contradicts a checkpoint that was signed before.", "Keep the store as it is, and find out what happened: `causeway audit verify` says what was changed. After a backup was restored, begin a new log with `causeway audit new-log`; docs/verify.md says more."),
    LedgerKey           => ("AU-005", "no-store",        Error, 500, Never,     Operator,   Now,     "The files of the ledger's log cannot be used, or its key is missing.", "Put the key of the log back into the folder that ledger.key_folder names, readable by the server's user only. If it is lost, begin a new log with `causeway audit new-log`."),
    LedgerEntryUnknown  => ("AU-006", "not-found",       Error, 404, Never,     Caller,     NextTry, "No entry with this id or index is covered by a checkpoint.", "Give the id of an entry of the ledger, or its index. A new entry is covered after some seconds, while a server runs."),
    WitnessFiles        => ("AU-007", "no-store",        Error, 500, Never,     Operator,   Now,     "The files of a witness cannot be used.", "Put the key and the checkpoints of the witness back into its folder, readable by its user only. A witness that has lost them starts again in another folder, with another name and key."),
    // Erasure of members
    ErasureKept         => ("AU-020", "business-rule",   Error, 409, Never,     Operator,   NextTry, "Records of this member must still be kept.", "Wait until the time for which they are kept is over, or name the law that demands it with --legal-basis."),
    ErasureHeld         => ("AU-021", "business-rule",   Error, 409, Never,     Operator,   NextTry, "Records of this member are under a legal hold.", "Ask who ordered the hold. The member can be erased when it is lifted."),
    ErasureWaits        => ("AU-022", "lock-error",      Error, 409, Backoff,   Operator,   NextTry, "A bulk run of ours is at work for this member.", "Wait until it has ended, or end it with `causeway bulk cancel`, and give the command again."),
    // Evidence (operators only)
    PacketUnknown       => ("EV-001", "not-found",       Error, 404, Never,     Caller,     NextTry, "There is no such evidence packet.", "Ask for it with `causeway audit packet`, or with POST /ops/v1/packets; GET /ops/v1/packets lists those that were asked for."),
    PacketNotMade       => ("EV-002", "conflict",        Error, 409, Backoff,   Caller,     NextTry, "The evidence packet is not made yet.", "Try again in some seconds: a server has to run, and to sign a checkpoint that covers the last entry of the packet."),
    PacketTooLarge      => ("EV-003", "too-costly",      Error, 422, Never,     Caller,     NextTry, "The evidence packet would have more than 10,000 entries.", "Ask for less: for a shorter time, or for single exchanges. `causeway audit export` has the whole ledger."),
    EvidenceMissing     => ("EV-004", "not-found",       Error, 404, Never,     Caller,     NextTry, "The checkpoint covers no entry for this evidence packet.", "Correct the id or the time, or leave out the checkpoint."),
    CaseUnknown         => ("EV-005", "not-found",       Error, 404, Never,     Caller,     NextTry, "There is no such case.", "See `causeway evidence case list`."),
    CaseClosed          => ("EV-006", "conflict",        Error, 409, Never,     Caller,     NextTry, "The case is closed.", "Open a new case: what is closed stays as it is."),
    CaseNameTaken       => ("EV-007", "duplicate",       Error, 409, Never,     Caller,     NextTry, "There is a case of this name.", "Give another name."),
    PacketErased        => ("EV-008", "deleted",         Error, 410, Never,     Caller,     NextTry, "The evidence packet was erased, with a member or after its time.", "Ask for it again: it will lack what was erased."),
    // Bulk work
    BulkAsyncNeeded     => ("BK-001", "processing",      Error, 400, Never,     Caller,     NextTry, "The server does this work in the background only.", "Send the header Prefer: respond-async, then ask the address in Content-Location."),
    BulkBusy            => ("BK-002", "throttled",       Error, 429, Backoff,   Caller,     NextTry, "The partner has as many bulk jobs as it may have at once.", "Wait as long as Retry-After says, or delete a job at its status address."),
    BulkLate            => ("BK-003", "timeout",         Error, 500, Never,     Operator,   Day,     "The bulk job did not come to its end in time.", "Start it again, and tell the payer's operator the X-Request-Id."),
    BulkFolder          => ("BK-004", "no-store",        Error, 503, Backoff,   Operator,   Now,     "The files of bulk jobs cannot be written or read.", "Wait as long as Retry-After says, then try again."),
    ReceiptAnswered     => ("BK-005", "conflict",        Error, 409, Never,     Caller,     NextTry, "This is not the receipt of the export, or it was answered before.", "Ask the status address, fetch the receipt that its manifest names, and answer that one."),
    // Store and server
    Overloaded          => ("SV-001", "throttled",       Error, 503, Backoff,   Operator,   Hour,    "The server is too busy to answer this request.", "Wait as long as Retry-After says, then try again."),
    StoreUnavailable    => ("SV-002", "no-store",        Error, 503, Backoff,   Operator,   Now,     "The store cannot be reached.", "Wait as long as Retry-After says, then try again."),
    StoreDamaged        => ("SV-003", "exception",       Fatal, 500, Never,     Operator,   Now,     "The store is damaged or incomplete.", "Tell the payer's operator the X-Request-Id."),
    Internal            => ("SV-004", "exception",       Fatal, 500, Never,     Maintainer, Day,     "The server failed because of an error in its program.", "Tell the payer's operator the X-Request-Id."),
    AuditUnavailable    => ("SV-005", "no-store",        Error, 503, Backoff,   Operator,   Now,     "The disclosure could not be recorded, so nothing was disclosed.", "Wait as long as Retry-After says, then try again."),
    RateLimited         => ("SV-006", "throttled",       Error, 429, Backoff,   Caller,     NextTry, "The partner sends more than its limit allows.", "Wait as long as Retry-After says, then try again."),
    AddressLimited      => ("SV-007", "throttled",       Error, 429, Backoff,   Caller,     NextTry, "Unknown clients at this address send more than their limit allows.", "Wait as long as Retry-After says, then try again. A connection with a partner's certificate or token has a limit of its own."),
    NoRoom              => ("SV-009", "no-store",        Error, 503, Backoff,   Operator,   Now,     "The disk of the store is full.", "Wait as long as Retry-After says, then try again."),
    SchemaBehind        => ("SV-013", "no-store",        Error, 503, Never,     Operator,   Now,     "The schema of the store is older than this program, and this database role may not change it.", "Run `causeway migrate` with the role that owns the tables."),
    SchemaNewer         => ("SV-014", "no-store",        Error, 503, Never,     Operator,   Now,     "A newer version of this program wrote the store.", "Run that version, or a newer one."),
    StoreUnfit          => ("SV-015", "no-store",        Error, 503, Never,     Operator,   Now,     "The database cannot serve as the store.", "Correct what the message names; docs/operators/postgresql.md says what a store needs."),
    StoreReadOnly       => ("SV-016", "no-store",        Error, 503, Never,     Operator,   Now,     "The store is read-only.", "Set store.url to a store that accepts writes. Commands that only read work on this one."),
    StoreUnsafe         => ("SV-011", "no-store",        Error, 503, Backoff,   Operator,   Now,     "The store accepts no writes at present.", "Wait as long as Retry-After says, then try again."),
    StoreSlow           => ("SV-012", "timeout",         Error, 503, Backoff,   Operator,   Hour,    "The store did not answer in time.", "Wait as long as Retry-After says, then try again."),
    // Commands and operation
    ConfigInvalid       => ("OP-001", "value",           Error, 500, Never,     Operator,   NextTry, "The configuration cannot be used.", "Correct the key that the message names."),
    StoreBusy           => ("OP-002", "lock-error",      Error, 503, Backoff,   Operator,   NextTry, "Another process holds the store.", "Use the running server's commands, or stop it first."),
    InputUnreadable     => ("OP-003", "structure",       Error, 400, Never,     Operator,   NextTry, "The program could not read an input.", "Check the path and its permissions."),
    PartnerInvalid      => ("OP-004", "value",           Error, 400, Never,     Operator,   NextTry, "The partner's registration cannot be used.", "Correct the field that the message names."),
    PartnerUnknown      => ("OP-005", "not-found",       Error, 404, Never,     Operator,   NextTry, "There is no such partner.", "Find its id with `causeway partner list`."),
    DurabilityUnsafe    => ("OP-006", "business-rule",   Error, 503, Never,     Operator,   Now,     "With these durability settings the store could lose work that was acknowledged.", "Correct the setting that the message names; `causeway durability` shows all of them."),
    OperatorTokenUnknown => ("OP-007", "not-found",       Error, 404, Never,     Operator,   NextTry, "There is no such operator token.", "Find it with `causeway operator list`. A token that ended or was revoked is not in the list."),
    StoreMissing        => ("OP-008", "not-found",       Error, 404, Never,     Operator,   NextTry, "There is no store yet, and a command that only reads does not create one.", "Correct store.url (or DATABASE_URL), or create a store with `causeway migrate`."),
    BackupAltered       => ("OP-009", "security",        Error, 500, Never,     Operator,   Now,     "The backup is not as it was made.", "Restore another backup, and find out who changed this one. docs/operators/backup.md says what is checked."),
    StoreNotEmpty       => ("OP-010", "conflict",        Error, 409, Never,     Operator,   NextTry, "There is a store where the backup would be restored.", "Name another place in store.url, or say with --replace or --replace-newer that this store may be moved aside."),
    PolicyInvalid       => ("PO-001", "value",           Error, 400, Never,     Operator,   NextTry, "The policy cannot be used.", "Correct what the message names."),
    PolicyUnknown       => ("PO-002", "not-found",       Error, 404, Never,     Operator,   NextTry, "No policy version has this id, or several have it.", "Find the id with `causeway policy list`, and give more of its characters."),
    PolicyFixed         => ("PO-003", "business-rule",   Error, 409, Never,     Operator,   NextTry, "The rules of this kind are part of the program.", "Leave the version as it is: another one comes with another version of the program."),
    PolicySecondNeeded  => ("PO-004", "business-rule",   Error, 409, Never,     Operator,   Day,     "A second person must approve this.", "Ask a person who did not ask for this to look at it and to approve it with `causeway policy approve`."),
    ActivationUnknown   => ("PO-005", "not-found",       Error, 404, Never,     Operator,   NextTry, "There is no such act on a policy, or its state does not allow this.", "See the acts with `causeway policy acts`."),
    // Retention (operators only)
    HoldInForce         => ("RT-001", "business-rule",   Error, 409, Never,     Operator,   Day,     "A legal hold keeps this from being deleted.", "See the hold with `causeway retention hold list`. What it keeps can be deleted after its release."),
    HoldUnknown         => ("RT-002", "not-found",       Error, 404, Never,     Operator,   NextTry, "There is no such legal hold.", "Find its id with `causeway retention hold list`."),
    PeriodRefused       => ("RT-003", "value",           Error, 400, Never,     Operator,   NextTry, "The periods of retention cannot be used.", "Correct what the message names; `causeway retention show` has the bounds."),
    // Background work
    JobUnknown          => ("JB-001", "not-found",       Error, 404, Never,     Operator,   NextTry, "There is no such job.", "Find its id with `causeway jobs list`. A job that is done is not in the list."),
    JobNotParked        => ("JB-002", "conflict",        Error, 409, Never,     Operator,   NextTry, "The job is not parked.", "Leave the job alone: it runs, or waits for its time. `causeway jobs list` shows its state."),
    LeaseLost           => ("JB-003", "conflict",        Error, 409, Never,     Nobody,     Never,   "The worker lost its lease on the job.", "Do nothing: another worker has the job."),
    // Import
    ReferenceUnresolved => ("IM-001", "not-found",       Error, 422, Never,     Operator,   Day,     "A reference that decides whose record this is does not resolve.", "Import the resource it names first, or in the same run."),
    TypeUnsupported     => ("IM-002", "not-supported",   Error, 422, Never,     Operator,   NextTry, "The server does not keep resources of this type.", "Leave the resource out."),
    ValueInvalid        => ("IM-003", "value",           Error, 422, Never,     Operator,   Day,     "An element has a value that its type does not allow.", "Correct the element that expression names."),
    ElementUnknown      => ("IM-010", "structure",       Error, 422, Never,     Operator,   Day,     "R4 has no such element here.", "Leave the element out, or send it as an extension."),
    ElementShape        => ("IM-011", "structure",       Error, 422, Never,     Operator,   Day,     "An element does not have the JSON form that R4 gives it.", "Correct the element that expression names."),
    CodeUnknown         => ("IM-012", "code-invalid",    Error, 422, Never,     Operator,   Day,     "A code is not in the value set that R4 requires.", "Use a code of that value set."),
    ElementMissing      => ("IM-013", "required",        Error, 422, Never,     Operator,   Day,     "An element that R4 requires is missing.", "Add the element."),
    ChoiceConflict      => ("IM-014", "structure",       Error, 422, Never,     Operator,   Day,     "Two elements that exclude each other are both there, or both missing.", "Send exactly one of them."),
    NotStorable         => ("IM-015", "processing",      Error, 422, Never,     Operator,   Day,     "The store cannot hold a value of this resource.", "Shorten the value that the database cannot hold, or leave it out."),
    JudgementFailed     => ("IM-016", "exception",       Error, 500, Never,     Maintainer, Day,     "The program failed while it checked the resource.", "Import the rest. Tell the maintainers the type of the resource and its place in the file."),
    RecordFull          => ("IM-017", "too-long",        Error, 422, Never,     Operator,   Day,     "The record of the member is full.", "Leave the resource out."),
    SourceBaseConflict  => ("IM-020", "duplicate",       Error, 422, Never,     Operator,   Day,     "Two servers use the same type and id.", "Give the resources of one of them an id prefix: --source-base URL=PREFIX."),
    BinaryOfSeveral     => ("IM-021", "conflict",        Error, 422, Never,     Operator,   Day,     "Resources of several members name this Binary.", "Give each member a Binary of its own."),
    DeletedAtSource     => ("IM-022", "deleted",         Error, 422, Never,     Nobody,     Never,   "The history of this resource says that it was deleted.", "Do nothing: an import deletes nothing, and does not bring back what was deleted."),
    PartnerUnreachable  => ("PA-001", "transient",       Error, 503, Backoff,   Operator,   Hour,    "The other payer cannot be reached.", "Try again later."),
    PartnerAnswer       => ("PA-002", "processing",      Error, 502, Never,     Operator,   Day,     "The server cannot use the answer of the other payer.", "Contact the other payer with the correlation id."),
    AnswerTooLong       => ("PA-003", "timeout",         Error, 408, Never,     Caller,     NextTry, "The partner read an answer too slowly.", "Read answers faster, or ask for pages with _count. limits.answer_seconds is the longest time."),
    // Exchanges
    ExchangeUnknown => ("EX-001", "not-found", Error, 404, Never, Operator, NextTry, "There is no such exchange.", "See `causeway exchange list`."),
    ExchangeMoveRefused => ("EX-002", "conflict", Error, 409, Never, Operator, NextTry, "The phase of the exchange does not allow this.", "See the phase with `causeway exchange show`, and the allowed moves with `causeway states`."),
    EnrolmentInvalid => ("EX-003", "value", Error, 422, Never, Operator, NextTry, "The enrollment cannot be used.", "Correct the field that expression names."),
    OptInMissing => ("EX-004", "business-rule", Error, 422, Never, Operator, NextTry, "The enrollment has no opt-in.", "Say who attested the opt-in, when, and how: opt_in_by, opt_in_at, opt_in_how."),
    OptInOver => ("EX-005", "business-rule", Error, 422, Never, Operator, NextTry, "The opt-in is not in force now.", "Ask the member for a new opt-in."),
    OptInRevoked => ("EX-006", "business-rule", Error, 422, Never, Operator, NextTry, "The member has revoked the opt-in.", "Ask the member for a new opt-in."),
    OptInUnknown => ("EX-007", "not-found", Error, 404, Never, Operator, NextTry, "There is no such opt-in.", "See the exchange for the id of its opt-in."),
    PartnerHasNoEndpoint => ("EX-008", "business-rule", Error, 422, Never, Operator, NextTry, "The registration of the partner has no endpoint.", "Add [endpoint] to the registration, then run `causeway partner rotate`."),
    AttemptsOver => ("EX-009", "transient", Error, 503, Never, Operator, Day, "All attempts at the other payer failed.", "See the attempts with `causeway exchange show`, end the cause, then replay."),
    DeadlineOver => ("EX-010", "timeout", Error, 503, Never, Operator, Day, "The exchange used up its time for automatic attempts.", "See with `causeway exchange show` what it waits for, then replay."),
    WaitTooLong => ("EX-011", "transient", Error, 503, Never, Operator, Day, "The other payer asks for a longer wait than this server allows.", "Ask the other payer when it is ready, then replay."),
    NoMatchThere => ("EX-012", "not-found", Error, 422, Never, Operator, Day, "The other payer knows no such member.", "Correct the member's data and coverage, then start the exchange again."),
    SeveralThere => ("EX-013", "multiple-matches", Error, 422, Never, Operator, Day, "The other payer cannot tell the member from others.", "Correct the member's data, then replay. If the card number was wrong, close the exchange and start a new one."),
    RestNotGiven => ("EX-014", "incomplete", Error, 502, Never, Operator, Day, "The other payer did not send the whole record.", "Ask the other payer for what `causeway exchange show` lists as missing, then replay."),
    InQuarantine => ("EX-015", "processing", Error, 502, Never, Operator, Day, "Some of the received resources are in quarantine.", "See the exchange with `causeway exchange show`. Replay after an upgrade; supersede when the partner has corrected its data."),
    PartnerStopped => ("EX-016", "business-rule", Error, 422, Never, Operator, Day, "The partner is suspended.", "Resume the partner, then replay."),
    ExchangePaused => ("EX-017", "informational", Error, 409, Never, Operator, NextTry, "An operator paused the exchange.", "Replay the exchange when it may go on."),
    ExchangeFell => ("EX-018", "exception", Error, 500, Never, Maintainer, Day, "The processes that ran the exchange ended without a result.", "Read the log lines with its id, then replay."),
    WorkflowUnknown => ("EX-019", "exception", Error, 409, Never, Operator, Day, "The exchange began under a version of this program whose steps this version does not know.", "Run that version or a newer one, then replay."),
    SpoolLost => ("EX-020", "exception", Error, 500, Never, Operator, Day, "Received data was lost or changed before it was stored.", "Check the disk of the store, then replay."),
    QueueFull => ("EX-021", "throttled", Error, 503, Backoff, Operator, NextTry, "Too many exchanges with this partner are waiting.", "Try again when some of them have ended."),
    NotAcknowledged => ("EX-022", "transient", Error, 503, Never, Operator, Day, "The other payer did not accept the receipt.", "Ask the other payer for the reason, then replay."),
    ExchangeNotParked => ("EX-023", "conflict", Error, 409, Never, Operator, NextTry, "The exchange is not parked.", "Leave the exchange alone: it runs, waits for its time, or has ended."),
    ExchangeRuns => ("EX-024", "conflict", Error, 409, Never, Operator, NextTry, "The same exchange is running already.", "See the exchange that the message names."),
    ClosedByOperator => ("EX-025", "informational", Error, 409, Never, Nobody, Never, "An operator ended the exchange.", "Start it again when it is needed."),
    FileUnusable => ("EX-026", "structure", Error, 422, Never, Operator, NextTry, "The file of enrollments cannot be read.", "Give CSV with a header line, or NDJSON, in UTF-8."),
    // What another payer answers, and what came with it
    PartnerElsewhere    => ("EX-050", "security",         Error, 502, Never, Operator, Day, "The other payer names an address that its registration does not cover.", "Ask the other payer which address is right, then correct endpoint.fhir of its registration."),
    PartnerRedirects    => ("EX-051", "security",         Error, 502, Never, Operator, Day, "The other payer answers with a redirect.", "Ask the other payer for the final address: this server follows no redirects."),
    PartnerCertificate  => ("EX-052", "security",         Error, 502, Never, Operator, Day, "The two payers could not agree on their TLS certificates.", "Compare endpoint.trust with the other payer's server certificate, and our client certificate with what the other payer has registered."),
    PartnerTokenRefused => ("EX-053", "login",            Error, 502, Never, Operator, Day, "The other payer refuses a token.", "Compare our client id, key and certificate with what the other payer has registered, then replay."),
    PartnerTokenUnfit   => ("EX-054", "processing",       Error, 502, Never, Operator, Day, "The other payer's token cannot be used: it has no expiry, or a scope that this server did not ask for.", "Send the other payer the correlation id."),
    PartnerNotFhir      => ("EX-055", "structure",        Error, 502, Backoff, Operator, Day, "The other payer's answer is not FHIR R4.", "Send the other payer the correlation id."),
    PartnerTooMuch      => ("EX-056", "too-long",         Error, 502, Never, Operator, Day, "The other payer sends more than this server accepts.", "Ask the other payer why its record is that large."),
    PartnerPagesLoop    => ("EX-057", "processing",       Error, 502, Never, Operator, Day, "The other payer's page links lead in a circle.", "Send the other payer the correlation id."),
    PartnerForbids      => ("EX-058", "forbidden",        Error, 502, Never, Operator, Day, "The other payer does not allow the request.", "Ask the other payer for the scopes that the exchange needs, then replay."),
    PartnerMisunderstands => ("EX-059", "processing",     Error, 502, Never, Maintainer, Day, "The other payer says that the request is wrong.", "Report the correlation id as a defect of this server, and replay after an upgrade."),
    PartnerRefuses      => ("EX-060", "business-rule",    Error, 502, Never, Operator, Day, "The other payer refuses the request.", "Ask the other payer for the reason, with the correlation id."),
    PartnerOffersNothing=> ("EX-061", "not-supported",    Error, 502, Never, Operator, Day, "The other payer offers no way to get a record.", "Ask the other payer to offer $everything or searches."),
    MatchAnswerUnfit    => ("EX-062", "structure",        Error, 502, Never, Operator, Day, "The answer to $member-match names no member.", "Send the other payer the correlation id."),
    MemberIncomplete    => ("EX-064", "required",         Error, 422, Never, Operator, Day, "The member's record is too incomplete to ask another payer.", "Complete the member's Patient (name, birth date, gender) and Coverage."),
    OtherMember         => ("EX-065", "conflict",         Error, 422, Never, Operator, Hour, "The received record is about another person.", "Compare the two persons, and tell the other payer. Nothing of the record was stored."),
    StrangersResource   => ("EX-066", "conflict",         Error, 422, Never, Operator, Day, "A received resource belongs to another person, or to nobody who is known here.", "Tell the other payer. The resource is in quarantine."),
    VersionAltered      => ("EX-067", "conflict",         Error, 422, Never, Operator, Day, "A version that is stored was received again with other content.", "Ask the other payer which content is right. The resource is in quarantine."),
    IdMissing           => ("EX-068", "required",         Error, 422, Never, Operator, Day, "A received resource has no id.", "Tell the other payer. The resource is in quarantine."),
    SealKeys            => ("EX-069", "no-store",         Error, 503, Never, Operator, Hour, "A file of keys of this server, received.keys, member.keys or wrapping.keys, cannot be used.", "Put the right file back, with mode 0600."),
    SealBroken          => ("EX-070", "exception",        Fatal, 500, Never, Operator, Now, "Data that another payer sent was changed after it was stored.", "Copy the store for an investigation, and check its disk. Then replay the exchange: what cannot be read is fetched again."),
    NothingReceived     => ("EX-071", "not-found",        Error, 404, Never, Operator, NextTry, "The exchange has received nothing.", "See what happened with `causeway exchange show ID`."),
    PatientMissing      => ("EX-072", "incomplete",       Error, 502, Never, Operator, Day, "The record was received without its Patient, so nothing says whose it is.", "Ask the other payer for the Patient, then supersede the exchange. Nothing of the record was stored."),
    PartnerMoved        => ("EX-073", "conflict",         Error, 409, Never, Operator, Day, "The registration of the partner has another address than the one at which the member was matched.", "Supersede the exchange: the new one asks at the address of the registration. If the registration is wrong, correct it, then replay."),
    FilesUntrue         => ("EX-074", "incomplete",       Error, 502, Never, Operator, Day, "The other payer's files are not what its manifest says.", "Send the other payer the id of the bulk run. Its members are asked for one by one."),
    ReceiptUntrue       => ("EX-075", "incomplete",       Error, 502, Never, Operator, Day, "The other payer's receipt of an export is not its own, or not of what it gave.", "Send the other payer the id of the bulk run. What came was checked against its manifest, and stays."),
}

impl Fault {
    /// The stable code, such as `MM-005`.
    pub const fn code(self) -> &'static str {
        self.row().code
    }

    /// What an operator can do where that is not what a partner can do: commands and `/ops/v1` say this instead of the remedy.
    pub const fn operator_remedy(self) -> Option<&'static str> {
        Some(match self {
            Fault::TooLarge => "Send less. The keys under [limits] say how much is accepted.",
            Fault::ParameterUnknown | Fault::RouteUnknown => {
                "See docs/operations.md for what /ops/v1 and the commands accept."
            }
            Fault::OperationNotServed | Fault::TypeNotServed => "See docs/operations.md for what is served.",
            Fault::NotFound => "Check the id. The lists of /ops/v1 and of the commands name those that exist.",
            Fault::HeadTooLarge => "Send less in the address and the headers.",
            Fault::IdempotencyRunning => "Wait until the first request has ended, then send this one again.",
            Fault::TokenMissing | Fault::TokenInvalid => {
                "Make a token on the host with `causeway operator token --role ROLE`."
            }
            Fault::CertificateNeeded | Fault::CertificateUnknown => {
                "Compare certificate_uri and mtls of `causeway partner show` with the certificate."
            }
            Fault::PartnerSuspended => {
                "See the reason with `causeway partner show`. `causeway partner resume` lets the partner in again."
            }
            Fault::OauthClient => "Read `why` in the log line of the refusal, and run `causeway partner check`.",
            Fault::OauthThrottled => {
                "Read `why` in the log lines of its refusals. limits.token_failures sets the number."
            }
            Fault::OauthTarget => "See the grants of the partner with `causeway grant list`.",
            Fault::MatchLocked => {
                "Look at the decisions of the partner with `causeway match list`, then let it in again with `causeway partner unlock`."
            }
            Fault::Overloaded => "Try again in a few seconds. If it lasts, see /metrics and the keys under [limits].",
            Fault::StoreUnavailable => {
                "Make sure that the database runs and that its disk has free space. The log has the cause."
            }
            Fault::StoreDamaged => {
                "Stop the server, keep the store as it is, and restore a backup. The log has the cause."
            }
            Fault::Internal => "Look for the request id in the log, which has the cause. Report it as a defect.",
            Fault::AuditUnavailable => {
                "Make sure that the database runs and that its disk has free space: the ledger could not be written."
            }
            Fault::NoRoom => {
                "Free space on the disk of the store; the keys limits.free_* say how much. The server then accepts writes again. Run an interrupted import again."
            }
            Fault::StoreUnsafe => {
                "Correct what the log names: a durability setting, or the mode of a pooler. The server accepts writes again within seconds."
            }
            Fault::StoreSlow => {
                "Look for statements that hold locks or take long in the database (pg_stat_activity). The log has the cause."
            }
            Fault::BulkBusy => {
                "Wait until some bulk jobs of the partner have ended. bulk.jobs_per_partner sets the number."
            }
            Fault::BulkLate => {
                "Look in the log for what the bulk job waited for: `causeway jobs list` shows its work. bulk.deadline_hours sets the time."
            }
            Fault::BulkFolder => {
                "Make sure that the server can read and write the folder or object store of exports.url (`causeway config --check-files`), and that received.keys is the right one. The log has the cause."
            }
            Fault::RateLimited => "Try again in a few seconds. The keys under [limits] set the share of each partner.",
            Fault::AddressLimited => {
                "See docs/operators/limits.md for the limits of strangers. Name a balancer in server.proxy_from."
            }
            Fault::PartnerUnreachable => {
                "Check from this host that endpoint.fhir of the partner answers. `causeway partner show` has the address, the log has the cause."
            }
            Fault::PartnerAnswer => {
                "Send the other payer the correlation id. The log says what was wrong with its answer."
            }
            _ => return None,
        })
    }

    /// Whether a partner can be answered with this fault; the others are of commands and of `/ops/v1` alone.
    pub const fn is_for_partners(self) -> bool {
        let code = self.row().code.as_bytes();
        !matches!(
            self,
            Fault::RoleMissing
                | Fault::ConsentUnknown
                | Fault::GrantUnknown
                | Fault::SchemaBehind
                | Fault::SchemaNewer
                | Fault::StoreUnfit
                | Fault::StoreReadOnly
        ) && matches!(
            (code[0], code[1]),
            (b'R', b'Q')
                | (b'I', b'D')
                | (b'S', b'E')
                | (b'O', b'A')
                | (b'M', b'M')
                | (b'C', b'O')
                | (b'B', b'K')
                | (b'S', b'V')
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
    fn who_must_act_is_told_how_soon_and_what_to_do() {
        for fault in Fault::ALL {
            let row = fault.row();
            assert!(row.text.chars().next().is_some_and(char::is_uppercase), "{}", row.code);
            assert_eq!(
                row.owner == FaultOwner::Nobody,
                row.within == ActWithin::Never,
                "{}: what nobody must do is never due, and the other way round",
                row.code
            );
            // A caller is in a hurry for its own reasons; nobody at the payer waits for it.
            if row.owner == FaultOwner::Caller {
                assert_eq!(row.within, ActWithin::NextTry, "{}", row.code);
            }
            // Where another has to act, a partner is told to wait or whom to tell, and that other has words of its own.
            if row.owner != FaultOwner::Caller && fault.is_for_partners() {
                let tells = ["Retry-After", "payer's operator"]
                    .iter()
                    .any(|word| row.remedy.contains(word));
                assert!(tells, "{}: {}", row.code, row.remedy);
                assert!(fault.operator_remedy().is_some(), "{}", row.code);
            }
            if row.severity == Severity::Fatal {
                assert!(
                    matches!(row.owner, FaultOwner::Operator | FaultOwner::Maintainer),
                    "{}",
                    row.code
                );
            }
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
