//! `Group` read and search: the groups that the caller itself made with `$bulk-member-match`. What is sent is a disclosure of their members.

use crate::audit::RestCall;
use crate::bulk::group_match::groups::{self, GroupsText};
use crate::bulk::group_match::{CODES, GroupCode, identifier_system};
use crate::context::Context;
use crate::error::{Failure, Fault};
use crate::fhir::bundle::{Bundle, SEARCHSET};
use crate::fhir::search::query::PARAMETERS_MAX;
use crate::http::edge::PieceRoom;
use crate::http::fhir::authorised::Authorised;
use crate::http::fhir::own::{self, OwnSearch};
use crate::http::limits::{ROOM_WAIT, STREAM_WAIT};
use crate::http::negotiate::{self, AnswerForm};
use crate::http::outgoing::{self, KeptOpen};
use crate::http::reply::HttpFailure;
use crate::http::state::App;
use crate::ids::is_fhir_id;
use crate::percent::encode;
use crate::release::{GroupPage, PIECE_BYTES, WatchedGroups};
use crate::security::Caller;
use crate::store::member_groups::GroupFilter;
use actix_web::http::Method;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use futures_util::stream;
use std::collections::VecDeque;

/// The search parameters with their types, as the CapabilityStatement lists them.
pub const SEARCHED_BY: &[(&str, &str)] = &[
    ("_id", "token"),
    ("identifier", "token"),
    ("code", "token"),
    ("characteristic", "token"),
    ("characteristic-value-reference", "reference"),
];
const UNKNOWN: &str = "Group is searched by _id, identifier, code, characteristic and characteristic-value-reference.";
const NPI: &str = "http://hl7.org/fhir/sid/us-npi";

/// Bytes up to which an answer is sent at once.
const WHOLE_BYTES: usize = 256 * 1024;

/// Groups on a page, when the request does not say, and at most. A group may have as many members as a bulk match.
const COUNT: i64 = 5;
const COUNT_MAX: i64 = 20;
/// Most values of one parameter.
const VALUES_MAX: usize = 100;

/// The group with this id.
pub async fn read(
    request: HttpRequest,
    authorised: Authorised,
    id: web::Path<String>,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let form = negotiate::form(&request)?;
    let groups = groups::one(&app.ctx, &authorised.caller, &id).await?;
    Ok(answer((&request, authorised, &app), (form, RestCall::Read), groups).await?)
}

/// The search with its parameters in the URL.
pub async fn search(
    request: HttpRequest,
    authorised: Authorised,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let asked = own::got(&request, &authorised, &app).await?;
    searched((&request, authorised, &app), asked).await
}

/// The search with its parameters in a form, in the URL, or in both.
pub async fn search_post(
    request: HttpRequest,
    authorised: Authorised,
    payload: web::Payload,
    app: web::Data<App>,
) -> Result<HttpResponse, HttpFailure> {
    let asked = own::sent(&request, &authorised, payload, &app).await?;
    searched((&request, authorised, &app), asked).await
}

async fn searched(
    (request, authorised, app): (&HttpRequest, Authorised, &web::Data<App>),
    asked: OwnSearch,
) -> Result<HttpResponse, HttpFailure> {
    let form = negotiate::form(request)?;
    let found = bundle(&app.ctx, &authorised.caller, &asked).await?;
    Ok(answer((request, authorised, app), (form, RestCall::Search), found).await?)
}

/// The answer with these groups, whose disclosure has begun before the first byte. A small one is sent at once, with its length; of a large one, a
/// page of members at a time is in memory, and before each piece it is asked whether the caller and the members may still have it: nothing
/// more leaves for a partner that was suspended meanwhile, or when a member has left.
async fn answer(
    (request, authorised, app): (&HttpRequest, Authorised, &web::Data<App>),
    (form, call): (AnswerForm, RestCall),
    mut groups: GroupsText,
) -> Result<HttpResponse, Failure> {
    let disclosure = groups.begin(&authorised.caller, call).await?;
    let is_head = request.method() == Method::HEAD;
    let kept = KeptOpen::of(form);
    let (mut first, mut bytes) = (VecDeque::<MadePiece>::new(), 0);
    while bytes <= WHOLE_BYTES {
        let Some(piece) = groups.next().await? else {
            let counted: Vec<_> = first.iter().map(|(of, text)| (*of, text.len())).collect();
            let whole: Vec<u8> = first.into_iter().flat_map(|(_, text)| text).collect();
            if is_head {
                disclosure.head_only();
                return Ok(own::head().body(whole));
            }
            let terms = || outgoing::terms(app, request);
            let outgoing = disclosure.whole((whole, &counted), terms, kept.is_some());
            return Ok(outgoing::answer(&mut own::head(), outgoing, kept));
        };
        bytes += piece.text.len();
        first.push_back((piece.of, Bytes::from(piece.text)));
    }
    if is_head {
        disclosure.head_only();
        return Ok(own::head().streaming(stream::empty::<Result<Bytes, Failure>>()));
    }
    let mut room = PieceRoom::of(request, form == AnswerForm::Html);
    room.exchange(bytes, ROOM_WAIT).await?;
    let sending = SendingGroups {
        groups,
        made: first,
        watched: disclosure.streamed(outgoing::terms(app, request), kept.is_some()),
        room,
        who: (request.clone(), authorised, app.clone()),
        kept: kept.clone(),
    };
    let pieces = stream::unfold(Some(sending), |state| async move {
        let mut sending = state?;
        match sending.next().await {
            Ok(Some(piece)) => Some((Ok(piece), Some(sending))),
            Ok(None) => sending.end().err().map(|failure| (Err(failure), None)),
            Err(failure) => Some((Err(failure), None)),
        }
    });
    let mut answer = own::head().streaming(pieces);
    if let Some(kept) = kept {
        answer.extensions_mut().insert(kept);
    }
    Ok(answer)
}

