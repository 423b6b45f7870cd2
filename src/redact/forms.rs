//! Secrets that are known by their form, wherever they stand: cephx keys, private keys, tokens, URLs with a
//! password, and all of these in base64.

use std::ops::Range;
use std::sync::LazyLock;

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use regex::bytes::{Captures, Regex};

use super::Found;

/// How deep base64 within base64 is looked into.
const DEPTH: usize = 4;
/// A shorter run of base64 has no room for a name and a secret.
const SHORTEST_RUN: usize = 20;
/// A private key ends within so many bytes.
const LONGEST_KEY: usize = 64 << 10;

/// Each alternative has its place in [`one`]. A cephx secret is 28 bytes of type 1 (`AQ`) or 44 of type 2
/// (`Ag`), in base64, which JSON and URLs may have escaped.
static FORMS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?-u)",
        r"(?P<cephx>A[Qg][A-D](?:[A-Za-z0-9+/]|\\/|%2[BbFf]|\\u00(?:2[BbFf])){35,}(?:=|%3[Dd]|\\u003[Dd]){0,2})",
        r"|(?P<jwt>eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]+){2,4})",
        r"|(?P<pem>-----BEGIN [A-Z0-9 ]{1,40}-----)",
        r"|(?P<whole>A[KS]IA[A-Z0-9]{16}",
        r"|hv[sbr]\.[A-Za-z0-9_-]{20,}|sha256~[A-Za-z0-9_-]{40,}|gh[pousr]_[A-Za-z0-9]{36,}|glpat-[A-Za-z0-9_-]{20,}",
        r"|\$2[abxy]\$[0-9]{2}\$[./A-Za-z0-9]{53}|\$(?:[156y]|argon2id?)\$[^\s:,]{20,})",
        r"|://[^/?#\s<>@:]*:(?P<password>[^/?#\s<>@]+)@",
        r"|://(?P<user>[A-Za-z0-9_-]{20,})@",
        r"|(?:[Bb]earer|BEARER)[ \t]+(?P<bearer>[A-Za-z0-9._~+/=-]{8,})",
        r"|(?:[Bb]asic|BASIC)[ \t]+(?P<basic>[A-Za-z0-9+/=_-]{4,})",
        r"|X-Amz-(?:Signature|Credential|Security-Token)=(?P<amz>[^&\s<>]+)",
        r"|AWS4-HMAC-SHA256[^\n]{0,400}?Signature=(?P<aws>[0-9a-f]{32,})",
        r"|[Tt]oken[^\n]{0,24}?[^a-z0-9](?P<bootstrap>[a-z0-9]{6}\.[a-z0-9]{16})"
    ))
    .ok()
});
static PARTS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?-u)[A-Za-z0-9_.~+*!/:-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9_.~+*!/:-]*)+").ok());
static WRAPPED: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?-u)^(?:\s*[A-Za-z0-9+/]{16,}={0,2})+").ok());

/// Finds every secret that has a form of its own.
pub fn find(text: &[u8], depth: usize, found: &mut Found) {
    let Some(forms) = FORMS.as_ref() else { return };
    let mut at = 0;
    while let Some(captures) = forms.captures_at(text, at) {
        let Some(all) = captures.get(0) else { break };
        at = if let Some(pem) = captures.name("pem") {
            block(text, pem.range(), found)
        } else if let Some(range) = one(text, &captures) {
            let end = range.end;
            found.secrets.push(range);
            end
        } else if captures.name("cephx").is_some() || captures.name("jwt").is_some() {
            all.start() + 1
        } else {
            all.end()
        };
    }
    if depth < DEPTH {
        encoded(text, depth, found);
        escaped(text, depth, found);
    }
}

/// The secret part of a match, unless its surroundings say that it is something else.
fn one(text: &[u8], captures: &Captures<'_>) -> Option<Range<usize>> {
    let named = |name: &str| captures.name(name).map(|part| part.range());
    if let Some(range) = named("cephx") {
        return begins_word(text, &range).then_some(range);
    }
    if let Some(range) = named("jwt") {
        let before = range.start.checked_sub(1).map(|at| text[at]);
        return (!before.is_some_and(|byte| byte.is_ascii_alphanumeric()) || is_escaped(text, range.start))
            .then_some(range);
    }
    if let Some(range) = named("bearer") {
        let token = &text[range.clone()];
        let is_word = token.iter().all(|byte| byte.is_ascii_lowercase() || b".-".contains(byte));
        return (!is_word || token.len() >= 32).then_some(range);
    }
    if let Some(range) = named("basic") {
        let login = decoded(&text[range.clone()]);
        return login.is_some_and(|login| login.contains(&b':')).then_some(range);
    }
    let rest = ["whole", "password", "amz", "aws", "bootstrap", "user"].into_iter().find_map(named)?;
    (!super::values::says_nothing(&text[rest.clone()])).then_some(rest)
}

/// Whether no longer run of base64 goes on before. A slash may be of a path: then the padding decides.
fn begins_word(text: &[u8], range: &Range<usize>) -> bool {
    match range.start.checked_sub(1).map(|at| text[at]) {
        None => true,
        Some(b'/' | b'+') => {
            let key = &text[range.clone()];
            (key.ends_with(b"==") && key.len() == 40) || (key.ends_with(b"=") && key.len() == 60)
        }
        Some(byte) => !byte.is_ascii_alphanumeric() || is_escaped(text, range.start),
    }
}

