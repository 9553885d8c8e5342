//! Who takes which table of the configuration: [`Sections`].
//!
//! The node's own sections are taken when the file is loaded, those of the modules later, by crates
//! this one does not know. What nobody took in the end is a mistake.

use crate::{
    raw::{Kind, Raw, Table},
    report::{About, Mistake, Place, Report, Source},
    section::{Describer, OptionDoc, Reader, Section},
    suggest::nearest,
    syntax::Syntax,
    value::Value,
};

use std::collections::BTreeSet;

/// The table that holds the modules' sections.
const MODULES: &str = "modules";

/// A section that somebody asked for.
#[derive(Clone, Debug)]
pub struct Declared {
    /// Its name in brackets: "c2s", "modules.ping".
    pub path: String,
    /// How it stands in the file.
    pub shape: Shape,
    /// What it is for.
    pub doc: &'static str,
    /// Its options.
    pub options: Vec<OptionDoc>,
}

/// How a section stands in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[name]`
    Table,
    /// `[[name]]`, any number of times.
    List,
    /// `[modules.name]`, with the option `enabled` and this default of it.
    Module(bool),
}

/// The tables of a configuration, and every mistake found in them so far.
#[derive(Clone, Debug)]
pub struct Sections {
    source: Source,
    root: Table,
    syntax: Vec<Syntax>,
    declared: Vec<Declared>,
    chosen: Vec<String>,
    mistakes: Vec<Mistake>,
}

/// Everything has its default: no file at all.
impl Default for Sections {
    fn default() -> Self {
        crate::load::load("", "", [], &[]).modules
    }
}

impl Sections {
    pub(crate) fn new(source: Source, root: Table, syntax: Vec<Syntax>) -> Self {
        let (declared, chosen, mistakes) = Default::default();
        Self { source, root, syntax, declared, chosen, mistakes }
    }

    /// No file, and nobody has asked for anything.
    pub(crate) fn empty() -> Self {
        Self::new(Source::default(), Table::new(), Vec::new())
    }

    /// The options of module `name`; None if it is not enabled.
    ///
    /// Mistakes are kept for the report, and the wrong option has its default here.
    pub fn take<S: Section>(&mut self, name: &'static str) -> Option<S> {
        let path = format!("{MODULES}.{name}");
        let raw = match self.root.get(MODULES).map(|(_, raw)| &raw.kind) {
            Some(Kind::Table(modules)) => modules.get(name).map(|(_, raw)| raw.clone()),
            _ => None,
        };
        let section = self.read::<S>(&path, raw.as_ref());
        let mut enabled = S::ENABLED;
        let mut reader = Reader { table: raw.as_ref(), path: &path, mistakes: &mut self.mistakes };
        if let Some(raw) = reader.written("enabled") {
            let mut wrong = Vec::new();
            enabled = bool::read(raw, &mut wrong).unwrap_or(enabled);
            let default = Some(S::ENABLED.to_string());
            wrong.into_iter().for_each(|one| reader.wrong("enabled", one, default.clone()));
        }
        if enabled {
            self.chosen.push(format!("{path} {section:?}"));
        }
        self.declare::<S>(path, Shape::Module(S::ENABLED));
        enabled.then_some(section)
    }

    /// The section `[name]` of the node itself.
    pub(crate) fn section<S: Section>(&mut self, name: &'static str) -> S {
        let raw = self.root.get(name).map(|(_, raw)| raw.clone());
        let section = self.read(name, raw.as_ref());
        self.declare::<S>(name.into(), Shape::Table);
        section
    }

    /// The sections `[[name]]` of the node itself.
    pub(crate) fn list<S: Section>(&mut self, name: &'static str) -> Vec<S> {
        let raw = self.root.get(name).map(|(_, raw)| raw.clone());
        self.declare::<S>(name.into(), Shape::List);
        match raw {
            None => Vec::new(),
            Some(Raw { kind: Kind::List(all), .. }) => {
                all.iter().map(|one| self.read(name, Some(one))).collect()
            }
            Some(raw) => {
                let fix = format!("write it like [[{name}]]");
                self.no_table(name, &raw, fix);
                Vec::new()
            }
        }
    }