/// What a piece is of, and its bytes.
type MadePiece = (Option<GroupPage>, Bytes);

/// A large answer while it is sent.
struct SendingGroups {
    groups: GroupsText,
    /// What was made and not sent yet.
    made: VecDeque<MadePiece>,
    watched: WatchedGroups,
    room: PieceRoom,
    who: (HttpRequest, Authorised, web::Data<App>),
    kept: Option<KeptOpen>,
}

impl SendingGroups {
    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Those of the store; the reason why nothing more may leave.
    async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            if let Some((of, mut text)) = self.made.pop_front() {
                let piece = text.split_to(text.len().min(PIECE_BYTES));
                if !text.is_empty() {
                    self.made.push_front((of, text));
                }
                self.watched.judge().await?;
                self.watched.pass(of, piece.len())?;
                return Ok(Some(piece));
            }
            // All that was made was taken.
            self.room.leave();
            let Some(piece) = self.groups.next().await? else {
                return Ok(None);
            };
            self.room.exchange(piece.text.len(), STREAM_WAIT).await?;
            let (request, authorised, app) = &self.who;
            authorised.still_holds(request, app).await?;
            self.made.push_back((piece.of, Bytes::from(piece.text)));
        }
    }

    /// Ends the disclosure, or keeps it until the page that the answer becomes was sent.
    fn end(self) -> Result<(), Failure> {
        let open = self.watched.end()?;
        if let Some(kept) = &self.kept {
            kept.keep(open);
        }
        Ok(())
    }
}

/// Runs a search; its Bundle.
async fn bundle(ctx: &Context, caller: &Caller, asked: &OwnSearch) -> Result<GroupsText, Failure> {
    let base_url = &ctx.payer.base_url;
    let asked = GroupSearch::read(
        &asked.pairs,
        (base_url.as_str(), caller.partner.npi.as_str()),
        asked.is_strict,
    )?;
    let page = groups::page(ctx, caller, asked.filter).await?;
    let url = |more: Option<String>| {
        let all: Vec<String> = asked.own.iter().cloned().chain(more).collect();
        let sign = if all.is_empty() { "" } else { "?" };
        format!("{base_url}/Group{sign}{}", all.join("&"))
    };
    let mut links = vec![("self", url(None))];
    if let (true, Some(last)) = (page.has_more, page.rows.last()) {
        links.push(("next", url(Some(format!("_page={}", last.id)))));
    }
    let (mut text, mut out) = (GroupsText::new(ctx, caller), Vec::new());
    let mut bundle = Bundle::begin(&mut out, SEARCHSET);
    bundle.links(&mut out, &links);
    for row in page.rows {
        bundle.begin_found(&mut out, &[base_url.as_str(), "/Group/", row.id.as_str()]);
        text.text(std::mem::take(&mut out));
        text.group(row)?;
        bundle.end_found(&mut out, "match");
    }
    if asked.has_unknown {
        own::note_ignored(ctx, &mut bundle, &mut out, ("Group", UNKNOWN));
    }
    bundle.end(&mut out);
    text.text(out);
    Ok(text)
}

/// What is searched for.
struct GroupSearch {
    filter: GroupFilter,
    /// The parameters that were understood, as a query; without the page.
    own: Vec<String>,
    /// Whether there are others. Their names are not repeated.
    has_unknown: bool,
}

