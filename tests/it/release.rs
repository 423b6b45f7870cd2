//! What a release is made of: krew's manifest by krew's own rules, and the archives that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use flate2::read::GzDecoder;
use regex::Regex;
use serde::Deserialize;

/// The address that a release replaces by its own, in the manifest only.
const REPOSITORY: &str = "https://github.com/OWNER/kubectl-rookdoctor";
const PLATFORMS: &[(&str, &str)] = &[
    ("linux", "amd64"),
    ("linux", "arm64"),
    ("darwin", "amd64"),
    ("darwin", "arm64"),
    ("windows", "amd64"),
    ("windows", "arm64"),
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Manifest {
    api_version: String,
    kind: String,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Spec {
    version: String,
    homepage: String,
    short_description: String,
    description: String,
    #[serde(default)]
    caveats: String,
    platforms: Vec<Platform>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    selector: Selector,
    uri: String,
    sha256: String,
    bin: String,
    files: Vec<Move>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Selector {
    match_labels: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    from: String,
    to: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn template() -> String {
    fs::read_to_string(root().join("krew/rookdoctor.yaml")).unwrap()
}

fn matches(pattern: &str, text: &str) -> bool {
    Regex::new(pattern).unwrap().is_match(text)
}

/// What krew's validator, the review of krew-index and its installation of every platform ask for; all that is wrong.
fn faults(text: &str, repository: &str) -> Vec<String> {
    let manifest: Manifest = match serde_saphyr::from_str(text) {
        Ok(manifest) => manifest,
        Err(error) => return vec![error.to_string()],
    };
    let Spec { version, homepage, short_description, description, caveats, platforms } = &manifest.spec;
    let semver = r"^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$";
    let mut wrong = Vec::new();
    let mut check = |holds: bool, rule: &str| {
        if !holds {
            wrong.push(rule.to_owned());
        }
    };
    check(manifest.api_version == "krew.googlecontainertools.github.com/v1alpha2", "apiVersion");
    check(manifest.kind == "Plugin", "kind");
    // The name of the file; what follows `kubectl-` in the name of the program.
    check(manifest.metadata.name == "rookdoctor" && matches(r"^[\w-]+$", &manifest.metadata.name), "name");
    check(matches(semver, version), "version");
    check(homepage == repository, "homepage");
    check((1..=50).contains(&short_description.chars().count()), "length of shortDescription");
    check(!short_description.contains(['\r', '\n']) && !short_description.ends_with('.'), "shortDescription");
    check(!short_description.to_lowercase().contains("kubectl"), "shortDescription repeats what everything there is");
    check(!description.trim().is_empty() && description.lines().all(|line| line.len() <= 80), "description");
    check(caveats.lines().all(|line| line.len() <= 90), "caveats");
    let mut seen = BTreeSet::new();
    for Platform { selector, uri, sha256, bin, files } in platforms {
        let label = |key: &str| selector.match_labels.get(key).cloned().unwrap_or_default();
        let (os, arch) = (label("os"), label("arch"));
        check(selector.match_labels.len() == 2, "a selector has os and arch, and nothing else");
        let archive = format!("kubectl-rookdoctor_{version}_{os}_{arch}.tar.gz");
        check(*uri == format!("{repository}/releases/download/{version}/{archive}"), "uri");
        check(matches("^[a-f0-9]{64}$", sha256), "sha256");
        let exe = if os == "windows" { ".exe" } else { "" };
        check(*bin == format!("kubectl-rookdoctor{exe}"), "bin");
        check(files.iter().all(|file| !file.from.is_empty() && !file.to.is_empty()), "files");
        check(files.iter().any(|file| file.from == *bin && file.to == "."), "bin is among the files");
        check(files.iter().any(|file| file.from == "LICENSE"), "LICENSE is among the files");
        check(seen.insert((os, arch)), "two entries for one platform");
    }
    let wanted = PLATFORMS.iter().map(|(os, arch)| ((*os).to_owned(), (*arch).to_owned()));
    check(seen == wanted.collect(), "every platform has an entry");
    wrong
}

#[test]
fn the_manifest_keeps_krews_rules() {
    assert_eq!(faults(&template(), REPOSITORY), Vec::<String>::new());
}

#[test]
fn the_rules_can_fail() {
    for (from, to, rule) in [
        ("version: v0.1.0", "version: 0.1.0", "version"),
        ("name: rookdoctor", "name: rook doctor", "name"),
        ("Find root causes in Rook-Ceph clusters", "Find root causes in Rook-Ceph clusters.", "shortDescription"),
        ("os: darwin", "os: linux", "two entries for one platform"),
        ("arch: arm64", "arch: arm64\n          libc: musl", "a selector has os and arch, and nothing else"),
        ("bin: kubectl-rookdoctor.exe", "bin: kubectl-rookdoctor", "bin"),
        ("from: LICENSE", "from: COPYING", "LICENSE is among the files"),
        ("0000000", "000000", "sha256"),
        ("uri: https", "uri: http", "uri"),
        ("caveats:", "caveat:", "unknown field"),
    ] {
        let changed = template().replacen(from, to, if from.len() > 20 { usize::MAX } else { 1 });
        assert_ne!(changed, template(), "{from}");
        let faults = faults(&changed, REPOSITORY);
        assert!(faults.iter().any(|fault| fault.contains(rule)), "{to}: {faults:?}");
    }
}

#[cfg(target_os = "linux")]
fn script(name: &str, arguments: &[&str]) -> Output {
    Command::new(root().join(".ci").join(name)).args(arguments).output().unwrap()
}

/// All six archives are packed, the manifest is filled in from them, and each holds what the manifest moves.
#[cfg(target_os = "linux")]
#[test]
fn a_release_fills_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let (binary, dist) = (folder.path().join("binary"), folder.path().join("dist"));
    let dist = dist.to_str().unwrap();
    for (os, arch) in PLATFORMS {
        fs::write(&binary, format!("{os} {arch}")).unwrap();
        let packed = script("archive", &[binary.to_str().unwrap(), os, arch, dist]);
        assert!(packed.status.success(), "{packed:?}");
    }
    let repository = "https://github.com/somebody/rook-doctor";
    let filled = script("krew-manifest", &[repository, dist]);
    assert!(filled.status.success(), "{filled:?}");
    let filled = String::from_utf8(filled.stdout).unwrap();
    assert_eq!(faults(&filled, repository), Vec::<String>::new());
    assert!(!filled.contains("OWNER") && !filled.contains(&"0".repeat(64)), "{filled}");

    let manifest: Manifest = serde_saphyr::from_str(&filled).unwrap();
    assert_eq!(manifest.spec.version, format!("v{}", env!("CARGO_PKG_VERSION")));
    for platform in &manifest.spec.platforms {
        let name = platform.uri.rsplit('/').next().unwrap();
        let sums = fs::read_to_string(Path::new(dist).join(format!("{name}.sha256"))).unwrap();
        assert_eq!(sums, format!("{}  {name}\n", platform.sha256));
        let files = unpacked(&Path::new(dist).join(name));
        for file in &platform.files {
            assert!(files.contains_key(&file.from), "{name} has no {}", file.from);
        }
        let (content, mode) = &files[&platform.bin];
        let labels = &platform.selector.match_labels;
        assert_eq!(String::from_utf8_lossy(content), format!("{} {}", labels["os"], labels["arch"]));
        assert_eq!(mode & 0o777, 0o755, "{name}");
        assert_eq!(files["LICENSE"].0, fs::read(root().join("LICENSE")).unwrap());
        assert_eq!(files["completions/kubectl_complete-rookdoctor"].1 & 0o111, 0o111);
        assert!(files.contains_key("completions/kubectl-rookdoctor.1"));
    }

    fs::remove_file(Path::new(dist).join(format!("kubectl-rookdoctor_{}_darwin_arm64.tar.gz", manifest.spec.version)))
        .unwrap();
    let lacking = script("krew-manifest", &[repository, dist]);
    assert!(!lacking.status.success(), "an archive is missing, and nobody says so");
}

/// The files of an archive with their modes.
#[cfg(target_os = "linux")]
fn unpacked(archive: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    use std::io::Read;
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(archive).unwrap()));
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().trim_start_matches("./").to_owned();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        files.insert(name, (content, entry.header().mode().unwrap()));
    }
    files
}

