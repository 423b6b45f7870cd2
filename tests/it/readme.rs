//! Every block of the README is run: commands, scripts, screens and recipes.
//!
//! Live commands meet a recorded cluster that `serve` serves, so that kubectl itself is in between.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_kubectl-rookdoctor");
/// The cluster behind live commands: the README mends OVN007.
const CLUSTER: &str = "story5-kubeovn-after-reboot";

/// How each command of the README begins, and how it ends against that cluster. The longest beginning counts.
const ENDS: &[(&str, &[i32])] = &[
    ("cargo run", &[2]),
    ("chmod", &[0]),
    ("kubectl --kubeconfig case.kubeconfig get pods", &[0]),
    ("kubectl rookdoctor", &[2]),
    ("kubectl rookdoctor --bundle must-gather.tar.gz", &[1]),
    ("kubectl rookdoctor --contexts", &[2]),
    ("kubectl rookdoctor --example story7-mon-down-one --suppressions", &[1]),
    ("kubectl rookdoctor --wait", &[2]),
    // The story's recording does not hold one log that a check wants.
    ("kubectl rookdoctor capture", &[3]),
    ("kubectl rookdoctor completion", &[0]),
    ("kubectl rookdoctor diff", &[2]),
    ("kubectl rookdoctor fix", &[0]),
    // Asked without a terminal and without --yes: nothing is done.
    ("kubectl rookdoctor fix OVN007", &[5]),
    // A served recording takes no writes.
    ("kubectl rookdoctor fix OVN007 --dry-run=server", &[5]),
    ("kubectl rookdoctor fix OVN007 --yes", &[5]),
    ("kubectl rookdoctor fix OVN007 --script", &[0]),
    ("kubectl rookdoctor fix OVN007 --example", &[5]),
    ("kubectl rookdoctor fix OVN007 --example story5-kubeovn-after-reboot --dry-run", &[0]),
    ("kubectl rookdoctor fix undo", &[64]),
    ("kubectl rookdoctor fix finish", &[64]),
    ("kubectl rookdoctor manifests", &[0]),
    ("kubectl rookdoctor rbac", &[0]),
    ("kubectl rookdoctor rbac --check", &[0]),
    ("kubectl rookdoctor suppress", &[0]),
    ("kubectl rookdoctor version", &[0]),
];

/// What cannot run inside a test: it is this test, or the build of what is tested (`.ci/release-dry-run` installs it).
const ELSEWHERE: &[&str] = &["cargo test", "cargo install --locked --path ."];

