//! The edge of the partners' side under attack (B06, B07): who attacks comes from other addresses than those who are to be served
//! meanwhile, a partner with mutual TLS and one without, which fetches its token. Each of their requests is on a fresh connection.

mod attacker;
mod balancer;
mod bodies;
mod busy;
mod documents;
mod floods;
mod heads;
mod hostile;
mod key_host;
mod ops_side;
mod silent;
mod slow;
mod victims;
