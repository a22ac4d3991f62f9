//! The canary matrix: three partners, three members, every route and every parameter that takes an id.
//!
//! Each partner may see one member. Every resource carries the canary of its member, so that one byte of it in a wrong
//! answer shows. What is asked of a member who is not the partner's is asked again of a member who is not there: but for the
//! tag in the ids, both answers must be the same bytes.

mod pages;
mod reads;
mod searches;
mod ward;
