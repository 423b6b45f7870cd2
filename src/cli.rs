//! The command line.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::completion::Shell;
use crate::lang::Lang;
use crate::publish::Place;
use crate::publish::push::Gateway;
use crate::rbac::manifests::Subject;
use crate::report::FailOn;
use crate::screen::{Color, Screen};

/// The time for a capture unless `--timeout` is given: it reads a hundred times what a diagnosis does.
const CAPTURE_TIME: Duration = Duration::from_secs(600);
/// The time to wait (`--wait`) unless `--timeout` is given.
const WAIT_TIME: Duration = Duration::from_secs(600);
/// What `--timeout 0` means: nobody waits longer.
pub(crate) const NO_LIMIT: Duration = Duration::from_secs(7 * 24 * 3600);

pub(crate) const ABOUT: &str = "\
Finds the root cause when a Rook-Ceph cluster breaks, with evidence and the fix.

Looks at the cluster of the current context, or at a recorded one (--bundle,
--example). Without a command it diagnoses, which only reads. `fix` alone changes
something, after it has shown what, and been told to; `publish` writes a report
of its own.";

pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0  healthy                       64  wrong usage
  1  a warning                     70  internal error
  2  something is broken          130  interrupted
  3  not everything could be seen, or the cluster or bundle could not be opened
  4  a fix failed, or did not verify
  5  a fix was not applied: declined, no --yes, or a guard";

const COMPLETION_HELP: &str = "\
kubectl rookdoctor <TAB>, in every shell that completes kubectl (kubectl 1.26 or
later); the folder is any in PATH:
  kubectl rookdoctor completion kubectl > ~/.local/bin/kubectl_complete-rookdoctor
  chmod +x ~/.local/bin/kubectl_complete-rookdoctor

kubectl-rookdoctor <TAB>, in this shell:
  bash        source <(kubectl rookdoctor completion bash)
  zsh         source <(kubectl rookdoctor completion zsh)
  fish        kubectl rookdoctor completion fish | source
  PowerShell  kubectl rookdoctor completion powershell | Out-String | iex";

const PUBLISH_HELP: &str = "\
What it writes, and nothing else:
  the ConfigMap   report.json (bounded: a ConfigMap holds 1 MiB; what had to be left
                  out is in the annotation rookdoctor.dev/left-out), summary.md, and
                  told.json, the memory of what was told. One of this name without the
                  label rookdoctor.dev/report=true is somebody else's and stays as it is.
  Events          at the CephCluster: a Warning for each root cause that was not told
                  before, a Normal one when it is gone. 20 of each at most in one run;
                  none for what is new if the memory cannot be read.

Exit status: 0 whenever all was published, however sick the cluster is (with --fail-on
as for `diagnose`); 3 if something could not be published.";

const LAYOUT: &str = "\
{about-with-newline}
{usage-heading} {usage}

{all-args}{after-help}";

/// Commands that look at no cluster do not repeat the flags of those that do.
const LEAF_LAYOUT: &str = "\
{about-with-newline}
{usage-heading} {usage}{after-help}";

const LEAF_HELP: &str = "-o json and -o yaml print it for programs. All flags: kubectl rookdoctor --help";

/// `kubectl rookdoctor`
#[derive(Parser)]
#[command(version, about = ABOUT, long_about = None, after_help = EXIT_STATUS, help_template = LAYOUT)]
#[command(args_override_self = true, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub source: Source,
    #[command(flatten)]
    pub choice: Choice,
    #[command(flatten)]
    pub output: Output,
    #[command(subcommand)]
    pub command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Diagnose a cluster (what happens without a command)
    Diagnose,
    /// List the fixes at hand; show, confirm, apply and verify one
    Fix(Fix),
    /// Record a cluster in a file, to be diagnosed anywhere (--bundle)
    Capture(Capture),
    /// Compare two looks at a cluster: what came, went and stayed, and what else changed
    Diff(Diff),
    /// Serve a recorded cluster to kubectl and k9s, for reading only
    Serve(Serve),
    /// Diagnose, then leave the report in a ConfigMap, Events at the CephCluster, and metrics
    #[command(after_help = PUBLISH_HELP)]
    Publish(Publish),
    /// Print what a cluster needs to run `publish` on a schedule, for kubectl apply or kustomize
    Manifests(Manifests),
    /// Print the least roles that this tool needs, or say what you lack of them (--check)
    Rbac(Rbac),
    /// Show the page of a check: why it matters, how to confirm it, how to fix it
    Explain {
        /// A code or a name: NET007, nad-default-route
        #[arg(value_name = "CODE|NAME")]
        check: String,
    },
    /// Print an entry for --suppressions: a finding to be lived with, why, and until when
    Suppress(Suppress),
    /// List the checks: code, name, area, what each reads
    Checks,
    /// List the recorded clusters in this program, for --example
    Examples,
    /// Print the JSON Schema of `-o json`
    Schema,
    /// Print the version
    Version,
    /// Print what makes a shell complete this command
    #[command(after_help = COMPLETION_HELP, help_template = LEAF_LAYOUT)]
    Completion {
        /// The shell; kubectl for `kubectl rookdoctor <TAB>` in all of them
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Answer kubectl: what may stand in the place of the last word
    #[command(hide = true)]
    Complete {
        #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<OsString>,
    },
    /// Print the man page
    #[command(hide = true)]
    Man,
}

