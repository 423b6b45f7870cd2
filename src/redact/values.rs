//! What a value looks like, whatever its name.

use super::REDACTED;
use super::names::Class;

/// The shortest value that is taken for random.
const RANDOM: usize = 16;

/// Whether the value of a field of this class is a secret.
pub fn is_secret(class: Class, value: &[u8]) -> bool {
    let value = value.trim_ascii();
    match class {
        Class::Open => false,
        _ if says_nothing(value) || is_path(value) => false,
        Class::Key => is_random(value) || is_login(value),
        Class::Secret => !is_number(value) || value.len() >= RANDOM,
        Class::Password => true,
    }
}

/// The same for a value in the middle of a sentence, where `token: expired` is no secret.
pub fn is_secret_in_prose(class: Class, value: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic);
    let marked = has(|byte| b"!@#$%^&*+=_~".contains(byte));
    let named = class != Class::Password && is_object_name(value);
    value.len() >= 6 && (mixed || marked) && !named && is_secret(class, value)
}

/// `rook-csi-rbd-node`, `rook-ceph/rook-csi-rbd-node`
fn is_object_name(value: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-./".contains(byte);
    value.iter().all(plain) && value.iter().any(|byte| b"-/".contains(byte))
}

/// What stands where there is no secret, or none any more.
pub fn says_nothing(value: &[u8]) -> bool {
    const WORDS: [&str; 16] = [
        "",
        REDACTED,
        "true",
        "false",
        "null",
        "none",
        "nil",
        "<nil>",
        "<none>",
        "<unset>",
        "required",
        "optional",
        "enabled",
        "disabled",
        "***stripped***",
        "[redacted]",
    ];
    // The line break at the end of a block of text, as quoted text has it.
    let value = value.strip_suffix(b"\\n").unwrap_or(value).trim_ascii_end();
    let all = |byte: u8| value.iter().all(|&other| other == byte);
    let is_variable = value.starts_with(b"$(") || value.starts_with(b"${") || value.starts_with(b"{{");
    let is_counted = value.ends_with(b" bytes long") && value[0].is_ascii_digit();
    WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
        || all(b'*')
        || (is_variable && !value.iter().any(u8::is_ascii_whitespace))
        || is_counted
        || value.starts_with(b"<set to the key ")
        || value.strip_prefix(b"$").is_some_and(|name| name.iter().all(|b| b.is_ascii_uppercase() || *b == b'_'))
}

/// A path whose names are names; base64 may begin with a slash, too.
pub fn is_path(value: &[u8]) -> bool {
    let value = value.strip_prefix(b"file://").unwrap_or(value);
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-$".contains(byte);
    (value.starts_with(b"/") || value.starts_with(b"./"))
        && value.iter().all(plain)
        && !value.split(|byte| *byte == b'/').any(is_random)
        && !(value.len() >= 32 && is_random(value))
}

fn is_number(value: &[u8]) -> bool {
    value.iter().all(u8::is_ascii_digit)
}

/// Base64 or the like: long, of all kinds of characters, which change often. A name in camel case changes
/// its case twice a word.
pub fn is_random(value: &[u8]) -> bool {
    let body = value.trim_ascii_end();
    let padding = body.iter().rev().take_while(|byte| **byte == b'=').count();
    let body = &body[..body.len() - padding];
    let kind = |byte: u8| match byte {
        b'0'..=b'9' => 1,
        b'A'..=b'Z' => 2,
        b'a'..=b'z' => 3,
        b'+' | b'/' => 4,
        _ => 0,
    };
    let kinds: Vec<u8> = body.iter().map(|&byte| kind(byte)).collect();
    if kinds.len() + padding < RANDOM || kinds.contains(&0) || padding > 2 {
        return false;
    }
    let count = |kind| kinds.iter().filter(|&&other| other == kind).count();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    let of_all = count(1) >= 1 && count(2) >= 2 && count(3) >= 2;
    (padding > 0 && count(2) + count(3) > 0) || (of_all && changes * 5 >= kinds.len() * 2)
}

/// `user:password` in base64, as container registries want it.
fn is_login(value: &[u8]) -> bool {
    super::forms::decoded(value).is_some_and(|text| text.iter().skip(1).any(|byte| *byte == b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_look_random_and_names_do_not() {
        for key in
            ["AQBvLz1lAAAAABAAq0aJx9Zt1Q2w3E4r5T6y7w==", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "c2VjcmV0IHRleHQ="]
        {
            assert!(is_random(key.as_bytes()), "{key}");
        }
        for name in ["node-role.kubernetes.io/control-plane", "rbdMirrorBootstrapPeer2", "userKey", "ROOK_OBC_WATCH_1"]
        {
            assert!(!is_random(name.as_bytes()), "{name}");
        }
        assert!(is_path(b"/etc/ceph/keyring-store/keyring") && !is_path(b"/wJalrXUtnFEMI/K7MDENGbPxRfiCYEXAMP"));
    }

    #[test]
    fn a_sentence_keeps_its_words() {
        for word in ["expired", "rook-ceph/rook-csi-rbd-node2", "401", "context"] {
            assert!(!is_secret_in_prose(Class::Secret, word.as_bytes()), "{word}");
        }
        assert!(is_secret_in_prose(Class::Secret, b"abc123def") && is_secret_in_prose(Class::Password, b"hunter2-x"));
    }
}
