//! Secrets of every kind, and every place where one may stand in what is captured. All are made up.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rookdoctor::facts::archive::Tree;
use serde_json::{Value, json};

/// A secret, the name of the field, flag or variable that holds one, and what must not be found of it.
pub struct Plant {
    pub kind: &'static str,
    pub name: &'static str,
    pub value: String,
    /// What gives it away, even alone.
    pub needles: Vec<String>,
}

pub const CEPHX: &str = "AQBvLz1lAAAAABAAq0aJx9Zt1Q2w3E4r5T6y7w==";
pub const CEPHX_256: &str = "AgCvLz1lAAAAACAAq0aJx9Zt1Q2w3E4r5T6y7xq0aJx9Zt1Q2w3E4r5T6yE=";
const BODY: [&str; 2] = [
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
    "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu",
];

/// A private key of this kind.
pub fn pem(kind: &str) -> String {
    format!("-----BEGIN {kind}-----\n{}\n{}\n-----END {kind}-----\n", BODY[0], BODY[1])
}

pub fn base64(text: &str) -> String {
    STANDARD.encode(text)
}

fn plant(kind: &'static str, name: &'static str, value: &str) -> Plant {
    Plant { kind, name, value: value.to_owned(), needles: vec![value.to_owned()] }
}

fn part(kind: &'static str, name: &'static str, value: &str, needles: &[&str]) -> Plant {
    let needles = needles.iter().map(|&needle| needle.to_owned()).collect();
    Plant { kind, name, value: value.to_owned(), needles }
}