/// Which permissions, and for whom. The namespaces are those of -n (rook-ceph unless given) and --operator-namespace.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Permissions")]
pub struct Rbac {
    /// Also what asking Ceph needs, pods/exec, as a role of its own: it reaches the keyrings in those pods
    #[arg(long)]
    pub exec: bool,
    /// Also what carrying plans out needs, as a role of its own; with --exec, because plans ask Ceph
    #[arg(long)]
    pub fix: bool,
    /// Nothing outside the namespaces of the cluster and its operator; says which checks are blind then
    #[arg(long)]
    pub namespace_only: bool,
    /// Another namespace where Multus, whereabouts, Kube-OVN or CSI run (openshift-multus); may be repeated
    #[arg(long, value_name = "NAMESPACE", conflicts_with = "namespace_only")]
    pub also: Vec<String>,
    /// Bind the roles, too: user:NAME, group:NAME or serviceaccount:NAMESPACE:NAME; may be repeated
    #[arg(long, value_name = "KIND:NAME")]
    pub subject: Vec<Subject>,
    /// Print no roles: ask the server what you lack of them, and say which checks that blinds
    #[arg(long, conflicts_with = "subject")]
    pub check: bool,
}

/// Which finding, why, and for how long. Prints the entry, and writes nothing.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Suppression")]
pub struct Suppress {
    /// The id of a finding (`-o json`), or a code or name with a pattern for its object; without one, of any object
    #[arg(value_name = "CODE[/OBJECT]")]
    pub finding: String,
    /// Why this may be
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Until when: a date (2026-01-31, to its end in UTC), a time (2026-01-31T18:00:00Z), or never
    #[arg(long, value_name = "TIME", value_parser = crate::suppress::until)]
    pub until: crate::suppress::Until,
    /// Who says so
    #[arg(long, value_name = "NAME")]
    pub by: Option<String>,
}

/// Where the result goes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Publication")]
pub struct Publish {
    /// The ConfigMap for the report; without a namespace in that of the pod, or of the context
    #[arg(long, value_name = "[NAMESPACE/]NAME", default_value = crate::publish::NAME)]
    pub configmap: Place,
    /// Also write the metrics to this file, for the textfile collector of Prometheus' node exporter
    #[arg(long, value_name = "PATH")]
    pub metrics_file: Option<PathBuf>,
    /// Also push the metrics to this Pushgateway: http(s)://HOST[:PORT], or with a path /metrics/job/… of your own
    #[arg(long, value_name = "URL")]
    pub push: Option<Gateway>,
}

/// What runs, where, and what it may do. The namespace of the CephCluster is that of -n (rook-ceph unless given).
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Manifests")]
pub struct Manifests {
    /// The namespace that it runs in; that of the CephCluster unless given
    #[arg(long, value_name = "NAMESPACE")]
    pub into: Option<String>,
    /// Also print this Namespace
    #[arg(long)]
    pub create_namespace: bool,
    /// When it runs, as cron has it
    #[arg(long, value_name = "CRON", default_value = "*/15 * * * *", value_parser = schedule)]
    pub schedule: String,
    /// The image, as made of .ci/Containerfile
    #[arg(long, value_name = "IMAGE", default_value = concat!("rookdoctor:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
    /// Also let it ask Ceph: pods/exec, which reaches the keyrings in those pods
    #[arg(long)]
    pub exec: bool,
    /// Another namespace where Multus, whereabouts, Kube-OVN or CSI run (openshift-multus); may be repeated
    #[arg(long, value_name = "NAMESPACE")]
    pub also: Vec<String>,
    /// Push the metrics to this Pushgateway
    #[arg(long, value_name = "URL")]
    pub push: Option<Gateway>,
    /// Write the metrics to this folder of --node, which its node exporter reads (a hostPath)
    #[arg(long, value_name = "PATH", requires = "node")]
    pub textfile_folder: Option<String>,
    /// The node that it runs on then
    #[arg(long, value_name = "NAME", requires = "textfile_folder")]
    pub node: Option<String>,
    /// The port on which the API server itself listens
    #[arg(long, value_name = "N", default_value_t = 6443)]
    pub api_port: u16,
    /// The PriorityClass of the pod
    #[arg(long, value_name = "NAME")]
    pub priority_class: Option<String>,
    /// Write a file for each object and a kustomization.yaml into this new folder instead
    #[arg(long, value_name = "DIR")]
    pub kustomize: Option<PathBuf>,
}

