//! The page. Every text is escaped by the template.

use maud::{DOCTYPE, Markup, html};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

use crate::form::{Draft, FormError, MESSAGE_CHARS_MAX, NAME_CHARS_MAX};
use crate::guestbook::Entry;
use crate::picture::PICTURE_BYTES_MAX;
use crate::server::Instance;

/// The page's looks.
pub const STYLE: &str = include_str!("style.css");
/// What the table says when the worker could not make a thumbnail.
const NO_THUMBNAIL: &str = "-";

/// What the page says on top.
pub enum Notice {
    None,
    /// An entry was kept.
    Signed,
    /// The form has a mistake.
    Mistake(FormError, Draft),
    /// The entry could not be kept.
    NotKept(Draft),
    /// The entries could not be read.
    Unavailable,
}

/// The whole page.
pub fn render(entries: &[Entry], notice: &Notice, instance: &Instance) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Guestbook" }
                link rel="stylesheet" href="/style.css";
            }
            body {
                header.sky {
                    div.wrap {
                        p.eyebrow { "A service on Welkin" }
                        h1 { "Guestbook" }
                        p.lead { (instance.welcome()) }
                        p.answered { "Answered by " strong #instance { (instance.name) } }
                    }
                }
                main.wrap {
                    (notice_line(notice))
                    div.columns {
                        (form(notice))
                        section.entries aria-labelledby="entries-title" {
                            h2 #entries-title { "Latest entries" }
                            (list(entries, notice))
                        }
                    }
                }
                (footer(instance))
            }
        }
    }
}

fn notice_line(notice: &Notice) -> Markup {
    let sorry = |text: &str| html! { p.notice.sorry role="alert" { (text) } };
    match notice {
        Notice::None => html! {},
        Notice::Signed => {
            html! { p.notice.thanks role="status" { "Thank you for signing. Your entry is below." } }
        }
        Notice::Mistake(error, _) => sorry(&error.to_string()),
        Notice::NotKept(_) => sorry("Your entry could not be kept just now. Please try again in a moment."),
        Notice::Unavailable => sorry("The entries cannot be read just now. Please try again in a moment."),
    }
}

fn form(notice: &Notice) -> Markup {
    let empty = Draft::default();
    let draft = match notice {
        Notice::Mistake(_, draft) | Notice::NotKept(draft) => draft,
        _ => &empty,
    };
    let mistake = match notice {
        Notice::Mistake(error, _) => Some(error),
        _ => None,
    };
    let bad_name = matches!(mistake, Some(FormError::NoName | FormError::NameTooLong));
    let bad_message = matches!(mistake, Some(FormError::NoMessage | FormError::MessageTooLong));
    let bad_picture = matches!(mistake, Some(FormError::NotPicture | FormError::PictureTooLarge));
    html! {
        form.card.sign method="post" action="/sign" enctype="multipart/form-data" {
            h2 { "Sign the guestbook" }
            label for="name" { "Your name" }
            input #name name="name" required maxlength=(NAME_CHARS_MAX) autocomplete="name"
                aria-invalid=[bad_name.then_some("true")] value=(draft.name);
            label for="message" { "Your message" }
            textarea #message name="message" required rows="4" maxlength=(MESSAGE_CHARS_MAX)
                aria-invalid=[bad_message.then_some("true")] { (draft.message) }
            label for="picture" { "A picture " span.optional { "optional" } }
            input #picture name="picture" type="file" accept="image/jpeg,image/png,image/gif,image/webp"
                aria-describedby="picture-hint" aria-invalid=[bad_picture.then_some("true")];
            p.hint #picture-hint { "JPEG, PNG, GIF or WebP, up to " (PICTURE_BYTES_MAX >> 20) " MB." }
            button type="submit" { "Sign" }
        }
    }
}

