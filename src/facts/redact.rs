//! What a command says on stderr, made safe to keep and to show.

/// What stands where a key stood.
const REDACTED: &str = "<key>";
/// The shortest run taken for a key: a 28-byte cephx secret is 38 base64 characters and their padding.
const KEY_LENGTH: usize = 38;
/// The end of a message says what went wrong; so much of it is kept.
const KEPT: usize = 300;

/// The last 300 characters of a text, without cephx keys and without control characters.
pub fn keys(text: &str) -> String {
    keys_within(text, KEPT)
}

/// The last `kept` characters of a text, without cephx keys and without control characters.
pub fn keys_within(text: &str, kept: usize) -> String {
    let clean: String = without_keys(text).chars().map(|c| if is_control(c) { ' ' } else { c }).collect();
    let clean = clean.trim();
    let skipped = clean.chars().count().saturating_sub(kept);
    clean.chars().skip(skipped).collect()
}

/// Replaces every `A[Qg]…` run of base64 that is as long as a key; padding goes with it.
fn without_keys(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("AQ").into_iter().chain(rest.find("Ag")).min() {
        let (before, run) = rest.split_at(at);
        clean.push_str(before);
        let length = run.find(|c: char| !(c.is_ascii_alphanumeric() || "+/".contains(c))).unwrap_or(run.len());
        if length < KEY_LENGTH {
            clean.push_str(&run[..2]);
            rest = &run[2..];
        } else {
            clean.push_str(REDACTED);
            rest = run[length..].trim_start_matches('=');
        }
    }
    clean + rest
}

/// Control characters, and those that reorder or hide the text around them.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_and_words_stay() {
        let key = "AQBvLz1lAAAAABAAq0aJx9Zt1Q2w3E4r5T6y7w==";
        for (text, expected) in [
            (format!("key = {key}\n"), "key = <key>".to_owned()),
            (format!("--key={key},a"), "--key=<key>,a".to_owned()),
            (format!("{key}{key}"), "<key><key>".to_owned()),
            ("AQAgent Agency timed out".to_owned(), "AQAgent Agency timed out".to_owned()),
            ("\u{1b}[31mred\u{202e}\u{7}".to_owned(), "[31mred".to_owned()),
        ] {
            assert_eq!(keys(&text), expected);
        }
    }

    #[test]
    fn the_end_is_kept() {
        let long = format!("{}é: the reason", "x".repeat(1000));
        assert_eq!(keys(&long).chars().count(), KEPT);
        assert!(keys(&long).ends_with("é: the reason"));
    }
}