/// What to serve, and where.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Serve")]
pub struct Serve {
    /// The recorded cluster: whatever --bundle takes
    #[arg(value_name = "BUNDLE")]
    pub recording: Option<PathBuf>,
    /// The port on 127.0.0.1; 0 for any that is free
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub port: u16,
    /// Write the kubeconfig there, instead of to standard output
    #[arg(short, long, value_name = "KUBECONFIG")]
    pub file: Option<PathBuf>,
}

/// What to fix, and how far to go.
#[derive(Clone, Debug, Args)]
#[command(args_conflicts_with_subcommands = true, next_help_heading = "Fix")]
pub struct Fix {
    /// What to mend: a code or name (OVN007, stale-after-reboot), or the id of a finding; without it, the fixes at hand
    #[arg(value_name = "CODE|NAME|ID")]
    pub check: Option<String>,
    /// Only the finding about this object
    #[arg(long, value_name = "KIND/NAME", requires = "check")]
    pub object: Option<String>,
    /// Change nothing: show what would be done (client), or have the server check it too (server)
    #[arg(long, value_name = "MODE", value_enum, num_args = 0..=1, require_equals = true,
        default_missing_value = "client", requires = "check")]
    pub dry_run: Option<DryRun>,
    /// Do not ask; never covers what cannot be taken back
    #[arg(short, long)]
    pub yes: bool,
    /// Print the plan as a shell script instead of applying it
    #[arg(long, requires = "check", conflicts_with_all = ["yes", "dry_run"])]
    pub script: bool,
    #[command(subcommand)]
    pub action: Option<FixAction>,
}

/// What to record, and where.
///
/// Reads only: no pod is created, no Secret is read. The recording is read by `--bundle`, here and on any other
/// machine, and says what the cluster said.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Capture")]
pub struct Capture {
    /// Where to: a .tar.gz, .tgz or .tar, any other name for a folder, or - for standard output; by default a
    /// .tar.gz in this folder, named after the cluster and the time
    #[arg(short, long, value_name = "PATH")]
    pub file: Option<PathBuf>,
    /// Also what a person wants to see: every object of Rook, CSI, Multus and Kube-OVN, logs of all containers
    /// around them (of each 20,000 lines or 4 MiB, of all 512 MiB), all that Ceph tells; 1 GiB at most
    #[arg(long)]
    pub all: bool,
    /// With --all: how far back logs go, beyond the 2,000 lines of each that a diagnosis reads
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub since: Duration,
    /// Also replace names of hosts, namespaces and users, and addresses, the same way everywhere; what stands for
    /// what is kept beside the file, for you alone
    #[arg(long)]
    pub anonymize: bool,
    /// Put the recording in the place of an older one
    #[arg(long)]
    pub overwrite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    Client,
    Server,
}

