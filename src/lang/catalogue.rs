//! What each text is in another language: files of gettext's format, read when the first text is told.

use std::collections::HashMap;
use std::sync::LazyLock;

use polib::message::MessageView;
use polib::po_file::parse_from_reader;

use super::Lang;

/// One file an area, so that a check and its words are changed in two places that are easy to find.
const CHINESE: &[&str] = &[
    include_str!("zh/access.po"),
    include_str!("zh/ceph.po"),
    include_str!("zh/csi.po"),
    include_str!("zh/ext.po"),
    include_str!("zh/fix.po"),
    include_str!("zh/img.po"),
    include_str!("zh/mon.po"),
    include_str!("zh/net.po"),
    include_str!("zh/node.po"),
    include_str!("zh/opr.po"),
    include_str!("zh/osd.po"),
    include_str!("zh/ovn.po"),
    include_str!("zh/report.po"),
];

static CATALOGUE: LazyLock<HashMap<String, String>> =
    LazyLock::new(|| CHINESE.iter().flat_map(|file| read(file)).collect());

/// The text in this language; nothing if the text is English there, too.
pub fn translation(lang: Lang, text: &str) -> Option<&'static str> {
    match lang {
        Lang::English => None,
        Lang::Chinese => CATALOGUE.get(text).map(String::as_str),
    }
}

/// All texts that have a translation, with it.
pub fn all(lang: Lang) -> Vec<(&'static str, &'static str)> {
    match lang {
        Lang::English => Vec::new(),
        Lang::Chinese => CATALOGUE.iter().map(|(text, told)| (text.as_str(), told.as_str())).collect(),
    }
}

/// What a translator has begun and not ended is left out, as gettext does.
fn read(file: &str) -> Vec<(String, String)> {
    // The files are part of the program; a test reads each.
    let Ok(catalogue) = parse_from_reader(file.as_bytes()) else { return Vec::new() };
    let done = catalogue.messages().filter(|message| message.is_translated() && !message.is_fuzzy());
    let pair = |message: &dyn MessageView| Some((message.msgid().to_owned(), message.msgstr().ok()?.to_owned()));
    done.filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_can_be_read() {
        for file in CHINESE {
            let catalogue =
                parse_from_reader(file.as_bytes()).unwrap_or_else(|error| panic!("{error}\n{}", &file[..80]));
            assert!(!catalogue.is_empty());
        }
    }
}
