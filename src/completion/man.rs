//! The man page: one for all commands.

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use crate::cli::{ABOUT, Cli, EXIT_STATUS};

/// What people type.
const PROGRAM: &str = "kubectl rookdoctor";
/// The library writes an apostrophe so that it stays one, and this before each part: once is enough.
const APOSTROPHE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// `kubectl-rookdoctor(1)`. It has no date: the same version gives the same page.
pub fn man() -> anyhow::Result<String> {
    let usage = format!("{PROGRAM} [OPTIONS] [COMMAND]");
    let all = Cli::command().bin_name(PROGRAM).override_usage(usage).disable_help_subcommand(true);
    let commands: Vec<Command> = all.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let page = Man::new(all);
    let mut text = vec![name(), ".SH SYNOPSIS\n".into(), body(|text| page.render_synopsis_section(text))?];
    text.extend([".SH DESCRIPTION\n".into(), body(|text| page.render_description_section(text))?]);
    text.push(".SH COMMANDS\n".into());
    for command in &commands {
        text.push(section(command, "")?);
    }
    text.push(part(|text| page.render_options_section(text))?);
    text.push(as_it_stands("EXIT STATUS", EXIT_STATUS));
    Ok(text.concat())
}

/// The head of the page. The whole of what the help says about the program would be too much for one line.
fn name() -> String {
    let (package, version) = (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"));
    let (first, _) = ABOUT.split_once(".\n").unwrap_or((ABOUT, ""));
    let title = format!(".TH {} 1 \"\" \"{package} {version}\" \"kubectl plugins\"\n", package.to_uppercase());
    title + APOSTROPHE + &format!(".SH NAME\n{} \\- {}\n", package.replace('-', "\\-"), first.replace('-', "\\-"))
}

/// One command below the others: how it is called, what it is, and the flags that only it has.
fn section(command: &Command, parent: &str) -> anyhow::Result<String> {
    let name = format!("{parent}{}", command.get_name());
    let flags = command.get_arguments().next().is_some();
    let own = command.clone().bin_name(format!("{PROGRAM} {name}"));
    let own = own.subcommand_value_name("COMMAND").disable_help_subcommand(true).disable_help_flag(true);
    let page = Man::new(own);
    let mut text = vec![format!(".SS {name}\n"), body(|text| page.render_synopsis_section(text))?];
    text.extend([".PP\n".into(), body(|text| page.render_description_section(text))?]);
    if flags {
        text.push(body(|text| page.render_options_section(text))?);
    }
    for action in command.get_subcommands() {
        text.push(section(action, &format!("{name} "))?);
    }
    Ok(text.concat())
}

/// One part of a page, without what is at its head already, and without spaces at ends of lines.
fn part(render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> anyhow::Result<String> {
    let mut text = Vec::new();
    render(&mut text)?;
    let text = String::from_utf8(text)?;
    let text = text.replace(APOSTROPHE, "").replace(".br\n\n.br\n", ".sp\n");
    Ok(text.lines().map(|line| format!("{}\n", line.trim_end())).collect())
}

/// One part without its heading.
fn body(render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> anyhow::Result<String> {
    let part = part(render)?;
    Ok(part.lines().filter(|line| !line.starts_with(".SH")).map(|line| format!("{line}\n")).collect())
}

/// Text whose lines and spaces matter; its first line is left out for the heading.
fn as_it_stands(heading: &str, text: &str) -> String {
    let lines = text.lines().skip(1).map(|line| format!("{}\n", line.replace('\\', "\\e").replace('-', "\\-")));
    format!(".SH \"{heading}\"\n.nf\n{}.fi\n", lines.collect::<String>())
}