#[derive(Clone, Debug, Subcommand)]
pub enum FixAction {
    /// List the fixes of the past
    History,
    /// Take back what a fix changed
    Undo {
        /// The fix, by its id or the beginning of it
        id: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Take the steps that a fix still has to take
    Finish {
        /// The fix, by its id or the beginning of it
        id: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// Two looks at a cluster. The exit status tells of what came or got worse.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Comparison")]
pub struct Diff {
    /// The earlier look: a bundle, or a report that `-o json` or `-o yaml` printed (- for standard input)
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The later look; without it, the live cluster
    #[arg(value_name = "NEW")]
    pub new: Option<PathBuf>,
}

/// Which cluster, and how to reach it.
#[derive(Args)]
#[command(next_help_heading = "Cluster")]
pub struct Source {
    /// Only CephClusters of this namespace; by default those of all namespaces
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// CephClusters of all namespaces (the default)
    #[arg(short = 'A', long, global = true)]
    pub all_namespaces: bool,
    /// Only the CephCluster of this name
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster_name: Option<String>,
    /// The namespace of the Rook operator; found by itself otherwise
    #[arg(long, global = true, value_name = "NAME")]
    pub operator_namespace: Option<String>,
    /// A recorded cluster instead of a live one: a must-gather as folder, .tar or .tar.gz
    #[arg(long, global = true, value_name = "PATH")]
    pub bundle: Option<PathBuf>,
    /// Time for the whole run (30s, 2m; 0 for no limit; with `capture` and --wait 10m); what is not read by then is unknown
    #[arg(long, global = true, value_name = "TIME", default_value = "60s", value_parser = duration)]
    pub timeout: Duration,

    #[command(flatten)]
    pub connection: Connection,
}

/// kubectl's own connection flags. Holds a token, so it is never printed.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Path of the kubeconfig
    #[arg(long, global = true, value_name = "PATH")]
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Several contexts at once, with commas: a report of each, and a table of all. Only for `diagnose`
    #[arg(long, global = true, value_name = "LIST", value_delimiter = ',')]
    pub contexts: Vec<String>,
    /// The cluster of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The user of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub user: Option<String>,
    /// Address of the API server
    #[arg(short, long, global = true, value_name = "URL")]
    pub server: Option<String>,
    /// Certificate authority of the API server
    #[arg(long, global = true, value_name = "PATH")]
    pub certificate_authority: Option<PathBuf>,
    /// Name that the API server's certificate is checked against
    #[arg(long, global = true, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Do not check the API server's certificate
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// Bearer token
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Act as this user
    #[arg(long = "as", global = true, value_name = "USER")]
    pub as_user: Option<String>,
    /// Act as a member of this group; may be repeated
    #[arg(long, global = true, value_name = "GROUP")]
    pub as_group: Vec<String>,
    /// Time for one request (10s; 0 for the default)
    #[arg(long, global = true, value_name = "TIME", value_parser = duration)]
    pub request_timeout: Option<Duration>,
}

/// What to ask, and what counts as failure. Only for `diagnose`.
#[derive(Args)]
#[command(next_help_heading = "Diagnosis")]
pub struct Choice {
    /// Diagnose a recorded cluster that is part of this program; `examples` lists them
    #[arg(long, global = true, value_name = "NAME")]
    pub example: Option<String>,
    /// Only these checks: codes, names or areas, with commas
    #[arg(long, global = true, value_name = "LIST", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Not these checks
    #[arg(long, global = true, value_name = "LIST", value_delimiter = ',')]
    pub skip: Vec<String>,
    /// Look again until the exit status would be 0, or --timeout is over; one look takes a minute at most
    #[arg(long, global = true)]
    pub wait: bool,
    /// Findings that are known and to be lived with, beside those in ConfigMap rookdoctor-suppressions of the cluster
    #[arg(long, global = true, value_name = "PATH")]
    pub suppressions: Option<PathBuf>,
    /// The severity from which on findings make the exit status: warning (default), critical, never
    #[arg(long, global = true, value_name = "SEVERITY", hide_possible_values = true)]
    pub fail_on: Option<FailOn>,
    /// Also what happened, in order, and where the trouble begins: events, restarts, boots, health, log lines
    #[arg(long, global = true)]
    pub timeline: bool,
}

#[derive(Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// What to print: human, json, yaml; for `diagnose` also markdown (as for `checks`), html, junit, prometheus,
    /// sarif
    #[arg(short, long, global = true, value_name = "FORMAT", value_enum, default_value_t, hide_possible_values = true)]
    pub output: Format,
    /// Write it to this file instead: complete or not at all, replacing what is there
    #[arg(long, global = true, value_name = "PATH")]
    pub output_file: Option<PathBuf>,
    /// What people are told in: en or zh (Simplified Chinese); by default what the locale says. Codes, names, evidence
    /// and commands stay as they are, and so do the formats for programs
    #[arg(long, global = true, value_name = "LANGUAGE", value_enum, hide_possible_values = true)]
    pub lang: Option<Lang>,
    /// Also what passed and what there is (devices, ports), and nothing left out
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// Only the verdict
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to paint
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Color,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Human,
    Json,
    Yaml,
    /// For tickets and chat
    Markdown,
    /// For tickets and a browser: one page with everything in it
    Html,
    /// For CI systems: a suite for each area
    Junit,
    /// For the textfile collector of Prometheus' node exporter
    Prometheus,
    /// For code-scanning views
    Sarif,
}

impl Output {
    /// What the output is told in: programs get English.
    pub fn language(&self, screen: &Screen) -> Lang {
        match self.output {
            Format::Human | Format::Markdown | Format::Html => {
                self.lang.unwrap_or_else(|| Lang::of_environment(screen.unicode()))
            }
            _ => Lang::English,
        }
    }
}

impl Format {
    fn word(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Json => "json",
            Self::Yaml => "yaml",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Junit => "junit",
            Self::Prometheus => "prometheus",
            Self::Sarif => "sarif",
        }
    }
}

