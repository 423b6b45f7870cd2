//! What is told to a person, and in which language.
//!
//! Texts are English templates in the code; a catalogue (`lang/<language>/*.po`, gettext's format) holds what each
//! is in another language. Codes, names, evidence and commands are never translated.

pub mod catalogue;
pub mod page;

use std::env;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The languages that a report can be read in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    #[default]
    #[value(name = "en", aliases = ["en-US", "C"])]
    English,
    /// Simplified.
    #[value(name = "zh", aliases = ["zh-CN", "zh_CN", "zh-Hans"])]
    Chinese,
}

impl Lang {
    /// As a page of the web names it.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    /// What the user's environment asks for: the locale for messages in the order of POSIX, else what the system
    /// says (Windows and macOS). A terminal that is not UTF-8 could not show Chinese.
    pub fn of_environment(unicode: bool) -> Self {
        let said = ["LC_ALL", "LC_MESSAGES", "LANG"].iter().filter_map(|name| env::var(name).ok());
        let named = said.into_iter().find(|value| !value.is_empty());
        let locale = named.or_else(sys_locale::get_locale).unwrap_or_default();
        if unicode { Self::of_locale(&locale) } else { Self::English }
    }

    /// Traditional Chinese is another script: who reads that gets English.
    fn of_locale(locale: &str) -> Self {
        let locale = locale.split(['.', '@']).next().unwrap_or_default().replace('_', "-").to_lowercase();
        let simplified = ["zh", "zh-cn", "zh-sg", "zh-my"].contains(&locale.as_str()) || locale.starts_with("zh-hans");
        if simplified { Self::Chinese } else { Self::English }
    }
}

/// A sentence: a template and its arguments, kept apart so that it can be told in another language.
///
/// It has no `Display`: whoever makes a string of it says in which language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub template: &'static str,
    pub args: Vec<Arg>,
}

/// A text in a table: made when it is told, as a table is constant and a text is not.
pub type Words = fn() -> Text;

/// What fills a placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// A name, a number, words of the cluster: the same in every language.
    Plain(String),
    /// See [`phrase`].
    Phrase(String),
    Text(Text),
    List(Vec<Self>, Join),
}

/// How things are told in one sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// `a, b and c`
    And,
    /// `this; that`
    Semicolon,
}

/// Makes a [`Text`]: `say!("mon {} is out of quorum", id)`. Placeholders are positional and counted by the compiler;
/// an argument is a `Text`, a [`listed`] or anything that displays itself.
#[macro_export]
macro_rules! say {
    (@one $arg:expr) => { () };
    ($template:literal $(, $arg:expr)* $(,)?) => {{
        const { assert!(
            $crate::lang::placeholders($template) == <[()]>::len(&[$($crate::say!(@one $arg)),*]),
            "as many arguments as placeholders",
        ) };
        $crate::lang::Text { template: $template, args: vec![$($crate::lang::Told::told_as(&$arg)),*] }
    }};
}

/// A number of things: `plural!(n, "1 finding", "{} findings")`.
#[macro_export]
macro_rules! plural {
    ($count:expr, $one:literal, $many:literal) => {
        match $count {
            1 => $crate::say!($one),
            count => $crate::say!($many, count),
        }
    };
}

/// How many `{}` a template has.
pub const fn placeholders(template: &str) -> usize {
    let bytes = template.as_bytes();
    let (mut at, mut count) = (1, 0);
    while at < bytes.len() {
        if bytes[at - 1] == b'{' && bytes[at] == b'}' {
            count += 1;
        }
        at += 1;
    }
    count
}

/// What can stand for a placeholder.
pub trait Told {
    fn told_as(&self) -> Arg;
    /// By itself.
    fn told_in(&self, lang: Lang) -> String {
        self.told_as().told(lang)
    }
}

impl<T: fmt::Display + ?Sized> Told for T {
    fn told_as(&self) -> Arg {
        Arg::Plain(self.to_string())
    }
}
impl Told for Text {
    fn told_as(&self) -> Arg {
        Arg::Text(self.clone())
    }
}
impl Told for &Text {
    fn told_as(&self) -> Arg {
        (*self).told_as()
    }
}
impl Told for Listed {
    fn told_as(&self) -> Arg {
        Arg::List(self.0.clone(), self.1)
    }
}

