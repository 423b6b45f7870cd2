//! Where a command writes, and what that place can show.

use std::env;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anstream::{AutoStream, ColorChoice};

use crate::report::clean::clean;
use crate::report::human::ascii;

/// Longest complaint.
const COMPLAINT: usize = 2000;

/// Standard output and error, as the terminal, the environment and the command line want them.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    color: ColorChoice,
    /// Columns to lay text out for.
    pub width: usize,
    /// Whether more than ASCII can be shown.
    unicode: bool,
}

/// When to paint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

impl Screen {
    pub fn new(color: Color) -> Self {
        let color = match color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::AlwaysAnsi,
            Color::Never => ColorChoice::Never,
        };
        Self { color, width: width(), unicode: unicode() }
    }

    /// Writes text for a person: painted and drawn as far as the terminal can.
    pub fn show(&self, text: &str) -> io::Result<()> {
        if self.unicode { self.write(text) } else { self.write(&ascii(text)) }
    }

    /// Writes text for a program, as it is.
    pub fn write(&self, text: &str) -> io::Result<()> {
        let mut out = AutoStream::new(io::stdout().lock(), self.color);
        // Whoever closes the pipe early has read enough.
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }

    /// Shows a person something that is not the result: on standard error.
    pub fn tell(&self, text: &str) {
        let text = if self.unicode { text.to_owned() } else { ascii(text) };
        let mut err = AutoStream::new(io::stderr().lock(), self.color);
        let _ = err.write_all(text.as_bytes());
    }

    /// Tells a person in one line what went wrong. If even that fails there is nobody left to tell.
    pub fn complain(&self, text: &str) {
        // An error may quote the cluster, an archive or a credentials plugin.
        let text = clean(text, COMPLAINT);
        let text = if self.unicode { text } else { ascii(&text) };
        let mut err = AutoStream::new(io::stderr().lock(), self.color);
        let _ = writeln!(err, "{text}");
    }

    /// Whether a moving line may be drawn on standard error.
    pub fn moves(&self) -> bool {
        io::stderr().is_terminal() && env::var_os("TERM").is_none_or(|term| term != "dumb")
    }

    /// Whether drawings may use more than ASCII.
    pub fn unicode(&self) -> bool {
        self.unicode
    }
}

/// `COLUMNS`, else the terminal's width, else 100; never so wide that lines are hard to follow.
fn width() -> usize {
    let asked = env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok()).filter(|width| *width > 0);
    let terminal = || if io::stdout().is_terminal() { textwrap::termwidth() } else { 100 };
    asked.unwrap_or_else(terminal).clamp(40, 120)
}

/// What the locale says, in the order of POSIX; on Windows what newer terminals say of themselves.
fn unicode() -> bool {
    if env::var_os("TERM").is_some_and(|term| term == "dumb") {
        return false;
    }
    if cfg!(windows) {
        return env::var_os("WT_SESSION").is_some() || env::var_os("TERM").is_some();
    }
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].iter().filter_map(|name| env::var(name).ok());
    let locale = locale.filter(|value| !value.is_empty()).map(|value| value.to_lowercase()).next();
    locale.is_some_and(|locale| locale.contains("utf-8") || locale.contains("utf8"))
}