/// Reads the command line; the first argument is the program's own name.
pub fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut args: Vec<OsString> = args.into_iter().collect();
    let mut command = Cli::command().bin_name(program(args.first()));
    for leaf in ["explain", "checks", "examples", "schema", "version"] {
        command = command.mut_subcommand(leaf, |leaf| leaf.help_template(LEAF_LAYOUT).after_help(LEAF_HELP));
    }
    put_command_first(&mut args, &command);
    let matches = command.try_get_matches_from_mut(args)?;
    let mut cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let is_default = matches.value_source("timeout") == Some(ValueSource::DefaultValue);
    if matches!(cli.command, Some(Command::Capture(_))) && is_default {
        cli.source.timeout = CAPTURE_TIME;
    }
    if cli.choice.wait && is_default {
        cli.source.timeout = WAIT_TIME;
    }
    match contradiction(&cli, matches.subcommand_name()) {
        Some(message) => Err(command.error(ErrorKind::ArgumentConflict, message)),
        None => Ok(cli),
    }
}

/// What the user typed to get here: kubectl runs `kubectl-rookdoctor` for `kubectl rookdoctor`.
fn program(name: Option<&OsString>) -> String {
    let stem = name.and_then(|name| Path::new(name).file_stem()).map(|stem| stem.to_string_lossy().into_owned());
    let stem = stem.unwrap_or_else(|| env!("CARGO_PKG_NAME").to_owned());
    match stem.strip_prefix("kubectl-") {
        Some(plugin) => format!("kubectl {}", plugin.replace('-', " ").replace('_', "-")),
        None => stem,
    }
}

/// Moves the command in front of its flags: clap then sees all of them in one place, and what may be repeated adds
/// up wherever it stands.
fn put_command_first(args: &mut [OsString], command: &clap::Command) {
    let mut at = 1;
    while let Some(arg) = args.get(at).map(|arg| arg.to_string_lossy().into_owned()) {
        if arg == "--" {
            return;
        }
        if arg.starts_with('-') {
            at += if awaits_value(&arg, command) { 2 } else { 1 };
            continue;
        }
        if command.find_subcommand(&arg).is_some() {
            args[1..=at].rotate_right(1);
        }
        return;
    }
}

/// Whether the next argument is the value of this flag.
fn awaits_value(flag: &str, command: &clap::Command) -> bool {
    let takes_value = |arg: &clap::Arg| arg.get_action().takes_values();
    if let Some(long) = flag.strip_prefix("--") {
        return command.get_arguments().any(|arg| arg.get_long() == Some(long) && takes_value(arg));
    }
    // In `-vn rook` the last of the letters waits for its value; in `-nrook` the value is there.
    let short = |letter: char| command.get_arguments().find(|arg| arg.get_short() == Some(letter));
    let letters: Vec<char> = flag.chars().skip(1).collect();
    let first = letters.iter().position(|letter| short(*letter).is_some_and(takes_value));
    first.is_some_and(|at| at + 1 == letters.len())
}

