//! The edge of the partners' side under attack (B06, B07): who attacks comes from other addresses than those who are to be served
//! meanwhile, a partner with mutual TLS and one without, which fetches its token. Each of their requests is on a fresh connection.

mod attacker;
mod balancer;
mod documents;
mod floods;
mod heads;
mod slow;
mod victims;
