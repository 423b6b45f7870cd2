//! The one door for what is written to a bundle: secrets are taken out, by field in YAML and JSON and by name
//! and form in text. All else stays byte for byte, as the checks read it.

mod addresses;
mod anonymize;
mod cursor;
mod fields;
mod forms;
mod learn;
mod names;
mod scan;
mod values;

use std::ops::Range;

pub use anonymize::{Anonymized, Replaced, anonymize, table};

/// What stands where a secret stood.
pub const REDACTED: &str = "<redacted>";

/// The content of a file of a bundle without its secrets. A file without any is handed back as it came.
pub fn file(path: &str, content: Vec<u8>) -> Vec<u8> {
    let seen = look(&content);
    if !seen.is_suspicious() {
        return content;
    }
    let content = if path.ends_with(".log") { fields::by_lines(&content, 0) } else { fields::rewritten(&content, 0) }
        .unwrap_or(content);
    text(content)
}

/// A text without its secrets.
pub fn text(content: Vec<u8>) -> Vec<u8> {
    let seen = look(&content);
    if seen.has_secrets() { seen.cut(&content) } else { content }
}

/// The same for a text that stands in another, such as a field or a run of base64; none if it has no secrets.
fn rewritten(content: &[u8], depth: usize) -> Option<Vec<u8>> {
    let seen = look_into(content, depth);
    if !seen.is_suspicious() {
        return None;
    }
    let new = fields::rewritten(content, depth);
    let seen = new.as_deref().map_or(seen, |new| look_into(new, depth));
    let whole = new.as_deref().unwrap_or(content);
    if seen.has_secrets() { Some(seen.cut(whole)) } else { new }
}

fn look(text: &[u8]) -> Found {
    look_into(text, 0)
}

fn look_into(text: &[u8], depth: usize) -> Found {
    let mut found = Found::default();
    forms::find(text, depth, &mut found);
    scan::find(text, &mut found);
    found.tidy();
    found
}

/// What was found in a text.
#[derive(Debug, Default)]
struct Found {
    secrets: Vec<Range<usize>>,
    /// Certificates and public keys, which chance may have made look like a secret.
    public: Vec<Range<usize>>,
    /// Something is named whose value may stand in another field.
    needs_objects: bool,
}

impl Found {
    fn has_secrets(&self) -> bool {
        !self.secrets.is_empty()
    }

    fn is_suspicious(&self) -> bool {
        self.needs_objects || self.has_secrets()
    }

    /// Brings the places in order, without those that are none.
    fn tidy(&mut self) {
        let public = std::mem::take(&mut self.public);
        self.secrets.retain(|range| {
            !range.is_empty() && !public.iter().any(|block| block.start <= range.start && range.end <= block.end)
        });
        self.secrets.sort_by_key(|range| (range.start, range.end));
        self.secrets.dedup_by(|next, kept| {
            let joins = next.start < kept.end;
            kept.end = if joins { kept.end.max(next.end) } else { kept.end };
            joins
        });
    }

