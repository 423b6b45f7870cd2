//! The second language: nothing lacks its translation, nothing changes but the words, and what is wide stays in line.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use regex::Regex;
use rookdoctor::check::{Area, Finding};
use rookdoctor::checks;
use rookdoctor::facts::Row;
use rookdoctor::facts::layout::Format;
use rookdoctor::lang::catalogue::{all, translation};
use rookdoctor::lang::page::blocks;
use rookdoctor::lang::{Arg, Lang, Text};
use rookdoctor::overview;
use textwrap::core::display_width;

use crate::cli::program;
use crate::scenarios::DIAGNOSES;

/// Every Rust file of the program, without its tests.
fn sources() -> Vec<String> {
    let mut files = Vec::new();
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                _ if path.is_dir() => open.push(path),
                Some(extension) if extension == "rs" => files.push(fs::read_to_string(&path).unwrap()),
                _ => {}
            }
        }
    }
    let comment = Regex::new(r"(?m)^\s*//.*$").unwrap();
    let code =
        |text: String| comment.replace_all(text.split("#[cfg(test)]\nmod tests").next().unwrap(), "").into_owned();
    files.into_iter().map(code).collect()
}

/// A string literal as the compiler reads it.
fn unescaped(literal: &str) -> String {
    let joined = Regex::new(r"\\\n\s*").unwrap().replace_all(literal, "").into_owned();
    joined.replace("\\\"", "\"").replace("\\n", "\n").replace("\\\\", "\\")
}

