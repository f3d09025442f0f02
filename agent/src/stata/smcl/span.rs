//! Text in one style.

/// How a piece of text is set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    /// As the text around it.
    #[default]
    Plain,
    /// To be typed as it is.
    Code,
    /// Stressed.
    Bold,
    /// To be replaced.
    Italic,
}

/// A piece of text in one style.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) style: Style,
    /// Where it leads, if that is something else than its text.
    pub(super) link: String,
}

/// Adds a text, to the span before it where that is set alike.
pub(super) fn push(spans: &mut Vec<Span>, text: &str, style: Style) {
    if text.is_empty() {
        return;
    }
    match spans.last_mut() {
        Some(last) if last.style == style && last.link.is_empty() => last.text.push_str(text),
        _ => spans.push(Span { text: text.to_owned(), style, link: String::new() }),
    }
}

/// The text alone.
pub(super) fn text(spans: &[Span]) -> String {
    spans.iter().map(|span| span.text.as_str()).collect()
}

/// Whether there is nothing to see.
pub(super) fn is_blank(spans: &[Span]) -> bool {
    spans.iter().all(|span| span.text.trim().is_empty())
}

/// With runs of white space as one blank, and none at the ends.
pub(super) fn tidy(spans: Vec<Span>) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::with_capacity(spans.len());
    let mut blank = true;
    for span in spans {
        let mut text = String::with_capacity(span.text.len());
        for c in span.text.chars() {
            let white = c.is_whitespace();
            if !white {
                text.push(c);
            } else if !blank {
                text.push(' ');
            }
            blank = white;
        }
        if text.is_empty() {
            continue;
        }
        match out.last_mut() {
            Some(last) if last.style == span.style && last.link.is_empty() && span.link.is_empty() => {
                last.text.push_str(&text);
            }
            _ => out.push(Span { text, ..span }),
        }
    }
    while let Some(last) = out.last_mut() {
        last.text.truncate(last.text.trim_end().len());
        if !last.text.is_empty() {
            break;
        }
        out.pop();
    }
    out
}