/// One of each kind.
pub fn all() -> Vec<Plant> {
    let jwt =
        format!("{}.{}.c2lnbmF0dXJlLW9mLXRoZS1wbGFudA", base64(r#"{"alg":"RS256"}"#), base64(r#"{"sub":"system"}"#));
    let jwt = jwt.replace('=', "");
    let peer = base64(&format!(
        r#"{{"fsid":"f1","client_id":"rbd-mirror-peer","key":"{CEPHX}","mon_host":"[v2:10.0.0.1:3300]"}}"#
    ));
    let docker =
        json!({"auths": {"reg.example.com": {"auth": base64("robot:pl4nted-pull"), "password": "pl4nted-pull"}}});
    let login = base64("admin:pl4nted-basic");
    vec![
        plant("cephx", "key", CEPHX),
        plant("cephx of type 2", "key", CEPHX_256),
        plant("a cephx key by another name", "userKey", CEPHX),
        part("a keyring", "keyring", &format!("[client.admin]\n\tkey = {CEPHX}\n\tcaps mon = \"allow *\"\n"), &[CEPHX]),
        plant("a password", "password", "hunterplanted"),
        plant("a password of a number", "rgw_keystone_admin_password", "83726154"),
        plant("a password of an environment", "MYSQL_ROOT_PASSWORD", "c0rrect/h0rse"),
        plant("a token", "token", "planted0token0opaque"),
        plant("a token of Vault", "VAULT_TOKEN", "hvs.CAESIJplantedplantedplanted"),
        plant("an approle", "VAULT_SECRET_ID", "5f0c1d2e-aaaa-bbbb-cccc-0123456789ab"),
        plant("an S3 access key", "access_key", "PLANTEDACCESSKEY0001"),
        plant("an S3 secret key", "secret_key", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYPLANTEDKEY"),
        plant("an AWS key id", "AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7PLANTED"),
        plant("an API key", "IBM_KP_SERVICE_API_KEY", "plantedApiKey-Zx81"),
        plant("a passphrase", "luks_passphrase", "cGxhbnRlZC1sdWtzLXBhc3NwaHJhc2U="),
        plant("a session token", "serviceAccountToken", &jwt),
        plant("a bootstrap token", "token", "pl4nt0.0123456789abcdef"),
        plant("a peer token", "rbd-mirror-bootstrap-peer-token", &peer),
        part("a login to a registry", ".dockerconfigjson", &docker.to_string(), &["pl4nted-pull"]),
        plant("a hashed password", "password", "$2b$12$plantedplantedplantedplantedplantedplantedplantedplan"),
        part("a private key", "private_key", &pem("PRIVATE KEY"), &BODY),
        part("an RSA key", "tls.key", &pem("RSA PRIVATE KEY"), &BODY),
        part("a key of SSH", "ssh-privatekey", &pem("OPENSSH PRIVATE KEY"), &BODY),
        plant("a private key in base64", "caKey", &base64(&pem("EC PRIVATE KEY"))),
        part("a URL", "endpoint", "https://admin:pl4nted-url@vault.example.com:8200/v1", &["pl4nted-url"]),
        part("a header", "header", "Authorization: Bearer pl4nted.Bearer-Token0", &["pl4nted.Bearer-Token0"]),
        part("a basic header", "header", &format!("Authorization: Basic {login}"), &[login.as_str(), "pl4nted-basic"]),
    ]
}

/// Every place, as path and content, with the plant in it.
pub fn places(plant: &Plant) -> Vec<(String, Vec<u8>)> {
    let mut places = objects(plant);
    places.extend(answers(plant));
    places.extend(texts(plant));
    places
}

fn objects(plant: &Plant) -> Vec<(String, Vec<u8>)> {
    let Plant { name, value, .. } = plant;
    let field = json!({*name: value});
    let meta = |annotations: Value| json!({"name": "planted", "namespace": "rook-ceph", "annotations": annotations});
    let container = json!({
        "name": "c", "image": "quay.io/ceph/ceph:v19.2.3",
        "env": [{"name": name, "value": value}, {"value": value, "name": name}],
        "args": [format!("--{name}={value}"), format!("--{name}"), value],
        "command": ["sh", "-c", format!("exec run --{name}='{value}' --more")],
    });
    let pod_spec = json!({"containers": [container], "initContainers": [container]});
    let applied =
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod_spec, "more": field})
            .to_string();
    let last = "kubectl.kubernetes.io/last-applied-configuration";
    let ini = format!("[global]\nlog = 1\n{name} = {}\n", value.replace('\n', "\n  "));
    let yaml = serde_saphyr::to_string(&json!({"a": {"b": [field]}, "env": [{"name": name, "value": value}]})).unwrap();
    let (path, all) = (
        "namespaces/rook-ceph",
        vec![
            ("core", "pods", json!({"kind": "Pod", "apiVersion": "v1", "metadata": meta(json!({})), "spec": pod_spec})),
            (
                "apps",
                "deployments",
                json!({"kind": "Deployment", "apiVersion": "apps/v1", "metadata": meta(json!({last: applied.clone() + "\n"})),
            "spec": {"template": {"metadata": meta(json!({*name: value})), "spec": pod_spec}}}),
            ),
            (
                "apps",
                "daemonsets",
                json!({"kind": "DaemonSet", "apiVersion": "apps/v1", "metadata": meta(json!({"x.io/copy": field.to_string()})),
            "spec": {"template": {"spec": pod_spec}}}),
            ),
            (
                "batch",
                "cronjobs",
                json!({"kind": "CronJob", "apiVersion": "batch/v1", "metadata": meta(json!({})),
            "spec": {"jobTemplate": {"spec": {"template": {"spec": pod_spec}}}}}),
            ),
            (
                "ceph.rook.io",
                "cephclusters",
                json!({"kind": "CephCluster", "apiVersion": "ceph.rook.io/v1", "metadata": meta(json!({})),
            "spec": {"security": {"kms": {"connectionDetails": field}}, "cephConfig": {"global": field}},
            "status": {"message": format!("failed: {name}={value}")}}),
            ),
            (
                "core",
                "events",
                json!({"kind": "Event", "apiVersion": "v1", "metadata": meta(json!({})),
            "message": format!("Error: mount failed: options {name}={value}")}),
            ),
            (
                "core",
                "configmaps",
                json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta(json!({last: json!({"data": field}).to_string()})),
            "data": {*name: value, "config.json": field.to_string(), "ceph.conf": ini, "config.yaml": yaml,
                     "run.sh": format!("export {name}='{value}'\n"), "deep.json": json!({"inner": field.to_string()}).to_string()},
            "binaryData": {"config.json": base64(&field.to_string())}}),
            ),
            (
                "core",
                "secrets-of-a-stranger",
                json!({"kind": "Secret", "apiVersion": "v1", "metadata": meta(json!({last: json!({"kind": "Secret", "data": {"x": base64(value)}}).to_string()})),
            "data": {"x": base64(value)}, "stringData": {"y": value}}),
            ),
            (
                "kubeovn.io",
                "ips",
                json!({"kind": "IP", "apiVersion": "kubeovn.io/v1", "metadata": meta(json!({})), "spec": {"any": [[field]]}}),
            ),
        ],
    );
    let mut places = Vec::new();
    for (group, plural, object) in &all {
        let of = |end: &str| format!("{path}/{group}/{plural}{end}");
        let list = json!({"apiVersion": object["apiVersion"], "kind": format!("{}List", object["kind"].as_str().unwrap()), "items": [object]});
        let bare = {
            let mut list = list.clone();
            list["items"][0].as_object_mut().unwrap().remove("kind");
            list
        };
        places.push((of("/planted.yaml"), serde_saphyr::to_string(object).unwrap().into_bytes()));
        places.push((of(".yaml"), format!("---\n{}", serde_saphyr::to_string(&list).unwrap()).into_bytes()));
        places.push((of(".bare.yaml"), serde_json::to_vec(&bare).unwrap()));
        places.push((of(".pretty.json"), serde_json::to_vec_pretty(&list).unwrap()));
        let lines =
            format!("{{\"kind\":\"{}\",\"items\":[\n{object},\n{object}\n]}}\n", list["kind"].as_str().unwrap());
        places.push((of(".lines.yaml"), lines.into_bytes()));
    }
    places
}

