//! Placeholder for the real entry point.

mod cli;

use clap::Parser;

#[derive(Parser)]
enum Verb {
    Replay(Box<cli::replay::ReplayArgs>),
}

fn main() -> std::process::ExitCode {
    let Verb::Replay(args) = Verb::parse();
    match cli::replay::run(&args) {
        Ok(code) => code,
        Err(error) => {
            anstream::eprintln!("error: {error}");
            if let Some(hint) = error.hint() {
                anstream::eprintln!("hint: {hint}");
            }
            std::process::ExitCode::from(2)
        }
    }
}
