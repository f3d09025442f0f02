//! `stata_help`: a topic of Stata's help in pages, or topics by words.

use std::fmt::Write;

use longhaul_proto::api::{HelpSectionView, HelpView};

use super::{
    call::{Call, Reply},
    fence,
    output::ToolOutput,
    words,
};
use crate::runs::HelpAsked;

/// Room kept for what stands around a page, bytes.
const FRAME: usize = 1400 + fence::ROOM;

/// Sections named below a page, and the longest name of one, characters.
const SECTIONS: usize = 24;
const TITLE: usize = 40;

/// The tool.
pub(super) async fn help(call: &Call) -> Reply {
    let args = &call.args;
    let text = |name: &str| args.text(name).unwrap_or_default();
    let asked = HelpAsked { topic: text("topic"), search: text("search"), host: text("host") };
    let host = asked.host.clone();
    let (section, offset) = (args.text("section"), args.whole("offset"));
    if section.is_some() && offset.is_some() {
        return Err("pass section (its title), or offset (a byte to go on from), not both".into());
    }
    let searched = asked.search.clone();
    let view = call.help_of(asked).await?;
    let ids = &call.frontend.core.deps.ids;
    let Some(text) = &view.text else { return Ok(ToolOutput::ok(found(ids, &view, &searched))) };
    let room = call.frontend.options().inline_limit.saturating_sub(FRAME);
    let page = Page::of(text, &view.sections, section.as_deref(), offset, room)?;
    let topic = view.topic.as_deref().unwrap_or_default();
    let (topic, more) = (words::cut(&words::plain(topic), 120), host_argument(&host));
    let mut shown = format!(
        "help {topic} on {} ({}), bytes {} to {} of {}:\n{}",
        words::plain(&view.host),
        words::plain(view.place.as_deref().unwrap_or_default()),
        page.start,
        page.end,
        text.len(),
        fence::fenced(ids, &text[page.start..page.end])
    );
    if page.end < page.last {
        let _ = write!(shown, "\nNext: stata_help(topic: \"{topic}\", offset: {}{more}).", page.end);
    }
    if (page.start, page.end) != (0, text.len()) {
        let _ = write!(
            shown,
            "\nSections: {}. One of them: stata_help(topic: \"{topic}\", section: \"{}\"{more}).",
            titles(&view.sections),
            view.sections.first().map(|first| words::cut(&words::plain(&first.title), TITLE)).unwrap_or_default()
        );
    }
    Ok(ToolOutput::ok(shown))
}

/// A part of a text that fits.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    start: usize,
    end: usize,
    /// Where what was asked for ends.
    last: usize,
}

impl Page {
    fn of(
        text: &str,
        sections: &[HelpSectionView],
        section: Option<&str>,
        offset: Option<u64>,
        room: usize,
    ) -> Result<Self, String> {
        let (start, last) = match (section, offset) {
            (Some(title), _) => {
                let wanted = title.trim().to_lowercase();
                let by =
                    |fits: fn(&str, &str) -> bool| sections.iter().position(|s| fits(&s.title.to_lowercase(), &wanted));
                let at = by(|title, wanted| title == wanted)
                    .or_else(|| by(|title, wanted| title.starts_with(wanted)))
                    .or_else(|| by(|title, wanted| title.contains(wanted)));
                let at = at.ok_or_else(|| {
                    format!("it has no section `{}`; there are: {}", words::cut(title, TITLE), titles(sections))
                })?;
                (sections[at].offset, sections.get(at + 1).map_or(text.len(), |next| next.offset))
            }
            (None, Some(offset)) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                if start >= text.len() {
                    return Err(format!("offset {offset} is past the end: the text has {} bytes", text.len()));
                }
                (start, text.len())
            }
            (None, None) => (0, text.len()),
        };
        let start = (0..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let mut end = last.min(start + room);
        if end < last {
            end = (start..=end).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(start);
            // A page ends with a line, unless that line is longer than a page.
            end = text[start..end].rfind('\n').map_or(end, |at| start + at + 1);
        }
        Ok(Self { start, end, last })
    }
}

fn host_argument(host: &str) -> String {
    if host.is_empty() { String::new() } else { format!(", host: \"{}\"", words::plain(host)) }
}

fn titles(sections: &[HelpSectionView]) -> String {
    if sections.is_empty() {
        return "none, its text is one piece".to_owned();
    }
    let mut titles: Vec<String> =
        sections.iter().take(SECTIONS).map(|section| words::cut(&words::plain(&section.title), TITLE)).collect();
    if sections.len() > SECTIONS {
        titles.push(format!("{} more", sections.len() - SECTIONS));
    }
    titles.join(", ")
}

fn found(ids: &longhaul_proto::ids::Ids, view: &HelpView, searched: &str) -> String {
    let mut lines = String::new();
    for topic in &view.topics {
        let _ = writeln!(
            lines,
            "- {} -- {} ({})",
            words::cut(&words::plain(&topic.topic), 80),
            words::cut(&words::plain(&topic.about), 160),
            words::cut(&words::plain(&topic.place), 120)
        );
    }
    let count = view.topics.len();
    let mut text = format!(
        "{count} {} on {} for `{}`, best first:\n{}\nRead one: stata_help(topic: …).",
        if count == 1 { "topic" } else { "topics" },
        words::plain(&view.host),
        words::cut(&words::plain(searched), 80),
        fence::fenced(ids, &lines)
    );
    if view.more > 0 {
        let _ = write!(text, " {} more fit less well: search for more words.", view.more);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sections(text: &str) -> Vec<HelpSectionView> {
        text.match_indices("## ")
            .map(|(offset, _)| HelpSectionView { title: text[offset + 3..].lines().next().unwrap().to_owned(), offset })
            .collect()
    }

    #[test]
    fn pages_join_to_the_whole_text() {
        let text =
            format!("# help x\n\n## Syntax\nline é\n{}\n## Options\n{}\n", "é".repeat(300), "word\n".repeat(100));
        let sections = sections(&text);
        for room in [40, 101, 5000] {
            let (mut at, mut whole) = (0, String::new());
            loop {
                let page = Page::of(&text, &sections, None, Some(at as u64), room).unwrap();
                assert!(page.end > page.start && page.end - page.start <= room);
                whole.push_str(&text[page.start..page.end]);
                at = page.end;
                if page.end == page.last {
                    break;
                }
            }
            assert_eq!(whole, text, "{room}");
        }
    }

    #[test]
    fn sections_are_found_by_their_titles() {
        let text = "# help x\n\n## Syntax\na\n## Options for x\nb\n## Stored results\nc\n";
        let sections = sections(text);
        let check = |title: &str, want: &str| {
            let page = Page::of(text, &sections, Some(title), None, 1000).unwrap();
            assert_eq!(&text[page.start..page.end], want, "{title}");
            assert_eq!(page.end, page.last);
        };
        check("syntax", "## Syntax\na\n");
        check("Options", "## Options for x\nb\n");
        check("results", "## Stored results\nc\n");
        let none = Page::of(text, &sections, Some("Authors"), None, 1000).unwrap_err();
        assert!(none.contains("Syntax, Options for x, Stored results"), "{none}");
        assert!(Page::of(text, &sections, None, Some(900), 10).unwrap_err().contains("past the end"));
    }
}