/// Flags that cannot mean anything together, wherever they stand: before or after the command.
fn contradiction(cli: &Cli, name: Option<&str>) -> Option<String> {
    let Cli { source, choice, output, .. } = cli;
    let recorded = source.bundle.is_some().then_some("--bundle").or(choice.example.is_some().then_some("--example"));
    if let Some(Command::Serve(serve)) = &cli.command {
        match (recorded, &serve.recording) {
            (Some(flag), Some(_)) => {
                return Some(format!("BUNDLE and {flag} both say what to serve: give one of them"));
            }
            (None, None) => return Some("say what to serve: BUNDLE, or --example NAME".into()),
            _ => {}
        }
        if let Some(live) = connection_flag(&source.connection) {
            return Some(format!("`serve` serves a recorded cluster, {live} connects to a live one"));
        }
    }
    if source.bundle.is_some() && choice.example.is_some() {
        return Some("--bundle and --example both say what to diagnose: give one of them".into());
    }
    if let (Some(recorded), Some(live)) = (recorded, connection_flag(&source.connection)) {
        return Some(format!("{recorded} reads a recorded cluster, {live} connects to a live one: give one of them"));
    }
    if let Some(message) = repeated_or_several(cli, recorded) {
        return Some(message);
    }
    if let (Some(recorded), Some(Command::Capture(_))) = (recorded, &cli.command) {
        return Some(format!("{recorded} reads a recorded cluster, `capture` records a live one"));
    }
    if let (Some(recorded), Some(Command::Manifests(_))) = (recorded, &cli.command) {
        return Some(format!("{recorded} reads a recorded cluster, `manifests` is about a live one"));
    }
    if let (Some(recorded), Some(Command::Publish(_))) = (recorded, &cli.command) {
        return Some(format!("{recorded} reads a recorded cluster, `publish` writes to a live one"));
    }
    if let (Some(recorded), Some(Command::Rbac(_))) = (recorded, &cli.command) {
        return Some(format!("{recorded} reads a recorded cluster, `rbac` is about a live one"));
    }
    if let Some(Command::Rbac(Rbac { namespace_only: true, .. })) = &cli.command
        && source.all_namespaces
    {
        return Some("--namespace-only and --all-namespaces contradict each other".into());
    }
    if let Some(Command::Capture(Capture { file: Some(file), .. })) = &cli.command
        && file.as_os_str() == "-"
        && output.output != Format::Human
    {
        return Some(
            "-o describes the file in words for programs, and -f - writes the file there: give one of them".into(),
        );
    }
    if source.namespace.is_some() && source.all_namespaces {
        return Some("--namespace and --all-namespaces contradict each other".into());
    }
    if output.verbose && output.quiet {
        return Some("--verbose and --quiet contradict each other".into());
    }
    let diagnoses = matches!(cli.command, None | Some(Command::Diagnose));
    let belongs = formats(name).contains(&output.output);
    if !belongs {
        return Some(format!("-o {} belongs to `diagnose`; this command has no use for it", output.output.word()));
    }
    if output.output_file.is_some() && !diagnoses {
        return Some("--output-file belongs to `diagnose`; this command has no use for it".into());
    }
    // A plan can be made for a recorded cluster as well; a comparison names what it diagnoses.
    let plans = matches!(&cli.command, Some(Command::Fix(fix)) if fix.action.is_none());
    let opens = plans || matches!(cli.command, Some(Command::Serve(_)));
    let compares = matches!(&cli.command, Some(Command::Diff(_)));
    let publishes = matches!(cli.command, Some(Command::Publish(_)));
    let compared = |flag: &str| compares && !["--example", "--wait"].contains(&flag);
    let published = |flag: &str| publishes && !["--wait", "--timeline"].contains(&flag);
    let belongs = |flag: &&str| diagnoses || published(flag) || (opens && *flag == "--example") || compared(flag);
    if compares && source.bundle.is_some() {
        return Some("diff takes bundles as OLD and NEW, not by --bundle".into());
    }
    let flag = diagnosis_flags(choice).find(|flag| !belongs(flag))?;
    Some(format!("{flag} belongs to `diagnose`; this command has no use for it"))
}

/// What looking again and looking at several clusters cannot mean.
fn repeated_or_several(cli: &Cli, recorded: Option<&str>) -> Option<String> {
    let Cli { source: Source { connection, .. }, choice, command, .. } = cli;
    let several = !connection.contexts.is_empty();
    let of_one = [
        (connection.context.is_some(), "--context"),
        (connection.cluster.is_some(), "--cluster"),
        (connection.user.is_some(), "--user"),
        (connection.server.is_some(), "--server"),
        (connection.certificate_authority.is_some(), "--certificate-authority"),
        (connection.tls_server_name.is_some(), "--tls-server-name"),
        (connection.token.is_some(), "--token"),
    ];
    let of_one = of_one.into_iter().find_map(|(given, flag)| given.then_some(flag));
    match (recorded, of_one) {
        _ if several && !matches!(command, None | Some(Command::Diagnose)) => {
            Some("--contexts belongs to `diagnose`; this command has no use for it".into())
        }
        (_, Some(flag)) if several => {
            Some(format!("--contexts names several clusters, {flag} belongs to one: give one of them"))
        }
        _ if several && choice.wait => Some("--wait waits for one cluster, --contexts names several".into()),
        (Some(recorded), _) if choice.wait => {
            Some(format!("{recorded} reads a recorded cluster, which stays as it is: --wait is for a live one"))
        }
        _ if choice.wait && choice.fail_on == Some(FailOn::Never) => {
            Some("--fail-on never is content with every state: --wait would not wait".into())
        }
        _ => None,
    }
}

/// What the command of this name can print; `None` is what happens without one.
pub(crate) fn formats(command: Option<&str>) -> &'static [Format] {
    match command {
        None | Some("diagnose") => Format::value_variants(),
        Some("checks") => &[Format::Human, Format::Json, Format::Yaml, Format::Markdown],
        // A script and a page are what they are.
        Some("completion" | "complete" | "man") => &[Format::Human],
        Some(_) => &[Format::Human, Format::Json, Format::Yaml],
    }
}

/// What is meant so far by a line that is still being typed: the cluster, and the name of the command.
pub(crate) fn so_far(words: &[OsString]) -> (Option<Source>, Option<String>) {
    let mut words = words.to_vec();
    let command = Cli::command();
    put_command_first(&mut words, &command);
    let Ok(matches) = command.ignore_errors(true).try_get_matches_from(words) else { return (None, None) };
    (Source::from_arg_matches(&matches).ok(), matches.subcommand_name().map(str::to_owned))
}