    fn cut(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        for range in &self.secrets {
            out.extend_from_slice(&text[at..range.start]);
            out.extend_from_slice(REDACTED.as_bytes());
            at = range.end;
        }
        out.extend_from_slice(&text[at..]);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AQBvLz1lAAAAABAAq0aJx9Zt1Q2w3E4r5T6y7w==";

    fn clean(path: &str, content: &str) -> String {
        String::from_utf8(file(path, content.as_bytes().to_vec())).unwrap()
    }

    #[test]
    fn what_is_no_secret_stays() {
        let stay = [
            "fsid = 6a5c1f0e-0f1e-4f0a-9a55-8a4f8c7d2f11\n",
            "image: quay.io/ceph/ceph@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n",
            "tolerations:\n- key: node-role.kubernetes.io/control-plane\n  operator: Exists\n",
            "nodeSelector:\n- {key: kubernetes.io/hostname, operator: In, values: [a]}\n",
            "volumes:\n- name: x\n  secret:\n    secretName: rook-ceph-mons-keyring\n",
            "env:\n- name: ROOK_CEPH_MON_HOST\n  valueFrom:\n    secretKeyRef:\n      key: mon_host\n      name: rook-ceph-config\n",
            "env:\n- name: ADMIN_PASSWORD\n  valueFrom:\n    secretKeyRef:\n      key: userKey\n      name: dashboard-password\n",
            "parameters:\n  csi.storage.k8s.io/provisioner-secret-name: rook-csi-rbd-provisioner\n",
            "args:\n- --keyring=/etc/ceph/keyring-store/keyring\n- -k\n- /etc/ceph/admin-keyring-store/keyring\n",
            "args:\n- --token-file\n- /var/run/secrets/token\n- --authorization-mode=Node,RBAC\n",
            "serviceAccountToken:\n  expirationSeconds: 3607\n  path: token\n",
            "metadata:\n  continue: eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTIzLCJzdGFydCI6InBvZC0xIn0\n  resourceVersion: '17679331'\n",
            "annotations:\n  checksum/secret: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\n",
            "kms:\n  connectionDetails:\n    VAULT_CACERT: vault-ca\n    VAULT_CLIENT_KEY: vault-client-key\n  tokenSecretName: rook-vault-token\n",
            "data:\n  public_keys: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0 admin\n  crush-device-class: ssd\n",
            "resources:\n- secrets\n- serviceaccounts/token\nverbs: [get]\n",
            "coverage:\n  secrets: ok\n  tokenreviews: ok\n",
            r#"{"auth_epoch": 0, "auth_allowed_ciphers": ["aes", "aes256k"], "feature": "cephx_auth_aes256k", "pgid": "2.1f"}"#,
            r#"{"watchers": [{"address": "10.0.0.1:0/2", "client": 4, "cookie": 18446462598732840961}]}"#,
            r#"{"name": "auth_client_required", "value": "cephx, none"}"#,
            "2025-10-14 18:37:45.1 E | failed to get token: context deadline exceeded\n",
            "I1014 reconciler.go:1] \"MountVolume.SetUp failed\" err=\"secret \\\"rook-csi\\\" not found\" secret=\"rook-ceph/rook-csi-rbd-node\"\n",
            "monitoring token is used by the key of the room; secret: rook-csi-rbd-node not found\n",
            "GRPC request: {\"secrets\":\"***stripped***\",\"volume_id\":\"0001-0009-rook-ceph-0000000000000002\"}\n",
            "cephclient: getting or creating ceph auth key \"client.csi-rbd-provisioner\"\n",
            "debug handle_auth_request failed to assign global_id\n",
            "https://10.0.0.1:6443/api/v1/secrets?limit=500 and https://user@host/x and [v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]\n",
            "key = value; monkey: donkey\npassword:\nuser: x\n",
            "map[key:node.kubernetes.io/unreachable operator:Exists]\n",
        ];
        for text in stay {
            assert_eq!(clean("namespaces/a/core/x.yaml", text), text);
            assert_eq!(clean("namespaces/a/pods/p/c/c/logs/current.log", text), text);
        }
    }

    #[test]
    fn a_certificate_stays_whatever_it_looks_like() {
        let body = format!("MIIB{}\nAQAB{}\nAgCv{}\n", "A".repeat(60), "Ab3".repeat(20), "Cd4".repeat(20));
        let cert = format!("-----BEGIN CERTIFICATE-----\n{body}-----END CERTIFICATE-----\n");
        let config = serde_json::json!({"kind": "ConfigMap", "data": {"ca.crt": cert}}).to_string();
        assert_eq!(clean("namespaces/a/core/configmaps/x.yaml", &config), config);
        assert_eq!(clean("x.log", &cert), cert);
        let hidden = cert.replace("AQAB", &format!("{KEY}\nAQAB"));
        assert!(!clean("x.log", &hidden).contains(KEY));
    }

    #[test]
    fn the_form_is_kept() {
        let lines =
            format!("{{\"kind\":\"PodList\",\"items\":[\n{{\"a\":1.50}},\n{{\"b\":[],\"key\":\"{KEY}\"}}\n]}}\n");
        assert_eq!(clean("x.yaml", &lines), lines.replace(KEY, REDACTED));
        let pretty = format!("{{\n  \"key\": \"{KEY}\"\n}}\n");
        assert_eq!(clean("x.json", &pretty), pretty.replace(KEY, REDACTED));
        assert_eq!(clean("x.yaml", "a: 'on'\nb:\n- token: x1y2z3\n"), "a: \"on\"\nb:\n- token: <redacted>\n");
        assert_eq!(clean("x.yaml", "password: |-\n  a\n  b\nuser: [\n"), "password: |-\n  <redacted>\nuser: [\n");
    }

    proptest::proptest! {
        #[test]
        fn no_garbage_makes_it_panic_or_pass_a_key(before: Vec<u8>, after: Vec<u8>, which in 0..4usize, cut in 0..200usize) {
            let form = [
                format!("key = {KEY}"), format!("\"key\":\"{KEY}\""), format!("password: |\n  {KEY}"),
                format!("-----BEGIN EC PRIVATE KEY-----\n{}", KEY.replace('=', "")),
            ];
            let secret: &str = KEY.trim_end_matches('=');
            let content = [&before[..], b"\n", form[which].as_bytes(), b"\n", &after].concat();
            for path in ["a.yaml", "a.log", "a.json"] {
                let out = file(path, content.clone());
                proptest::prop_assert!(!forms::contains(&out, secret.as_bytes()));
                proptest::prop_assert_eq!(&file(path, out.clone()), &out);
                file(path, content[..cut.min(content.len())].to_vec());
            }
        }
    }
}
