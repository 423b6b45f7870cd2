//! Completion in the shells and by kubectl itself, and the files that ship with a release.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use clap::CommandFactory;
use rookdoctor::checks::ALL;
use rookdoctor::cli::Cli;
use rookdoctor::examples;

use crate::api::on_path;
use crate::cli::{program, run};
use crate::double::{Double, Faults};
use crate::support;

/// Each file and the command that writes it.
const FILES: &[(&str, &[&str])] = &[
    ("kubectl-rookdoctor.bash", &["completion", "bash"]),
    ("_kubectl-rookdoctor", &["completion", "zsh"]),
    ("kubectl-rookdoctor.fish", &["completion", "fish"]),
    ("kubectl-rookdoctor.ps1", &["completion", "powershell"]),
    ("kubectl_complete-rookdoctor", &["completion", "kubectl"]),
    ("kubectl-rookdoctor.1", &["man"]),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("completions")
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    assert!(output.stderr.is_empty(), "it must be silent: {output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What `kubectl_complete-rookdoctor` is answered: the candidates without what they are, and the directive.
fn answer(words: &[&str]) -> Vec<String> {
    candidates(&run(&[&["complete", "--"], words].concat()))
}

fn candidates(output: &Output) -> Vec<String> {
    text(output).lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn the_files_are_current() {
    for (name, command) in FILES {
        let path = folder().join(name);
        let written = fs::read_to_string(&path).unwrap_or_default();
        let current = text(&run(command));
        assert!(
            current == written,
            "completions/{name} is not what the program prints; run\n  \
             cargo run -q -- {} > completions/{name}",
            command.join(" ")
        );
    }
    let listed = fs::read_dir(folder()).unwrap().count();
    assert_eq!(listed, FILES.len(), "completions/ holds what no command writes");
}

#[cfg(unix)]
#[test]
fn kubectl_may_run_its_file() {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(folder().join("kubectl_complete-rookdoctor")).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "chmod +x completions/kubectl_complete-rookdoctor");
}

#[test]
fn the_last_word_is_completed() {
    for (words, expected) in [
        (&["exp"][..], &["explain", ":4"][..]),
        (&["explain", "net007"], &["NET007", ":4"]),
        (&["explain", "nad-def"], &["nad-default-route", ":4"]),
        (&["--only", "NET007,nad-def"], &["NET007,nad-default-route", ":4"]),
        (&["diagnose", "--skip", "OVN"], &["OVN", "OVN001"]),
        (&["--example", "story7"], &["story7-mon-down-one", ":4"]),
        (&["diagnose", "--example=story7"], &["--example=story7-mon-down-one", ":4"]),
        (&["--fail-on", ""], &["warning", "critical", "never", ":4"]),
        (&["--color", "al"], &["always", ":4"]),
        (&["-o", ""], &["human", "json", "yaml", "markdown", "html", "junit", "prometheus", "sarif", ":4"]),
        (&["checks", "-o", ""], &["human", "json", "yaml", "markdown", ":4"]),
        (&["-o", "", "explain"], &["explain", ":4"]),
        (&["explain", "NET007", "-o", ""], &["human", "json", "yaml", ":4"]),
        (&["fix", "OVN007", "--dry-run="], &["--dry-run=client", "--dry-run=server", ":4"]),
        (&["fix", "his"], &["history", ":4"]),
        (&["capture", "--anon"], &["--anonymize", ":4"]),
        (&["completion", "k"], &["kubectl", ":4"]),
        (&["compl"], &["completion", ":4"]),
        (&["--timeout", ""], &[":4"]),
        (&["explain", "no-such"], &[":4"]),
        (&["no-such-command", "--no-such-flag", ""], &["diagnose"]),
        (&["--bundle", ""], &[":0"]),
        (&["--kubeconfig", "/et"], &[":0"]),
        (&["diff", ""], &[":0"]),
        (&["diff", "monday.tgz", "t"], &[":0"]),
        (&["serve", "case"], &[":0"]),
        (&["capture", "-f", ""], &[":0"]),
    ] {
        let answer = answer(words);
        let complete = expected.last().is_some_and(|last| last.starts_with(':'));
        let seen = if complete { &answer[..] } else { &answer[..expected.len().min(answer.len())] };
        assert_eq!(seen, expected, "{words:?}");
    }
    let commands = answer(&[]);
    assert_eq!(commands, answer(&[""]));
    assert!(commands.contains(&"fix".into()) && !commands.contains(&"complete".into()), "{commands:?}");
    assert_eq!(answer(&["explain", ""]).len(), ALL.len() + 1, "all codes and the directive");
    assert_eq!(answer(&["--example", ""]).len(), examples::ALL.len() + 1);
}

/// A folder as PATH has it: the plugin, and what kubectl asks about it.
#[cfg(unix)]
fn installed() -> tempfile::TempDir {
    let bin = tempfile::tempdir().unwrap();
    let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, bin.path().join(name)).unwrap();
    link(Path::new(env!("CARGO_BIN_EXE_kubectl-rookdoctor")), "kubectl-rookdoctor");
    link(&folder().join("kubectl_complete-rookdoctor"), "kubectl_complete-rookdoctor");
    bin
}

#[cfg(unix)]
#[test]
fn kubectl_itself_completes_what_the_cluster_holds() {
    // Before 1.26 kubectl asks no plugin.
    if support::kubectl_minor() < 26 {
        return;
    }
    let double = Double::serve(support::base("healthy-hostnet-120"), Faults::none());
    let bin = installed();
    let ask = |words: &[&str]| {
        let mut command = Command::new("kubectl");
        on_path(&mut command, &double);
        let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
        let output = command.env("PATH", path).args(["__complete", "rookdoctor"]).args(words).output().unwrap();
        // kubectl itself tells the directive in words on standard error.
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(ask(&["--context", ""]), ["double", ":4"]);
    assert_eq!(ask(&["explain", "NET007"]), ["NET007\tnad-default-route", ":4"]);
    assert_eq!(ask(&["--context", "double", "-n", "kube-s"]), ["kube-system", ":4"]);
    assert_eq!(ask(&["diagnose", "--cluster-name", ""]), ["larch-ceph", ":4"]);
    assert_eq!(ask(&["serve", ""]), [":0"]);
    // The context that was typed is the one that is asked.
    assert_eq!(ask(&["--context", "no-such", "-n", "kube-s"]), [":4"]);
}

#[test]
fn a_cluster_that_does_not_answer_is_left_out_in_silence() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for server in [silent.local_addr().unwrap(), refused] {
        let started = Instant::now();
        let server = format!("http://{server}");
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("config");
        let config = format!(
            "{{current-context: lab, contexts: [{{name: lab, context: {{cluster: c, user: u}}}}],\n\
             clusters: [{{name: c, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {{}}}}]}}"
        );
        fs::write(&kubeconfig, config).unwrap();
        let ask = |words: &[&str]| {
            let asked = program().env("KUBECONFIG", &kubeconfig).args(["complete", "--"]).args(words).output();
            candidates(&asked.unwrap())
        };
        assert_eq!(ask(&["-n", ""]), [":4"], "{server}");
        assert!(started.elapsed() < Duration::from_secs(8), "{server}: {:?}", started.elapsed());
        for (flag, name) in [("--context", "lab"), ("--cluster", "c"), ("--user", "u")] {
            assert_eq!(ask(&[flag, ""]), [name, ":4"], "the kubeconfig needs no cluster");
        }
        let named = run(&["complete", "--", "--kubeconfig", kubeconfig.to_str().unwrap(), "--context", ""]);
        assert_eq!(candidates(&named), ["lab", ":4"], "the kubeconfig that was typed is the one that is read");
    }
}

/// A credentials plugin may neither ask nor complain in the middle of a line.
#[cfg(unix)]
#[test]
fn a_credentials_plugin_that_asks_is_not_let_through() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("config");
    let config = "{current-context: lab, contexts: [{name: lab, context: {cluster: c, user: u}}],\n\
         clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}], users: [{name: u, user: {exec: {\n\
         apiVersion: client.authentication.k8s.io/v1, command: sh, interactiveMode: Always,\n\
         args: ['-c', 'echo password please >&2; sleep 30']}}}]}";
    fs::write(&kubeconfig, config).unwrap();
    let started = Instant::now();
    let mut ask = program();
    ask.env("KUBECONFIG", &kubeconfig).env("PATH", std::env::var("PATH").unwrap());
    let asked = ask.args(["complete", "--", "-n", ""]).output().unwrap();
    assert_eq!(candidates(&asked), [":4"]);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

/// The script in a real bash, which is told to complete as if the key was pressed.
#[cfg(unix)]
#[test]
fn bash_completes() {
    const FUNCTION: &str = "_clap_complete_kubectl_rookdoctor";
    let bin = installed();
    let script = folder().join("kubectl-rookdoctor.bash");
    let complete = |line: &[&str]| {
        let words = line.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(" ");
        let last = line.len() - 1;
        let pressed = format!(
            "source '{}' && complete -p kubectl-rookdoctor | grep -q ' -F {FUNCTION} ' || exit 1\n\
             COMP_WORDS=({words}) COMP_CWORD={last} COMP_TYPE=9\n\
             {FUNCTION} kubectl-rookdoctor '{}'\n\
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display(),
            line[last]
        );
        let path = format!("{}:{}", bin.path().display(), std::env::var("PATH").unwrap());
        let output = Command::new("bash").args(["--norc", "-c", &pressed]).env("PATH", path).output().unwrap();
        text(&output).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(complete(&["kubectl-rookdoctor", "expl"]), ["explain"]);
    assert_eq!(complete(&["kubectl-rookdoctor", "explain", "NET007"]), ["NET007"]);
    assert_eq!(complete(&["kubectl-rookdoctor", "--example", "story7"]), ["story7-mon-down-one"]);
    let bundle = bin.path().join("must-gather.tgz");
    fs::write(&bundle, "").unwrap();
    let begun = bin.path().join("must-ga");
    let completed = complete(&["kubectl-rookdoctor", "--bundle", begun.to_str().unwrap()]);
    assert_eq!(completed, [bundle.to_str().unwrap()]);
}

/// A variable of another program's completion must not silence this one.
#[test]
fn only_its_own_variable_asks_for_completion() {
    let ran = program().env("COMPLETE", "bash").arg("version").output().unwrap();
    assert!(text(&ran).starts_with("kubectl-rookdoctor "));
}

#[test]
fn the_man_page_tells_of_every_command_and_flag() {
    let page = text(&run(&["man"])).replace('\\', "");
    let command = Cli::command();
    for sub in command.get_subcommands() {
        assert_eq!(page.contains(&format!("\n.SS {}\n", sub.get_name())), !sub.is_hide_set(), "{}", sub.get_name());
    }
    let of_commands = command.get_subcommands().filter(|sub| !sub.is_hide_set()).flat_map(|sub| sub.get_arguments());
    for arg in command.get_arguments().chain(of_commands) {
        if let Some(long) = arg.get_long() {
            assert!(page.contains(&format!("fB--{long}fR")), "--{long}");
        }
    }
    assert!(page.contains(".SH \"EXIT STATUS\"") && page.contains("wrong usage"));
    let heads = page.lines().filter(|line| line.starts_with(".TH ")).count();
    assert_eq!(heads, 1);
}
