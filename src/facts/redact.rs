//! What a command says on stderr, made safe to keep and to show.

/// The end of a message says what went wrong; so much of it is kept.
const KEPT: usize = 300;

/// The last 300 characters of a text, without secrets and without control characters.
pub fn keys(text: &str) -> String {
    keys_within(text, KEPT)
}

/// The last `kept` characters of a text, without secrets and without control characters.
pub fn keys_within(text: &str, kept: usize) -> String {
    let clean = crate::redact::text(text.as_bytes().to_vec());
    let clean: String = String::from_utf8_lossy(&clean).chars().map(|c| if is_control(c) { ' ' } else { c }).collect();
    let clean = clean.trim();
    let skipped = clean.chars().count().saturating_sub(kept);
    clean.chars().skip(skipped).collect()
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
        let newer = "AgCvLz1lAAAAACAAq0aJx9Zt1Q2w3E4r5T6y7xq0aJx9Zt1Q2w3E4r5T6yE=";
        for (text, expected) in [
            (format!("key = {key}\n"), "key = <redacted>".to_owned()),
            (format!("--key={key},a"), "--key=<redacted>,a".to_owned()),
            (format!("{key}{newer}"), "<redacted><redacted>".to_owned()),
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