/// Everything that the program may tell a person.
fn told() -> BTreeSet<String> {
    let say = Regex::new(r#"(?s)(?:say!|NotApplicable|NotOffered)\(\s*"((?:[^"\\]|\\.)*)""#).unwrap();
    let plural = Regex::new(r#"(?s)plural!\(\s*[^";]*?,\s*"((?:[^"\\]|\\.)*)",\s*"((?:[^"\\]|\\.)*)""#).unwrap();
    let mut texts = BTreeSet::new();
    for code in sources() {
        for found in say.captures_iter(&code).chain(plural.captures_iter(&code)) {
            texts.extend(found.iter().skip(1).flatten().map(|literal| unescaped(literal.as_str())));
        }
    }
    let pages = checks::ALL.iter().flat_map(|check| blocks(check.docs, Lang::English));
    texts.extend(pages.filter_map(|mut block| block.template().map(str::to_owned)));
    let tables = overview::of(checks::ALL).into_iter();
    let tables = tables.flat_map(|table| table.columns.iter().chain([&table.title]).copied());
    let fixed = Area::ALL.iter().map(|area| area.title()).chain(Row::ALL.iter().map(|row| row.describe()));
    let lacks = Format::ALL.iter().map(|format| format.lacks());
    texts.extend(tables.chain(fixed).chain(lacks).map(str::to_owned));
    for (_, diagnosis) in DIAGNOSES.iter() {
        let reasons = diagnosis.outcomes.iter().filter_map(|outcome| outcome.reason.as_ref());
        reasons.for_each(|reason| collect(reason, &mut texts));
        for placed in &diagnosis.findings {
            collect(&placed.finding.summary, &mut texts);
            collect(&placed.finding.remedy.summary, &mut texts);
        }
    }
    let scopes = checks::ALL.iter().flat_map(|check| check.causes()).map(|(_, scope)| scope.words().to_owned());
    texts.extend(scopes);
    texts
}

/// The templates of a text, its phrases, and those of its arguments.
fn collect(text: &Text, texts: &mut BTreeSet<String>) {
    fn within(arg: &Arg, texts: &mut BTreeSet<String>) {
        match arg {
            Arg::Plain(_) => {}
            Arg::Phrase(words) => drop(texts.insert(words.clone())),
            Arg::Text(text) => collect(text, texts),
            Arg::List(items, _) => items.iter().for_each(|item| within(item, texts)),
        }
    }
    texts.insert(text.template.to_owned());
    text.args.iter().for_each(|arg| within(arg, texts));
}

#[test]
fn no_text_lacks_its_translation() {
    // What is nothing but placeholders needs none.
    let prose = |text: &String| text.chars().any(|c| c.is_ascii_alphabetic());
    let lacks = |text: &String| translation(Lang::Chinese, text).is_none();
    let lacking: Vec<String> = told().into_iter().filter(prose).filter(lacks).collect();
    assert!(lacking.is_empty(), "{} lack their translation:\n{}", lacking.len(), lacking.join("\n"));
}

#[test]
fn no_translation_is_left_of_a_text_that_is_gone() {
    let told = told();
    let left: Vec<&str> =
        all(Lang::Chinese).into_iter().map(|(text, _)| text).filter(|text| !told.contains(*text)).collect();
    assert!(left.is_empty(), "{} are told no more:\n{}", left.len(), left.join("\n"));
}

#[test]
fn translations_keep_what_is_not_prose() {
    let quoted = Regex::new("`[^`]*`").unwrap();
    let code = Regex::new(r"\b(?:ACC|NODE|NET|OVN|OPR|MON|OSD|CEPH|CSI|IMG|EXT)\d{3}\b|--[a-z][a-z-]+").unwrap();
    let place = Regex::new(r"\{(\d*)\}").unwrap();
    let mut wrong = Vec::new();
    for (text, told) in all(Lang::Chinese) {
        for kept in [&quoted, &code] {
            let [mut before, mut after] =
                [text, told].map(|it| kept.find_iter(it).map(|it| it.as_str()).collect::<Vec<_>>());
            before.sort_unstable();
            after.sort_unstable();
            if before != after {
                wrong.push(format!("{before:?} is {after:?}\n  {text}\n  {told}"));
            }
        }
        let count = text.matches("{}").count();
        let mut places: Vec<&str> = place.captures_iter(told).map(|it| it.get(1).unwrap().as_str()).collect();
        places.sort_unstable_by_key(|number| number.parse::<usize>().unwrap_or_default());
        let numbers: Vec<String> = (0..count).map(|number| number.to_string()).collect();
        if places != numbers && places != vec![""; count] {
            wrong.push(format!("placeholders\n  {text}\n  {told}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What went into a text as a string although it is English prose: it would stay English in every language.
#[test]
fn arguments_carry_no_prose() {
    let prose = Regex::new(
        r"(?i)(?:^|[\s(])(?:a|an|and|are|as|at|by|do|each|every|for|from|has|have|in|is|it|its|lack|more|no|none|not|of|on|or|other|than|that|the|their|they|this|to|which|with)(?:[\s),;]|$)",
    )
    .unwrap();
    let mut wrong: BTreeMap<String, String> = BTreeMap::new();
    for (name, diagnosis) in DIAGNOSES.iter() {
        for placed in &diagnosis.findings {
            for text in [&placed.finding.summary, &placed.finding.remedy.summary] {
                let suspects = plain(text).into_iter().filter(|(_, arg)| prose.is_match(arg));
                for (template, arg) in suspects.filter(|(_, arg)| !is_quoted(arg, &placed.finding)) {
                    wrong.insert(format!("{} {template:?}", placed.check.code), format!("{arg:?} in {name}"));
                }
            }
        }
    }
    let lines: Vec<String> = wrong.iter().map(|(template, arg)| format!("{template}: {arg}")).collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.len(), lines.join("\n"));
}

/// Every string that fills a placeholder, with its template.
fn plain(text: &Text) -> Vec<(&'static str, &str)> {
    fn within<'t>(template: &'static str, arg: &'t Arg, found: &mut Vec<(&'static str, &'t str)>) {
        match arg {
            Arg::Plain(words) => found.push((template, words)),
            Arg::Phrase(_) => {}
            Arg::Text(text) => found.extend(plain(text)),
            Arg::List(items, _) => items.iter().for_each(|item| within(template, item, found)),
        }
    }
    let mut found = Vec::new();
    text.args.iter().for_each(|arg| within(text.template, arg, &mut found));
    found
}

/// Words of the cluster: they stand in the evidence as well.
fn is_quoted(arg: &str, finding: &Finding) -> bool {
    let commands = finding.remedy.commands.iter().map(String::as_str);
    let evidence = finding.evidence.iter().flat_map(|evidence| [evidence.excerpt.as_str(), evidence.field.as_str()]);
    let quoted: Vec<&str> = commands.chain(evidence).collect();
    // In an error the pod's name is left out, so that alike ones are told once.
    let stands = |piece: &str| quoted.iter().any(|text| text.contains(piece.trim_end_matches('…')));
    arg.split("<pod>").all(stands)
}

const EXAMPLES: [&str; 4] =
    ["healthy-multus-kubeovn", "story4c-quorum-lost", "story5-kubeovn-after-reboot", "story7-mon-down-one"];

fn printed(arguments: &[&str], width: usize) -> String {
    let output = program().env("COLUMNS", width.to_string()).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Where in a line, in columns of a terminal, something ends that stands apart.
fn ends(line: &str) -> Vec<usize> {
    let words = Regex::new(r"\S+").unwrap();
    words.find_iter(line).map(|word| display_width(&line[..word.end()])).collect()
}

#[test]
fn columns_of_wide_letters_are_in_line() {
    for example in EXAMPLES {
        let page = printed(&["--example", example, "--lang", "zh", "-v"], 100);
        let lines: Vec<&str> = page.lines().skip_while(|line| !line.starts_with("排查树")).skip(1).collect();
        let heads = ends(lines[0]);
        assert_eq!(heads.len(), 5, "{}", lines[0]);
        for line in lines[1..].iter().take_while(|line| !line.is_empty()) {
            // Mark, prefix and title go before.
            let cells = ends(line).into_iter().filter(|end| *end > heads[0] - display_width("严重"));
            let cells: Vec<usize> = cells.collect();
            assert!(!cells.is_empty() && cells.iter().all(|end| heads.contains(end)), "{example}: {heads:?}\n{line}");
        }
    }
}

#[test]
fn lines_of_wide_letters_keep_to_the_width() {
    for example in EXAMPLES {
        for width in [60, 80, 100] {
            let page = printed(&["--example", example, "--lang", "zh", "--timeline"], width);
            for line in page.lines().filter(|line| display_width(line) > width) {
                // Commands are there to be pasted, and quotations may hold words that are longer than a line.
                let longest = line.split_whitespace().map(display_width).max().unwrap_or_default();
                assert!(line.starts_with("      kubectl") || longest > width / 2, "{example} at {width}: {line}");
            }
        }
    }
}

#[test]
fn the_locale_is_followed_unless_a_language_is_named() {
    let of = |locale: &str, arguments: &[&str]| {
        let output = program().env("LANG", locale).args(["--example", EXAMPLES[3], "-q"]).args(arguments).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert!(of("zh_CN.UTF-8", &[]).contains("警告"));
    assert!(of("zh_CN.UTF-8", &["--lang", "en"]).contains("warning"));
    // A terminal that cannot show it.
    assert!(of("zh_CN", &[]).contains("warning"));
    assert!(of("C.UTF-8", &["--lang", "zh"]).contains("警告"));
}

/// Formats for programs are the same to the letter, and in the others evidence and commands are.
#[test]
fn only_words_for_people_change() {
    // When it was made, and how long that took.
    let made =
        Regex::new(r#"(?m)"(?:generatedAt|durationMs)".*$|timestamp="[^"]*"|^.*_seconds.*$|time="[^"]*""#).unwrap();
    for example in EXAMPLES {
        for format in ["json", "junit", "prometheus", "sarif"] {
            let of = |lang| {
                let text = printed(&["--example", example, "-o", format, "--lang", lang], 100);
                made.replace_all(&text, "").into_owned()
            };
            assert_eq!(of("en"), of("zh"), "{example} as {format}");
        }
        let markdown = |lang| printed(&["--example", example, "-o", "markdown", "--lang", lang], 100);
        let fenced = |text: &str| text.split("```").skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
        let (english, chinese) = (markdown("en"), markdown("zh"));
        assert_eq!(fenced(&english), fenced(&chinese), "{example}");
        assert!(chinese.contains('：') && chinese != english);
    }
}

#[test]
fn every_page_is_told_in_chinese() {
    for check in checks::ALL {
        let page = blocks(check.docs, Lang::Chinese);
        let english = blocks(check.docs, Lang::English);
        assert_eq!(page.len(), english.len());
        assert_ne!(page, english, "{}", check.code);
    }
    assert!(printed(&["explain", "NET007", "--lang", "zh"], 80).contains("为何重要"));
}
