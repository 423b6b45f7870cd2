//! What makes a shell complete this program: a script that asks it.

use clap::ValueEnum;
use clap_complete::env::Shells;

use super::VARIABLE;

/// Who completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// For `kubectl-rookdoctor` in bash
    Bash,
    /// For `kubectl-rookdoctor` in zsh
    Zsh,
    /// For `kubectl-rookdoctor` in fish
    Fish,
    /// For `kubectl-rookdoctor` in PowerShell
    Powershell,
    /// For `kubectl rookdoctor`, in every shell that completes kubectl
    Kubectl,
}

/// kubectl runs it for `kubectl rookdoctor <TAB>`, with the words behind `rookdoctor`; `oc` wants the same by the name
/// `oc_complete-rookdoctor`.
const KUBECTL: &str = "\
#!/bin/sh
# For `kubectl rookdoctor <TAB>`: kubectl runs it if it is executable, in PATH, and called kubectl_complete-rookdoctor.
# Written by `kubectl rookdoctor completion kubectl`.
exec kubectl-rookdoctor complete -- \"$@\" 2>/dev/null
";

/// From a folder of `fpath`, zsh loads the file when completion is asked for the first time, and that is answered too.
const AUTOLOADED: &str = "\
if [[ ${funcstack[1]} == _kubectl-rookdoctor ]]; then _clap_dynamic_completer_kubectl_rookdoctor; fi
";

impl Shell {
    pub fn script(self) -> anyhow::Result<String> {
        let name = match self {
            Self::Kubectl => return Ok(KUBECTL.to_owned()),
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Powershell => "powershell",
        };
        let shells = Shells::builtins();
        let shell = shells.completer(name).ok_or_else(|| anyhow::anyhow!("no script is known for {name}"))?;
        let program = env!("CARGO_PKG_NAME");
        let mut script = Vec::new();
        shell.write_registration(VARIABLE, program, program, program, &mut script)?;
        let script = String::from_utf8(script)?;
        let origin = format!("# Written by `kubectl rookdoctor completion {name}`.");
        // The first line of zsh's is no comment: it says what the file completes.
        Ok(match script.trim().split_once('\n') {
            Some((first, rest)) if first.starts_with("#compdef") => {
                format!("{first}\n{origin}\n{rest}\n{AUTOLOADED}")
            }
            _ => format!("{origin}\n{}\n", script.trim()),
        })
    }
}
