//! The head of the page: its policy, its style; and the script at its end.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

use super::{Part, verdict};
use crate::say;

/// A browser counts a line's end as one character, whatever the checkout that this was built from has.
fn as_read(text: &str) -> String {
    text.replace('\r', "")
}

fn style() -> String {
    as_read(concat!(include_str!("page.css"), include_str!("parts.css"), include_str!("print.css")))
}

fn code() -> String {
    as_read(include_str!("page.js"))
}

/// Nothing is loaded, sent, framed or run but the style and the script of these hashes.
fn policy() -> String {
    let hash = |text: String| STANDARD.encode(Sha256::digest(text.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        hash(style()),
        hash(code())
    )
}

pub(super) fn head(parts: &[Part<'_>]) -> Markup {
    let names: Vec<String> = parts.iter().map(|part| verdict::title(part.report)).collect();
    html! {
        head {
            meta charset="utf-8";
            meta http-equiv="Content-Security-Policy" content=(policy());
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="referrer" content="no-referrer";
            meta name="color-scheme" content="light dark";
            title { (say!("{} · rookdoctor", names.join(", "))) }
            style { (PreEscaped(style())) }
        }
    }
}

pub(super) fn script() -> Markup {
    html! { script { (PreEscaped(code())) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_end_where_they_should_and_load_nothing() {
        for text in [style(), code()] {
            let text = text.to_lowercase();
            for part in ["</", "<!--", "@import", "url(", "http:", "https:", "eval(", "innerhtml", "fetch("] {
                assert!(!text.contains(part), "{part}");
            }
        }
    }
}