    fn read<S: Section>(&mut self, path: &str, raw: Option<&Raw>) -> S {
        if let Some(raw) = raw.filter(|raw| !matches!(raw.kind, Kind::Table(_))) {
            self.no_table(path, raw, format!("write [{path}] on a line and its options below"));
        }
        S::visit(&mut Reader { table: raw, path, mistakes: &mut self.mistakes })
    }

    fn no_table(&mut self, path: &str, raw: &Raw, fix: String) {
        let message = format!("{} stands where a table of options is expected", raw.shown());
        let (about, place) = (About::Value, raw.place.clone());
        self.mistakes.push(Mistake { about, place, option: path.into(), message, fix });
    }

    fn declare<S: Section>(&mut self, path: String, shape: Shape) {
        if self.declared.iter().all(|d| d.path != path) {
            let mut describer = Describer::default();
            S::visit(&mut describer);
            let options = describer.0;
            self.declared.push(Declared { path, shape, doc: S::DOC, options });
        }
    }

    /// The modules that run, with the values of their options: to be compared, and shown to nobody.
    pub fn chosen(&self) -> &[String] {
        &self.chosen
    }

    /// The sections asked for so far, in order: what the reference is made of.
    pub fn declared(&self) -> &[Declared] {
        &self.declared
    }

    /// Adds a mistake in an option that only its user can see, such as a host name that is none.
    /// `option` is dotted ("server.hosts"); `entry` says which of a list.
    pub fn reject(&mut self, option: &str, entry: Option<usize>, message: &str, fix: &str) {
        let place = self.place(option, entry).unwrap_or_else(|| Place::Outside("default".into()));
        let (option, message, fix) = (option.into(), message.into(), fix.into());
        self.mistakes.push(Mistake { about: About::Value, place, option, message, fix });
    }

    /// Two options that cannot be as they are together: told at the first of them that is set. A
    /// wrong one has its default by now, which conflicts with nothing anybody wrote.
    pub(crate) fn conflict(&mut self, options: [&str; 2], message: &str, fix: &str) {
        let wrong = self.mistakes.iter().any(|m| options.contains(&m.option.as_str()));
        let set = options.into_iter().find(|option| self.place(option, None).is_some());
        if let (false, Some(option)) = (wrong, set) {
            self.reject(option, None, message, fix);
        }
    }

    fn place(&self, option: &str, entry: Option<usize>) -> Option<Place> {
        let mut table = &self.root;
        let mut found = None;
        for name in option.split('.') {
            let (_, raw) = table.get(name)?;
            found = Some(raw);
            match &raw.kind {
                Kind::Table(inner) => table = inner,
                Kind::List(all) => found = entry.and_then(|i| all.get(i)).or(Some(raw)),
                _ => {}
            }
        }
        found.map(|raw| raw.place.clone())
    }