/// A fenced block.
struct Block {
    language: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in readme.lines() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(language), None) => open = Some(Block { language: language.to_owned(), text: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

fn of(language: &str) -> Vec<Block> {
    let found: Vec<Block> = blocks().into_iter().filter(|block| block.language == language).collect();
    assert!(!found.is_empty(), "no {language}");
    found
}

/// A machine of a user: a home, a folder to work in, the plugin in `PATH`, and contexts that reach the cluster.
struct Machine {
    home: TempDir,
    served: Vec<Child>,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let bin = home.path().join(".local/bin");
        fs::create_dir_all(&bin).unwrap();
        symlink(PROGRAM, bin.join("kubectl-rookdoctor")).unwrap();
        let mut machine = Self { home, served: Vec::new() };
        machine.serve(&["--example", CLUSTER, "-f", "kubeconfig"], "kubeconfig");
        let config: Value = serde_saphyr::from_str(&fs::read_to_string(machine.path("kubeconfig")).unwrap()).unwrap();
        let [cluster, user] =
            ["cluster", "user"].map(|of| config["contexts"][0]["context"][of].as_str().unwrap_or_default());
        for context in ["prod", "stage", "lab"] {
            let user = if user.is_empty() { String::new() } else { format!(" --user={user}") };
            machine.good(&format!("kubectl config set-context {context} --cluster={cluster}{user}"));
        }
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/examples");
        fs::copy(examples.join("story7-mon-down-one.tar.gz"), machine.path("must-gather.tar.gz")).unwrap();
        fs::copy(examples.join("healthy-multus-kubeovn.tar.gz"), machine.path("monday.tgz")).unwrap();
        machine.run("kubectl rookdoctor --example story7-mon-down-one -o json --output-file yesterday.json");
        let suppressions = of("yaml").into_iter().find(|block| block.text.contains("kind: Suppressions")).unwrap();
        fs::write(machine.path("suppressions.yaml"), suppressions.text).unwrap();
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        let path = std::env::var("PATH").unwrap();
        command.args(["-c", line]).current_dir(self.home.path()).env_clear();
        command.env("PATH", format!("{}:{path}", self.path(".local/bin").display())).env("HOME", self.home.path());
        command.env("KUBECONFIG", self.path("kubeconfig")).env("LANG", "C.UTF-8").env("COLUMNS", "100");
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).stdin(Stdio::null()).output().unwrap()
    }

    fn good(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Serves until the machine is gone; comes back when the kubeconfig is there.
    fn serve(&mut self, arguments: &[&str], config: &str) {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").args(arguments).current_dir(self.home.path()).stdout(Stdio::null()).stderr(Stdio::null());
        self.served.push(command.spawn().unwrap());
        let begun = Instant::now();
        while fs::read_to_string(self.path(config)).unwrap_or_default().is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(60), "nothing is served");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for served in &mut self.served {
            let _ = served.kill();
            let _ = served.wait();
        }
    }
}

/// The command of a line of a block, without its remark.
fn command(line: &str) -> &str {
    line.split(" #").next().unwrap_or_default().trim()
}

fn ends(line: &str) -> &'static [i32] {
    let mut rows: Vec<_> = ENDS.iter().filter(|(begins, _)| line.starts_with(begins)).collect();
    rows.sort_by_key(|(begins, _)| begins.len());
    rows.last().unwrap_or_else(|| panic!("how does this end? {line}")).1
}