impl GroupSearch {
    fn read(pairs: &[(String, String)], (base_url, npi): (&str, &str), strict: bool) -> Result<GroupSearch, Failure> {
        let mut asked = GroupSearch {
            filter: GroupFilter {
                limit: COUNT,
                ..GroupFilter::default()
            },
            own: Vec::new(),
            has_unknown: false,
        };
        if pairs.len() > PARAMETERS_MAX {
            return Err(Failure::new(Fault::ParameterInvalid)
                .at("Group")
                .remedy(format!("Send at most {PARAMETERS_MAX} parameters.")));
        }
        let systems = [identifier_system(base_url), CODES.to_owned(), NPI.to_owned()];
        for (name, value) in pairs {
            let wrong = |remedy: &'static str| {
                let place = format!("Group?{name}");
                Failure::new(Fault::ParameterInvalid).at(place).remedy(remedy)
            };
            let tokens = || {
                let all: Vec<&str> = value.split(',').collect();
                match all.len() <= VALUES_MAX {
                    true => Ok(all),
                    false => Err(wrong("Give at most 100 values, with commas between them.")),
                }
            };
            match name.as_str() {
                "_id" => {
                    let ids: Vec<String> = tokens()?.into_iter().map(str::to_owned).collect();
                    if !ids.iter().all(|id| is_fhir_id(id)) {
                        return Err(wrong("Give at most 100 ids, with commas between them."));
                    }
                    narrow(&mut asked.filter.ids, ids);
                }
                "identifier" => narrow(&mut asked.filter.ids, matching(&tokens()?, &systems[0])),
                "code" | "characteristic" => {
                    let known = |code: &String| GroupCode::parse(code).is_some();
                    let codes = matching(&tokens()?, &systems[1]).into_iter().filter(known).collect();
                    narrow(&mut asked.filter.codes, codes);
                }
                // Every group of the caller has the caller's own organization, which has no resource here, as its value.
                "characteristic-value-reference" | "characteristic-value-reference:identifier" => {
                    if !matching(&tokens()?, &systems[2]).iter().any(|own| own == npi) {
                        asked.filter.codes = Some(Vec::new());
                    }
                }
                "_count" => {
                    let count = value.parse::<i64>().ok().filter(|count| *count > 0);
                    let count = count.ok_or_else(|| wrong("Give a whole number above 0."))?;
                    asked.filter.limit = count.min(COUNT_MAX);
                }
                "_page" => {
                    if !is_fhir_id(value) {
                        return Err(wrong("Follow the links of the answer as they are."));
                    }
                    asked.filter.after.clone_from(value);
                    continue;
                }
                "_format" | "_pretty" => continue,
                _ if strict => {
                    return Err(Failure::new(Fault::ParameterUnknown).at("Group").remedy(UNKNOWN));
                }
                _ => {
                    asked.has_unknown = true;
                    continue;
                }
            }
            asked.own.push(format!("{name}={}", encode(value)));
        }
        Ok(asked)
    }
}

/// Keeps of `held` what `also` has too: parameters that are given several times must all hold.
fn narrow(held: &mut Option<Vec<String>>, also: Vec<String>) {
    *held = Some(match held.take() {
        None => also,
        Some(held) => held.into_iter().filter(|one| also.contains(one)).collect(),
    });
}

/// The codes of tokens that have this system or none.
fn matching(tokens: &[&str], system: &str) -> Vec<String> {
    let code = |token: &&str| match token.rsplit_once('|') {
        None => Some((*token).to_owned()),
        Some((own, code)) => (own == system).then(|| code.to_owned()),
    };
    tokens.iter().filter_map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)], strict: bool) -> Result<GroupSearch, Failure> {
        let pairs: Vec<(String, String)> = pairs.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect();
        GroupSearch::read(&pairs, ("https://p.example/fhir", "123"), strict)
    }

    #[test]
    fn a_search_keeps_what_all_its_parameters_allow() {
        let codes = format!("{CODES}|match,nomatch,other");
        let asked = read(&[("code", &codes), ("characteristic", "match")], false).expect("read");
        assert_eq!(asked.filter.codes, Some(vec!["match".to_owned()]));
        let asked = read(
            &[
                ("identifier", "https://p.example/fhir/Group|g1,urn:x|g2"),
                ("_id", "g1,g3"),
            ],
            false,
        );
        assert_eq!(asked.expect("read").filter.ids, Some(vec!["g1".to_owned()]));
        for (value, codes) in [
            ("123", None),
            ("http://hl7.org/fhir/sid/us-npi|123", None),
            ("9", Some(Vec::new())),
        ] {
            let asked = read(&[("characteristic-value-reference:identifier", value)], false).expect("read");
            assert_eq!(asked.filter.codes, codes, "{value}");
        }
    }

    #[test]
    fn unknown_parameters_are_told_or_refused_and_wrong_values_always() {
        assert!(read(&[("name", "x")], false).expect("read").has_unknown);
        assert!(read(&[("name", "x")], true).is_err());
        for wrong in [("_id", "a b"), ("_count", "0"), ("_page", "a/b")] {
            assert!(read(&[wrong], false).is_err(), "{wrong:?}");
        }
        assert_eq!(read(&[("_count", "500")], false).expect("read").filter.limit, COUNT_MAX);
    }
}