    pub(crate) fn push(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// Every mistake, now that everybody has taken what is theirs; None if there is none.
    pub(crate) fn report(&self) -> Option<Report> {
        let mut mistakes = self.mistakes.clone();
        self.unknown(&mut mistakes);
        mistakes.retain(|m| self.is_sure(m));
        let start = |m: &Mistake| match &m.place {
            Place::File(span) => Some(span.start),
            Place::Outside(_) => None,
        };
        let said: BTreeSet<usize> = mistakes.iter().filter_map(start).collect();
        for one in &self.syntax {
            // A word without quotes that is wrong even with them: the latter says more.
            if !(one.unquoted && said.contains(&one.span.start)) {
                let place = Place::File(one.span.clone());
                let (message, fix) = (one.message.clone(), one.fix.clone());
                let (about, option) = (About::Syntax, String::new());
                mistakes.push(Mistake { about, place, option, message, fix });
            }
        }
        (!mistakes.is_empty()).then(|| Report::new(&self.source, mistakes))
    }

    /// Whether a mistake is one, and not what a mistake of syntax made of the rest: the parser may
    /// have ended a table or skipped an option where nobody meant it to.
    fn is_sure(&self, m: &Mistake) -> bool {
        let (Place::File(span), Some(first)) = (&m.place, self.syntax.first()) else { return true };
        let line = self.source.line(span.start);
        let broken = self.syntax.binary_search_by_key(&line, |s| s.line).ok();
        let broken = broken.and_then(|i| self.syntax.get(i));
        let swallowed = self.syntax.last().is_some_and(|s| s.endless && s.line <= line);
        let judged = !swallowed && broken.is_none_or(|s| s.unquoted && s.span == *span);
        match m.about {
            About::Value | About::Syntax => judged,
            About::Name => line < first.line,
            About::Absence => false,
        }
    }

    /// Names that nobody asked for.
    fn unknown(&self, out: &mut Vec<Mistake>) {
        for (name, (place, raw)) in &self.root {
            if name == MODULES {
                self.unknown_modules(raw, out);
            } else if let Some(declared) = self.find(name) {
                self.unknown_options(declared, raw, out);
            } else {
                out.push(self.no_section(name, place, raw));
            }
        }
    }

    fn find(&self, path: &str) -> Option<&Declared> {
        self.declared.iter().find(|d| d.path == path)
    }

    fn unknown_modules(&self, raw: &Raw, out: &mut Vec<Mistake>) {
        let Kind::Table(modules) = &raw.kind else {
            let message = format!("{} stands where a table of modules is expected", raw.shown());
            let (place, option) = (raw.place.clone(), MODULES.into());
            let fix = "write [modules.NAME] on a line and the module's options below".into();
            return out.push(Mistake { about: About::Value, place, option, message, fix });
        };
        for (name, (place, raw)) in modules {
            match self.find(&format!("{MODULES}.{name}")) {
                Some(declared) => self.unknown_options(declared, raw, out),
                None => {
                    let names =
                        self.declared.iter().filter_map(|d| d.path.strip_prefix("modules."));
                    let fix = suggestion(name, names, "modules are");
                    let (place, option) = (place.clone(), format!("{MODULES}.{name}"));
                    out.push(unknown(place, option, "module", fix));
                }
            }
        }
    }

    fn unknown_options(&self, declared: &Declared, raw: &Raw, out: &mut Vec<Mistake>) {
        match &raw.kind {
            Kind::List(all) => all.iter().for_each(|one| self.unknown_options(declared, one, out)),
            Kind::Table(table) => {
                let enabled = matches!(declared.shape, Shape::Module(_)).then_some("enabled");
                let names = || declared.options.iter().map(|o| o.name).chain(enabled);
                for (name, (place, _)) in table {
                    if names().any(|n| n == name) {
                        continue;
                    }
                    let fix = match (nearest(name, names()), self.elsewhere(name)) {
                        (None, Some(other)) => format!("did you mean {other}?"),
                        _ => suggestion(name, names(), "options here are"),
                    };
                    let (place, option) = (place.clone(), format!("{}.{name}", declared.path));
                    out.push(unknown(place, option, "option", fix));
                }
            }
            _ => {}
        }
    }

    /// The option of another section that is probably meant.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let names = self.declared.iter().flat_map(|d| d.options.iter().map(|o| o.name));
        let near = nearest(name, names)?;
        let has = |d: &&Declared| d.options.iter().any(|o| o.name == near);
        self.declared.iter().find(has).map(|d| format!("{}.{near}", d.path))
    }

    fn no_section(&self, name: &str, place: &Place, raw: &Raw) -> Mistake {
        let what =
            if matches!(raw.kind, Kind::Table(_) | Kind::List(_)) { "section" } else { "option" };
        let top = self.declared.iter().map(|d| d.path.as_str()).filter(|p| !p.contains('.'));
        let top = || top.clone().chain([MODULES]);
        let module = format!("{MODULES}.{name}");
        let fix = match (nearest(name, top()), self.find(&module), self.elsewhere(name)) {
            (None, Some(_), _) => format!("did you mean {module}?"),
            (None, None, Some(other)) => format!("did you mean {other}?"),
            _ => suggestion(name, top(), "sections are"),
        };
        unknown(place.clone(), name.into(), what, fix)
    }
}

fn unknown(place: Place, option: String, what: &str, fix: String) -> Mistake {
    let message = format!("there is no such {what}");
    Mistake { about: About::Name, place, option, message, fix }
}

fn suggestion<'a>(name: &str, names: impl Iterator<Item = &'a str>, those: &str) -> String {
    let names: Vec<&str> = names.collect();
    match nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean {near}?"),
        None if names.is_empty() => "remove it; there are none".into(),
        None => format!("remove it; {those} {}", names.join(", ")),
    }
}