/// Whether an escape ends here: `\n`, `%3D`, `\u003d`.
fn is_escaped(text: &[u8], at: usize) -> bool {
    let before = &text[at.saturating_sub(6)..at];
    let ends =
        |length: usize, start: &[u8]| before.len() >= length && before[before.len() - length..].starts_with(start);
    (ends(2, b"\\") && before.ends_with(b"n") | before.ends_with(b"t") | before.ends_with(b"r"))
        || (ends(3, b"%") && before[before.len() - 2..].iter().all(u8::is_ascii_hexdigit))
        || ends(6, b"\\u00")
}

/// A PEM block: private ones are secrets, the body of others is none. Returns where to go on.
fn block(text: &[u8], begin: Range<usize>, found: &mut Found) -> usize {
    let is_private = contains(&text[begin.clone()], b"PRIVATE KEY");
    let near = &text[begin.end..text.len().min(begin.end + LONGEST_KEY)];
    let next = position(near, b"-----BEGIN ").unwrap_or(near.len());
    let end = position(&near[..next], b"-----END ").and_then(|at| {
        let from = at + b"-----END ".len();
        position(&near[from..next], b"-----").map(|dashes| (at, from + dashes + 5))
    });
    match end {
        Some((_, length)) if is_private => {
            found.secrets.push(begin.start..begin.end + length);
            begin.end + length
        }
        None if is_private => {
            let body =
                |byte: &u8| byte.is_ascii_alphanumeric() || byte.is_ascii_whitespace() || b"+/=\\-:,".contains(byte);
            let length = near[..next].iter().take_while(|byte| body(byte)).count();
            found.secrets.push(begin.start..begin.end + length);
            begin.end + length
        }
        Some((body, length)) if is_public(&near[..body]) => {
            found.public.push(begin.start..begin.end + length);
            begin.end + length
        }
        _ => begin.end,
    }
}

/// Whether the body of a block is one DER structure, so that nothing else hides in it.
fn is_public(body: &[u8]) -> bool {
    let mut base64 = Vec::with_capacity(body.len());
    let mut bytes = body.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next_if(|next| b"nr".contains(next));
            }
            _ if byte.is_ascii_whitespace() => {}
            _ => base64.push(byte),
        }
    }
    decode(&base64).is_some_and(|der| der.first() == Some(&0x30))
}

/// Runs of base64 that hold text with a secret in it.
fn encoded(text: &[u8], depth: usize, found: &mut Found) {
    let Some(wrapped) = WRAPPED.as_ref() else { return };
    let mut at = 0;
    while let Some(run) = next_run(text, at) {
        at = run.end;
        let run = run.start..run.end + text[run.end..].iter().take(2).take_while(|byte| **byte == b'=').count();
        if !may_be_text(&text[run.clone()]) {
            continue;
        }
        let Some(inner) = decoded(&text[run.clone()]) else { continue };
        let Some(is_whole) = hides(&inner, depth + 1) else { continue };
        at = run.end;
        // A wrapped key goes on in the next lines.
        if !is_whole && let Some(rest) = wrapped.find(&text[at..]) {
            at += rest.end();
        }
        found.secrets.push(run.start..at);
    }
}

/// The next run of base64 that is long enough to look into. Looks at every twentieth byte where there is none.
fn next_run(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut start = from;
    while let Some(window) = text.get(start..start + SHORTEST_RUN) {
        match window.iter().rposition(|byte| sextet(*byte).is_none()) {
            Some(gap) => start += gap + 1,
            None => {
                let more = text[start + SHORTEST_RUN..].iter().take_while(|byte| sextet(**byte).is_some()).count();
                return Some(start..start + SHORTEST_RUN + more);
            }
        }
    }
    None
}

/// The value of a character of base64, in either alphabet.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Parts of a URL that hold a secret behind their percent signs.
fn escaped(text: &[u8], depth: usize, found: &mut Found) {
    let Some(parts) = PARTS.as_ref().filter(|_| text.contains(&b'%')) else { return };
    for part in parts.find_iter(text) {
        if hides(&unescaped(part.as_bytes()), depth + 1).is_some() {
            found.secrets.push(part.range());
        }
    }
}

fn unescaped(part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| byte == b'%').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(code) => {
                out.push(code);
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

/// Whether a decoded text holds a secret, and then whether it holds all of it.
fn hides(inner: &[u8], depth: usize) -> Option<bool> {
    let is_cut = contains(inner, b"PRIVATE KEY-----") && !contains(inner, b"-----END ");
    super::rewritten(inner, depth).map(|_| !is_cut)
}

/// A cheap look at the first characters: text in base64 begins with printable bytes.
fn may_be_text(run: &[u8]) -> bool {
    let printable = |byte: u8| matches!(byte, b'\t' | b'\n' | b'\r' | b' '..=b'~');
    let code = |at: usize| run.get(at).and_then(|byte| sextet(*byte)).unwrap_or_default();
    let (a, b, c, d) = (code(0), code(1), code(2), code(3));
    printable(a << 2 | b >> 4) && printable(b << 4 | c >> 2) && printable(c << 6 | d)
}

/// The text that this is the base64 of, if it is text.
pub fn decoded(run: &[u8]) -> Option<Vec<u8>> {
    let bytes = decode(run)?;
    let is_text = std::str::from_utf8(&bytes)
        .is_ok_and(|text| !text.contains(|c: char| c.is_control() && !c.is_ascii_whitespace()));
    (is_text && !bytes.is_empty()).then_some(bytes)
}

fn decode(run: &[u8]) -> Option<Vec<u8>> {
    const CONFIG: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let alphabet = if run.iter().any(|byte| b"-_".contains(byte)) { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, CONFIG).decode(run).ok()
}

pub fn contains(text: &[u8], word: &[u8]) -> bool {
    position(text, word).is_some()
}

fn position(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|window| window == word)
}