fn connection_flag(connection: &Connection) -> Option<&'static str> {
    let Connection { kubeconfig, context, cluster, user, server, certificate_authority, tls_server_name, .. } =
        connection;
    [
        (kubeconfig.is_some(), "--kubeconfig"),
        (context.is_some(), "--context"),
        (!connection.contexts.is_empty(), "--contexts"),
        (cluster.is_some(), "--cluster"),
        (user.is_some(), "--user"),
        (server.is_some(), "--server"),
        (certificate_authority.is_some(), "--certificate-authority"),
        (tls_server_name.is_some(), "--tls-server-name"),
        (connection.insecure_skip_tls_verify, "--insecure-skip-tls-verify"),
        (connection.token.is_some(), "--token"),
        (connection.as_user.is_some(), "--as"),
        (!connection.as_group.is_empty(), "--as-group"),
        (connection.request_timeout.is_some(), "--request-timeout"),
    ]
    .into_iter()
    .find_map(|(given, flag)| given.then_some(flag))
}

fn diagnosis_flags(choice: &Choice) -> impl Iterator<Item = &'static str> {
    [
        (choice.example.is_some(), "--example"),
        (choice.wait, "--wait"),
        (!choice.only.is_empty(), "--only"),
        (!choice.skip.is_empty(), "--skip"),
        (choice.suppressions.is_some(), "--suppressions"),
        (choice.fail_on.is_some(), "--fail-on"),
        (choice.timeline, "--timeline"),
    ]
    .into_iter()
    .filter_map(|(given, flag)| given.then_some(flag))
}

/// Five fields, or a name such as `@hourly`. Whether the numbers make sense the API server says.
fn schedule(text: &str) -> Result<String, String> {
    let is_cron = |field: &str| field.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"*/,-?".contains(&byte));
    let fields: Vec<&str> = text.split(' ').collect();
    let is_name = text.strip_prefix('@').is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_lowercase()));
    let is_right = is_name || (fields.len() == 5 && fields.iter().all(|field| !field.is_empty() && is_cron(field)));
    if is_right { Ok(text.to_owned()) } else { Err("it is no schedule such as \"*/15 * * * *\" or @hourly".into()) }
}

