//! Which lines are written, by the module that they come from.

use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};

/// The service itself.
const SERVICE: &str = "token_exchange";

/// A filter as `RUST_LOG` words it.
#[derive(Debug, Clone)]
pub struct LogFilter(Targets);

/// Why the words are no filter.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no filter of log lines, such as info or token_exchange::http=debug,warn")]
pub struct InvalidFilter(String);

impl Default for LogFilter {
    /// All that the service has to tell anybody.
    fn default() -> Self {
        Self::at(Level::INFO)
    }
}

impl LogFilter {
    /// The service itself at a level.
    #[must_use]
    pub fn at(level: Level) -> Self {
        Self(Targets::new().with_default(Level::WARN).with_target(SERVICE, level))
    }

    /// The same, but for what `RUST_LOG` says: levels by modules, or one for the whole service.
    ///
    /// The libraries below are heard only when they warn, whatever it says: their finer levels are
    /// about frames and buffers, which can hold what nobody may read.
    ///
    /// # Errors
    /// When it is no filter.
    pub fn overruled_by(self, rust_log: &str) -> Result<Self, InvalidFilter> {
        // Blanks and a comma too many mean nothing; the library would take them for names.
        let words: Vec<_> =
            rust_log.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        if words.is_empty() {
            return Ok(self);
        }
        // A word alone is a level, or a module in all detail. Of a library nobody gets that, so it
        // is a level that was mistyped.
        let is_meant = |word: &&str| {
            word.contains('=') || is_ours(word) || word.parse::<LevelFilter>().is_ok()
        };
        let is_filter = |word: &&str| is_meant(word) && word.parse::<Targets>().is_ok();
        let wrong = words.iter().find(|word| !is_filter(word));
        if let Some(word) = wrong {
            return Err(InvalidFilter((*word).to_owned()));
        }
        let said: Targets =
            words.join(",").parse().map_err(|_| InvalidFilter(rust_log.to_owned()))?;
        let mut targets = self.0;
        if let Some(level) = said.default_level() {
            targets =
                targets.with_default(level.min(LevelFilter::WARN)).with_target(SERVICE, level);
        }
        Ok(Self(said.iter().fold(targets, |targets, (target, level)| {
            let most = if is_ours(target) { LevelFilter::TRACE } else { LevelFilter::WARN };
            targets.with_target(target, level.min(most))
        })))
    }

    /// Whether lines of a module are written.
    #[must_use]
    pub fn shows(&self, target: &str, level: Level) -> bool {
        self.0.would_enable(target, &level)
    }

    pub(super) fn targets(&self) -> Targets {
        self.0.clone()
    }

    /// The finest level of any module.
    pub(super) fn finest(&self) -> LevelFilter {
        let levels = self.0.iter().map(|(_, level)| level).chain(self.0.default_level());
        levels.max().unwrap_or(LevelFilter::OFF)
    }
}

fn is_ours(target: &str) -> bool {
    let rest = target.strip_prefix(SERVICE);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_what_the_words_say_and_of_libraries_never_more_than_warnings() {
        let (ours, audit, library) = ("token_exchange::http", "token_exchange::audit", "h2::codec");
        for (rust_log, shown, hidden) in [
            ("info", vec![(ours, Level::INFO), (library, Level::WARN)], (library, Level::INFO)),
            ("trace", vec![(ours, Level::TRACE), (library, Level::WARN)], (library, Level::INFO)),
            ("h2=trace", vec![(ours, Level::INFO), (library, Level::WARN)], (library, Level::INFO)),
            ("h2=off", vec![(ours, Level::INFO), ("hyper", Level::WARN)], (library, Level::ERROR)),
            ("error", vec![(ours, Level::ERROR), (library, Level::ERROR)], (ours, Level::WARN)),
            ("token_exchange::http=debug", vec![(ours, Level::DEBUG)], (audit, Level::DEBUG)),
            ("token_exchange::audit=off", vec![(ours, Level::INFO)], (audit, Level::ERROR)),
            (" warn, ", vec![(ours, Level::WARN)], (ours, Level::INFO)),
            (",", vec![(ours, Level::INFO)], (ours, Level::DEBUG)),
            ("info, token_exchange::audit=off", vec![(ours, Level::INFO)], (audit, Level::ERROR)),
            // It only begins like the service.
            ("token_exchange_x=trace", vec![], ("token_exchange_x", Level::INFO)),
            ("token_exchange::http", vec![(ours, Level::TRACE)], (audit, Level::DEBUG)),
        ] {
            let filter = LogFilter::default().overruled_by(rust_log).unwrap();
            for (target, level) in shown {
                assert!(filter.shows(target, level), "{rust_log} hides {level} of {target}");
            }
            let (target, level) = hidden;
            assert!(!filter.shows(target, level), "{rust_log} shows {level} of {target}");
        }
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        for (rust_log, wrong) in [
            ("token_exchange=loud", "token_exchange=loud"),
            ("info,h2=loud", "h2=loud"),
            ("a=b=c", "a=b=c"),
            ("debgu", "debgu"),
            ("info, hyper", "hyper"),
        ] {
            let refused = LogFilter::default().overruled_by(rust_log).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("{wrong:?} is no filter")), "{refused}");
        }
    }
}
