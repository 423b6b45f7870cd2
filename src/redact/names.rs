//! What the name of a field, variable, flag or option says about its value.

/// How much a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Nothing.
    Open,
    /// The value may be a key, or the name of one (`key` of a toleration): its form decides.
    Key,
    /// The value is a secret, unless it is plainly something else, such as a path.
    Secret,
    /// The same, and even a plain word or a number is one.
    Password,
}

/// A longer run of such characters is data, not a name.
const LONGEST: usize = 128;
/// A name with one of these is about a secret and holds none.
const ABOUT: [&str; 11] =
    ["hash", "checksum", "digest", "sha", "sha1", "sha256", "sha512", "md5", "fingerprint", "continue", "public"];
/// What may follow the word that counts.
const TRAILERS: [&str; 14] = [
    "value",
    "val",
    "b64",
    "base64",
    "encoded",
    "plain",
    "plaintext",
    "old",
    "new",
    "current",
    "previous",
    "text",
    "string",
    "raw",
];
/// What makes a `key` one that is secret whatever it looks like.
const KEYS: [&str; 17] = [
    "access",
    "secret",
    "private",
    "api",
    "user",
    "admin",
    "encryption",
    "luks",
    "master",
    "session",
    "signing",
    "account",
    "auth",
    "storage",
    "dmcrypt",
    "passwd",
    "aws",
];
/// Endings of names that are written in one piece.
const ENDS: [(&str, Class); 19] = [
    ("password", Class::Password),
    ("passwd", Class::Password),
    ("passphrase", Class::Password),
    ("passcode", Class::Password),
    ("pwd", Class::Password),
    ("adminpass", Class::Password),
    ("userpass", Class::Password),
    ("secret", Class::Secret),
    ("token", Class::Secret),
    ("credential", Class::Secret),
    ("credentials", Class::Secret),
    ("apikey", Class::Secret),
    ("accesskey", Class::Secret),
    ("secretkey", Class::Secret),
    ("privatekey", Class::Secret),
    ("userkey", Class::Secret),
    ("adminkey", Class::Secret),
    ("dockerconfigjson", Class::Secret),
    ("dockercfg", Class::Secret),
];

/// The class of a name in any spelling: `accessKey`, `ACCESS_KEY`, `--access-key`, `mgr/x/access_key`.
pub fn class(name: &[u8]) -> Class {
    // A sentence with a colon is read as a name by YAML.
    if name.len() > LONGEST || name.iter().filter(|byte| **byte == b' ').count() > 3 {
        return Class::Open;
    }
    let words = words(name);
    let mut words: Vec<&str> = words.iter().map(String::as_str).collect();
    // Only a password is still one when it is hashed, as weak ones are guessed from that.
    let hashed = words.iter().any(|word| ABOUT.contains(word));
    while words.len() > 1 && words.last().is_some_and(|last| TRAILERS.contains(last) || ABOUT.contains(last)) {
        words.pop();
    }
    let class = by_words(&words);
    if hashed && class != Class::Password { Class::Open } else { class }
}

fn by_words(words: &[&str]) -> Class {
    let Some((last, before)) = words.split_last() else { return Class::Open };
    let previous = before.last().copied().unwrap_or_default();
    match (previous, *last) {
        // `vaultCAFromSecret` holds a name.
        ("from", "secret") | ("page" | "next", "token") => Class::Open,
        ("", "pwd") => Class::Open,
        ("", "pass") => Class::Key,
        (_, "pass" | "passwords") => Class::Password,
        ("key", "id") if before.contains(&"access") => Class::Secret,
        ("secret", "id") => Class::Secret,
        (_, "luks") if before.contains(&"crypt") || before.contains(&"dmcrypt") => Class::Secret,
        (_, "key" | "keys") if KEYS.contains(&previous) => Class::Secret,
        (_, "key" | "keyring" | "auth" | "tokens" | "kubeconfig") => Class::Key,
        _ => match ENDS.iter().find(|(end, _)| last.ends_with(end)) {
            Some((_, class)) => *class,
            None if last.ends_with("key") => Class::Key,
            None => Class::Open,
        },
    }
}

/// The words of a name, in lower case, without the digits at the end of each.
fn words(name: &[u8]) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut previous = b'_';
    for (at, &byte) in name.iter().enumerate() {
        let next_is_lower = name.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let begins = byte.is_ascii_uppercase()
            && (previous.is_ascii_lowercase() || (previous.is_ascii_uppercase() && next_is_lower));
        if !byte.is_ascii_alphanumeric() || begins {
            words.push(String::new());
        }
        if byte.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(byte.to_ascii_lowercase().into());
        }
        previous = byte;
    }
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let short = |word: &String| match word.as_str() {
        "sha1" | "sha256" | "sha512" | "md5" | "b64" | "base64" => word.clone(),
        word => word.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(),
    };
    words.iter().filter(|word| !is_number(word)).map(short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        for (class, names) in [
            (
                Class::Password,
                "password PASSWORD DB_PASSWORD1 --admin-password rgw_keystone_admin_password passphrase ldapPassword \
                 password_hash mgr/dashboard/password userPassword adminpassword MYSQL_PASS",
            ),
            (
                Class::Secret,
                "secret token accessKey access_key secret_key SecretAccessKey AWS_ACCESS_KEY_ID userKey adminKey \
                 VAULT_TOKEN VAULT_SECRET_ID IBM_KP_SERVICE_API_KEY client-secret mon-secret .dockerconfigjson \
                 registry_credentials rgw_crypt_s3_kms_encryption_keys dm-crypt/osd/0a/luks APIKey privatekey tokenValue",
            ),
            (Class::Key, "key keyring auth tls.key VAULT_CLIENT_KEY --key pass"),
            (
                Class::Open,
                "secretName secret-name secretRef secretKeyRef tokenExpirationSeconds token_ttl tokenSecretName \
                 csi.storage.k8s.io/provisioner-secret-name csi.storage.k8s.io/node-stage-secret-namespace keyfile \
                 secretfile --token-file passwordFile crush-device-class public_key public_keys secrets serviceaccounts \
                 checksum/secret config-hash resourceVersion continue PWD monkeys nextToken vaultCAFromSecret \
                 keyring_path keyType bypass auth_service_cipher --authorization-mode",
            ),
        ] {
            for name in names.split_whitespace() {
                assert_eq!(super::class(name.as_bytes()), class, "{name}");
            }
        }
    }
}
