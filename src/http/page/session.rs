//! What a reader with a session has on every page: the button that ends it, and the form token of each form.

use super::site::{PageReader, PageSite};
use crate::http::explorer::FORM_FIELD;
use maud::{Markup, html};

/// The button that ends the session of the reader, in the head of each page.
pub fn end_form(site: &PageSite) -> Markup {
    html! {
        @if let PageReader::Visitor { form_token, .. } = site.reader() {
            form action=(site.at("explorer/end")) method="post" aria-label="End the session" {
                input type="hidden" name=(FORM_FIELD) value=(form_token);
                button type="submit" { "End session" }
            }
        }
    }
}

/// The hidden field with the form token of a reader with a session.
pub fn form_token(site: &PageSite) -> Markup {
    html! {
        @if let PageReader::Visitor { form_token, .. } = site.reader() {
            input type="hidden" name=(FORM_FIELD) value=(form_token);
        }
    }
}
