//! What is released, and why: the only module that turns a caller's grant into bytes.
//!
//! Each disclosure is committed to the ledger before its first byte is sent, and completed afterward with the number of bytes that were
//! sent. This module does not authorize by itself: the queries do (`store::disclosure`). It reads member data only to follow references and
//! to send the parts that were asked for.

mod begun;
mod completed;
mod everything;
mod file_disclosure;
mod filled;
#[cfg(test)]
mod fuzz_tests;
mod group_disclosure;
mod kinds;
mod lost_ends;
mod members_behind;
mod outgoing;
mod page_link;
mod read;
mod search;
mod sent;
mod supporting;
mod transmitter;
mod underway;
mod version;
mod whole_record;

pub use everything::{Everything, EverythingQuery};
pub use file_disclosure::{FileShare, JobFile, begin_file, begin_of_job, begin_part};
pub use filled::filled_types;
pub use group_disclosure::{GroupPage, GroupsDisclosure, ToldGroup, WatchedGroups, begin_groups};
pub use kinds::{SHARED, is_searchable, is_served, is_shared};
pub use lost_ends::close_lost;
pub use members_behind::MembersBehind;
pub use outgoing::{Disclosure, Open, Outgoing, PIECE_BYTES, WatchedStream};
pub use page_link::{PageLinks, SearchPage};
pub use read::{read, read_and_make};
pub use search::{FoundPage, PageStart, SORTED_MAX, START, search};
pub use sent::SentPart;
pub use supporting::ResourceName;
pub use transmitter::PageTransmitter;
pub use underway::AnswerTerms;
pub use version::{POLICY, digest as policy_digest, text as policy_text};
pub use whole_record::{ReleasedRow, WholeRecordPart, all_stand, brings_shared, each_name, each_record, each_shared};

use begun::{BegunDisclosure, begin, entry, find_and_begin, refuse};
use completed::{Tally, complete};