fn answers(plant: &Plant) -> Vec<(String, Vec<u8>)> {
    let Plant { name, value, .. } = plant;
    let json_of = |command: &str, answer: Value| {
        (
            format!("ceph/namespaces/rook-ceph/must_gather_commands_json_output/ceph_{command}_--format_json-pretty"),
            serde_json::to_vec_pretty(&answer).unwrap(),
        )
    };
    let plain = "ceph/namespaces/rook-ceph/must_gather_commands";
    let option = format!("mgr/dashboard/{name}");
    vec![
        json_of(
            "auth_ls",
            json!({"auth_dump": [{"entity": "osd.3", *name: value, "caps": {}}, {"entity": "client.x", "key": value}]}),
        ),
        json_of("config_dump", json!([{"section": "mgr", "name": option, "value": value, "level": "advanced"}])),
        json_of(
            "config-key_dump",
            json!({option.as_str(): value, "mgr/x/store": json!({"users": [{*name: value}]}).to_string()}),
        ),
        json_of("user_info", json!({"keys": [{"user": "s3", *name: value}], "swift_keys": []})),
        (format!("{plain}/ceph_config_get"), format!("{name}: {}\n", value.replace('\n', "\n    ")).into_bytes()),
        (
            format!("{plain}/ceph_config_set"),
            format!("ceph config set mgr mgr/dashboard/{name} '{value}'\n").into_bytes(),
        ),
        (
            "rookdoctor/exec/rook-ceph/p/mgr/config_show.stdout".into(),
            json!({"name": "mgr.a", *name: value}).to_string().into_bytes(),
        ),
        (
            "rookdoctor/exec/rook-ceph/p/mgr/config_show.stderr".into(),
            format!("unable to use {name}={value}\n").into_bytes(),
        ),
        (
            "rookdoctor/ceph/rook-ceph/ceph_x.stderr".into(),
            format!(
                "Error EINVAL: cmd=[{{\"prefix\": \"config-key set\", \"key\": \"{option}\", \"val\": {}}}]\n",
                json!(value)
            )
            .into_bytes(),
        ),
    ]
}

