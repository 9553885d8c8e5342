//! From file, environment and command line to one configuration.
//!
//! `load` first, then every module takes its section, then [`Loaded::finish`]: only it knows
//! whether there was a mistake anywhere. A flag is stronger than the environment, the environment
//! stronger than the file, the file stronger than the default.

use crate::{
    raw,
    report::{About, Mistake, Place, Report, Source},
    schema::Config,
    sections::Sections,
    syntax,
};
use std::{fs, path::Path, sync::Arc};

/// What the names of environment variables begin with: `MANGROVE__C2S__IDLE` is c2s.idle.
pub const PREFIX: &str = "MANGROVE__";

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// No option has more parts in its name than modules.NAME.OPTION.
const DEEPEST: usize = 3;

/// A value from the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The flag, for messages: "--data".
    pub flag: String,
    /// The option, dotted: "server.data".
    pub option: String,
    /// The value: TOML, or bare text.
    pub value: String,
}

/// A configuration whose modules have yet to take their sections.
#[derive(Clone, Debug)]
pub struct Loaded {
    config: Config,
    /// The tables `[modules.NAME]`.
    pub modules: Sections,
}

impl Loaded {
    /// The node's own options, before it is known whether all is well.
    pub fn draft(&self) -> &Config {
        &self.config
    }

    /// The configuration, when nobody found a mistake.
    ///
    /// # Errors
    /// Every mistake there is; modules that nobody took are among them.
    pub fn finish(self) -> Result<Config, Report> {
        match self.modules.report() {
            None => Ok(self.config),
            Some(report) => Err(report),
        }
    }
}

/// Loads a configuration from a text; `file` is its name for messages. Mistakes come out at
/// [`Loaded::finish`].
pub fn load(
    text: &str,
    file: &str,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[Override],
) -> Loaded {
    // Editors on Windows put a byte order mark first; it would count as a column.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let source = Source::new(file, text);
    let (mut root, errors) = raw::parse(text);
    let mut misplaced = Vec::new();
    let mut env: Vec<_> = env.into_iter().filter(|(name, _)| name.starts_with(PREFIX)).collect();
    // The order of the environment is chance: a variable for a whole section goes first.
    env.sort();
    for (name, value) in &env {
        let path = name.strip_prefix(PREFIX).unwrap_or_default().to_lowercase();
        let path: Vec<&str> = path.split("__").collect();
        place(&mut root, &path, name, value, &mut misplaced);
    }
    for Override { flag, option, value } in overrides {
        let path: Vec<&str> = option.split('.').collect();
        place(&mut root, &path, flag, value, &mut misplaced);
    }
    let syntax = syntax::mistakes(&source, &errors);
    let mut modules = Sections::new(source, root, syntax);
    misplaced.into_iter().for_each(|mistake| modules.push(mistake));
    let config = Config::take(&mut modules);
    config.check(&mut modules);
    Loaded { config, modules }
}

fn place(
    root: &mut raw::Table,
    path: &[&str],
    source: &str,
    value: &str,
    misplaced: &mut Vec<Mistake>,
) {
    let name: Arc<str> = source.into();
    let possible = path.len() <= DEEPEST && path.iter().all(|part| !part.is_empty());
    if !possible || !raw::set(root, path, &name, value) {
        misplaced.push(Mistake {
            about: About::Name,
            place: Place::Outside(name),
            option: path.join("."),
            message: "there is no such option".into(),
            fix: format!("write it like {PREFIX}SECTION__OPTION"),
        });
    }
}

/// Reads and loads a file; without one, everything has its default.
///
/// # Errors
/// A report of one row when the file cannot be read.
pub fn read(
    file: Option<&Path>,
    env: impl IntoIterator<Item = (String, String)>,
    overrides: &[Override],
) -> Result<Loaded, Report> {
    let Some(path) = file else { return Ok(load("", "", env, overrides)) };
    let name = path.display().to_string();
    let fail = |message: String, fix: &str| Err(Report::single(&name, message, fix));
    let size = match fs::metadata(path) {
        Ok(meta) => meta.len(),
        Err(e) => {
            return fail(format!("cannot be read: {e}"), "check the path and who may read it");
        }
    };
    if size > LARGEST {
        return fail(format!("has {size} bytes"), "a configuration has at most 1 MiB");
    }
    match fs::read(path) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok(load(&text, &name, env, overrides)),
            Err(_) => fail("is not UTF-8".into(), "save it as UTF-8 text"),
        },
        Err(e) => fail(format!("cannot be read: {e}"), "check the path and who may read it"),
    }
}

/// The variables of this process that are meant for the configuration.
pub fn environment() -> Vec<(String, String)> {
    let text = |s: std::ffi::OsString| s.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| name.starts_with(PREFIX)).collect()
}
