//! TODO(member_match)