fn texts(plant: &Plant) -> Vec<(String, Vec<u8>)> {
    let Plant { name, value, .. } = plant;
    let log = |which: &str, line: String| {
        let line = format!("2025-10-14T18:37:45.1Z I | op-mon: starting\n{line}\n2025-10-14T18:37:46.1Z I | done\n");
        (format!("namespaces/rook-ceph/pods/p/{which}/{which}/logs/current.log"), line.into_bytes())
    };
    let object = json!({*name: value, "level": "info"}).to_string();
    let env = json!({"env": [{"name": name, "value": value}]}).to_string();
    let at = "2025-10-14 18:37:45.123 I | exec: running";
    let quoted = json!(value).to_string();
    let escaped = quoted.trim_matches('"');
    let mut places = vec![
        log("equals", format!("{at} {name}={value}")),
        log("logfmt", format!("{at} {name}={quoted} more=1")),
        log("field", format!("{at} {{{object}}}")),
        log("json", object.clone()),
        log("json-in-json", json!({"msg": object, "env": env}).to_string()),
        log("env", format!("{at} with {env}")),
        log("colon", format!("{name}: {value}")),
        log("flag", format!("{at} ceph --{name}={quoted} -s")),
        log("flag-and-word", format!("{at} [ceph --{name} {quoted} -s]")),
        log("escaped", format!("{at} \\\"{name}\\\": \\\"{}\\\"", escaped.replace('\\', "\\\\"))),
        log("base64", format!("{at} payload {}", base64(&object))),
        log("base64-of-ini", format!("{at} payload {}", base64(&format!("[client]\n{name} = {value}\n")))),
        log("url", format!("{at} GET /x?a=1&{name}={}&b=2", url(value))),
        (
            "namespaces/rook-ceph/core/broken.yaml".into(),
            format!("kind: ConfigMap\ndata:\n  {name}: {quoted}\n  other: [}}\n").into_bytes(),
        ),
        (
            "namespaces/rook-ceph/apps/broken.yaml".into(),
            format!("env:\n- name: {name}\n  value: {quoted}\n  x: [}}\nargs:\n- --{name}\n- {quoted}\n").into_bytes(),
        ),
        (
            "rookdoctor/manifest.yaml".into(),
            format!("schemaVersion: 1\ncoverage:\n  ceph status: {}\n", json!(format!("error: {name}={value}")))
                .into_bytes(),
        ),
    ];
    let mut not_utf8 = format!("{at} \u{1}{name}={value}\n").into_bytes();
    not_utf8.extend([0xff, 0xfe, b'\n']);
    places.push(("namespaces/rook-ceph/pods/p/c/c/logs/previous.log".into(), not_utf8));
    places
}