/// `90s`, `1m30s`, `500ms`, or plain seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("\"{text}\" is not a time such as 30s, 2m or 1m30s");
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(if seconds == 0 { NO_LIMIT } else { Duration::from_secs(seconds).min(NO_LIMIT) });
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let count: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |end| digits + end);
        let unit = match &rest[digits..unit_end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return Err(wrong()),
        };
        let part = u32::try_from(count).ok().and_then(|count| unit.checked_mul(count)).ok_or_else(wrong)?;
        total = total.saturating_add(part);
        rest = &rest[unit_end..];
    }
    match total {
        _ if text.is_empty() => Err(wrong()),
        Duration::ZERO => Ok(NO_LIMIT),
        total => Ok(total.min(NO_LIMIT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Cli, String> {
        parse(line.split_whitespace().map(OsString::from)).map_err(|error| error.to_string())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_mean_the_same_before_and_after_the_command() {
        for line in [
            "kubectl-rookdoctor --context prod -n rook diagnose --only NET,MON -o json --as-group a --as-group b",
            "kubectl-rookdoctor diagnose --context prod -n rook --only NET,MON -o json --as-group a --as-group b",
            "kubectl-rookdoctor --only NET,MON --as-group a --as-group b -o json --context prod --namespace rook",
            "kubectl-rookdoctor --only NET --as-group a -ojson diagnose --as-group=b --only=MON --context prod -n rook",
            "kubectl-rookdoctor --only NET -vn diagnose --as-group a diagnose --as-group b --only MON --context prod -n rook -o json",
        ] {
            let cli = read(line).unwrap();
            assert_eq!(cli.source.connection.context.as_deref(), Some("prod"), "{line}");
            assert_eq!(cli.source.namespace.as_deref(), Some("rook"), "{line}");
            assert_eq!(cli.source.connection.as_group, ["a", "b"], "{line}");
            assert_eq!(cli.choice.only, ["NET", "MON"], "{line}");
            assert_eq!(cli.output.output, Format::Json, "{line}");
        }
    }

    #[test]
    fn contradictions_are_told_wherever_they_stand() {
        for (line, part) in [
            ("x --bundle b --context c", "--bundle reads a recorded cluster, --context connects"),
            ("x --bundle b diagnose --token t", "--token connects to a live one"),
            ("x --example e diagnose --bundle b", "both say what to diagnose"),
            ("x --example e --kubeconfig k", "--example reads a recorded cluster, --kubeconfig"),
            ("x -n a -A", "contradict"),
            ("x -q diagnose -v", "contradict"),
            ("x explain NET007 --only NET", "--only belongs to `diagnose`"),
            ("x --fail-on never checks", "--fail-on belongs to `diagnose`"),
            ("x -o markdown explain NET007", "-o markdown belongs to `diagnose`"),
            ("x fix -o junit", "-o junit belongs to `diagnose`"),
            ("x completion bash -o json", "-o json belongs to `diagnose`"),
            ("x checks --output-file a", "--output-file belongs to `diagnose`"),
            ("x --timeout soon", "\"soon\" is not a time"),
            ("x capture --bundle b", "--bundle reads a recorded cluster, `capture` records a live one"),
            ("x capture -f - -o json", "give one of them"),
            ("x capture --only NET", "--only belongs to `diagnose`"),
            ("x manifests --example e", "`manifests` is about a live one"),
            ("x manifests --schedule often", "is no schedule"),
            ("x manifests --node n", "--textfile-folder"),
            ("x manifests --only NET", "--only belongs to `diagnose`"),
            ("x publish --bundle b", "`publish` writes to a live one"),
            ("x publish --example e", "`publish` writes to a live one"),
            ("x publish --configmap a/b/c", "is not [NAMESPACE/]NAME"),
            ("x publish --push gw:9091", "is not http"),
            ("x publish -o prometheus", "-o prometheus belongs to `diagnose`"),
            ("x rbac --bundle b", "--bundle reads a recorded cluster, `rbac` is about a live one"),
            ("x rbac --namespace-only -A", "--namespace-only and --all-namespaces contradict"),
            ("x rbac --check --subject user:a", "cannot be used with"),
            ("x rbac --namespace-only --also a", "cannot be used with"),
            ("x rbac --subject ann", "is none of user:NAME"),
            ("x --wait --example e", "--example reads a recorded cluster, which stays as it is"),
            ("x diagnose --bundle b --wait", "--bundle reads a recorded cluster, which stays as it is"),
            ("x --wait --fail-on never", "--wait would not wait"),
            ("x diff a b --wait", "--wait belongs to `diagnose`"),
            ("x fix --wait", "--wait belongs to `diagnose`"),
            ("x --contexts a,b --context c", "--context belongs to one"),
            ("x --contexts a,b --server c", "--server belongs to one"),
            ("x --contexts a,b --token c", "--token belongs to one"),
            ("x --contexts a,b --bundle c", "--contexts connects to a live one"),
            ("x --contexts a,b --example c", "--contexts connects to a live one"),
            ("x --contexts a,b --wait", "--wait waits for one cluster"),
            ("x capture --contexts a,b", "--contexts belongs to `diagnose`"),
            ("x serve", "say what to serve"),
            ("x serve b --example e", "BUNDLE and --example both say"),
            ("x serve --bundle b c", "BUNDLE and --bundle both say"),
            ("x serve b --context c", "`serve` serves a recorded cluster, --context connects"),
            ("x serve b --only NET", "--only belongs to `diagnose`"),
            ("x serve b --port 70000", "70000 is not in 0..=65535"),
        ] {
            let error = read(line).err().unwrap_or_default();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn a_capture_has_more_time() {
        for (line, seconds) in [
            ("x capture", 600),
            ("x capture --timeout 60s", 60),
            ("x --timeout 5m capture -f a.tgz", 300),
            ("x diagnose", 60),
            ("x --wait", 600),
            ("x diagnose --wait --timeout 5s", 5),
            ("x", 60),
        ] {
            assert_eq!(read(line).unwrap().source.timeout, Duration::from_secs(seconds), "{line}");
        }
    }

    #[test]
    fn times_are_written_as_for_kubectl() {
        for (text, expected) in [
            ("30s", Some(Duration::from_secs(30))),
            ("2m", Some(Duration::from_secs(120))),
            ("1m30s", Some(Duration::from_secs(90))),
            ("500ms", Some(Duration::from_millis(500))),
            ("45", Some(Duration::from_secs(45))),
            ("0", Some(NO_LIMIT)),
            ("0s", Some(NO_LIMIT)),
            ("99999999999h", None),
            ("", None),
            ("s", None),
            ("5x", None),
            ("1m30", None),
        ] {
            assert_eq!(duration(text).ok(), expected, "{text:?}");
        }
    }

    #[test]
    fn the_usage_names_what_was_typed() {
        for (argv0, program_name) in [
            ("kubectl-rookdoctor", "kubectl rookdoctor"),
            ("/usr/bin/kubectl-rookdoctor", "kubectl rookdoctor"),
            ("kubectl-rook_doctor", "kubectl rook-doctor"),
            ("./rookdoctor", "rookdoctor"),
        ] {
            assert_eq!(program(Some(&argv0.into())), program_name);
        }
    }
}