#[test]
fn every_command_runs() {
    let mut machine = Machine::new();
    let mut wrong = Vec::new();
    for line in of("console").iter().flat_map(|block| block.text.lines()).map(command).filter(|line| !line.is_empty()) {
        if ELSEWHERE.contains(&line) {
            continue;
        }
        if let Some(arguments) = line.strip_prefix("kubectl rookdoctor serve ") {
            let arguments: Vec<&str> = arguments.split_whitespace().collect();
            machine.serve(&arguments, arguments.last().unwrap());
            continue;
        }
        // The recording behind the commands takes no writes: kubectl reads and checks what it would apply.
        let read_only = line
            .replace("kubectl apply -f -", "kubectl create --dry-run=client --validate=false -f -")
            .replace("cargo run -q --", "kubectl rookdoctor")
            .replace("--timeout 20m", "--timeout 3s");
        // Recordings of one moment bear one name.
        let output = machine.run(&format!("rm -f recorded-*.tar.gz; {read_only}"));
        let status = output.status.code().unwrap_or(-1);
        if !ends(line).contains(&status) {
            let said = String::from_utf8_lossy(&output.stderr);
            wrong.push(format!(
                "{line}\n  ended with {status}: {}",
                said.lines().take(4).collect::<Vec<_>>().join("\n  ")
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The example that a screen shows is named last before it.
#[test]
fn screens_are_real() {
    let machine = Machine::new();
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let mut shown = 0;
    for (before, block) in readme.split("```text\n").zip(readme.split("```text\n").skip(1)) {
        let screen = block.split("```").next().unwrap();
        let named = before.rsplit("--example ").next().unwrap();
        let example = named.split(|c: char| c.is_whitespace() || c == '`').next().unwrap();
        let quiet = if screen.lines().count() == 1 { " -q" } else { "" };
        let output = machine.run(&format!("kubectl rookdoctor --example {example}{quiet}"));
        // How long it took is another time each time.
        let timeless = |text: &str| {
            let line = |line: &str| {
                if line.contains(" reads, ") { line.rsplit_once(", ").unwrap().0.to_owned() } else { line.to_owned() }
            };
            text.lines().map(line).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(timeless(screen), timeless(&String::from_utf8(output.stdout).unwrap()), "{example}");
        shown += 1;
    }
    assert_eq!(shown, of("text").len());
}

#[test]
fn scripts_end_as_their_readers_expect() {
    let machine = Machine::new();
    let scripts = of("sh");
    let gate = &scripts.iter().find(|script| script.text.contains("case $?")).unwrap().text;
    let output = machine.run(gate);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not now"));
    let elsewhere = machine.run(&format!("KUBECONFIG=/nonexistent\n{gate}"));
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("not everything could be seen"));

    let cron =
        &scripts.iter().find(|script| script.text.contains("cron") || script.text.contains("STATE")).unwrap().text;
    let mailed = |prefix: &str| String::from_utf8(machine.run(&format!("{prefix}{cron}")).stdout).unwrap();
    assert!(mailed("").contains("rook-ceph/rook-ceph: critical"), "the first report is news");
    assert_eq!(mailed(""), "", "the same again is none");
    assert!(mailed("export KUBECONFIG=/nonexistent\n").contains("ACC001"), "out of reach is news");
    assert!(!mailed("").is_empty(), "and its end is news again");
}

#[test]
fn the_workflow_leaves_its_files_and_the_exit_status() {
    let machine = Machine::new();
    let workflow = of("yaml").into_iter().find(|block| block.text.contains("runs-on")).unwrap();
    let workflow: Value = serde_saphyr::from_str(&workflow.text).unwrap();
    let job = &workflow["jobs"]["rookdoctor"];
    assert_eq!(job["permissions"]["security-events"], "write", "without it the upload is refused");
    let steps = job["steps"].as_array().unwrap();
    let script = steps[0]["run"].as_str().unwrap();
    // As the runner runs it.
    fs::write(machine.path("step.sh"), script).unwrap();
    let output = machine.run("GITHUB_STEP_SUMMARY=$PWD/summary.md bash -e step.sh");
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read_to_string(machine.path("summary.md")).unwrap().contains("OVN007"));
    let uploaded = steps[1]["with"]["sarif_file"].as_str().unwrap();
    assert_eq!(steps[1]["if"], "always()", "a sick cluster is when it is wanted");
    let sarif: Value = serde_json::from_str(&fs::read_to_string(machine.path(uploaded)).unwrap()).unwrap();
    assert_eq!(sarif["version"], "2.1.0");
}

#[test]
fn the_hook_of_argo_fails_where_something_is_broken() {
    let machine = Machine::new();
    let hook = of("yaml").into_iter().find(|block| block.text.contains("argocd")).unwrap();
    let job: k8s_openapi::api::batch::v1::Job = serde_saphyr::from_str(&hook.text).unwrap();
    let again = serde_json::to_value(&job).unwrap();
    assert_eq!(again["metadata"]["annotations"]["argocd.argoproj.io/hook"], "PreSync");
    let pod = job.spec.unwrap().template.spec.unwrap();
    let manifests = machine.good("kubectl rookdoctor manifests");
    assert!(manifests.contains(&format!("serviceAccountName: {}", pod.service_account_name.unwrap())));
    let container = &pod.containers[0];
    assert!(manifests.contains(&format!("image: {}", container.image.as_ref().unwrap())));
    let arguments = container.args.clone().unwrap();
    let run = |config: &str| {
        let mut command = machine.command(&format!("kubectl-rookdoctor {}", arguments.join(" ")));
        command.env("KUBECONFIG", config).output().unwrap().status.code()
    };
    assert_eq!(run(machine.path("kubeconfig").to_str().unwrap()), Some(2));
    assert_eq!(run("/nonexistent"), Some(3));
}
