//! `kubectl rookdoctor`

use std::env;
use std::panic::{self, PanicHookInfo};
use std::process::ExitCode;

use rookdoctor::cli::{self, Cli};
use rookdoctor::commands;
use rookdoctor::completion;
use rookdoctor::exit::Exit;
use rookdoctor::screen::{Color, Screen};

fn main() -> ExitCode {
    panic::set_hook(Box::new(confess));
    if completion::answered_shell() {
        return ExitCode::SUCCESS;
    }
    let exit = match cli::parse(env::args_os()) {
        Ok(cli) => panic::catch_unwind(|| run(&cli)).unwrap_or(Exit::Internal),
        Err(answer) => {
            // Help and version are answers; whoever closed the pipe early has read enough.
            let _ = answer.print();
            if answer.use_stderr() { Exit::Usage } else { Exit::Healthy }
        }
    };
    exit.into()
}

fn run(cli: &Cli) -> Exit {
    let screen = Screen::new(cli.output.color);
    commands::run(cli, &screen).unwrap_or_else(|failed| {
        screen.complain(&format!("error: {failed}"));
        failed.exit
    })
}

/// A panic is a bug of ours: say so in two lines, and how to tell us.
fn confess(panic: &PanicHookInfo<'_>) {
    let screen = Screen::new(Color::Auto);
    screen.complain(&format!("internal error: {panic}"));
    screen.complain(
        "this is a bug of kubectl-rookdoctor: please report it with these lines, the version, and what you typed",
    );
}