/// Several things in one sentence.
#[derive(Clone, Debug)]
pub struct Listed(Vec<Arg>, Join);

/// `a`, `a and b`, `a, b and c`
pub fn listed<T: Told>(items: impl IntoIterator<Item = T>) -> Listed {
    Listed(items.into_iter().map(|item| item.told_as()).collect(), Join::And)
}

/// `this; that`
pub fn clauses<T: Told>(items: impl IntoIterator<Item = T>) -> Listed {
    Listed(items.into_iter().map(|item| item.told_as()).collect(), Join::Semicolon)
}

impl Text {
    /// In this language; in English where it has no translation.
    pub fn told(&self, lang: Lang) -> String {
        let template = catalogue::translation(lang, self.template).unwrap_or(self.template);
        fill(template, &self.args, lang)
    }

    /// For what is always English: reports for programs, journals, errors.
    pub fn english(&self) -> String {
        self.told(Lang::English)
    }
}

/// Words of the program that come as a string, out of a table or through an error: translated if the catalogue has
/// them whole.
pub fn phrase(words: &str) -> Text {
    Text { template: "{}", args: vec![Arg::Phrase(words.to_owned())] }
}

impl Arg {
    fn told(&self, lang: Lang) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Phrase(text) => catalogue::translation(lang, text).unwrap_or(text).to_owned(),
            Self::Text(text) => text.told(lang),
            Self::List(items, join) => {
                let items: Vec<String> = items.iter().map(|item| item.told(lang)).collect();
                join.told(&items, lang)
            }
        }
    }
}

impl Join {
    fn told(self, items: &[String], lang: Lang) -> String {
        match (self, lang, items) {
            (_, _, []) => String::new(),
            (_, _, [one]) => one.clone(),
            (Self::And, Lang::English, [first @ .., last]) => format!("{} and {last}", first.join(", ")),
            (Self::And, Lang::Chinese, [first @ .., last]) => format!("{} 和 {last}", first.join("、")),
            (Self::Semicolon, Lang::English, items) => items.join("; "),
            (Self::Semicolon, Lang::Chinese, items) => items.join("；"),
        }
    }
}

/// Placeholders are `{}`, in order, or numbered where a language wants another order.
fn fill(template: &str, args: &[Arg], lang: Lang) -> String {
    let mut text = String::with_capacity(template.len());
    let mut next = 0;
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        match after.split_once('}').and_then(|(number, after)| Some((place(number, &mut next)?, after))) {
            Some((at, after)) => {
                text.push_str(&args.get(at).map(|arg| arg.told(lang)).unwrap_or_default());
                rest = after;
            }
            None => {
                text.push('{');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    text
}

/// Which argument a placeholder means.
fn place(number: &str, next: &mut usize) -> Option<usize> {
    if number.is_empty() {
        *next += 1;
        return Some(*next - 1);
    }
    number.parse().ok()
}

impl Serialize for Text {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.english())
    }
}

/// What was told once is told again in the same words.
impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { template: "{}", args: vec![Arg::Plain(String::deserialize(deserializer)?)] })
    }
}

impl schemars::JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        String::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_fills_its_template_in_order() {
        assert_eq!(say!("mon {} on {} is out", "a", "w1").english(), "mon a on w1 is out");
        assert_eq!(say!("{}: {}", say!("mon {}", 3), "{}").english(), "mon 3: {}");
    }

    #[test]
    fn placeholders_may_be_numbered() {
        let args = [Arg::Plain("{1}".into()), Arg::Plain("b".into())];
        assert_eq!(fill("{1} of {0} {x} {", &args, Lang::English), "b of {1} {x} {");
    }

    #[test]
    fn lists_end_as_each_language_wants() {
        let text = say!("{}", listed(["a", "b", "c"]));
        assert_eq!(text.told(Lang::English), "a, b and c");
        assert_eq!(text.told(Lang::Chinese), "a、b 和 c");
    }

    #[test]
    fn the_locale_chooses_the_language() {
        for (locale, lang) in [
            ("zh_CN.UTF-8", Lang::Chinese),
            ("zh-Hans-CN", Lang::Chinese),
            ("zh_TW.UTF-8", Lang::English),
            ("de_DE.UTF-8", Lang::English),
            ("C.UTF-8", Lang::English),
            ("", Lang::English),
        ] {
            assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        }
    }
}