fn list(entries: &[Entry], notice: &Notice) -> Markup {
    if entries.is_empty() {
        let text = match notice {
            Notice::Unavailable => "Nothing can be shown.",
            _ => "The first page is still blank. Be the first to sign.",
        };
        return html! { p.blank { (text) } };
    }
    html! {
        ol.list {
            @for entry in entries { li.card.entry { (article(entry)) } }
        }
    }
}

fn article(entry: &Entry) -> Markup {
    html! {
        @if !entry.picture.is_empty() && entry.thumbnail != NO_THUMBNAIL {
            a.photo href={ "/picture/" (entry.picture) } {
                img src={ "/thumbnail/" (entry.picture) } alt={ "Picture from " (entry.name) }
                    width="480" height="320" decoding="async";
            }
        }
        div.words {
            p.message { (entry.message) }
            @if entry.thumbnail == NO_THUMBNAIL { p.hint { "The picture could not be read." } }
            div.by {
                span.initial aria-hidden="true" { (initial(&entry.name)) }
                div {
                    p.name { (entry.name) }
                    p.when {
                        time datetime=(entry.signed_at) { (when(&entry.signed_at)) }
                        br;
                        "taken by " (entry.signed_on)
                    }
                }
            }
        }
    }
}

fn footer(instance: &Instance) -> Markup {
    html! {
        footer.wrap {
            p {
                "This page came from instance " strong { (instance.name) }
                " in update domain " (instance.update_domain) ", fault domain " (instance.fault_domain) "."
            }
        }
    }
}

fn initial(name: &str) -> String {
    name.chars().next().map(|c| c.to_uppercase().collect()).unwrap_or_default()
}

fn when(signed_at: &str) -> String {
    let format = format_description!("[day padding:none] [month repr:long] [year], [hour]:[minute] UTC");
    let time = OffsetDateTime::parse(signed_at, &Rfc3339).ok();
    time.and_then(|time| time.format(format).ok()).unwrap_or_else(|| signed_at.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(message: &str, picture: &str, thumbnail: &str) -> Entry {
        serde_json::from_value(serde_json::json!({
            "PartitionKey": "guestbook", "RowKey": "1", "Name": "Ada <b>", "Message": message, "Picture": picture,
            "Thumbnail": thumbnail, "SignedAt": "2026-11-24T11:38:45.5Z", "SignedOn": "Web_IN_1"
        }))
        .unwrap()
    }

    fn page(entries: &[Entry], notice: &Notice) -> String {
        let welcome = std::sync::Arc::new("Welcome <all>".to_owned().into());
        let instance = Instance { name: "Web_IN_0".to_owned(), update_domain: 0, fault_domain: 1, welcome };
        render(entries, notice, &instance).into_string()
    }

    #[test]
    fn texts_are_escaped() {
        let html = page(&[entry("<script>alert(1)</script>", "", "")], &Notice::None);
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("Ada &lt;b&gt;"));
        assert!(!html.contains("<script"));
        let draft = Draft { name: "\"><script>".to_owned(), message: "</textarea><script>".to_owned() };
        assert!(!page(&[], &Notice::Mistake(FormError::NotPicture, draft)).contains("<script"));
    }

    #[test]
    fn pictures_are_shown_unless_unreadable() {
        let check = |picture, thumbnail, expected| {
            let html = page(&[entry("hi", picture, thumbnail)], &Notice::None);
            assert_eq!((html.contains("<img"), html.contains("could not be read")), expected);
        };
        check("", "", (false, false));
        check("abc", "", (true, false));
        check("abc", "abc", (true, false));
        check("abc", NO_THUMBNAIL, (false, true));
    }

    #[test]
    fn the_instance_and_the_time_are_said() {
        let html = page(&[entry("hi", "", "")], &Notice::None);
        assert!(html.contains("<strong>Web_IN_0</strong> in update domain 0, fault domain 1."));
        assert!(html.contains("24 November 2026, 11:38 UTC"));
        assert!(html.contains("<strong id=\"instance\">Web_IN_0</strong>"));
    }
}
