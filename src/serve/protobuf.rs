//! The little that is read of Kubernetes' protobuf: kubectl 1.32 asks what a user may do in it. Answers are JSON,
//! which it takes as well.

use serde_json::{Value, json};

/// Before the envelope of an object.
const MAGIC: &[u8] = b"k8s\0";

/// The `spec` of a SelfSubjectAccessReview; nothing if it cannot be read.
pub fn access_review(body: &[u8]) -> Option<Value> {
    let object = field(body.strip_prefix(MAGIC)?, 2)?;
    let spec = field(object, 2).unwrap_or_default();
    let of = |attributes: &[u8], names: &[(u64, &str)]| -> Value {
        names.iter().map(|(number, name)| ((*name).to_owned(), json!(text(attributes, *number)))).collect()
    };
    const RESOURCE: [(u64, &str); 7] =
        [(1, "namespace"), (2, "verb"), (3, "group"), (4, "version"), (5, "resource"), (6, "subresource"), (7, "name")];
    Some(match (field(spec, 1), field(spec, 2)) {
        (Some(attributes), _) => json!({"resourceAttributes": of(attributes, &RESOURCE)}),
        (None, Some(attributes)) => json!({"nonResourceAttributes": of(attributes, &[(1, "path"), (2, "verb")])}),
        (None, None) => json!({}),
    })
}

fn text(message: &[u8], number: u64) -> String {
    String::from_utf8_lossy(field(message, number).unwrap_or_default()).into_owned()
}

/// The last field of this number that has a length: a text or a message.
fn field(mut message: &[u8], number: u64) -> Option<&[u8]> {
    let mut found = None;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let length = match key & 7 {
            0 => varint(&mut message).map(|_| 0),
            1 => Some(8),
            2 => usize::try_from(varint(&mut message)?).ok(),
            5 => Some(4),
            _ => None,
        }?;
        let (value, rest) = message.split_at_checked(length)?;
        if key == number << 3 | 2 {
            found = Some(value);
        }
        message = rest;
    }
    found
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(fields: &[(u8, &[u8])]) -> Vec<u8> {
        fields.iter().flat_map(|(number, value)| [&[number << 3 | 2, value.len() as u8], *value].concat()).collect()
    }

    fn body(spec: &[u8]) -> Vec<u8> {
        let kind = message(&[(1, b"authorization.k8s.io/v1"), (2, b"SelfSubjectAccessReview")]);
        [MAGIC, &message(&[(1, &kind), (2, &message(&[(1, b""), (2, spec), (3, b"")])), (3, b""), (4, b"")])].concat()
    }

    #[test]
    fn reviews_are_read() {
        let attributes = message(&[(1, b"rook-ceph"), (2, b"delete"), (5, b"pods")]);
        let spec = access_review(&body(&message(&[(1, &attributes)]))).unwrap();
        assert_eq!(
            (&spec["resourceAttributes"]["verb"], &spec["resourceAttributes"]["resource"]),
            (&json!("delete"), &json!("pods"))
        );
        let spec = access_review(&body(&message(&[(2, &message(&[(1, b"/version"), (2, b"get")]))]))).unwrap();
        assert_eq!(spec, json!({"nonResourceAttributes": {"path": "/version", "verb": "get"}}));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, cut in 0..90usize) {
            access_review(&[MAGIC, &bytes].concat());
            let whole = body(&message(&[(1, &message(&[(2, b"get"), (5, b"pods")]))]));
            access_review(&whole[..cut.min(whole.len())]);
        }
    }
}
