//! From the arguments and the environment of the process to a [`Command`].
//!
//! The command line wins over the environment, and that over the default. What is wrong on the
//! command line is wrong usage (exit code 2); what is wrong in the environment is a failure to
//! start (1), as in the Go service.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _, error::ErrorKind};

use super::flags::{Cli, Command};
use super::{ConfigError, go_style};
use crate::version::version;

/// The program by whose name the process was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    TokenExchange,
    /// The Go tool's name: `token-exchange create-integration`, word for word.
    CreateIntegration,
}

/// Why the process ends without running a command.
#[derive(Debug)]
pub enum Exit {
    /// Help was asked for: to standard error, as the Go programs do it, and exit code 0.
    Help(String),
    /// The version was asked for: to standard output.
    Version(String),
    /// Wrong usage: exit code 2.
    Usage(String),
    /// A setting that cannot work: exit code 1.
    Config(String),
}

impl From<ConfigError> for Exit {
    fn from(error: ConfigError) -> Self {
        Self::Config(error.to_string())
    }
}

impl Program {
    /// The program that is meant by the first argument of the process: a link with the name of the
    /// Go tool is that tool.
    #[must_use]
    pub fn named(path: Option<&OsStr>) -> Self {
        match path.map(Path::new).and_then(Path::file_name) {
            Some(name) if name == "create-integration" => Self::CreateIntegration,
            _ => Self::TokenExchange,
        }
    }

    /// Reads the arguments of the process, without the name of the program.
    ///
    /// # Errors
    /// When there is no command to run, with what to print and the exit code.
    pub fn parse(self, arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Exit> {
        let arguments = arguments
            .into_iter()
            .map(OsString::into_string)
            .collect::<Result<Vec<String>, _>>()
            .map_err(|_| Exit::Usage("an argument is not valid UTF-8\n".to_owned()))?;
        let arguments = self.with_command(arguments);
        let cli = Cli::command().version(version());
        let arguments = go_style::to_clap(&cli, arguments);

        let line = parse(without_environment(cli.clone()), &arguments)
            .map_err(|error| Exit::from_line(&error))?;
        line.command.check_line()?;
        let merged = parse(cli, &arguments).map_err(|error| Exit::from_environment(&error))?;
        Ok(merged.command)
    }

    /// Says the command aloud where the command line leaves it out.
    fn with_command(self, mut arguments: Vec<String>) -> Vec<String> {
        let implied = match (self, arguments.first().map(String::as_str)) {
            (Self::CreateIntegration, _) => "create-integration",
            // Help and version of the whole program, not of `serve`.
            (_, Some("-h" | "-help" | "--help" | "-V" | "-version" | "--version")) => {
                return arguments;
            }
            (Self::TokenExchange, None) => "serve",
            (Self::TokenExchange, Some(first)) if first.starts_with('-') => "serve",
            (Self::TokenExchange, Some(_)) => return arguments,
        };
        arguments.insert(0, implied.to_owned());
        arguments
    }
}

fn parse(cli: clap::Command, arguments: &[String]) -> Result<Cli, clap::Error> {
    let name = cli.get_name().to_owned();
    let matches = cli.try_get_matches_from(std::iter::once(&name).chain(arguments))?;
    Cli::from_arg_matches(&matches)
}

fn without_environment(command: clap::Command) -> clap::Command {
    command
        .mut_args(|argument| argument.env(clap::builder::Resettable::Reset))
        .mut_subcommands(without_environment)
}

impl Exit {
    fn from_line(error: &clap::Error) -> Self {
        let text = without_credentials(&error.render().to_string());
        match error.kind() {
            ErrorKind::DisplayHelp => Self::Help(text),
            ErrorKind::DisplayVersion => Self::Version(text),
            _ => Self::Usage(text),
        }
    }

    fn from_environment(error: &clap::Error) -> Self {
        let text = without_credentials(&error.render().to_string());
        Self::Config(format!("in the environment: {}", first_line(&text)))
    }

    /// The exit code of the process.
    #[must_use]
    pub fn code(&self) -> u8 {
        match self {
            Self::Help(_) | Self::Version(_) => 0,
            Self::Config(_) => 1,
            Self::Usage(_) => 2,
        }
    }
}

/// What clap complains about it repeats, and a word in the wrong place can be an API key, or a
/// token: those begin with an encoded brace and quotation mark.
fn without_credentials(text: &str) -> String {
    ["mlabk.", "eyJ"].iter().fold(text.to_owned(), |text, mark| without_words_with(mark, &text))
}

/// Leaves of each such word what stands up to the mark.
fn without_words_with(mark: &str, text: &str) -> String {
    let mut parts = text.split(mark);
    let before = parts.next().unwrap_or_default().to_owned();
    parts.fold(before, |told, part| {
        let word_ends = part.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(part.len());
        told + mark + "…" + &part[word_ends..]
    })
}

fn first_line(text: &str) -> &str {
    let text = text.strip_prefix("error: ").unwrap_or(text);
    text.lines().next().unwrap_or(text)
}