/// Percent-encoded, as in a query.
pub fn url(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

/// The forms in which a needle may survive: as it is, escaped for JSON and for a URL, and in base64 at any offset.
pub fn forms(needle: &str) -> Vec<String> {
    let escaped = json!(needle).to_string();
    let mut forms = vec![needle.to_owned(), escaped[1..escaped.len() - 1].to_owned(), url(needle)];
    for offset in 0..3 {
        let encoded = STANDARD.encode(format!("{}{needle}", &"   "[..offset]));
        let start = [0, 2, 3][offset];
        let end = encoded.trim_end_matches('=').len() - 1;
        forms.push(encoded[start..end].to_owned());
    }
    forms
}

/// What of a plant can be found in these bytes.
pub fn found(plant: &Plant, bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    plant.needles.iter().flat_map(|needle| forms(needle)).find(|form| text.contains(form.as_str()))
}

/// What of any plant can be found in these bytes, searched for all at once.
pub fn any_found(bytes: &[u8]) -> Option<String> {
    static ALL: LazyLock<(AhoCorasick, Vec<String>)> = LazyLock::new(|| {
        let of = |plant: &Plant| plant.needles.iter().flat_map(|needle| forms(needle)).collect::<Vec<_>>();
        let all: Vec<String> = all().iter().flat_map(of).collect();
        (AhoCorasick::new(&all).unwrap(), all)
    });
    ALL.0.find(bytes).map(|found| ALL.1[found.pattern().as_usize()].clone())
}

/// Of a list so many objects are planted in; they all are alike.
const PLANTED: usize = 2;

/// A cluster with every plant in objects of every kind and in each log and answer, where no check reads it.
pub fn planted(tree: &Tree) -> Tree {
    let mut planted = tree.clone();
    for (path, file) in tree.below("") {
        let Ok(bytes) = file.bytes() else { continue };
        // The versions are a map of daemons, in which nothing else can be.
        let is_json = (path.contains("json_output/") && !path.contains("ceph_versions")) || path.ends_with(".stdout");
        let content = if path.ends_with(".log") || path.contains("/must_gather_commands/") || path.ends_with(".stderr")
        {
            log(&bytes)
        } else if path.starts_with("namespaces/") || path.starts_with("cluster-scoped-resources/") {
            let Ok(objects) = file.objects() else { continue };
            let one = |(at, it): (usize, &Value)| if at < PLANTED { object(it.clone()) } else { it.clone() };
            let items: Vec<Value> = objects.iter().enumerate().map(one).collect();
            let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
            serde_json::to_vec(if items.len() == 1 { &items[0] } else { &list }).unwrap()
        } else if let Ok(Value::Object(mut answer)) = serde_json::from_slice(&bytes)
            && is_json
        {
            answer.insert("planted".into(), every_field());
            serde_json::to_vec_pretty(&answer).unwrap()
        } else {
            continue;
        };
        planted.write(path, content);
    }
    planted
}

/// The plants as fields; each has a number, as some have one name.
fn every_field() -> Value {
    let fields =
        all().into_iter().enumerate().map(|(at, Plant { name, value, .. })| (format!("x{at}/{name}"), json!(value)));
    Value::Object(fields.collect())
}

fn log(before: &[u8]) -> Vec<u8> {
    let mut text = before.to_vec();
    for Plant { name, value, .. } in all() {
        let object = json!({name: value});
        text.extend(format!("2020-01-01T00:00:00Z I | planted {name}={}\n{object}\n", json!(value)).into_bytes());
    }
    text
}

fn object(mut object: Value) -> Value {
    let fields = every_field();
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    let annotations = object["metadata"].as_object_mut().unwrap().entry("annotations").or_insert_with(|| json!({}));
    for (name, value) in fields.as_object().unwrap() {
        annotations[name] = value.clone();
    }
    annotations["kubectl.kubernetes.io/last-applied-configuration"] =
        json!({"kind": kind, "spec": fields}).to_string().into();
    let template = if kind == "Pod" { "/spec/containers" } else { "/spec/template/spec/containers" };
    for container in object.pointer_mut(template).and_then(Value::as_array_mut).into_iter().flatten() {
        for Plant { name, value, .. } in all() {
            let container = container.as_object_mut().unwrap();
            let env = container.entry("env").or_insert_with(|| json!([])).as_array_mut().unwrap();
            env.push(json!({"name": name, "value": value}));
            let args = container.entry("args").or_insert_with(|| json!([])).as_array_mut().unwrap();
            args.extend([json!(format!("--planted-{name}={value}")), json!(format!("--planted-{name}")), json!(value)]);
        }
    }
    if kind == "ConfigMap" {
        for (name, value) in fields.as_object().unwrap() {
            object["data"][name] = value.clone();
        }
        object["data"]["planted.json"] = fields.to_string().into();
        object["data"]["planted.yaml"] = serde_saphyr::to_string(&fields).unwrap().into();
    }
    object
}