/// What the packing of one machine cannot show: the workflow builds exactly what the manifest names, and may do no
/// more than it needs.
#[test]
fn the_workflow_builds_what_the_manifest_names() {
    let text = fs::read_to_string(root().join(".github/workflows/release.yml")).unwrap();
    let workflow: serde_json::Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(workflow["permissions"], serde_json::json!({}), "each job says what it may");
    let matrix = workflow["jobs"]["build"]["strategy"]["matrix"]["include"].as_array().unwrap();
    let word = |entry: &serde_json::Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let built: BTreeSet<_> = matrix.iter().map(|entry| (word(entry, "os"), word(entry, "arch"))).collect();
    let wanted = PLATFORMS.iter().map(|(os, arch)| ((*os).to_owned(), (*arch).to_owned()));
    assert_eq!(built, wanted.collect());
    for entry in matrix {
        let (os, arch, target) = (word(entry, "os"), word(entry, "arch"), word(entry, "target"));
        let cpu = if arch == "amd64" { "x86_64" } else { "aarch64" };
        let expected = match os.as_str() {
            "linux" => "unknown-linux-musl",
            "darwin" => "apple-darwin",
            _ => "pc-windows-msvc",
        };
        assert_eq!(target, format!("{cpu}-{expected}"));
    }
    let jobs = workflow["jobs"].as_object().unwrap();
    let steps = jobs.values().flat_map(|job| job["steps"].as_array().unwrap());
    for action in steps.filter_map(|step| step["uses"].as_str()) {
        let pinned = matches(r"^actions/[\w-]+@v\d+$|^[\w./-]+@[0-9a-f]{40}$", action);
        assert!(pinned, "{action}: by major version if it is GitHub's own, else by commit");
    }
    assert!(!text.contains("secrets."), "the workflow needs no secret");
}
